//! The sections of the file: Centrifugo's keys with Centrifugo's names, meanings and defaults, and a few of our own.
//!
//! [`Sections`] has the shape of the file, so that each key has one place; `Sections::settle` gives the server's
//! [`Config`] what they mean. `list` has the keys that stand once, `tables` those that stand in several
//! tables, `aliases` what means one of our flat keys, `unsupported` what has no effect, and `Target` finds any of them by
//! its path.

mod aliases;
mod idle;
mod list;
mod origin;
mod rows;
mod rules;
mod settle;
mod tables;
mod unsupported;

use super::keys::Key;
use super::slot::Raw;
use super::{ApiOptions, ClientOptions, Config, ControlPaths, Rates, ServerTls, Slot};
use crate::hub::options::ChannelOptions;
use crate::outside::options::{HookOptions, TokenOptions};
use crate::session::Transport;

pub use aliases::{ALIASES, Alias, Unit};
pub(super) use idle::idle;
pub use list::SETTINGS;
pub(super) use rows::{Row, name_path, path_of};
pub(super) use rules::{conflicts, outside_conflicts};
pub use tables::{CHANNEL, HOOK, TABLES, TOKEN};
pub use unsupported::{Class, Taken, UNSUPPORTED, Unsupported, class_of};

/// The list of namespaces, the only list of tables.
pub(super) const NAMESPACES: &str = "channel.namespaces";

/// What the sections say, in the shape in which they say it.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration")]
pub struct Sections {
    client: ClientOptions,
    token: TokenOptions,
    subscription_token_enabled: bool,
    subscription_token: TokenOptions,
    connect_enabled: bool,
    connect: HookOptions,
    refresh_enabled: bool,
    refresh: HookOptions,
    rpc_enabled: bool,
    rpc: HookOptions,
    subscribe: HookOptions,
    publish: HookOptions,
    sub_refresh: HookOptions,
    state: HookOptions,
    without_namespace: ChannelOptions,
    namespaces: Vec<Namespace>,
    namespace_boundary: String,
    private_prefix: String,
    user_boundary: String,
    user_separator: String,
    history_meta_ttl_ms: u64,
    takes_unknown_namespaces: bool,
    api: ApiOptions,
    is_api_disabled: bool,
    is_api_external: bool,
    paths: ControlPaths,
    rates: Rates,
    /// By [`Transport::index`]; the first of them has flat keys.
    transports: [Carrier; Transport::COUNT],
    emulation_path: String,
    tls: ServerTls,
    log_file: String,
}

/// A namespace, by the place of its table in the file.
#[derive(Clone, Debug, Default, PartialEq)]
struct Namespace {
    name: String,
    options: ChannelOptions,
}

/// Whether a transport is served, and where.
#[derive(Clone, Debug, PartialEq)]
struct Carrier {
    enabled: bool,
    path: String,
}

/// A key of a section, or of a table that stands in several sections.
pub struct Setting<T: 'static> {
    /// Its path, or what follows the path of its table.
    pub name: &'static str,
    /// What it does. One or two sentences.
    pub help: &'static str,
    /// Its place.
    pub slot: fn(&mut T) -> Slot<'_>,
}

/// A table whose keys stand elsewhere, too.
pub struct Table {
    /// Where it stands.
    pub path: &'static str,
    /// What it is about.
    pub help: &'static str,
    /// Its keys.
    pub kind: Kind,
}

/// Which keys a [`Table`] has, and its place in [`Sections`].
#[derive(Clone, Copy)]
pub enum Kind {
    /// [`TOKEN`].
    Token(fn(&mut Sections) -> &mut TokenOptions),
    /// [`HOOK`].
    Hook(fn(&mut Sections) -> &mut HookOptions),
    /// [`CHANNEL`], for channels without a namespace.
    Channel,
}

/// The place that a key means, whatever it is called.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Flat(&'static Key),
    Once(&'static Setting<Sections>),
    Token(fn(&mut Sections) -> &mut TokenOptions, &'static Setting<TokenOptions>),
    Hook(fn(&mut Sections) -> &mut HookOptions, &'static Setting<HookOptions>),
    WithoutNamespace(&'static Setting<ChannelOptions>),
    Namespace(usize, &'static Setting<ChannelOptions>),
}

impl Target {
    /// By its path in the file. Keys of namespaces have none that is the same in every file.
    pub(super) fn find(path: &str) -> Option<Self> {
        let flat = || Key::named(path).map(Target::Flat);
        let once = || SETTINGS.iter().find(|setting| setting.name == path).map(Target::Once);
        flat()
            .or_else(once)
            .or_else(|| {
                let (table, name) = path.rsplit_once('.')?;
                TABLES.iter().find(|known| known.path == table).and_then(|known| known.kind.find(name))
            })
            .or_else(|| {
                // Hooks have keys of two words: http.static_headers.
                let (rest, last) = path.rsplit_once('.')?;
                let (table, first) = rest.rsplit_once('.')?;
                let known = TABLES.iter().find(|known| known.path == table)?;
                known.kind.find(&format!("{first}.{last}"))
            })
    }

    /// A key of a namespace.
    pub(super) fn in_namespace(index: usize, name: &str) -> Option<Self> {
        CHANNEL.iter().find(|setting| setting.name == name).map(|setting| Self::Namespace(index, setting))
    }

    /// Every key of a section that has one path, with it.
    pub(super) fn all() -> impl Iterator<Item = (String, Self)> {
        let once = SETTINGS.iter().map(|setting| (setting.name.to_owned(), Self::Once(setting)));
        once.chain(TABLES.iter().flat_map(|table| {
            table.kind.all().into_iter().map(|(name, target)| (format!("{}.{name}", table.path), target))
        }))
    }

    /// Whether it is the flat key of this name.
    pub(super) fn is_flat(&self, name: &str) -> bool {
        matches!(self, Self::Flat(key) if key.name == name)
    }

    /// Whether its texts may name variables: those of hooks.
    pub(super) fn names_variables(&self) -> bool {
        matches!(self, Self::Hook(_, setting) if ["endpoint", "http.static_headers"].contains(&setting.name))
    }

    /// Whether both are one place, for those that can be typed by two names.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Flat(a), Self::Flat(b)) => std::ptr::eq(*a, *b),
            (Self::Once(a), Self::Once(b)) => std::ptr::eq(*a, *b),
            _ => false,
        }
    }

    /// Whether no message may repeat its value.
    pub(super) fn is_secret(&self) -> bool {
        let mut sections = Sections::default();
        match *self {
            Self::WithoutNamespace(_) | Self::Namespace(..) => false,
            Self::Flat(key) => (key.slot)(&mut Config::default()).is_secret(),
            Self::Once(setting) => (setting.slot)(&mut sections).is_secret(),
            Self::Token(table, setting) => (setting.slot)(table(&mut sections)).is_secret(),
            Self::Hook(table, setting) => (setting.slot)(table(&mut sections)).is_secret(),
        }
    }

    /// Whether the value is one that may be typed.
    pub(super) fn fits(&self, raw: &Raw) -> bool {
        self.slot(&mut Config::default(), &mut Sections::default()).set(raw)
    }

    pub(super) fn slot<'a>(&self, config: &'a mut Config, sections: &'a mut Sections) -> Slot<'a> {
        match *self {
            Self::Flat(key) => (key.slot)(config),
            Self::Once(setting) => (setting.slot)(sections),
            Self::Token(table, setting) => (setting.slot)(table(sections)),
            Self::Hook(table, setting) => (setting.slot)(table(sections)),
            Self::WithoutNamespace(setting) => (setting.slot)(&mut sections.without_namespace),
            Self::Namespace(index, setting) => (setting.slot)(&mut sections.namespaces[index].options),
        }
    }
}

impl Kind {
    fn find(self, name: &str) -> Option<Target> {
        self.all().into_iter().find(|(known, _)| *known == name).map(|(_, target)| target)
    }

    fn all(self) -> Vec<(&'static str, Target)> {
        match self {
            Self::Token(table) => TOKEN.iter().map(|key| (key.name, Target::Token(table, key))).collect(),
            Self::Hook(table) => HOOK.iter().map(|key| (key.name, Target::Hook(table, key))).collect(),
            Self::Channel => CHANNEL.iter().map(|key| (key.name, Target::WithoutNamespace(key))).collect(),
        }
    }
}

impl Sections {
    /// Has the server API ask for its key.
    pub(super) fn close_api(&mut self) {
        self.api.insecure = false;
    }

    /// Makes room for the namespaces of a file, in place of those that are there.
    pub(super) fn name_namespaces<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let named = |name: &str| Namespace { name: name.to_owned(), options: ChannelOptions::default() };
        self.namespaces = names.map(named).collect();
    }
}

#[cfg(test)]
mod tests;
