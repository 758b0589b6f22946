//! The log of sessions: commands that fail, events of Socket.IO clients that nothing handles, and requests that are
//! refused because of the origin of their page, which is the usual first mistake of a configuration.
//!
//! Clients cause these events, so each kind has a rate at level info; beyond it, level debug has them. Texts of clients
//! are quoted, and cut.

use super::Carry;
use crate::base::bucket::Bucket;
use crate::base::slots::Key;
use crate::session::Note;
use crate::shard::World;

/// Lines at level info per second, for each kind of event.
const LINES_PER_SECOND_MAX: u32 = 1;
/// Lines at level info at once.
const LINES_MAX: u32 = 10;
/// Maximum bytes of a client's text in a line.
const TEXT_BYTES_MAX: usize = 200;

/// Events of the current session, and the rates of their lines.
#[derive(Debug, Default)]
pub(in crate::shard) struct Notes {
    pending: Vec<Note>,
    failures: Bucket,
    origins: Bucket,
    events: Bucket,
}

impl Notes {
    pub(super) fn pending(&mut self) -> &mut Vec<Note> {
        &mut self.pending
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

impl<W: World> Carry<W> {
    /// Logs the events of a connection.
    #[cold]
    pub(super) fn tell_notes(&mut self, key: Key) {
        let now_ms = self.now_ms();
        for note in std::mem::take(&mut self.notes.pending) {
            let bucket = match note {
                Note::Failed { .. } => &mut self.notes.failures,
                Note::ForeignOrigin(_) => &mut self.notes.origins,
                Note::EventRefused { .. } => &mut self.notes.events,
            };
            let is_info = bucket.take(now_ms, LINES_PER_SECOND_MAX, LINES_MAX);
            match note {
                Note::Failed { id, code, message } => self.tell_failure(key, (id, code, &message), is_info),
                Note::ForeignOrigin(origin) => tell_origin(cut(&origin), is_info),
                Note::EventRefused { event, why } => self.tell_event(key, (cut(&event), cut(&why)), is_info),
            }
        }
    }

    fn tell_failure(&self, key: Key, (command, code, error): (u32, u32, &str), is_info: bool) {
        let client = self.client_id(key);
        let user =
            self.conns.entry(key).and_then(|conn| conn.client.as_ref()).map_or("", |client| client.user());
        let (user, error) = (cut(user), cut(error));
        if is_info {
            tracing::info!(%client, ?user, command, code, ?error, "a client's command failed");
        } else {
            tracing::debug!(%client, ?user, command, code, ?error, "a client's command failed");
        }
    }
}

impl<W: World> Carry<W> {
    fn tell_event(&self, key: Key, (event, why): (&str, &str), is_info: bool) {
        let (client, text) =
            (self.client_id(key), "an event of a Socket.IO client is not handled as it should be");
        if is_info {
            tracing::info!(%client, ?event, why, "{text}");
        } else {
            tracing::debug!(%client, ?event, why, "{text}");
        }
    }
}

fn tell_origin(origin: &str, is_info: bool) {
    let text = "a request was refused: the origin of its page is not in client.allowed_origins";
    if is_info {
        tracing::info!(?origin, "{text}");
    } else {
        tracing::debug!(?origin, "{text}");
    }
}

/// The beginning of a text.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(cut("https://app.example.com"), "https://app.example.com");
        let long = "é".repeat(300);
        assert_eq!(cut(&long), "é".repeat(100));
        assert_eq!(cut(&format!("x{long}")), format!("x{}", "é".repeat(99)));
    }
}
