//! The lists of tables: namespaces of channels, named hooks, namespaces of calls. Each table has a name.

use super::{CALLS, CHANNEL, HOOK, Sections, Slot, Target};
use crate::config::Config;
use crate::hub::options::ChannelOptions;
use crate::outside::options::HookOptions;

/// A list of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Namespaces of channels.
    Namespaces,
    /// Named hooks, to which namespaces refer.
    Proxies,
    /// Namespaces of calls.
    CallNamespaces,
}

/// Options of the calls of a namespace, or of those without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// Whether a hook answers the calls.
    pub(super) enabled: bool,
    /// The name of the hook; empty for the unnamed hook.
    pub(super) proxy_name: String,
}

/// A table of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Named<T> {
    pub(super) name: String,
    pub(super) options: T,
}

fn named<'a, T: Default>(names: impl Iterator<Item = &'a str>) -> Vec<Named<T>> {
    names.map(|name| Named { name: name.to_owned(), options: T::default() }).collect()
}

impl List {
    /// All lists.
    pub const ALL: [Self; 3] = [Self::Namespaces, Self::Proxies, Self::CallNamespaces];

    /// The path of the list in the file.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Namespaces => "channel.namespaces",
            Self::Proxies => "proxies",
            Self::CallNamespaces => "rpc.namespaces",
        }
    }

    /// The table with a fixed path that has the same keys.
    pub(in super::super) const fn twin(self) -> &'static str {
        match self {
            Self::Namespaces => "channel.without_namespace",
            Self::Proxies => "rpc.proxy",
            Self::CallNamespaces => "rpc.without_namespace",
        }
    }

    /// The key under which the place of a table's name is stored.
    pub(in super::super) fn name_path(self, index: usize) -> String {
        format!("{}[{index}].name", self.path())
    }

    /// The names of its keys, in order, without `name`.
    fn keys(self) -> Vec<&'static str> {
        match self {
            Self::Namespaces => CHANNEL.iter().map(|key| key.name).collect(),
            Self::Proxies => HOOK.iter().map(|key| key.name).collect(),
            Self::CallNamespaces => CALLS.iter().map(|key| key.name).collect(),
        }
    }

    /// The target of a key in the table at this index.
    pub(in super::super) fn target(self, index: usize, name: &str) -> Option<Target> {
        match self {
            Self::Namespaces => {
                CHANNEL.iter().find(|key| key.name == name).map(|key| Target::Namespace(index, key))
            }
            Self::Proxies => HOOK.iter().find(|key| key.name == name).map(|key| Target::Proxy(index, key)),
            Self::CallNamespaces => {
                CALLS.iter().find(|key| key.name == name).map(|key| Target::CallNamespace(index, key))
            }
        }
    }

    /// Whether its tables contain a table of this name with some of its keys.
    pub(in super::super) fn has_table(self, name: &str) -> bool {
        self.keys().iter().any(|key| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
    }
}

impl Sections {
    /// Takes from the sections of the start which channels are rooms of Socket.IO. A namespace that is new has none.
    pub(in super::super) fn keep_rooms(&mut self, at_start: &Self) {
        for Named { name, options } in &mut self.namespaces {
            let before = at_start.namespaces.iter().find(|before| before.name == *name);
            let before = before.map(|before| before.options.clone()).unwrap_or_default();
            (options.socketio, options.socketio_event) = (before.socketio, before.socketio_event);
        }
    }

    /// Creates the tables of a file's list, in place of the existing ones.
    pub(in super::super) fn name_tables<'a>(&mut self, list: List, names: impl Iterator<Item = &'a str>) {
        match list {
            List::Namespaces => self.namespaces = named::<ChannelOptions>(names),
            List::Proxies => self.proxies = named::<HookOptions>(names),
            List::CallNamespaces => self.call_namespaces = named::<CallOptions>(names),
        }
    }

    /// The names of a list's tables.
    pub(super) fn names(&self, list: List) -> Vec<&str> {
        fn names<T>(tables: &[Named<T>]) -> Vec<&str> {
            tables.iter().map(|table| table.name.as_str()).collect()
        }
        match list {
            List::Namespaces => names(&self.namespaces),
            List::Proxies => names(&self.proxies),
            List::CallNamespaces => names(&self.call_namespaces),
        }
    }

    /// Calls `tell` with the keys of one table of a list: name, value, and whether the value is the default.
    pub(super) fn each_of(
        &self,
        list: List,
        index: usize,
        mut tell: impl FnMut(&'static str, Slot<'_>, bool),
    ) {
        let (mut here, mut usual) = (self.clone(), Self::default());
        usual.name_tables(list, std::iter::repeat_n("", index + 1));
        let mut config = Config::default();
        for name in list.keys() {
            let Some(target) = list.target(index, name) else { continue };
            let otherwise = target.slot(&mut config, &mut usual).toml(true);
            let slot = target.slot(&mut config, &mut here);
            let is_usual = slot.toml(true) == otherwise;
            tell(name, slot, is_usual);
        }
    }
}
