//! Whether a client's connection ended as it had to, or lives as it should.

use super::{Circumstances, Client, ConnectionPhase, Exit};
use crate::conduct::Expect;
use crate::world::{Link, Received, World};

/// Beats, turns and the way there and back.
const SLACK_US: u64 = 700_000;

impl Client {
    /// Whether the connection ended as it had to.
    pub(super) fn judge(&self, end: Received, world: &World, now: Circumstances<'_>) {
        let link = &world.links[self.link];
        if link.is_reset {
            return;
        }
        let who = self.io.who;
        let plan = now.plan;
        let (expect, within_us) = self.conduct.expect();
        let is_excused = self.has_stalled || plan.jumps_far() || self.did_exit == Some(Exit::HalfClose);
        let drained = now.is_draining;
        let is_right = match (self.phase, self.code) {
            (ConnectionPhase::Refused(status), _) => {
                expect == Expect::Status(status)
                    || (status == 503 && (drained || plan.may_refuse()))
                    // A TLS client has to read before it can send its request.
                    || (status == 408 && (plan.jumps_far() || self.pipe.is_tls() && self.has_stalled))
            }
            // Over TLS, a refused client may get no answer: an answer would cost a handshake.
            (ConnectionPhase::Head, _) if self.pipe.is_tls() && (drained || plan.may_refuse()) => true,
            (ConnectionPhase::Head, _) => {
                is_excused || drained && end == Received::Reset && link.accepted_us.is_none()
            }
            (_, Some(code)) => expect == Expect::Code(code) || self.may_close(code, world, now),
            // For want of memory a frame that had begun is not ended.
            (_, None) => {
                is_excused
                    || (plan.has_small_budget || plan.has_small_memory()) && self.was_full(link)
                    || self.did_exit == Some(Exit::Changed) && self.pipe.is_change_told()
            }
        };
        assert!(
            is_right,
            "{who}: ended by {end:?} in {:?} with code {:?}, expected {expect:?}: {self:?} {link:?}",
            self.phase, self.code
        );
        assert!(
            self.arrived.is_empty() || self.phase != ConnectionPhase::Open || self.code.is_none(),
            "{who}: half a frame at the end"
        );
        let is_last_word_heard = self.pipe.heard_goodbye() || end == Received::Reset || is_excused;
        assert!(
            is_last_word_heard || self.code.is_none() && !matches!(self.phase, ConnectionPhase::Refused(_)),
            "{who}: no goodbye: {self:?} {link:?}"
        );
        let had_room = link.short_writes == 0 && !self.has_stalled && !plan.jumps_far();
        let is_rude = end == Received::End && had_room && self.pipe.awaits_goodbye();
        assert!(!is_rude, "{who}: no answer to a goodbye: {self:?} {link:?}");
        if let Some(within_us) = within_us
            && self.code.map(Expect::Code) == Some(expect)
            && !is_excused
            && link.short_writes == 0
        {
            let took_us = world.now_us - self.opened_us;
            assert!(took_us <= within_us + SLACK_US, "{who}: {expect:?} after {took_us} of {within_us} us");
        }
    }

    /// Whether the server had more output than room for it. A TLS connection treats a short write as a full socket,
    /// and does not retry.
    fn was_full(&self, link: &Link) -> bool {
        link.refused_writes > 0 || self.pipe.is_tls() && link.short_writes > 0
    }

    /// Whether the server may close any client with this code now.
    fn may_close(&self, code: u16, world: &World, now: Circumstances<'_>) -> bool {
        let plan = now.plan;
        let timeouts = &plan.config.timeouts;
        let link = &world.links[self.link];
        let silent_ms = (world.now_us - self.last_said_us) / 1000;
        let is_idle =
            timeouts.idle_ms > 0 && timeouts.ping_interval_ms == 0 && silent_ms + 300 >= timeouts.idle_ms;
        match code {
            3008 => self.was_full(link) || plan.has_small_budget || plan.has_small_memory(),
            3011 | 1013 if plan.has_small_memory() => true,
            // One of the channels that it was to have from the start had no room at its home.
            3004 if plan.may_refuse_channels() => true,
            3504 if plan.history.counts_users => true,
            3012 => self.has_stalled || plan.jumps_far() || is_idle,
            // A part of a message was in transit for that long, on either side.
            1008 => timeouts.message_ms > 0 && (self.has_stalled || plan.jumps_far()),
            3502 => self.has_stalled || plan.jumps_far(),
            _ if code == self.conduct.drain_code() => now.is_draining,
            _ => self.did_exit == Some(Exit::Close(code)) || self.conduct.obeys(code),
        }
    }

    /// Panics when something is outstanding although nothing is under way any more.
    pub(crate) fn check_settled(&self, world: &World, has_room: bool) {
        let link = &world.links[self.link];
        if self.is_over() || self.did_exit.is_some() || link.is_reset || self.code.is_some() {
            return;
        }
        assert!(link.accepted_us.is_some() || !has_room, "{}: not accepted: {link:?}", self.io.who);
        if link.accepted_us.is_none() || self.conduct.expect().0 != Expect::Life {
            return;
        }
        let who = self.io.who;
        assert_eq!(self.phase, ConnectionPhase::Open, "{who}: no answer to the handshake: {self:?} {link:?}");
        let is_all_sent = self.io.out.is_empty() && self.pipe.is_idle();
        assert!(is_all_sent, "{who}: the server does not read: {self:?} {link:?}");
        assert!(self.io.pings.is_empty(), "{who}: no pong: {self:?}");
        self.conduct.check_settled(who);
    }

    /// Panics when it should be over by now: long after `since_us`, by which it had been accepted.
    pub(crate) fn check_overdue(&self, world: &World, since_us: u64) {
        let link = &world.links[self.link];
        // A heartbeat that left in pieces passes for a sign of life: the client took the rest of it.
        let is_new = link.accepted_us.is_none_or(|at_us| at_us > since_us);
        let is_over = self.is_over() || self.did_exit.is_some() || is_new || link.short_writes > 0;
        let (expect, _) = self.conduct.expect();
        assert!(
            is_over || expect == Expect::Life,
            "{}: lives, expected {expect:?}: {self:?} {link:?}",
            self.io.who
        );
    }
}
