//! Rules between two keys of sections. Most are Centrifugo's: the values that it refuses are refused here.

use super::super::error::CA_VARIABLE;
use super::super::slot::Form;
use super::{List, Sections, origin};
use crate::hub::options::ChannelOptions;
use crate::outside;
use crate::outside::options::{HookOptions, Options};
use crate::session::socketio::{Rule, RuleAction};
use crate::session::{AdminOptions, Serves, Transport};
use std::collections::BTreeSet;

/// A conflict: the path of a key, and the reason.
pub(in super::super) struct Conflict {
    pub(in super::super) path: String,
    pub(in super::super) complaint: String,
}

const CONNECT: &str = "client.proxy.connect";
const SOCKET_CONNECT: &str = "socketio.proxy.connect";
pub(super) const ORIGINS: &str = "client.allowed_origins";

/// All conflicts of the sections.
pub(in super::super) fn conflicts(sections: &Sections) -> Vec<Conflict> {
    let mut found = Vec::new();
    let mut tell = |path: String, complaint: String| found.push(Conflict { path, complaint });
    channels(sections, &mut tell);
    hooks(sections, &mut tell);
    header_names(sections, &mut tell);
    origins(sections, &mut tell);
    paths(sections, &mut tell);
    socketio(sections, &mut tell);
    found
}

/// The errors that the code of tokens and hooks finds in their options.
pub(in super::super) fn outside_conflicts(options: &Options) -> Vec<Conflict> {
    outside::check(options).iter().map(|told| outside_conflict(told)).collect()
}

fn outside_conflict(told: &str) -> Conflict {
    let (option, complaint) = told.split_once(": ").unwrap_or((told, "cannot be used"));
    if option == CA_VARIABLE {
        return Conflict { path: option.to_owned(), complaint: complaint.to_owned() };
    }
    let hook = |name: &str| match name {
        named if named.starts_with("proxies.") => named.to_owned(),
        "connect" | "refresh" => format!("client.proxy.{name}"),
        "rpc" => "rpc.proxy".to_owned(),
        "socketio_connect" => SOCKET_CONNECT.to_owned(),
        "socketio_event" | "socketio_disconnect" => name.replacen('_', ".proxy.", 1),
        _ => format!("channel.proxy.{name}"),
    };
    let path = match option.strip_prefix("the ").and_then(|rest| rest.split_once(" hook's ")) {
        Some((name, "static header")) => format!("{}.http.static_headers", hook(name)),
        Some((name, option)) => format!("{}.{option}", hook(name)),
        None => format!("client.{option}"),
    };
    Conflict { path, complaint: complaint.to_owned() }
}

type Tell<'a> = &'a mut dyn FnMut(String, String);

fn channels(sections: &Sections, tell: Tell<'_>) {
    if (1..1000).contains(&sections.history_meta_ttl_ms) {
        tell("channel.history_meta_ttl".to_owned(), "expected at least 1s, or 0s for 720h".to_owned());
    }
    let mut names = BTreeSet::new();
    for (index, namespace) in sections.namespaces.iter().enumerate() {
        let name = &namespace.name;
        if !Form::Namespace.takes(name) {
            let path = format!("channel.namespaces[{index}].name");
            tell(path, format!("expected {}, not {name:?}", Form::Namespace.expected()));
        }
        if !names.insert(name) {
            let path = format!("channel.namespaces[{index}].name");
            tell(path, format!("expected another name: there is a namespace {name} before it"));
        }
        options(sections, &format!("channel.namespaces.{name}"), &namespace.options, tell);
    }
    options(sections, "channel.without_namespace", &sections.without_namespace, tell);
    let personal = &sections.client.personal_channel_namespace;
    if sections.client.subscribe_to_user_personal_channel && !personal.is_empty() && !names.contains(personal)
    {
        let path = "client.subscribe_to_user_personal_channel.personal_channel_namespace";
        tell(path.to_owned(), "expected a namespace of channel.namespaces".to_owned());
    }
}

fn options(sections: &Sections, table: &str, options: &ChannelOptions, tell: Tell<'_>) {
    let path = |name: &str| format!("{table}.{name}");
    let has_history = options.history_size > 0 && options.history_ttl_ms > 0;
    if options.history_size > 0 && options.history_ttl_ms == 0 {
        tell(path("history_size"), "expected history_ttl with it: a history is bounded by both".to_owned());
    }
    if options.history_ttl_ms > 0 && options.history_size == 0 {
        tell(path("history_ttl"), "expected history_size with it: a history is bounded by both".to_owned());
    }
    if options.history_age_ms > options.history_ttl_ms {
        tell(
            path("history_age"),
            "expected at most history_ttl, after which everything has expired".to_owned(),
        );
    }
    if options.force_recovery && !has_history {
        tell(path("force_recovery"), "expected history_size and history_ttl with it".to_owned());
    }
    if options.auto_cache_recover && !(options.force_recovery && options.is_cache_recovery) {
        let complaint = "expected force_recovery and force_recovery_mode = \"cache\" with it";
        tell(path("auto_cache_recover"), complaint.to_owned());
    }
    let (meta_ms, whose) = match options.history_meta_ttl_ms {
        0 => (sections.history_meta_ttl_ms, "channel.history_meta_ttl"),
        own => (own, "history_meta_ttl"),
    };
    if options.history_ttl_ms > meta_ms {
        tell(path("history_ttl"), format!("expected at most {whose}: positions outlive publications"));
    }
    for (wanted, hook, name, named) in [
        (options.subscribe_proxy_enabled, &sections.subscribe, "subscribe", &*options.subscribe_proxy_name),
        (options.publish_proxy_enabled, &sections.publish, "publish", &options.publish_proxy_name),
        (
            options.sub_refresh_proxy_enabled,
            &sections.sub_refresh,
            "sub_refresh",
            &options.sub_refresh_proxy_name,
        ),
        (options.state_proxy_enabled, &sections.state, "state", ""),
    ] {
        if !named.is_empty() {
            is_proxy(sections, &path(&format!("{name}_proxy_name")), named, tell);
        } else if wanted && hook.endpoint.is_empty() {
            let complaint = format!("expected channel.proxy.{name}.endpoint with it");
            tell(path(&format!("{name}_proxy_enabled")), complaint);
        }
    }
}

/// Reports a named hook that does not exist.
fn is_proxy(sections: &Sections, path: &str, name: &str, tell: Tell<'_>) {
    if !sections.names(List::Proxies).contains(&name) {
        tell(path.to_owned(), "expected \"default\" or the name of one of proxies".to_owned());
    }
}

/// Checks the names of hooks and of namespaces of calls, and the hooks that these name.
fn named(sections: &Sections, tell: Tell<'_>) {
    for list in [List::Proxies, List::CallNamespaces] {
        let names = sections.names(list);
        for (index, name) in names.iter().enumerate() {
            if !Form::Namespace.takes(name) {
                let complaint = format!("expected {}, not {name:?}", Form::Namespace.expected());
                tell(list.name_path(index), complaint);
            }
            if names[..index].contains(name) {
                tell(list.name_path(index), format!("expected another name: {name} stands before it"));
            }
        }
    }
    for (index, proxy) in sections.proxies.iter().enumerate() {
        if proxy.name == "default" {
            let complaint = "expected another name: default is the hook that has none".to_owned();
            tell(List::Proxies.name_path(index), complaint);
        }
        if proxy.options.endpoint.is_empty() {
            let name = &proxy.name;
            let variable = super::super::names::variable(&format!("proxies.{name}.endpoint"));
            let complaint =
                format!("no endpoint for proxy `{name}`: set it here or as CENTRIFUGO_{variable}");
            tell(List::Proxies.name_path(index), complaint);
        }
    }
    let with_names = sections.call_namespaces.iter();
    let with_names = with_names.map(|table| (format!("rpc.namespaces.{}", table.name), &table.options));
    for (table, calls) in
        std::iter::once(("rpc.without_namespace".to_owned(), &sections.calls)).chain(with_names)
    {
        if !calls.proxy_name.is_empty() {
            is_proxy(sections, &format!("{table}.proxy_name"), &calls.proxy_name, tell);
        } else if calls.enabled && sections.rpc.endpoint.is_empty() {
            tell(format!("{table}.proxy_enabled"), "expected rpc.proxy.endpoint with it".to_owned());
        }
    }
}

fn hooks(sections: &Sections, tell: Tell<'_>) {
    let mut rule = |enabled: bool, hook: &HookOptions, path: &str, endpoint: &str| {
        if enabled && hook.endpoint.is_empty() {
            tell(path.to_owned(), format!("expected {endpoint}.endpoint with it"));
        }
    };
    rule(sections.connect_enabled, &sections.connect, "client.proxy.connect.enabled", CONNECT);
    let (is_on, hook) = (sections.socket_connect_enabled, &sections.socket_connect);
    rule(is_on, hook, "socketio.proxy.connect.enabled", SOCKET_CONNECT);
    let (is_on, hook) = (sections.socket_event_enabled, &sections.socket_event);
    rule(is_on, hook, "socketio.proxy.event.enabled", "socketio.proxy.event");
    let (is_on, hook) = (sections.socket_end_enabled, &sections.socket_end);
    rule(is_on, hook, "socketio.proxy.disconnect.enabled", "socketio.proxy.disconnect");
    let refresh = "client.proxy.refresh";
    rule(sections.refresh_enabled, &sections.refresh, "client.proxy.refresh.enabled", refresh);
    named(sections, tell);
}

/// Reports names that no header can have (RFC 9110 § 5.1), as with a blank.
fn header_names(sections: &Sections, tell: Tell<'_>) {
    let is_name =
        |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    for (path, hook) in sections.hooks() {
        for (key, names) in
            [("http_headers", &hook.http_headers), ("emulated_headers", &hook.emulated_headers)]
        {
            if let Some(wrong) = names.iter().find(|name| !is_name(name)) {
                tell(
                    format!("{path}.{key}"),
                    format!("expected names of headers, one in each text, not {wrong:?}"),
                );
            }
        }
    }
}

/// Reports patterns with signs that stand for other characters in Centrifugo, which would let its pages in. Also
/// reports authentication by data that browsers send by themselves (cookies) when pages of any origin may connect.
fn origins(sections: &Sections, tell: Tell<'_>) {
    for pattern in &sections.client.allowed_origins {
        if origin::has_other_wildcards(pattern)
            && let Err(complaint) = origin::check(pattern)
        {
            tell(ORIGINS.to_owned(), complaint);
        }
    }
    if !sections.client.allowed_origins.iter().any(|origin| origin == "*") {
        return;
    }
    let why = "a browser sends cookies whatever page it shows, so any page could connect as the user who looks at it; \
               name the origins of your own pages";
    if !sections.client.token_cookie.is_empty() {
        tell(ORIGINS.to_owned(), format!("* does not go together with client.token_cookie: {why}"));
    }
    let is_cookie = |name: &String| name.eq_ignore_ascii_case("cookie");
    for (hook, is_asked, options) in [
        ("client.proxy.connect", sections.connect_enabled, &sections.connect),
        (SOCKET_CONNECT, sections.socket_connect_enabled, &sections.socket_connect),
        ("client.proxy.refresh", sections.refresh_enabled, &sections.refresh),
        ("rpc.proxy", sections.calls.enabled || !sections.call_namespaces.is_empty(), &sections.rpc),
        ("channel.proxy.subscribe", sections.any(|c| c.subscribe_proxy_enabled), &sections.subscribe),
        ("channel.proxy.publish", sections.any(|c| c.publish_proxy_enabled), &sections.publish),
        ("channel.proxy.sub_refresh", sections.any(|c| c.sub_refresh_proxy_enabled), &sections.sub_refresh),
    ] {
        if is_asked && options.http_headers.iter().any(is_cookie) {
            let which = format!("* does not go together with a cookie in {hook}.http_headers");
            tell(ORIGINS.to_owned(), format!("{which}: {why}"));
        }
    }
    let used = sections.used_proxies();
    for proxy in sections.proxies.iter().filter(|proxy| used.contains(proxy.name.as_str())) {
        if proxy.options.http_headers.iter().any(is_cookie) {
            let which =
                format!("* does not go together with a cookie in proxies.{}.http_headers", proxy.name);
            tell(ORIGINS.to_owned(), format!("{which}: {why}"));
        }
    }
}

/// Checks the names of Socket.IO's transports, that its clients can read what they get, and that recovery has the order
/// that it needs.
fn socketio(sections: &Sections, tell: Tell<'_>) {
    let transports = &sections.socketio.transports;
    let is_known = |name: &String| name == "polling" || name == "websocket";
    if transports.is_empty() || !transports.iter().all(is_known) {
        let complaint = "expected \"polling\", \"websocket\" or both";
        tell("socketio.transports".to_owned(), complaint.to_owned());
    }
    if let Some(wrong) = sections.socketio.namespaces.iter().find(|name| !name.starts_with(['/', '*'])) {
        let complaint = format!("expected patterns that begin with /, not {wrong:?}");
        tell("socketio.namespaces".to_owned(), complaint);
    }
    let hook = |rule: &Rule| rule.actions.contains(&RuleAction::Hook);
    if let Some(at) = sections.socketio.rules.iter().position(hook) {
        let complaint = format!("rule {}: expected socketio.proxy.event.enabled with do = \"hook\"", at + 1);
        if !sections.socket_event_enabled {
            tell("socketio.rules".to_owned(), complaint);
        }
    }
    if sections.socketio.allow_eio3 && sections.socketio.is_msgpack {
        let complaint = "does not go together with socketio.parser = \"msgpack\": clients of Socket.IO 2 pack differently";
        tell("socketio.allow_eio3".to_owned(), complaint.to_owned());
    }
    if sections.socketio.has_home_per_room && sections.socketio.recovery_ttl_ms > 0 {
        let complaint = "\"room\" does not go together with socketio.recovery_ttl: recovery needs one order for all rooms";
        tell("socketio.homes".to_owned(), complaint.to_owned());
    }
    admin(sections, tell);
}

/// Fewest characters of the password of the admin page.
const ADMIN_PASSWORD_LENGTH_MIN: usize = 8;

/// Checks the credentials of the admin page.
fn admin(sections: &Sections, tell: Tell<'_>) {
    let AdminOptions { username, password, .. } = &sections.socketio.admin;
    if username.is_empty() != password.is_empty() {
        let (key, other) =
            if username.is_empty() { ("username", "password") } else { ("password", "username") };
        tell(
            format!("socketio.admin.{key}"),
            format!("expected a text, since socketio.admin.{other} is set"),
        );
    } else if password.starts_with("$2") {
        let complaint = "expected the password itself, not a hash of it";
        tell("socketio.admin.password".to_owned(), complaint.to_owned());
    } else if !password.is_empty() && password.chars().count() < ADMIN_PASSWORD_LENGTH_MIN {
        tell("socketio.admin.password".to_owned(), "expected at least 8 characters".to_owned());
    }
}

/// Checks that each endpoint has a path of its own. Flat keys are compared in `resolve`.
fn paths(sections: &Sections, tell: Tell<'_>) {
    let served = sections.served();
    for (index, (key, path, _)) in served.iter().enumerate() {
        if let Some((other, ..)) = served[..index].iter().find(|(_, before, _)| before == path) {
            tell(key.clone(), format!("expected another path than {other}"));
        }
    }
    control_paths(sections, tell);
}

/// Checks that the paths of the control listener differ from each other.
fn control_paths(sections: &Sections, tell: Tell<'_>) {
    let own = [
        ("http_api.handler_prefix", sections.paths.api.trim_end_matches('/')),
        ("health.handler_prefix", sections.paths.health.trim_end_matches('/')),
        ("prometheus.handler_prefix", sections.paths.metrics.trim_end_matches('/')),
    ];
    let served = sections.served();
    let is_below = |path: &str, other: &str| {
        path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    for (at, (key, path)) in own.into_iter().enumerate() {
        let before = own[..at].iter().find(|(_, other)| is_below(path, other) || is_below(other, path));
        let complaint = if path.is_empty() {
            "expected a path of its own, not /".to_owned()
        } else if path.contains(['{', '}', '*', ':']) {
            "expected a path without {, }, * and :".to_owned()
        } else if FIXED_PATHS.contains(&path) {
            format!("expected another path than {path}, which the control listener has")
        } else if let Some((other, _)) = before {
            format!("expected a path apart from that of {other}")
        } else if let Some((other, ..)) = served.iter().find(|(_, taken, _)| is_below(taken, path)) {
            format!("expected another path than {other}")
        } else {
            continue;
        };
        tell(key.to_owned(), complaint);
    }
}

/// Fixed paths of the control listener.
const FIXED_PATHS: [&str; 2] = ["/ready", "/debug/memory"];

impl Sections {
    /// The hooks without a name: the path of each section, and its options.
    pub(super) fn hooks(&self) -> [(&'static str, &HookOptions); 10] {
        [
            (CONNECT, &self.connect),
            (SOCKET_CONNECT, &self.socket_connect),
            ("client.proxy.refresh", &self.refresh),
            ("rpc.proxy", &self.rpc),
            ("socketio.proxy.event", &self.socket_event),
            ("socketio.proxy.disconnect", &self.socket_end),
            ("channel.proxy.subscribe", &self.subscribe),
            ("channel.proxy.publish", &self.publish),
            ("channel.proxy.sub_refresh", &self.sub_refresh),
            ("channel.proxy.state", &self.state),
        ]
    }

    /// The endpoints in addition to those of flat keys: the key of the path, the path, and the content.
    pub(in super::super) fn served(&self) -> Vec<(String, &str, Serves)> {
        let enabled = |transport: &Transport| {
            *transport != Transport::WebSocket && self.transports[transport.index()].enabled
        };
        let all = Transport::ALL.into_iter().filter(enabled).map(|transport| {
            let path = self.transports[transport.index()].path.as_str();
            (format!("{}.handler_prefix", transport.name()), path, Serves::Centrifuge(transport))
        });
        let mut served: Vec<_> = all.collect();
        if Transport::ALL.iter().any(|one| one.is_emulated() && enabled(one)) {
            served.push(("emulation.handler_prefix".to_owned(), &self.emulation_path, Serves::Emulation));
        }
        if self.init.enabled {
            served.push(("init.handler_prefix".to_owned(), &self.init.path, Serves::Init));
        }
        if self.socketio.enabled {
            served.push(("socketio.path".to_owned(), &self.socketio.path, Serves::SocketIo));
        }
        served
    }
}
