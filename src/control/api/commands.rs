//! `POST /api`: a series of commands `{"id", "method", "params"}`, as sent by libraries for earlier versions of
//! Centrifugo. Each is answered by one line, in order.
//!
//! Invariant: a body is parsed completely before the first command is executed. An error in a command is reported in
//! its line.

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::body::{Command, Unknown};
use super::calls::{self, Asking, Begun, Calls, Wrong};
use super::{METHODS, answer};
use crate::proto::json::{self, or_default};

/// The number of methods that have numbers: those of earlier versions.
const NUMBERED: usize = 13;

/// A command as sent.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    /// Repeated in the answer; 0 for none.
    #[serde(default, deserialize_with = "or_default")]
    id: u32,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "super::body::any")]
    params: Option<&'a RawValue>,
}

/// Parses all commands of a body.
///
/// # Errors
/// When the body is not one or more objects, separated by blanks only.
pub(super) fn read(body: &str) -> Result<Vec<Envelope<'_>>, serde_json::Error> {
    let objects = serde_json::Deserializer::from_str(body).into_iter::<&RawValue>();
    objects
        .map(|object| match object?.get() {
            "null" => json::from_str("{}"),
            text => json::from_str(text),
        })
        .collect()
}

impl<'a> Envelope<'a> {
    /// The method's name, in lower case; without one, the first method, whose number is 0.
    fn method(&self) -> String {
        let Some(told) = self.method.map(RawValue::get).filter(|told| *told != "null") else {
            return METHODS[0].to_owned();
        };
        match serde_json::from_str::<String>(told) {
            Ok(name) => name.to_ascii_lowercase(),
            Err(_) => {
                let number = told.parse().ok().and_then(|number: usize| METHODS[..NUMBERED].get(number));
                number.map_or_else(|| told.to_owned(), |name| (*name).to_owned())
            }
        }
    }

    /// # Errors
    /// The defect of the command.
    fn command(&self, method: &str, unknown: &mut Unknown) -> Result<Command<'a>, String> {
        let params = match self.params.map(RawValue::get) {
            Some("null") => "{}",
            Some(params) => params,
            None if method == "info" || !METHODS.contains(&method) => "{}",
            None => return Err("params: missing".to_owned()),
        };
        Command::parse(method, params, unknown)
    }
}

impl Calls {
    /// Executes the commands one after another, and appends the answers without the last brace.
    pub(super) async fn run_commands(&self, all: Vec<Envelope<'_>>, deadline: Instant, out: &mut Vec<u8>) {
        let mut asking = Asking::default();
        for (at, envelope) in all.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b"}\n");
            }
            let (method, mut unknown) = (envelope.method(), Unknown::new());
            let begun = match envelope.command(&method, &mut unknown) {
                Ok(command) => self.begin(command, &mut asking),
                Err(detail) => Begun::Failed(Wrong::bad(detail)),
            };
            answer::begin_line(out, envelope.id);
            let head = out.len();
            out.extend_from_slice(b"\"result\":");
            let outcome = self.finish(begun, deadline, out).await;
            calls::note(&method, &outcome, &unknown);
            if let Err(wrong) = outcome {
                out.truncate(head);
                answer::put_error_field(out, &wrong);
            }
            answer::put_warnings(out, &unknown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_mean_methods() {
        for (body, method) in [
            (r#"{"method":"publish"}"#, "publish"),
            (r#"{"method":"PRESENCE_STATS"}"#, "presence_stats"),
            (r#"{"Method":"rpc"}"#, "rpc"),
            (r#"{"method":11}"#, "subscribe"),
            (r#"{"method":12}"#, "refresh"),
            (r#"{"method":13}"#, "13"),
            (r#"{"method":null}"#, "publish"),
            ("{}", "publish"),
            (r#"{"method":"dance"}"#, "dance"),
        ] {
            assert_eq!(read(body).unwrap()[0].method(), method, "{body}");
        }
    }

    #[test]
    fn blanks_between_commands_are_optional_and_anything_else_spoils_the_body() {
        let ids = |body: &str| read(body).map(|all| all.iter().map(|one| one.id).collect::<Vec<_>>()).ok();
        assert_eq!(ids("{\"id\":1}{\"id\":2}\n\n {\"id\":3}\r\n"), Some(vec![1, 2, 3]));
        assert_eq!(ids("{\"ID\":1,\"id\":4} null"), Some(vec![4, 0]));
        for body in ["{} x", "{},{}", "[{}]", "{\"id\":\"7\"}", "{\"id\":-1}", "{} 1", "{"] {
            assert_eq!(ids(body), None, "{body}");
        }
    }
}
