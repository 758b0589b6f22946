//! Sessions move from polls to a WebSocket, whose request reached any shard.

use super::carry::close::DRAINING;
use super::carry::conn::Stage;
use super::mailbox::Moved;
use super::{Shard, World};
use crate::base::slots::Key;
use crate::hub::words::Dismissed;
use crate::proto::http::{Refusal, Status};
use crate::session::{CloseReason, UpgradeAsk};

const UNKNOWN: Refusal = Refusal::new(Status::BadRequest, "Session ID unknown");
const FOREIGN: Refusal =
    Refusal::new(Status::Forbidden, "the session was opened with another client certificate");
/// Close code of a WebSocket that is not needed (RFC 6455 §7.4.1).
const NORMAL: u16 = 1000;

impl<W: World> Shard<W> {
    /// Handles a request for a WebSocket that is to replace the polls of a session of any shard.
    pub(super) fn upgrade(&mut self, key: Key, ask: Box<UpgradeAsk>) {
        let carry = self.carry();
        let waits = carry.conns.entry(key).is_some_and(|conn| conn.session.waits_for().is_some());
        if !waits {
            return;
        }
        match ask.place.0 == carry.post.shard() {
            true => self.begin_probe(key, &ask),
            false => carry.move_away(key, ask),
        }
    }

    /// Takes a connection that another shard has handed over.
    pub(super) fn moved(&mut self, moved: Moved) {
        let taken = self.carry().take_in(moved);
        self.channels().finish_endings();
        if let Some((key, ask)) = taken {
            self.begin_probe(key, &ask);
        }
    }

    /// Lets a connection of this shard be the probe of a session, unless that has ended or has a WebSocket or a probe.
    fn begin_probe(&mut self, key: Key, ask: &UpgradeAsk) {
        let (_, session) = ask.place;
        let carry = self.carry();
        let conn = carry.conns.entry(session).filter(|conn| conn.stage == Stage::Open);
        let is_its_client = carry.is_its_client(session, carry.identity(key).map(|identity| &**identity));
        let refusal = if carry.is_draining {
            Some(DRAINING)
        } else if !is_its_client {
            Some(FOREIGN)
        } else {
            conn.is_none().then_some(UNKNOWN)
        };
        let is_free =
            conn.is_some_and(|conn| conn.session.is_polled()) && !carry.probes.contains_key(&session);
        carry.counters.upgrades_refused.add(u64::from(refusal.is_some() || !is_free));
        if let Some(refusal) = refusal {
            return self.channels().close(key, CloseReason::Refused(refusal));
        }
        if is_free {
            carry.note_probe(session, key);
        }
        let rest = carry.begin_probe(key, ask);
        self.channels().finish_endings();
        if !is_free {
            let reason = "the session has another WebSocket".to_owned();
            return self.channels().close(key, CloseReason::Handler { code: NORMAL, reason });
        }
        self.receive_kept(key, rest);
        self.carry().postpone(key);
    }

    /// Moves a session to the WebSocket of its probe, or closes a probe that no session needs.
    pub(super) fn settle(&mut self, probe: Key) {
        let carry = self.carry();
        let Some(conn) = carry.conns.entry(probe).filter(|conn| conn.stage == Stage::Open) else { return };
        let Some(session) = conn.session.probes() else { return };
        let has_left = carry.conns.entry(session).is_some_and(|conn| conn.has_left);
        let is_its = carry.probes.get(&session).is_some_and(|probing| probing.conn == probe);
        if !is_its || has_left || !conn.session.is_probe_done() {
            let reason = "the session has ended".to_owned();
            return self.channels().close(probe, CloseReason::Handler { code: NORMAL, reason });
        }
        let Some(rest) = carry.merge(probe, session) else {
            return self.channels().close(probe, CloseReason::Transport);
        };
        self.channels().finish_endings();
        self.clients().act(session);
        if !self.channels().renew_formats(session) {
            return self.channels().dismiss(session, Dismissed::Internal);
        }
        self.receive_kept(session, rest);
    }

    /// Handles the end of the time for an upgrade.
    pub(super) fn expire_probe(&mut self, key: Key) {
        let reason = "no upgrade within upgrade_timeout".to_owned();
        self.channels().close(key, CloseReason::Handler { code: NORMAL, reason });
    }

    /// Passes input to a session that arrived before.
    fn receive_kept(&mut self, key: Key, mut bytes: Vec<u8>) {
        let carry = self.carry();
        if bytes.is_empty() || carry.conns.entry(key).is_none_or(|conn| conn.stage != Stage::Open) {
            return;
        }
        let outcome =
            carry.with_session(key, |session, handler, cx| session.receive(&mut bytes, handler, cx));
        carry.queue_out(key);
        self.channels().finish_endings();
        self.clients().act(key);
        match outcome {
            Some(Err(reason)) => self.clients().close_behind(key, reason),
            Some(Ok(())) | None => self.carry().count_held(key),
        }
    }
}
