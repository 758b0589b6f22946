//! The sections of the file: Centrifugo's keys with their names, meanings and defaults, and a few keys of throng.
//!
//! [`Sections`] has the structure of the file, so that each key has one place; `Sections::settle` applies it to the
//! server's [`Config`]. `list` has the keys with a fixed path, `tables` those that appear in several tables, `aliases`
//! those equivalent to flat keys, `unsupported` those without effect; `idle` and `risky` have the values that cause
//! warnings. `Target` finds any key by its path.

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
use crate::session::socketio::EventHook;
use crate::session::{SocketIoOptions, Transport};

pub use aliases::{ALIASES, Alias, Unit};
pub(super) use idle::idle;
pub use list::SETTINGS;
use lists::Named;
pub use lists::{CallOptions, List};
pub(super) use risky::{of_peers, risky, unmatched};
pub(super) use rows::{Row, path_of};
pub(super) use rules::{conflicts, outside_conflicts};
pub use tables::{CALLS, CHANNEL, HOOK, TABLES, TOKEN};
pub use unsupported::{Class, Taken, UNSUPPORTED, Unsupported, class_of};

/// The values of the sections, in the structure of the file.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the configuration")]
pub struct Sections {
    client: ClientOptions,
    token: TokenOptions,
    subscription_token_enabled: bool,
    subscription_token: TokenOptions,
    connect_enabled: bool,
    connect: HookOptions,
    socket_connect_enabled: bool,
    socket_connect: HookOptions,
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
    socket_event_enabled: bool,
    socket_event: HookOptions,
    event_hook: EventHook,
    socket_end_enabled: bool,
    socket_end: HookOptions,
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
    /// Transports by [`Transport::index`]; the first has flat keys.
    transports: [Carrier; Transport::COUNT],
    emulation_path: String,
    tls: ServerTls,
    log_file: String,
    init: Carrier,
    socketio: SocketIoOptions,
    skips_signatures: bool,
    uni_disconnects: Rules,
    sse_responses: Rules,
    http_stream_responses: Rules,
}

/// The code rules of a section, with its switch.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rules {
    enabled: bool,
    rules: Vec<CodeRule>,
}

impl Rules {
    /// The rules in force; `None` if the section is not enabled.
    fn in_force(&self) -> Option<&Vec<CodeRule>> {
        self.enabled.then_some(&self.rules)
    }
}

/// Whether a transport is served, and its path.
#[derive(Clone, Debug, PartialEq)]
struct Carrier {
    enabled: bool,
    path: String,
}

/// A key of a section, or of a table that appears in several sections.
pub struct Setting<T: 'static> {
    /// The path, or the part of it below its table.
    pub name: &'static str,
    /// The effect of the key. One or two sentences.
    pub help: &'static str,
    /// The place of the value.
    pub slot: fn(&mut T) -> Slot<'_>,
}

/// A table whose keys appear in other tables, too.
pub struct KeyTable {
    /// The path of the table.
    pub path: &'static str,
    /// The subject of the table.
    pub help: &'static str,
    /// Its keys.
    pub kind: Kind,
}

/// The kind of keys in a [`KeyTable`], and its place in [`Sections`].
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

/// The place of a key's value, under any of its names.
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
    /// The target of a path in the file. Keys of namespaces have no fixed path.
    pub(super) fn find(path: &str) -> Option<Self> {
        let flat = || Key::named(path).map(Target::Flat);
        let once = || SETTINGS.iter().find(|setting| setting.name == path).map(Target::Once);
        let within = |table: &KeyTable| {
            let name = path.strip_prefix(table.path)?.strip_prefix('.')?;
            table.kind.find(name)
        };
        flat().or_else(once).or_else(|| TABLES.iter().find_map(within))
    }

    /// All keys of sections with a fixed path, each with its path.
    pub(super) fn all() -> impl Iterator<Item = (String, Self)> {
        let once = SETTINGS.iter().map(|setting| (setting.name.to_owned(), Self::Once(setting)));
        once.chain(TABLES.iter().flat_map(|table| {
            table.kind.all().into_iter().map(|(name, target)| (format!("{}.{name}", table.path), target))
        }))
    }

    /// Whether this is the flat key of this name.
    pub(super) fn is_flat(&self, name: &str) -> bool {
        matches!(self, Self::Flat(key) if key.name == name)
    }

    /// Whether its texts may name variables: those of hooks.
    pub(super) fn names_variables(&self) -> bool {
        let (Self::Hook(_, setting) | Self::Proxy(_, setting)) = self else { return false };
        ["endpoint", "http.static_headers"].contains(&setting.name)
    }

    /// Whether both are the same place, for keys with two names.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Flat(a), Self::Flat(b)) => std::ptr::eq(*a, *b),
            (Self::Once(a), Self::Once(b)) => std::ptr::eq(*a, *b),
            _ => false,
        }
    }

    /// Whether messages must not show its value.
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

    /// Whether its value is a text, in quotes in a file.
    pub(super) fn takes_text(&self) -> bool {
        self.on_defaults(|slot| slot.is_text())
    }

    /// Whether the value is allowed.
    pub(super) fn fits(&self, raw: &Raw) -> bool {
        self.on_defaults(|slot| slot.set(raw))
    }

    /// Calls `ask` with the key's slot in a default configuration.
    fn on_defaults<T>(&self, ask: impl FnOnce(Slot<'_>) -> T) -> T {
        let mut sections = Sections::default();
        if let Self::Namespace(index, _) | Self::Proxy(index, _) | Self::CallNamespace(index, _) = self {
            List::ALL
                .into_iter()
                .for_each(|list| sections.name_tables(list, std::iter::repeat_n("", index + 1)));
        }
        ask(self.slot(&mut Config::default(), &mut sections))
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
        let of_sockets = [&mut self.socket_connect, &mut self.socket_event, &mut self.socket_end];
        let unnamed = [connect, refresh, rpc, subscribe, publish, sub_refresh, state].into_iter();
        let unnamed = unnamed.chain(of_sockets);
        for hook in unnamed.chain(proxies.iter_mut().map(|named| &mut named.options)) {
            hook.variables = variables.clone();
        }
    }

    /// Makes the server API require its key.
    pub(super) fn close_api(&mut self) {
        self.api.insecure = false;
    }
}

#[cfg(test)]
mod tests;
