//! Rules for events of Socket.IO (`socketio.rules`): a list of tables in a file, JSON in a variable.

use serde_json::{Map, json};

use super::super::value::{Table, Value};
use super::super::{Place, file};
use super::{Raw, quote};
use crate::hub::options::NamePattern;
use crate::proto::socketio::is_reserved;
use crate::session::socketio::{AckForm, AckValue, Path, Require, Rule, RuleAction, Template, UserRule};

/// The keys of a rule.
const KEYS: [&str; 12] = [
    "event",
    "namespace",
    "require",
    "do",
    "room",
    "to",
    "except_sender",
    "volatile",
    "as",
    "ack",
    "rate",
    "close",
];
/// The acknowledgement with the arguments of the event.
const SAME: &str = "$args";

/// The form of rules, for an error.
pub(super) const EXPECTED: &str = "a list of tables with event and do (docs/SOCKETIO.md)";

/// Reads rules: a list of tables, or its JSON as a text, which can have `null` in a file of TOML, too.
///
/// # Errors
/// The number of the rule that is wrong, from 1, and why.
pub(super) fn parse(raw: &Raw) -> Result<Vec<Rule>, String> {
    let parsed;
    let json = match raw {
        Raw::Value(Value::Text(text)) => Ok(text.as_str()),
        Raw::Value(value) => Err(value),
        Raw::Words(words) => Ok(words.last().map_or("", String::as_str)),
    };
    let list = match json {
        Err(value) => value,
        Ok(word) => {
            parsed = file::json_value(word, &|_| Place::Default).map_err(|_| "it is not JSON".to_owned())?;
            &parsed
        }
    };
    let Value::List(items) = list else { return Err("it is not a list of tables".to_owned()) };
    let one = |(at, item): (usize, &Value)| {
        let Value::Table(table) = item else { return Err(format!("rule {}: it is not a table", at + 1)) };
        rule(table).map_err(|why| format!("rule {}: {why}", at + 1))
    };
    items.iter().enumerate().map(one).collect()
}

fn rule(table: &Table) -> Result<Rule, String> {
    if let Some(entry) = table.0.iter().find(|entry| !KEYS.contains(&entry.name.as_str())) {
        return Err(format!("unknown key {}; the keys are {}", entry.name, KEYS.join(", ")));
    }
    let event = text(table, "event")?.ok_or("event is missing")?;
    let namespace = text(table, "namespace")?;
    if namespace.as_ref().is_some_and(|name| !name.starts_with(['/', '*'])) {
        return Err("namespace: expected a pattern that begins with /".to_owned());
    }
    let actions = actions(table)?;
    let does = |action| actions.contains(&action);
    let room = table.find("room").map(|value| template(value, "room")).transpose()?;
    if room.is_none() && (does(RuleAction::Join) || does(RuleAction::Leave)) {
        return Err("expected room with do = \"join\" or \"leave\"".to_owned());
    }
    let is_alone = |action| does(action) && actions.len() > 1;
    if is_alone(RuleAction::Hook) || is_alone(RuleAction::Drop) {
        return Err("do: \"hook\" and \"drop\" do not go together with others".to_owned());
    }
    let with = |key: &str, needs: &[RuleAction]| {
        let is_moot = table.find(key).is_some() && !needs.iter().any(|action| does(*action));
        let names: Vec<_> = needs.iter().map(|action| quote(action.name())).collect();
        let complaint = || format!("{key} has no effect without do = {}", names.join(" or "));
        if is_moot { Err(complaint()) } else { Ok(()) }
    };
    with("room", &[RuleAction::Join, RuleAction::Leave])?;
    for key in ["to", "except_sender", "volatile", "as"] {
        with(key, &[RuleAction::Emit])?;
    }
    with("close", &[RuleAction::Disconnect])?;
    if does(RuleAction::Hook) && table.find("ack").is_some() {
        return Err("ack has no effect with do = \"hook\": the hook answers".to_owned());
    }
    let rename = text(table, "as")?;
    if let Some(name) = rename.as_ref().filter(|name| is_reserved(name)) {
        return Err(format!("as: {name:?} is reserved by Socket.IO"));
    }
    let ack = ack(table)?.or_else(|| does(RuleAction::Ack).then_some(AckForm::Empty));
    Ok(Rule {
        event,
        namespace,
        require: require(table)?,
        room,
        to: to(table)?,
        except_sender: switch(table, "except_sender")?,
        is_volatile: switch(table, "volatile")?,
        rename,
        ack,
        rate_per_s: rate(table)?,
        closes: switch(table, "close")?,
        actions,
    })
}

fn text(table: &Table, key: &str) -> Result<Option<String>, String> {
    let Some(value) = table.find(key).filter(|value| **value != Value::Null) else { return Ok(None) };
    let text = value.text().filter(|text| !text.is_empty());
    text.map(|text| Some(text.to_owned())).ok_or_else(|| format!("{key}: expected a text, not {value}"))
}

fn switch(table: &Table, key: &str) -> Result<bool, String> {
    match table.find(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Switch(on)) => Ok(*on),
        Some(value) => Err(format!("{key}: expected true or false, not {value}")),
    }
}

fn rate(table: &Table) -> Result<u32, String> {
    match table.find("rate") {
        None | Some(Value::Null) => Ok(0),
        Some(value) => {
            let number = if let Value::Integer(number) = value { u32::try_from(*number).ok() } else { None };
            let expected = || format!("rate: expected events per second, a whole number from 1, not {value}");
            number.filter(|rate| *rate > 0).ok_or_else(expected)
        }
    }
}

fn actions(table: &Table) -> Result<Vec<RuleAction>, String> {
    let names = table.find("do").and_then(Value::texts).filter(|names| !names.is_empty());
    let all = RuleAction::NAMES.map(|(name, _)| name).join(", ");
    let names = names.ok_or_else(|| format!("do: expected one of {all}, or a list of them"))?;
    let action = |name: &String| {
        let found = RuleAction::NAMES.iter().find(|(known, _)| known == name).map(|(_, action)| *action);
        found.ok_or_else(|| format!("do: expected one of {all}, not {name:?}"))
    };
    names.iter().map(action).collect()
}

fn template(value: &Value, key: &str) -> Result<Template, String> {
    let text = value.text().ok_or_else(|| format!("{key}: expected a text, not {value}"))?;
    Template::new(text).map_err(|why| format!("{key}: {why}"))
}

fn to(table: &Table) -> Result<Vec<Template>, String> {
    let Some(value) = table.find("to").filter(|value| **value != Value::Null) else { return Ok(Vec::new()) };
    if let Value::List(items) = value
        && !items.is_empty()
    {
        return items.iter().map(|item| template(item, "to")).collect();
    }
    match value.text() {
        Some(_) => Ok(vec![template(value, "to")?]),
        None => Err(format!("to: expected the name of a room or a list of names, not {value}")),
    }
}

fn require(table: &Table) -> Result<Require, String> {
    let mut require = Require::default();
    let told = match table.find("require") {
        None | Some(Value::Null) => return Ok(require),
        Some(Value::Table(told)) => told,
        Some(value) => return Err(format!("require: expected a table, not {value}")),
    };
    for entry in &told.0 {
        let value = &entry.value;
        match entry.name.as_str() {
            "user" => {
                require.user = match (value, value.texts()) {
                    (Value::Switch(on), _) => {
                        if *on {
                            UserRule::Known
                        } else {
                            UserRule::Any
                        }
                    }
                    (_, Some(names)) if !names.is_empty() => UserRule::Named(names),
                    _ => {
                        return Err(format!(
                            "require.user: expected true, or patterns of users, not {value}"
                        ));
                    }
                };
            }
            "room" => require.room = Some(template(value, "require.room")?),
            name if name.starts_with('$') => {
                let fault = |why: String| format!("require.\"{name}\": {why}");
                let path = Path::new(name).map_err(fault)?;
                let regex = value.text().filter(|text| !text.is_empty());
                let regex =
                    regex.ok_or_else(|| fault(format!("expected a regular expression, not {value}")))?;
                require.args.push((path, NamePattern::new(regex).map_err(fault)?));
            }
            name => {
                return Err(format!(
                    "require: unknown key {name}; the keys are user, room, and arguments such as \"$0.text\""
                ));
            }
        }
    }
    Ok(require)
}

fn ack(table: &Table) -> Result<Option<AckForm>, String> {
    let value = match table.find("ack") {
        None | Some(Value::Null | Value::Switch(false)) => return Ok(None),
        Some(value) => value,
    };
    if let Value::List(items) = value {
        let values = items.iter().map(ack_value).collect::<Result<_, _>>()?;
        return Ok(Some(AckForm::Values(values)));
    }
    match (value, value.text()) {
        (Value::Switch(true), _) => Ok(Some(AckForm::Empty)),
        (_, Some(SAME)) => Ok(Some(AckForm::Same)),
        _ => Err(format!("ack: expected true, \"{SAME}\" or a list of arguments, not {value}")),
    }
}

fn ack_value(value: &Value) -> Result<AckValue, String> {
    match value.text().filter(|text| text.starts_with('$')) {
        Some(path) => Path::new(path).map(AckValue::Of).map_err(|why| format!("ack: {why}")),
        None => Ok(AckValue::Json(json_of(value)?.to_string())),
    }
}

/// A value of a file as JSON.
fn json_of(value: &Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        Value::Null => serde_json::Value::Null,
        Value::Switch(on) => (*on).into(),
        Value::Integer(number) => (*number).into(),
        Value::Fraction(number) => {
            serde_json::from_str(number).map_err(|_| format!("ack: {number} is no number of JSON"))?
        }
        Value::Text(text) | Value::Date(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json_of).collect::<Result<Vec<_>, _>>()?.into(),
        Value::Table(table) => {
            let pair = |entry: &super::super::value::Entry| {
                Ok::<_, String>((entry.name.clone(), json_of(&entry.value)?))
            };
            table.0.iter().map(pair).collect::<Result<Map<_, _>, _>>()?.into()
        }
    })
}

/// The rules in JSON.
pub(super) fn json(rules: &[Rule]) -> serde_json::Value {
    rules.iter().map(|rule| serde_json::Value::Object(fields(rule))).collect()
}

/// The rules in TOML: as JSON in a text if one contains `null`.
pub(super) fn toml(rules: &[Rule]) -> String {
    let json = json(rules);
    if has_null(&json) { quote(&json.to_string()) } else { in_toml(&json) }
}

fn has_null(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => true,
        serde_json::Value::Array(items) => items.iter().any(has_null),
        serde_json::Value::Object(fields) => fields.values().any(has_null),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) | serde_json::Value::String(_) => false,
    }
}

/// The keys of a rule that differ from their defaults.
fn fields(rule: &Rule) -> Map<String, serde_json::Value> {
    let mut fields = Map::new();
    let mut put = |key: &str, value: serde_json::Value| fields.insert(key.to_owned(), value);
    let one_or_many = |mut texts: Vec<&str>| match texts.as_mut_slice() {
        [one] => json!(one),
        _ => json!(texts),
    };
    put("event", rule.event.as_str().into());
    if let Some(namespace) = &rule.namespace {
        put("namespace", namespace.as_str().into());
    }
    if rule.require != Require::default() {
        let Require { user, room, args } = &rule.require;
        let mut require = Map::new();
        match user {
            UserRule::Any => {}
            UserRule::Known => drop(require.insert("user".to_owned(), true.into())),
            UserRule::Named(names) => drop(require.insert("user".to_owned(), json!(names))),
        }
        if let Some(room) = room {
            require.insert("room".to_owned(), room.as_str().into());
        }
        require.extend(args.iter().map(|(path, regex)| (path.to_string(), regex.as_str().into())));
        put("require", require.into());
    }
    put("do", one_or_many(rule.actions.iter().map(|action| action.name()).collect()));
    if let Some(room) = &rule.room {
        put("room", room.as_str().into());
    }
    if !rule.to.is_empty() {
        put("to", one_or_many(rule.to.iter().map(Template::as_str).collect()));
    }
    for (key, is_on) in
        [("except_sender", rule.except_sender), ("volatile", rule.is_volatile), ("close", rule.closes)]
    {
        if is_on {
            put(key, true.into());
        }
    }
    if let Some(name) = &rule.rename {
        put("as", name.as_str().into());
    }
    match &rule.ack {
        None => {}
        Some(AckForm::Empty) => drop(put("ack", true.into())),
        Some(AckForm::Same) => drop(put("ack", SAME.into())),
        Some(AckForm::Values(values)) => {
            let value = |value: &AckValue| -> serde_json::Value {
                match value {
                    AckValue::Of(path) => path.to_string().into(),
                    AckValue::Json(json) => serde_json::from_str(json).unwrap_or_default(),
                }
            };
            put("ack", values.iter().map(value).collect());
        }
    }
    if rule.rate_per_s > 0 {
        put("rate", rule.rate_per_s.into());
    }
    fields
}

/// JSON without `null` as an inline value of TOML.
fn in_toml(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => quote(text),
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(in_toml).collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Object(fields) => {
            let pair = |(key, value): (&String, &serde_json::Value)| {
                let is_bare = !key.is_empty()
                    && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
                let key = if is_bare { key.clone() } else { quote(key) };
                format!("{key} = {}", in_toml(value))
            };
            format!("{{ {} }}", fields.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {
            value.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(json: &str) -> Result<Vec<Rule>, String> {
        parse(&Raw::Words(vec![json.to_owned()]))
    }

    /// The rules of a file in which the rules are as they are printed.
    fn printed_and_read(rules: &[Rule]) -> Vec<Rule> {
        let text = format!("[socketio]\nrules = {}", toml(rules));
        let (layer, errors) = file::walk(&file::parse("t.toml".as_ref(), &text).unwrap(), &[]);
        assert!(errors.is_empty(), "{text}: {errors:?}");
        parse(&layer.typed[0].raw).unwrap()
    }

    /// Any JSON of an acknowledgement: numbers of all sizes, texts with any character, and `null` at any depth.
    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            (-1e6..1e6f64).prop_map(Into::into),
            ".{0,6}".prop_map(|text| text.trim_start_matches('$').into()),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(serde_json::Value::Array),
                prop::collection::btree_map(".{0,4}", inner, 0..3)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 256, ..ProptestConfig::default() })]

        #[test]
        fn any_acknowledgement_is_printed_and_read(values in prop::collection::vec(any_json(), 0..4), event in ".{1,6}") {
            let rules = read(&json!([{"event": event, "do": "ack", "ack": values}]).to_string()).unwrap();
            prop_assert_eq!(printed_and_read(&rules), rules.clone());
            prop_assert_eq!(read(&json(&rules).to_string()).unwrap(), rules);
        }
    }

    const RULES: &str = r#"[
        {"event": "join", "require": {"user": true, "$0": "^[a-z]+$"}, "do": ["join", "emit"], "room": "$0",
         "to": ["room:$0", "all"], "as": "joined", "except_sender": true, "volatile": true, "ack": ["ok", 1.5, "$0.x", {"a": [true]}]},
        {"event": "echo", "namespace": "/a*", "do": "ack", "ack": "$args", "rate": 5},
        {"event": "ping", "do": "ack"},
        {"event": "nil", "do": "ack", "ack": [null, {"x": null, "": [null]}]},
        {"event": "say", "require": {"user": ["ann", "b*"], "room": "$0"}, "do": "emit", "to": "$0"},
        {"event": "bye", "do": "disconnect", "close": true},
        {"event": "*", "do": "drop"}
    ]"#;

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        let rules = read(RULES).unwrap();
        assert_eq!(rules.len(), 7);
        assert_eq!((rules[2].ack.as_ref(), rules[1].rate_per_s), (Some(&AckForm::Empty), 5));
        assert_eq!(read(&json(&rules).to_string()).unwrap(), rules);
        for some in std::iter::once(&rules[..]).chain(rules.chunks(1)) {
            assert_eq!(printed_and_read(some), some);
        }
        // The form that people write.
        let text = "[[socketio.rules]]\nevent = 'a'\nrequire = { \"$0.x\" = 'y' }\ndo = 'drop'\n";
        let (layer, errors) = file::walk(&file::parse("t.toml".as_ref(), text).unwrap(), &[]);
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(parse(&layer.typed[0].raw).unwrap()[0].require.args[0].0.to_string(), "$0.x");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_rule() {
        for (text, why) in [
            ("{", "it is not JSON"),
            ("{}", "it is not a list of tables"),
            ("[1]", "rule 1: it is not a table"),
            (
                r#"[{"event":"a","do":"drop"},{"event":"b","do":"drop","rooms":"x"}]"#,
                "rule 2: unknown key rooms; the keys",
            ),
            (r#"[{"do":"drop"}]"#, "rule 1: event is missing"),
            (r#"[{"event":5,"do":"drop"}]"#, "event: expected a text, not 5"),
            (r#"[{"event":"a"}]"#, "do: expected one of join, leave, emit"),
            (r#"[{"event":"a","do":"jion"}]"#, "not \"jion\""),
            (r#"[{"event":"a","do":"join"}]"#, "expected room with do"),
            (r#"[{"event":"a","do":"join","room":"$x"}]"#, "room: expected $0, $0.name or $$"),
            (
                r#"[{"event":"a","do":"emit","room":"x"}]"#,
                "room has no effect without do = \"join\" or \"leave\"",
            ),
            (r#"[{"event":"a","do":"drop","to":"x"}]"#, "to has no effect without do = \"emit\""),
            (r#"[{"event":"a","do":"emit","to":5}]"#, "to: expected the name of a room"),
            (r#"[{"event":"a","do":"emit","as":"connect"}]"#, "as: \"connect\" is reserved"),
            (r#"[{"event":"a","do":["drop","ack"]}]"#, "do not go together"),
            (r#"[{"event":"a","do":"hook","ack":true}]"#, "ack has no effect with do = \"hook\""),
            (r#"[{"event":"a","do":"ack","ack":5}]"#, "ack: expected true, \"$args\""),
            (r#"[{"event":"a","do":"ack","ack":["$x"]}]"#, "ack: expected an argument"),
            (r#"[{"event":"a","do":"drop","rate":0}]"#, "rate: expected events per second"),
            (r#"[{"event":"a","do":"drop","namespace":"a"}]"#, "namespace: expected a pattern"),
            (r#"[{"event":"a","do":"drop","require":{"$0":"("}}]"#, "require.\"$0\": "),
            (r#"[{"event":"a","do":"drop","require":{"$0.":"a"}}]"#, "require.\"$0.\": expected an argument"),
            (r#"[{"event":"a","do":"drop","require":{"role":"a"}}]"#, "require: unknown key role"),
            (r#"[{"event":"a","do":"drop","require":{"user":5}}]"#, "require.user: expected true"),
            (r#"[{"event":"a","do":"emit","except_sender":"yes"}]"#, "except_sender: expected true or false"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
