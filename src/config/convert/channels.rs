//! Options of channels: renamed ones, and the defaults of version 3, whose permissions must be given explicitly
//! today.

use super::super::Place;
use super::super::older::names::{OPPOSITES, OPTIONS, option_today, second};
use super::super::value::{Table, Value};
use super::lists::OF_VERSION_3;
use super::tree::{Branch, Tree, is_true};
use super::{Converted, values};

/// The remark on a key that later versions ignored; `today` is its present name.
pub(super) fn left_out(name: &str, today: &str) -> String {
    format!(
        "{name} is a key of Centrifugo 3, which later versions ignored: it is left out; today it is {today}; \
         --from 3 converts it"
    )
}

pub(super) fn convert(converted: &mut Converted, table: &Table, is_of_3: bool) {
    let is_file = !table.0.iter().any(|entry| matches!(entry.place, Place::Variable(_)));
    let (what, verb) = if is_file { ("file", "is") } else { ("variables", "are") };
    if is_of_3 {
        let text = format!(
            "The {what} {verb} of Centrifugo 3, where clients could do what is not forbidden: what they may do is written out as allow_…"
        );
        converted.remarks.push(text);
    } else if !table.0.iter().any(|entry| entry.name.starts_with("allow_")) {
        let text = if is_file { "this was a file" } else { "these were variables" };
        converted.remarks.push(format!(
            "If {text} of Centrifugo 3, every client could subscribe to any channel: --from 3 writes out what clients could do"
        ));
    }
    let (options, remarks) = options(table, "", is_of_3);
    for node in options.0 {
        converted.tree.put(&format!("channel.without_namespace.{}", node.name), node.branch);
    }
    converted.remarks.extend(remarks);
    if let Some(value) = table.find("history_meta_ttl").filter(|_| is_of_3) {
        converted.move_to("history_meta_ttl", "channel.history_meta_ttl", value);
    }
    if let Some(Value::List(items)) = table.find("namespaces") {
        namespaces(converted, items, is_of_3);
    }
    if let Some(Value::List(items)) = table.find("rpc_namespaces") {
        rpc_namespaces(converted, items);
    }
}

fn namespaces(converted: &mut Converted, items: &[Value], is_of_3: bool) {
    let mut tables = Vec::new();
    for item in items {
        let Value::Table(inner) = item else { continue };
        let name = inner.find("name").and_then(Value::text).unwrap_or_default();
        let mut tree = Tree::default();
        tree.set("name", Value::Text(name.to_owned()));
        let (options, remarks) = options(inner, name, is_of_3);
        tree.0.extend(options.0);
        if let Some(first) = tree.0.first_mut() {
            first.remarks.extend(remarks);
        }
        tables.push(tree);
    }
    if !tables.is_empty() && !converted.tree.put("channel.namespaces", Branch::Tables(tables)) {
        converted.remarks.push("namespaces is left out: channel.namespaces is set already".to_owned());
    }
}

fn rpc_namespaces(converted: &mut Converted, items: &[Value]) {
    let mut tables = Vec::new();
    for item in items {
        let Value::Table(inner) = item else { continue };
        let mut tree = Tree::default();
        for entry in &inner.0 {
            let is_hook = entry.name == "rpc_proxy_name";
            tree.put(if is_hook { "proxy_name" } else { &entry.name }, Branch::of(&entry.value));
            if is_hook {
                tree.set("proxy_enabled", Value::Switch(!entry.value.is_off()));
            }
        }
        tables.push(tree);
    }
    if !tables.is_empty() {
        converted.tree.put("rpc.namespaces", Branch::Tables(tables));
    }
}

/// The options of a namespace, or of channels without one if `namespace` is empty; with remarks.
fn options(table: &Table, namespace: &str, is_of_3: bool) -> (Tree, Vec<String>) {
    let (mut tree, mut remarks) = (Tree::default(), Vec::new());
    if is_of_3 {
        as_in_version_3(table, &mut tree);
    }
    for entry in table.0.iter().filter(|entry| entry.name != "name") {
        let name = entry.name.as_str();
        let is_of_all = namespace.is_empty();
        if is_of_all && name == "history_meta_ttl" && is_of_3 || entry.value == Value::Null {
            continue;
        }
        if OF_VERSION_3.contains(&name) {
            if !is_of_3 && !entry.value.is_off() {
                let today = second(OPTIONS, name).or_else(|| second(OPPOSITES, name)).unwrap_or_default();
                remarks.push(left_out(name, today));
            }
            continue;
        }
        match option_today(name) {
            Some(today) if is_empty_name(today, &entry.value) => {}
            Some(today) => {
                let (value, remark) = values::in_todays_form(today, &entry.value);
                tree.set(today, value);
                remarks.extend(remark.map(|remark| format!("{name}: {remark}")));
                if let Some(event) = today.strip_suffix("_proxy_name") {
                    tree.set(&format!("{event}_proxy_enabled"), Value::Switch(true));
                }
            }
            None if is_of_all => {}
            None if values::is_option(name) => {
                tree.put(name, Branch::of(&entry.value));
            }
            None => remarks.push(format!("{name} has no counterpart: it is left out")),
        }
    }
    (tree, remarks)
}

/// Whether a value means that there is no hook.
fn is_empty_name(option: &str, value: &Value) -> bool {
    option.ends_with("_proxy_name") && value.text() == Some("")
}

/// Adds the current options for permissions that version 3 gave by default.
fn as_in_version_3(table: &Table, tree: &mut Tree) {
    let is_on = |names: &[&str]| names.iter().any(|name| table.find(name).is_some_and(is_true));
    let mut allow = |name: &str, is_allowed: bool| {
        if is_allowed {
            tree.set(name, Value::Switch(true));
        }
    };
    let is_open = !is_on(&["protected", "server_side"]) && !is_on(&["proxy_subscribe"]);
    allow("allow_subscribe_for_client", is_open);
    allow("allow_subscribe_for_anonymous", is_open && is_on(&["anonymous"]));
    allow("allow_user_limited_channels", true);
    let (publishes, is_subscriber) = (is_on(&["publish"]), is_on(&["subscribe_to_publish"]));
    allow("allow_publish_for_subscriber", publishes && is_subscriber);
    allow("allow_publish_for_client", publishes && !is_subscriber);
    allow("allow_publish_for_anonymous", publishes && !is_subscriber);
    let has_history = ["history_size", "history_ttl", "history_lifetime"];
    let has_history =
        has_history.iter().filter(|name| table.find(name).is_some_and(|v| !v.is_off())).count() > 1;
    allow("allow_presence_for_subscriber", is_on(&["presence"]) && !is_on(&["presence_disable_for_client"]));
    allow("allow_history_for_subscriber", has_history && !is_on(&["history_disable_for_client"]));
    allow("force_positioning", is_on(&["position"]));
    allow("force_recovery", is_on(&["recover", "history_recover"]));
    allow("force_push_join_leave", is_on(&["join_leave"]));
}
