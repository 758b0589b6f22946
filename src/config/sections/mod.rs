//! The sections of the file: Centrifugo's keys with Centrifugo's names, meanings and defaults, and a few of our own.
//!
//! [`Sections`] has the shape of the file, so that each key has one place; `Sections::settle` gives the server's
//! [`Config`] what they mean. `list` has the keys that stand once, `tables` those that stand in several
//! tables, `aliases` what means one of our flat keys, `unsupported` what has no effect, `idle` and `risky` what is warned of, and `Target` finds any of them by
//! its path.

mod aliases;
mod idle;
mod list;
mod lists;
mod origin;
mod risky;
mod rows;
mod rules;
mod settle;
mod tables;
mod unsupported;

use super::keys::Key;
use super::slot::Raw;
use super::{ApiOptions, ClientOptions, Config, ControlPaths, Rates, ServerTls, Slot};
use crate::hub::codes::CodeRule;
use crate::hub::options::{ChannelOptions, DataFormat};
use crate::outside::options::{HookOptions, NamedVariables, TokenOptions};
use crate::session::Transport;

pub use aliases::{ALIASES, Alias, Unit};
pub(super) use idle::idle;
pub use list::SETTINGS;
use lists::Named;
pub use lists::{CallOptions, List};
pub(super) use risky::risky;
pub(super) use rows::{Row, path_of};
pub(super) use rules::{conflicts, outside_conflicts};
pub use tables::{CALLS, CHANNEL, HOOK, TABLES, TOKEN};
pub use unsupported::{Class, Taken, UNSUPPORTED, Unsupported, class_of};

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
    rpc: HookOptions,
    calls: CallOptions,
    call_namespaces: Vec<Named<CallOptions>>,
    call_boundary: String,
    ping_enabled: bool,
    ping_method: String,
    proxies: Vec<Named<HookOptions>>,
    subscribe: HookOptions,
    publish: HookOptions,
    sub_refresh: HookOptions,
    state: HookOptions,
    without_namespace: ChannelOptions,
    namespaces: Vec<Named<ChannelOptions>>,
    publication_data_format: DataFormat,
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
    init: Carrier,
    skips_signatures: bool,
    uni_disconnects: Rules,
    sse_responses: Rules,
    http_stream_responses: Rules,
}

/// What a section makes of codes, if it is enabled.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rules {
    enabled: bool,
    rules: Vec<CodeRule>,
}

impl Rules {
    /// Those that hold; `None` where the section is not enabled.
    fn in_force(&self) -> Option<&Vec<CodeRule>> {
        self.enabled.then_some(&self.rules)
    }
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
pub struct KeyTable {
    /// Where it stands.
    pub path: &'static str,
    /// What it is about.
    pub help: &'static str,
    /// Its keys.
    pub kind: Kind,
}

/// Which keys a [`KeyTable`] has, and its place in [`Sections`].
#[derive(Clone, Copy)]
pub enum Kind {
    /// [`TOKEN`].
    Token(fn(&mut Sections) -> &mut TokenOptions),
    /// [`HOOK`].
    Hook(fn(&mut Sections) -> &mut HookOptions),
    /// [`CHANNEL`], for channels without a namespace.
    Channel,
    /// [`CALLS`], for methods without a namespace.
    Calls,
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
    Proxy(usize, &'static Setting<HookOptions>),
    Calls(&'static Setting<CallOptions>),
    CallNamespace(usize, &'static Setting<CallOptions>),
}

impl Target {
    /// By its path in the file. Keys of namespaces have none that is the same in every file.
    pub(super) fn find(path: &str) -> Option<Self> {
        let flat = || Key::named(path).map(Target::Flat);
        let once = || SETTINGS.iter().find(|setting| setting.name == path).map(Target::Once);
        let within = |table: &KeyTable| {
            let name = path.strip_prefix(table.path)?.strip_prefix('.')?;
            table.kind.find(name)
        };
        flat().or_else(once).or_else(|| TABLES.iter().find_map(within))
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
        let (Self::Hook(_, setting) | Self::Proxy(_, setting)) = self else { return false };
        ["endpoint", "http.static_headers"].contains(&setting.name)
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
            Self::WithoutNamespace(_) | Self::Namespace(..) | Self::Calls(_) | Self::CallNamespace(..) => {
                false
            }
            Self::Proxy(_, setting) => (setting.slot)(&mut HookOptions::default()).is_secret(),
            Self::Flat(key) => (key.slot)(&mut Config::default()).is_secret(),
            Self::Once(setting) => (setting.slot)(&mut sections).is_secret(),
            Self::Token(table, setting) => (setting.slot)(table(&mut sections)).is_secret(),
            Self::Hook(table, setting) => (setting.slot)(table(&mut sections)).is_secret(),
        }
    }

    /// Whether the value is one that may be typed.
    pub(super) fn fits(&self, raw: &Raw) -> bool {
        let mut sections = Sections::default();
        if let Self::Namespace(index, _) | Self::Proxy(index, _) | Self::CallNamespace(index, _) = self {
            List::ALL
                .into_iter()
                .for_each(|list| sections.name_tables(list, std::iter::repeat_n("", index + 1)));
        }
        self.slot(&mut Config::default(), &mut sections).set(raw)
    }

    pub(super) fn slot<'a>(&self, config: &'a mut Config, sections: &'a mut Sections) -> Slot<'a> {
        match *self {
            Self::Flat(key) => (key.slot)(config),
            Self::Once(setting) => (setting.slot)(sections),
            Self::Token(table, setting) => (setting.slot)(table(sections)),
            Self::Hook(table, setting) => (setting.slot)(table(sections)),
            Self::WithoutNamespace(setting) => (setting.slot)(&mut sections.without_namespace),
            Self::Namespace(index, setting) => (setting.slot)(&mut sections.namespaces[index].options),
            Self::Proxy(index, setting) => (setting.slot)(&mut sections.proxies[index].options),
            Self::Calls(setting) => (setting.slot)(&mut sections.calls),
            Self::CallNamespace(index, setting) => {
                (setting.slot)(&mut sections.call_namespaces[index].options)
            }
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
            Self::Calls => CALLS.iter().map(|key| (key.name, Target::Calls(key))).collect(),
        }
    }
}

impl Sections {
    /// Gives all hooks the variables that their texts may name.
    pub(super) fn give_variables(&mut self, variables: &NamedVariables) {
        let Self { connect, refresh, rpc, subscribe, publish, sub_refresh, state, proxies, .. } = self;
        let unnamed = [connect, refresh, rpc, subscribe, publish, sub_refresh, state].into_iter();
        for hook in unnamed.chain(proxies.iter_mut().map(|named| &mut named.options)) {
            hook.variables = variables.clone();
        }
    }

    /// Has the server API ask for its key.
    pub(super) fn close_api(&mut self) {
        self.api.insecure = false;
    }
}

#[cfg(test)]
mod tests;
