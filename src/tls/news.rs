//! Records without application data: alerts, and the messages that may follow a handshake.
//!
//! A message may be cut anywhere, and span several records (RFC 8446 §5.1). Between two records only its head and the
//! number of missing bytes are kept: [`Unfinished`], a few bytes of the link. Left out: the contents of tickets,
//! which are not used here.

use super::Fault;
use super::record::ContentType;

/// Maximum of key updates in the records of one read. Each costs as much as ten small records.
const KEY_UPDATES_MAX: usize = 8;
pub(super) const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;
pub(super) const KEY_UPDATE: u8 = 24;
const NEW_SESSION_TICKET: u8 = 4;
/// Length of a message's type and length (RFC 8446 §4), in bytes.
const HEAD_BYTES: usize = 4;

/// An incomplete message: its type, its number of missing bytes, and the received part of these four bytes.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    head: [u8; HEAD_BYTES],
    count: u8,
}

impl Unfinished {
    fn is_none(&self) -> bool {
        self.count == 0
    }

    fn missing(&self) -> usize {
        let [_, high, middle, low] = self.head;
        usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
    }

    /// Counts so many received bytes, at most the missing ones. The message ends with the last.
    fn advance(&mut self, bytes: usize) {
        let missing = self.missing() - bytes;
        let [kind, ..] = self.head;
        let [_, _, _, _, _, high, middle, low] = (missing as u64).to_be_bytes();
        self.head = [kind, high, middle, low];
        if missing == 0 {
            *self = Self::default();
        }
    }
}

/// The permitted messages of the peer, and the messages in the records of one read.
pub(super) struct News {
    pub(super) is_end: bool,
    pub(super) wants_update: bool,
    update_count: usize,
    is_client: bool,
    is_tls13: bool,
}

impl News {
    /// For a link of a client, or of a server.
    pub(super) fn new(is_client: bool, is_tls13: bool) -> Self {
        Self { is_end: false, wants_update: false, update_count: 0, is_client, is_tls13 }
    }

    /// Takes one record, including records of application data: those must not come within a message (RFC 8446 §5.1).
    /// Returns whether later records are sealed with the peer's next keys.
    ///
    /// # Errors
    /// [`Fault::Unexpected`] for an unexpected record or message, [`Fault::Illegal`] for an invalid value in a
    /// message, [`Fault::Alert`] for an alert of the peer.
    pub(super) fn take(
        &mut self,
        kind: ContentType,
        body: &[u8],
        unfinished: &mut Unfinished,
    ) -> Result<bool, Fault> {
        if kind == ContentType::Handshake {
            return self.take_message(body, unfinished);
        }
        if !unfinished.is_none() {
            return Err(Fault::Unexpected);
        }
        match (kind, body) {
            (ContentType::ApplicationData, _) | (ContentType::Alert, [_, USER_CANCELED]) => {}
            (ContentType::Alert, [_, CLOSE_NOTIFY]) => self.is_end = true,
            (ContentType::Alert, [_, alert]) => return Err(Fault::Alert(*alert)),
            _ => return Err(Fault::Unexpected),
        }
        Ok(false)
    }

    /// Takes a part of a message, or several messages; an empty part is invalid (RFC 8446 §5.1).
    fn take_message(&mut self, body: &[u8], unfinished: &mut Unfinished) -> Result<bool, Fault> {
        if body.is_empty() {
            return Err(Fault::Unexpected);
        }
        let mut rest = body;
        while let Some((&byte, later)) = rest.split_first() {
            let count = usize::from(unfinished.count);
            if count < HEAD_BYTES {
                unfinished.head[count] = byte;
                unfinished.count += 1;
                rest = later;
                self.check(unfinished)?;
                continue;
            }
            if unfinished.head[0] == KEY_UPDATE {
                *unfinished = Unfinished::default();
                // Messages do not span a change of keys (RFC 8446 §5.1).
                return if later.is_empty() { self.update(byte) } else { Err(Fault::Unexpected) };
            }
            let bytes = unfinished.missing().min(rest.len());
            unfinished.advance(bytes);
            rest = &rest[bytes..];
        }
        Ok(false)
    }

    /// Checks whether the peer may send the message that has begun, as far as its head shows.
    fn check(&self, unfinished: &mut Unfinished) -> Result<(), Fault> {
        let is_whole = usize::from(unfinished.count) == HEAD_BYTES;
        match unfinished.head[0] {
            KEY_UPDATE if self.is_tls13 && (!is_whole || unfinished.missing() == 1) => {}
            NEW_SESSION_TICKET if self.is_client && is_whole => unfinished.advance(0),
            NEW_SESSION_TICKET if self.is_client => {}
            _ => return Err(Fault::Unexpected),
        }
        Ok(())
    }

    /// Handles a key update, with its one byte (RFC 8446 §4.6.3).
    fn update(&mut self, wish: u8) -> Result<bool, Fault> {
        if wish > 1 {
            return Err(Fault::Illegal);
        }
        self.wants_update |= wish == 1;
        self.update_count += 1;
        if self.update_count > KEY_UPDATES_MAX { Err(Fault::Unexpected) } else { Ok(true) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of records of handshake messages: for each whether the keys change, or the first fault.
    fn heard(is_client: bool, records: &[&[u8]]) -> Result<Vec<bool>, Fault> {
        let (mut news, mut unfinished) = (News::new(is_client, true), Unfinished::default());
        records.iter().map(|record| news.take(ContentType::Handshake, record, &mut unfinished)).collect()
    }

    const UPDATE: &[u8] = &[KEY_UPDATE, 0, 0, 1, 0];

    #[test]
    fn a_message_may_be_cut_anywhere() {
        for cut in 1..UPDATE.len() {
            let (front, back) = UPDATE.split_at(cut);
            assert_eq!(heard(false, &[front, back, UPDATE]), Ok(vec![false, true, true]), "{cut}");
        }
        let bytes: Vec<_> = UPDATE.chunks(1).collect();
        assert_eq!(heard(false, &bytes), Ok(vec![false, false, false, false, true]));
        // A ticket of five bytes, one of none, and an update.
        let ticket = [&[4, 0, 0, 5, 1, 2, 3, 4, 5, 4, 0, 0, 0], UPDATE].concat();
        for cut in 1..ticket.len() {
            let (front, back) = ticket.split_at(cut);
            assert_eq!(heard(true, &[front, back]), Ok(vec![false, true]), "{cut}");
        }
        let long = [&[4, 1, 0, 1], vec![7; 0x1_0001].as_slice()].concat();
        assert_eq!(heard(true, &[&long[..9], &long[9..], UPDATE]), Ok(vec![false, false, true]));
    }

    #[test]
    fn what_does_not_belong_there_is_refused_at_the_byte_that_shows_it() {
        let unexpected: [&[u8]; 8] = [
            &[],
            &[1],
            &[0, 0, 0, 0],
            &[4],
            &[KEY_UPDATE, 0, 0, 2],
            &[KEY_UPDATE, 0, 0, 0],
            &[KEY_UPDATE, 0, 0, 1, 0, KEY_UPDATE],
            &[KEY_UPDATE, 1, 0, 1],
        ];
        for record in unexpected {
            assert_eq!(heard(false, &[record]), Err(Fault::Unexpected), "{record:?}");
        }
        assert_eq!(heard(false, &[&UPDATE[..4], &[2]]), Err(Fault::Illegal));
        let mut tls12 = News::new(true, false);
        let outcome = tls12.take(ContentType::Handshake, UPDATE, &mut Unfinished::default());
        assert_eq!(outcome, Err(Fault::Unexpected), "TLS 1.2 has no such message");
    }

    #[test]
    fn nothing_else_comes_within_a_message() {
        for (kind, body) in [
            (ContentType::ApplicationData, &b"data"[..]),
            (ContentType::ApplicationData, b""),
            (ContentType::Alert, &[1, CLOSE_NOTIFY]),
        ] {
            let (mut news, mut unfinished) = (News::new(false, true), Unfinished::default());
            assert_eq!(news.take(kind, body, &mut unfinished), Ok(false));
            assert_eq!(news.take(ContentType::Handshake, &UPDATE[..2], &mut unfinished), Ok(false));
            assert_eq!(news.take(kind, body, &mut unfinished), Err(Fault::Unexpected), "{kind:?}");
        }
    }
}
