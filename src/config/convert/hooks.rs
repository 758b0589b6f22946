//! Hooks: keys for all hooks become keys of each, and named hooks become a list.

use super::super::older::names::{NAMED, OF_EACH_HOOK, second};
use super::super::value::{Table, Value};
use super::lists::{HOOKS, OF_NAMED_HOOK};
use super::tree::{Branch, Tree, is_true};
use super::{Converted, values};

pub(super) fn convert(converted: &mut Converted, table: &Table) {
    let is_by_name = table.find("granular_proxy_mode").is_some_and(is_true);
    for hook in HOOKS {
        if !converted.tree.has(&format!("{hook}.endpoint")) {
            continue;
        }
        for (old, new) in OF_EACH_HOOK {
            if let Some(value) = table.find(old).filter(|value| !value.is_off()) {
                converted.tree.put(&format!("{hook}.{new}"), values::of_hook(new, value));
            }
        }
    }
    let asked = HOOKS.iter().any(|hook| converted.tree.has(&format!("{hook}.endpoint")));
    let idle = OF_EACH_HOOK.iter().filter(|(old, _)| table.find(old).is_some_and(|value| !value.is_off()));
    if !asked && !is_by_name {
        converted.remarks.extend(idle.map(|(old, _)| format!("{old} is left out: there is no hook")));
    }
    let named = named(table);
    for (old, path) in NAMED {
        let Some(name) = table.find(old).and_then(Value::text).filter(|name| !name.is_empty()) else {
            continue;
        };
        if path.starts_with("rpc.") {
            converted.tree.set(path, Value::Text(name.to_owned()));
            continue;
        }
        match named.iter().find(|hook| hook.get("name") == Some(&Branch::Leaf(Value::Text(name.to_owned()))))
        {
            Some(hook) => {
                for node in hook.0.iter().filter(|node| node.name != "name") {
                    converted.tree.put(&format!("{path}.{}", node.name), node.branch.clone());
                }
            }
            None => converted.remarks.push(format!("{old} is left out: no entry of proxies has this name")),
        }
    }
    if !named.is_empty() {
        converted.tree.put("proxies", Branch::Tables(named));
    }
}

/// The list of named hooks.
fn named(table: &Table) -> Vec<Tree> {
    let Some(Value::List(items)) = table.find("proxies") else { return Vec::new() };
    let tables =
        items.iter().filter_map(|item| if let Value::Table(table) = item { Some(table) } else { None });
    let convert = |table: &Table| {
        let mut tree = Tree::default();
        for entry in table.0.iter().filter(|entry| entry.value != Value::Null) {
            let name = second(OF_NAMED_HOOK, &entry.name).unwrap_or(&entry.name);
            tree.put(name, values::of_hook(name, &entry.value));
        }
        tree
    };
    tables.map(convert).collect()
}
