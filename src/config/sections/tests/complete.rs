//! Completeness: every option has a key, and every key a place of its own.

use super::super::*;
use crate::config::Config;
use crate::hub::codes::{CodeOutcome, CodeRule};
use crate::hub::options::{DataFormat, NamePattern};
use crate::session::Endpoint;
use crate::session::socketio::RuleAction;
use std::collections::{BTreeMap, BTreeSet};

/// Sets an allowed value that differs from the current one.
fn alter(slot: Slot<'_>) {
    match slot {
        Slot::Count(v, _) | Slot::Bytes(v, _) => *v += 1,
        Slot::Rate(v) => *v += 1,
        Slot::Milliseconds(v, _) | Slot::Duration(v, _) | Slot::Time(v) => *v += 1,
        Slot::Switch(v) | Slot::Either(v, _) | Slot::Listed(v, _) => *v = !*v,
        Slot::Text(v, _) | Slot::Secret(v) | Slot::Filter(v) => v.push_str("-x"),
        Slot::Cookie(v) => v.name.push_str("-x"),
        // A named hook would replace the unnamed one.
        Slot::HookName(_) => {}
        Slot::DataFormat(v) => *v = DataFormat::Json,
        Slot::Rules(v, _) => {
            v.push(CodeRule { from: 1, to: CodeOutcome::Disconnect { code: 4000, reason: String::new() } });
        }
        Slot::SocketRules(v) => v.push(crate::session::socketio::Rule::new("x", RuleAction::Drop)),
        Slot::Texts(v) | Slot::Secrets(v) | Slot::Files(v) => v.push("x".into()),
        Slot::Pattern(v) => *v = NamePattern::new("x").unwrap(),
        Slot::Headers(v) => v.push(("x".into(), "y".into())),
        Slot::Listens(_)
        | Slot::Networks(_)
        | Slot::Mode(_)
        | Slot::AddressOrOff(_)
        | Slot::PathOrOff(_)
        | Slot::Format(_) => {
            panic!("no key of a section has such a value")
        }
    }
}

/// Names and values of a struct's fields, as printed by `Debug`.
fn fields(value: &dyn std::fmt::Debug) -> BTreeMap<String, String> {
    let (mut fields, mut last) = (BTreeMap::<String, String>::new(), String::new());
    let printed = format!("{value:#?}");
    for line in printed.lines().skip(1).filter(|line| *line != "}") {
        match line.strip_prefix("    ").filter(|rest| !rest.starts_with([' ', ']', '}', ')'])) {
            Some(field) => {
                let (name, value) = field.split_once(": ").unwrap();
                last = name.to_owned();
                fields.insert(last.clone(), value.to_owned());
            }
            None => fields.entry(last.clone()).or_default().push_str(line),
        }
    }
    fields
}

/// All server options can be set: altering every key alters every field.
#[test]
fn every_field_of_the_options_has_a_key() {
    let (mut plain, mut altered) = (Config::default(), Config::default());
    let base = Sections::default();
    let mut sections = base.clone();
    for (_, target) in Target::all() {
        alter(target.slot(&mut plain, &mut sections));
    }
    base.settle(&mut plain);
    sections.settle(&mut altered);
    let (a, b) = (&plain, &altered);
    let usual = Endpoint::beside_websocket();
    assert!(a.endpoints.is_empty(), "{:?}", a.endpoints);
    assert_eq!(b.endpoints.len(), usual.len() + 1, "that of init is the last");
    for (endpoint, usual) in b.endpoints.iter().zip(&usual) {
        assert_eq!(endpoint.serves, usual.serves);
        assert_ne!(endpoint.path, usual.path);
    }
    let hook = HookOptions::default();
    let outside = &*b.outside;
    let pairs: [(&dyn std::fmt::Debug, &dyn std::fmt::Debug); 17] = [
        (&a.client, &b.client),
        (&a.rates, &b.rates),
        (&a.api, &b.api),
        (&a.outside.token, &outside.token),
        (&a.outside.token, outside.subscription_token.as_ref().unwrap()),
        (&hook, outside.connect.as_ref().unwrap()),
        (&hook, outside.refresh.as_ref().unwrap()),
        (&hook, outside.rpc.as_ref().unwrap()),
        (&hook, outside.subscribe.as_ref().unwrap()),
        (&hook, outside.publish.as_ref().unwrap()),
        (&hook, outside.sub_refresh.as_ref().unwrap()),
        (&hook, outside.socket_event.as_ref().unwrap()),
        (&hook, outside.socket_end.as_ref().unwrap()),
        (&a.socketio, &b.socketio),
        (&hook, outside.state.as_ref().unwrap()),
        (&*a.namespaces.without_namespace, &*b.namespaces.without_namespace),
        (&*a.namespaces, &*b.namespaces),
    ];
    for (before, after) in pairs {
        let (before, after) = (fields(before), fields(after));
        assert!(!before.is_empty());
        for (name, value) in &before {
            // Namespaces are a list, which is empty in the altered sections. Variables come from the environment.
            let is_passed_over =
                ["named", "variables"].contains(&name.as_str()) || name.ends_with("_proxy_name");
            assert!(is_passed_over || *value != after[name], "{name} = {value} has no key");
        }
    }
}

#[test]
fn no_two_keys_share_a_slot() {
    let (mut config, mut sections, mut places) = (Config::default(), Sections::default(), BTreeSet::new());
    for (path, target) in Target::all() {
        let address = target.slot(&mut config, &mut sections).address();
        assert!(places.insert(address), "{path} writes where another key writes");
    }
}

#[test]
fn every_key_is_one_thing_only() {
    let mut paths: Vec<String> = Target::all().map(|(path, _)| path).collect();
    paths.extend(ALIASES.iter().map(|alias| alias.path.to_owned()));
    paths.extend(UNSUPPORTED.iter().map(|key| key.path.to_owned()));
    let distinct: BTreeSet<_> = paths.iter().collect();
    assert_eq!(distinct.len(), paths.len());
    for alias in ALIASES {
        assert!(Target::find(alias.flat).is_some(), "{} means nothing", alias.path);
    }
    for (path, _) in Target::all() {
        assert!(Unsupported::find(&path).is_none(), "{path} is supported and not");
    }
}
