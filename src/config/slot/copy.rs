//! Copies a value from one configuration to the same key in another.

use super::Slot;

impl Slot<'_> {
    /// Copies the value from another configuration's slot of the same key.
    pub(in super::super) fn copy(self, from: &Self) {
        match (self, from) {
            (Self::Listens(to), Self::Listens(from)) => to.clone_from(from),
            (Self::Networks(to), Self::Networks(from)) => to.clone_from(from),
            (Self::Mode(to), Self::Mode(from)) | (Self::Rate(to), Self::Rate(from)) => *to = **from,
            (Self::AddressOrOff(to), Self::AddressOrOff(from)) => *to = **from,
            (Self::Count(to, _), Self::Count(from, _)) | (Self::Bytes(to, _), Self::Bytes(from, _)) => {
                *to = **from;
            }
            (Self::Milliseconds(to, _), Self::Milliseconds(from, _))
            | (Self::Duration(to, _), Self::Duration(from, _))
            | (Self::Time(to), Self::Time(from)) => *to = **from,
            (Self::Switch(to), Self::Switch(from))
            | (Self::Either(to, _), Self::Either(from, _))
            | (Self::Listed(to, _), Self::Listed(from, _)) => *to = **from,
            (Self::PathOrOff(to), Self::PathOrOff(from)) => to.clone_from(from),
            (Self::Text(to, _), Self::Text(from, _))
            | (Self::Secret(to), Self::Secret(from))
            | (Self::HookName(to), Self::HookName(from))
            | (Self::Filter(to), Self::Filter(from)) => to.clone_from(from),
            (Self::Cookie(to), Self::Cookie(from)) => to.clone_from(from),
            (Self::DataFormat(to), Self::DataFormat(from)) => *to = **from,
            (Self::Rules(to, _), Self::Rules(from, _)) => to.clone_from(from),
            (Self::SocketRules(to), Self::SocketRules(from)) => to.clone_from(from),
            (Self::Files(to), Self::Files(from))
            | (Self::Texts(to), Self::Texts(from))
            | (Self::Secrets(to), Self::Secrets(from)) => to.clone_from(from),
            (Self::Pattern(to), Self::Pattern(from)) => to.clone_from(from),
            (Self::Headers(to), Self::Headers(from)) => to.clone_from(from),
            (Self::Format(to), Self::Format(from)) => *to = **from,
            (to, from) => debug_assert!(false, "slots of two keys: {to:?} and {from:?}"),
        }
    }
}
