//! Rules for codes, in the form of Centrifugo's configuration: a list of tables in a file, JSON in a variable.

use super::super::value::{Table, Value};
use super::super::{Place, file};
use super::{Raw, quote};
use crate::hub::codes::{CodeOutcome, CodeRule};
use serde_json::json;

/// Maximum size of a close frame's text, in bytes.
const TEXT_BYTES_MAX: usize = 123;

/// The kind of rules in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// Rules that map statuses of a hook to errors or disconnects.
    Status,
    /// Rules that map codes of connect errors to disconnects.
    Disconnect,
    /// Rules that map codes of connect errors and disconnects to responses.
    Response,
}

impl RuleKind {
    pub(super) const fn expected(self) -> &'static str {
        match self {
            Self::Status => {
                "a list of tables with status_code (100 to 599), and either to_error with code, message and temporary or \
                 to_disconnect with code (3000 to 4999) and reason, texts of at most 123 ASCII characters"
            }
            Self::Disconnect => {
                "a list of tables with code, and to with code (3000 to 4999) and reason, at most 123 ASCII characters"
            }
            Self::Response => "a list of tables with code, and to with status_code (200 to 599) and body",
        }
    }
}

/// Parses rules; `None` for an invalid value.
pub(super) fn parse(raw: &Raw, kind: RuleKind) -> Option<Vec<CodeRule>> {
    let parsed;
    let list = match raw {
        Raw::Value(value) => value,
        Raw::Words(words) => {
            parsed = file::json_value(words.last()?, &|_| Place::Default).ok()?;
            &parsed
        }
    };
    let Value::List(items) = list else { return None };
    items.iter().map(|item| if let Value::Table(table) = item { rule(table, kind) } else { None }).collect()
}

fn rule(table: &Table, kind: RuleKind) -> Option<CodeRule> {
    match kind {
        RuleKind::Status => {
            knows(table, &["status_code", "to_error", "to_disconnect"])?;
            let from = number(table, "status_code")?;
            let to = match (outcome(table, "to_error"), outcome(table, "to_disconnect")) {
                (Some(told), None) => error(told)?,
                (None, Some(told)) => disconnect(told)?,
                _ => return None,
            };
            (100..=599).contains(&from).then_some(CodeRule { from, to })
        }
        RuleKind::Disconnect | RuleKind::Response => {
            knows(table, &["code", "to"])?;
            let from = number(table, "code").filter(|code| *code > 0)?;
            let Some(Value::Table(told)) = table.find("to") else { return None };
            let to = if kind == RuleKind::Disconnect { disconnect(told)? } else { response(told)? };
            Some(CodeRule { from, to })
        }
    }
}

/// A table with a code; a code of 0 means that there is none.
fn outcome<'a>(table: &'a Table, name: &str) -> Option<&'a Table> {
    let Some(Value::Table(told)) = table.find(name) else { return None };
    (number(told, "code") != Some(0) && told.find("code").is_some()).then_some(told)
}

fn error(told: &Table) -> Option<CodeOutcome> {
    knows(told, &["code", "message", "temporary"])?;
    let temporary = match told.find("temporary") {
        None | Some(Value::Null) => false,
        Some(Value::Switch(on)) => *on,
        Some(_) => return None,
    };
    Some(CodeOutcome::Error { code: number(told, "code")?, message: text(told, "message", true)?, temporary })
}

fn disconnect(told: &Table) -> Option<CodeOutcome> {
    knows(told, &["code", "reason"])?;
    let code = u16::try_from(number(told, "code")?).ok().filter(|code| (3000..=4999).contains(code))?;
    Some(CodeOutcome::Disconnect { code, reason: text(told, "reason", true)? })
}

fn response(told: &Table) -> Option<CodeOutcome> {
    knows(told, &["status_code", "body"])?;
    let status =
        u16::try_from(number(told, "status_code")?).ok().filter(|code| (200..=599).contains(code))?;
    Some(CodeOutcome::Response { status, body: text(told, "body", false)? })
}

/// Checks that a table has no other keys.
fn knows(table: &Table, names: &[&str]) -> Option<()> {
    table.0.iter().all(|entry| names.contains(&entry.name.as_str())).then_some(())
}

fn number(table: &Table, name: &str) -> Option<u32> {
    match table.find(name)? {
        Value::Integer(number) => u32::try_from(*number).ok(),
        Value::Text(digits) => digits.parse().ok(),
        Value::Null
        | Value::Switch(_)
        | Value::Fraction(_)
        | Value::Date(_)
        | Value::List(_)
        | Value::Table(_) => None,
    }
}

/// An optional text.
fn text(table: &Table, name: &str, is_short: bool) -> Option<String> {
    let told = match table.find(name) {
        None | Some(Value::Null) => "",
        Some(value) => value.text()?,
    };
    (!is_short || told.is_ascii() && told.len() <= TEXT_BYTES_MAX).then(|| told.to_owned())
}

/// The rules in TOML.
pub(super) fn toml(rules: &[CodeRule], kind: RuleKind) -> String {
    let key = if kind == RuleKind::Status { "status_code" } else { "code" };
    let one = |rule: &CodeRule| {
        let from = rule.from;
        match &rule.to {
            CodeOutcome::Error { code, message, temporary } => {
                let message = quote(message);
                format!(
                    "{{ {key} = {from}, to_error = {{ code = {code}, message = {message}, temporary = {temporary} }} }}"
                )
            }
            CodeOutcome::Disconnect { code, reason } => {
                let (to, reason) = (target(kind), quote(reason));
                format!("{{ {key} = {from}, {to} = {{ code = {code}, reason = {reason} }} }}")
            }
            CodeOutcome::Response { status, body } => {
                let body = quote(body);
                format!("{{ {key} = {from}, to = {{ status_code = {status}, body = {body} }} }}")
            }
        }
    };
    format!("[{}]", rules.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// The rules in JSON.
pub(super) fn json(rules: &[CodeRule], kind: RuleKind) -> serde_json::Value {
    let key = if kind == RuleKind::Status { "status_code" } else { "code" };
    let one = |rule: &CodeRule| match &rule.to {
        CodeOutcome::Error { code, message, temporary } => {
            let to = json!({ "code": code, "message": message, "temporary": temporary });
            json!({ key: rule.from, "to_error": to })
        }
        CodeOutcome::Disconnect { code, reason } => {
            json!({ key: rule.from, target(kind): { "code": code, "reason": reason } })
        }
        CodeOutcome::Response { status, body } => {
            json!({ key: rule.from, "to": { "status_code": status, "body": body } })
        }
    };
    rules.iter().map(one).collect()
}

const fn target(kind: RuleKind) -> &'static str {
    match kind {
        RuleKind::Status => "to_disconnect",
        RuleKind::Disconnect | RuleKind::Response => "to",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, kind: RuleKind) -> Option<Vec<CodeRule>> {
        parse(&Raw::Words(vec![text.to_owned()]), kind)
    }

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        for (kind, text, count) in [
            (RuleKind::Status, "[]", 0),
            (
                RuleKind::Status,
                r#"[{"status_code":404,"to_disconnect":{"code":4504,"reason":"no"}},
                    {"status_code":"403","to_error":{"code":103,"message":"a \"b\"","temporary":true}},
                    {"status_code":500,"to_error":{"code":1000},"to_disconnect":{"code":0,"reason":""}}]"#,
                3,
            ),
            (RuleKind::Disconnect, r#"[{"code":109,"to":{"code":4000}}]"#, 1),
            (RuleKind::Response, r#"[{"code":3500,"to":{"status_code":401,"body":"Ä"}}]"#, 1),
        ] {
            let rules = read(text, kind).unwrap();
            assert_eq!(rules.len(), count);
            assert_eq!(read(&json(&rules, kind).to_string(), kind).as_ref(), Some(&rules));
            let text = format!("[rpc.proxy.http]\nstatus_to_code_transforms = {}", toml(&rules, kind));
            let (layer, errors) = file::walk(&file::parse("t.toml".as_ref(), &text).unwrap(), &[]);
            if kind == RuleKind::Status {
                assert!(errors.is_empty(), "{errors:?}");
                assert_eq!(parse(&layer.typed[0].raw, kind).as_ref(), Some(&rules));
            }
        }
    }

    #[test]
    fn what_says_too_little_or_too_much_is_refused() {
        let long =
            format!(r#"[{{"status_code":404,"to_error":{{"code":1000,"message":"{}"}}}}]"#, "x".repeat(124));
        for (kind, text) in [
            (RuleKind::Status, "{}"),
            (RuleKind::Status, "[1]"),
            (RuleKind::Status, r#"[{"status_code":404}]"#),
            (RuleKind::Status, r#"[{"to_error":{"code":1000}}]"#),
            (RuleKind::Status, r#"[{"status_code":0,"to_error":{"code":1000}}]"#),
            (RuleKind::Status, r#"[{"status_code":404,"to_error":{"code":0}}]"#),
            (
                RuleKind::Status,
                r#"[{"status_code":404,"to_error":{"code":1000},"to_disconnect":{"code":4000}}]"#,
            ),
            (RuleKind::Status, r#"[{"status_code":404,"to_error":{"code":1000,"mesage":"x"}}]"#),
            (RuleKind::Status, r#"[{"status_code":404,"to_error":{"code":1000,"message":"é"}}]"#),
            (RuleKind::Status, long.as_str()),
            (RuleKind::Disconnect, r#"[{"code":109,"to":{"code":109}}]"#),
            (RuleKind::Disconnect, r#"[{"code":0,"to":{"code":4000}}]"#),
            (RuleKind::Response, r#"[{"code":109,"to":{"status_code":99}}]"#),
            (RuleKind::Response, r#"[{"code":109}]"#),
            (RuleKind::Status, "[}"),
        ] {
            assert_eq!(read(text, kind), None, "{text}");
        }
    }
}
