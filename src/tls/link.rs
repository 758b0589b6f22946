//! The TLS of one connection: a handshake, then two pairs of keys, then nothing.
//!
//! Invariant: whatever was sealed is sent in the order in which it was sealed, and nothing is delivered of a record
//! that was changed on its way. A link holds no plaintext ever, and ciphertext only of a record that has begun.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::Fault;
use super::handshake::{Agreed, Ground, Handshake, INTERNAL_ERROR, put_alert_in_the_clear};
use super::keys::{Keys, Secret, Version};
use super::news::{CLOSE_NOTIFY, KEY_UPDATE, News, Unfinished};
use super::record::{self, ContentType, HEADER_BYTES};
use super::schedules::Schedules;

/// The TLS state of one connection.
pub struct Link {
    state: State,
    /// The beginning of a record whose rest has yet to come.
    held: Box<[u8]>,
    /// The message behind the handshake whose rest has yet to come.
    unfinished: Unfinished,
    is_client: bool,
    /// The peer was told that nothing more comes.
    said_goodbye: bool,
    /// The keys are worn, and there are no others: what is sealed now are the last words.
    is_parting: bool,
}

enum State {
    /// The client has not said anything yet.
    Fresh(Arc<Ground>),
    Handshake(Box<Handshake>),
    Open {
        receiving: Keys,
        sending: Keys,
    },
    /// Nothing more is sealed or opened.
    Over,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Fresh(_) => "Link(fresh)",
            State::Handshake(_) => "Link(handshake)",
            State::Open { .. } => "Link(open)",
            State::Over => "Link(over)",
        })
    }
}

/// Where a link finds its key schedules.
#[derive(Debug)]
pub struct Hot<'a> {
    /// Those of the shard.
    pub schedules: &'a mut Schedules,
    /// The link's number, which no other has that uses the same, ever.
    pub id: u64,
}

impl Hot<'_> {
    fn seal(
        &mut self,
        keys: &mut Keys,
        kind: ContentType,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let schedule = self.schedules.sealer(self.id, keys)?;
        keys.seal(kind, schedule, [body].into_iter(), out)
    }
}

/// What came of received bytes.
#[derive(Debug, Default)]
pub struct Received {
    /// Bytes of the input that are done with. What is behind them is to be given again, with more.
    pub consumed: usize,
    /// Where in the input the plaintext is.
    pub plain: Range<usize>,
    /// The handshake is over, just now.
    pub opened: Option<Opened>,
    /// The peer will send nothing more, and said so.
    pub is_end: bool,
}

/// What a handshake came to.
#[derive(Debug)]
pub struct Opened {
    /// The client's certificate, if it was asked for one and gave it.
    pub certificate: Option<CertificateDer<'static>>,
    /// Whether it went on from a session of before.
    pub is_resumed: bool,
}

impl Link {
    pub(super) fn new(ground: Arc<Ground>) -> Self {
        Self::with(State::Fresh(ground), false)
    }

    fn with(state: State, is_client: bool) -> Self {
        Self {
            state,
            held: Box::default(),
            unfinished: Unfinished::default(),
            is_client,
            said_goodbye: false,
            is_parting: false,
        }
    }

    /// A client's end, from what its handshake agreed on and, in TLS 1.3, the secrets of both sides. `None` when the
    /// cipher is unknown.
    pub fn of_client(
        secrets: &rustls::ExtractedSecrets,
        client_and_server: Option<(&[u8], &[u8])>,
    ) -> Option<Self> {
        let (client, server) = match client_and_server {
            Some((client, server)) => (Some(Secret::new(client)?), Some(Secret::new(server)?)),
            None => (None, None),
        };
        let receiving = Keys::new(secrets.rx.0, &secrets.rx.1, server)?;
        let sending = Keys::new(secrets.tx.0, &secrets.tx.1, client)?;
        Some(Self::with(State::Open { receiving, sending }, true))
    }

    /// Whether the handshake is over and nothing has gone wrong since.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Whether the client has not said anything yet.
    pub fn is_fresh(&self) -> bool {
        matches!(self.state, State::Fresh(_))
    }

    /// Bytes kept of a record that has begun.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Forgets a handshake that nobody waits for any more, and what is kept of it.
    pub fn give_up(&mut self) {
        if !self.is_open() {
            self.state = State::Over;
            self.held = Box::default();
        }
    }

    /// Gives back what is kept of a record that has begun, at the start of `input`; returns how much it is.
    pub fn unhold(&mut self, input: &mut [u8]) -> usize {
        let held = std::mem::take(&mut self.held);
        input[..held.len()].copy_from_slice(&held);
        held.len()
    }

    /// Keeps the beginning of a record.
    pub fn hold(&mut self, rest: &[u8]) {
        if !rest.is_empty() && !matches!(self.state, State::Over) {
            self.held = rest.into();
        }
    }

    /// Takes what arrived. Plaintext replaces it in place; what TLS itself has to send is appended to `out`, ready to go
    /// on the wire before anything that is sealed later.
    ///
    /// # Errors
    /// When the peer breaks the rules; the alert that tells it so is in `out`, and the link is over.
    pub fn receive(
        &mut self,
        mut hot: Hot<'_>,
        input: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Received, Fault> {
        let mut received = Received::default();
        let outcome = self.receive_inner(&mut hot, input, out, &mut received);
        if let Err(fault) = &outcome {
            self.fail(&mut hot, fault, out);
        }
        outcome.map(|()| received)
    }

    fn receive_inner(
        &mut self,
        hot: &mut Hot<'_>,
        input: &mut [u8],
        out: &mut Vec<u8>,
        received: &mut Received,
    ) -> Result<(), Fault> {
        if let State::Fresh(ground) = &self.state {
            self.state = State::Handshake(Box::new(Handshake::new(Arc::clone(ground))?));
        }
        if let State::Handshake(handshake) = &mut self.state {
            let (consumed, is_over) = handshake.advance(input, out)?;
            received.consumed = consumed;
            if !is_over {
                return Ok(());
            }
            let State::Handshake(handshake) = std::mem::replace(&mut self.state, State::Over) else {
                return Err(Fault::Broken);
            };
            let Agreed { receiving, sending, certificate, is_resumed } = handshake.agree()?;
            self.state = State::Open { receiving, sending };
            received.opened = Some(Opened { certificate, is_resumed });
        }
        self.open_records(hot, input, out, received)
    }

    fn open_records(
        &mut self,
        hot: &mut Hot<'_>,
        input: &mut [u8],
        out: &mut Vec<u8>,
        received: &mut Received,
    ) -> Result<(), Fault> {
        let is_tls13 = match &self.state {
            State::Open { receiving, .. } => receiving.version() == Version::Tls13,
            State::Fresh(_) | State::Handshake(_) => return Ok(()),
            State::Over => {
                received.consumed = input.len();
                return Ok(());
            }
        };
        let mut news = News::new(self.is_client, is_tls13);
        while let Some((kind, bytes)) = record::first(&input[received.consumed..])? {
            let State::Open { receiving, .. } = &mut self.state else { break };
            let (start, end) = (received.consumed, received.consumed + bytes);
            if kind != ContentType::ApplicationData && is_tls13 {
                return Err(Fault::Unexpected);
            }
            let schedule = hot.schedules.opener(hot.id, receiving)?;
            // The first stays where it is; the others close up to it.
            let from = start + HEADER_BYTES;
            let to = if received.plain.is_empty() { from } else { received.plain.end };
            let (kind, length) = receiving.open(schedule, kind, &mut input[to..end], from - to)?;
            received.consumed = end;
            let is_rekeyed = news.take(kind, &input[to..to + length], &mut self.unfinished)?;
            if kind == ContentType::ApplicationData {
                if received.plain.is_empty() {
                    received.plain = to..to;
                }
                received.plain.end += length;
                continue;
            }
            if is_rekeyed {
                hot.schedules.forget(hot.id);
                self.rekey_receiving()?;
            }
            if news.is_end {
                received.is_end = true;
                received.consumed = input.len();
                break;
            }
        }
        if news.wants_update {
            self.update_sending(hot, out)?;
        }
        Ok(())
    }

    fn rekey_receiving(&mut self) -> Result<(), Fault> {
        match &mut self.state {
            State::Open { receiving, .. } if receiving.version() == Version::Tls13 => receiving.update(),
            State::Open { .. } | State::Fresh(_) | State::Handshake(_) | State::Over => {
                Err(Fault::Unexpected)
            }
        }
    }

    /// Tells the peer that what follows is sealed with the next keys, and takes them.
    fn update_sending(&mut self, hot: &mut Hot<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let State::Open { sending, .. } = &mut self.state else { return Ok(()) };
        if sending.version() == Version::Tls12 {
            return Err(Fault::Worn);
        }
        // The peer need not follow (RFC 8446, section 4.6.3).
        const NOT_REQUESTED: [u8; 5] = [KEY_UPDATE, 0, 0, 1, 0];
        hot.seal(sending, ContentType::Handshake, &NOT_REQUESTED, out)?;
        hot.schedules.forget(hot.id);
        sending.update()
    }

    /// Appends `plain` to `out` as records, many pieces in one if they fit.
    ///
    /// # Errors
    /// [`Fault::Worn`], once, when the keys of TLS 1.2 have sealed as much as they may: the connection must end, for which
    /// there is room. Before the handshake is over, or after the link is, nothing can be sealed: [`Fault::Closed`].
    pub fn seal<'a>(
        &mut self,
        mut hot: Hot<'_>,
        plain: impl Iterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if !self.is_parting && matches!(&self.state, State::Open { sending, .. } if sending.is_worn()) {
            let outcome = self.update_sending(&mut hot, out);
            self.is_parting = outcome.is_err();
            outcome?;
        }
        match &mut self.state {
            State::Open { sending, .. } if !self.said_goodbye => {
                let schedule = hot.schedules.sealer(hot.id, sending)?;
                sending.seal(ContentType::ApplicationData, schedule, plain, out)
            }
            State::Open { .. } | State::Fresh(_) | State::Handshake(_) | State::Over => Err(Fault::Closed),
        }
    }

    /// Tells the peer that nothing more comes (RFC 8446, section 6.1), once.
    pub fn say_goodbye(&mut self, mut hot: Hot<'_>, out: &mut Vec<u8>) {
        if let State::Open { sending, .. } = &mut self.state
            && !std::mem::replace(&mut self.said_goodbye, true)
        {
            // Keys that are worn have nothing to say.
            hot.seal(sending, ContentType::Alert, &[1, CLOSE_NOTIFY], out).ok();
        }
    }

    /// As if many records had gone by.
    #[cfg(test)]
    pub(super) fn wear(&mut self) {
        if let State::Open { receiving, sending } = &mut self.state {
            receiving.wear();
            sending.wear();
        }
    }

    #[cfg(test)]
    pub(super) fn sequences(&mut self) -> [u64; 2] {
        let State::Open { receiving, sending } = &mut self.state else { return [0; 2] };
        [receiving, sending].map(|keys| *keys.sequence_mut())
    }

    #[cfg(test)]
    pub(super) fn set_sequences(&mut self, sequences: [u64; 2]) {
        let State::Open { receiving, sending } = &mut self.state else { return };
        for (keys, sequence) in [receiving, sending].into_iter().zip(sequences) {
            *keys.sequence_mut() = sequence;
        }
    }

    #[cfg(test)]
    pub(super) fn is_worn(&self) -> bool {
        matches!(&self.state, State::Open { sending, .. } if sending.is_worn())
    }

    /// Asks the peer for its next keys, by a message in two records.
    #[cfg(test)]
    pub(super) fn update_in_pieces(&mut self, mut hot: Hot<'_>, cut: usize, out: &mut Vec<u8>) {
        let State::Open { sending, .. } = &mut self.state else { return };
        let (front, back) = [KEY_UPDATE, 0, 0, 1, 1].split_at(cut);
        hot.seal(sending, ContentType::Handshake, front, out).unwrap();
        hot.seal(sending, ContentType::Handshake, back, out).unwrap();
        hot.schedules.forget(hot.id);
        sending.update().unwrap();
    }

    /// Says so many zeros, and not what they are.
    #[cfg(test)]
    pub(super) fn say_zeros(&mut self, count: usize, out: &mut Vec<u8>) {
        if let State::Open { sending, .. } = &mut self.state {
            sending.seal_zeros(count, out);
        }
    }

    #[cfg(test)]
    pub(super) fn update_now(&mut self, mut hot: Hot<'_>, out: &mut Vec<u8>) {
        self.update_sending(&mut hot, out).unwrap();
    }

    /// Ends it all; an alert tells the peer why, if there is one for it and keys to seal it.
    fn fail(&mut self, hot: &mut Hot<'_>, fault: &Fault, out: &mut Vec<u8>) {
        let state = std::mem::replace(&mut self.state, State::Over);
        self.held = Box::default();
        match state {
            State::Open { mut sending, .. } if !self.said_goodbye => {
                let Some(alert) = fault.alert() else { return };
                hot.seal(&mut sending, ContentType::Alert, &[2, alert], out).ok();
            }
            // A handshake that could not even begin.
            State::Fresh(_) => put_alert_in_the_clear(INTERNAL_ERROR, out),
            // What a handshake fails of, it has told itself.
            State::Open { .. } | State::Handshake(_) | State::Over => {}
        }
    }
}
