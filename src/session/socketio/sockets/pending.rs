//! CONNECT packets without an answer: the shard is asked who the client is, then the application whether it may connect.
//!
//! Other namespaces of the connection go on meanwhile. Invariant: a packet here is answered, or its connection ends, at
//! the latest after `connect_timeout`. Left out: sockets that the application has admitted ([`super::connecting`]).

use super::rates::Buckets;
use super::*;
use crate::hub::words::{Claim, Dismissed};
use crate::session::socketio::admin::Visit;
use crate::session::socketio::events::Admit;
use crate::session::socketio::identity::{Admission, Identity, SocketRefusal, token_of};

/// Maximum of bytes of `auth` that wait in one connection.
pub(super) const AUTH_BYTES_MAX: usize = 256 << 10;

/// A CONNECT packet without an answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) namespace: Box<str>,
    pub(super) auth: Option<Box<str>>,
    /// The number of the question.
    pub(super) id: u32,
    /// The number that the socket will have.
    pub(super) number: u8,
    /// End of the time for the answer, in milliseconds of the shard's clock.
    pub(super) until_ms: u64,
    /// The knowledge about the client.
    pub(super) admission: Admission,
}

/// The packets of a connection, its rates, and its admin page. In a box, since most connections have none at most times.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) list: Vec<Pending>,
    /// The number of the last question.
    pub(super) last_id: u32,
    /// Whether an answer may come for a packet that waits no longer, so that numbers must not return.
    is_answer_due: bool,
    /// The connection's rates, where there are some.
    pub(super) buckets: Option<Box<Buckets>>,
    /// The connection's part in the namespace of the admin page, if it has asked for that.
    pub(super) visit: Option<Box<Visit>>,
}

impl Pending {
    pub(super) fn held_bytes(&self) -> usize {
        let rooms: usize = self.admission.rooms.iter().map(String::len).sum();
        let identity = self.admission.identity.bytes();
        size_of::<Self>()
            + self.namespace.len()
            + self.auth.as_ref().map_or(0, |auth| auth.len())
            + rooms
            + self.admission.effects.len()
            + identity
    }
}

impl<S> Sockets<S> {
    /// Whether the shard must say who the client is, before the application is asked.
    pub(super) fn is_asked<H: Handler<State = S>>(handler: &H, cx: &Context<'_>) -> bool {
        let rules = cx.settings.claims;
        rules.identifies || rules.are_limited || !handler.serves_sockets()
    }

    /// Asks the shard who the client is.
    ///
    /// # Errors
    /// When more is waiting than a connection may have.
    pub(super) fn claim<H: Handler<State = S>>(
        &mut self,
        namespace: &str,
        auth: Option<&str>,
        handler: &H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let auth_bytes = |one: &Pending| one.auth.as_ref().map_or(0, |auth| auth.len());
        let held: usize = self.pending().iter().map(auth_bytes).sum();
        if held + auth.map_or(0, str::len) > AUTH_BYTES_MAX {
            return Err(CloseReason::Dismissed(Dismissed::TooMany));
        }
        let id = self.next_question();
        let is_further = self.next_number > 0;
        let number = self.free_number(namespace);
        self.next_number = number.wrapping_add(1).max(1);
        let opening = self.opening.as_deref();
        let mut token = auth.map_or_else(String::new, token_of);
        if let Some(opening) = opening.filter(|_| token.is_empty()) {
            token.push_str(&opening.token);
        }
        let claim = Claim {
            token,
            data: auth.unwrap_or_default().to_owned(),
            group: namespace.into(),
            id: SocketId::new(cx.client, number).as_str().into(),
            query: opening.map_or_else(Box::default, |opening| opening.query.clone()),
            request_headers: opening.map_or_else(Vec::new, |opening| opening.headers.to_vec()),
            is_open: !cx.settings.claims.identifies && handler.serves_sockets(),
            is_further,
        };
        let newcomer = Newcomer { namespace, auth, number, is_new: false };
        self.put_pending(id, newcomer, Admission::default(), cx);
        cx.actions.push(Action::Ask { id, ask: Ask::Claim(Box::new(claim)) });
        Ok(())
    }

    /// The number of the next question about a client.
    pub(super) fn next_question(&self) -> u32 {
        let last_id = self.waiting.as_ref().map_or(0, |waiting| waiting.last_id);
        last_id.wrapping_add(1) & ID_MAX
    }

    /// Keeps the number of a question, to which an answer may come that nobody waits for.
    pub(super) fn skip_question(&mut self, id: u32) {
        let waiting = self.waiting.get_or_insert_default();
        (waiting.last_id, waiting.is_answer_due) = (id, true);
    }

    fn put_pending(&mut self, id: u32, newcomer: Newcomer<'_>, admission: Admission, cx: &mut Context<'_>) {
        let Newcomer { namespace, auth, number, .. } = newcomer;
        let until_ms = cx.now_ms.saturating_add(cx.settings.socketio.connect_timeout_ms);
        let (namespace, auth) = (namespace.into(), auth.map(Into::into));
        let pending = Pending { namespace, auth, id, number, until_ms, admission };
        let waiting = self.waiting.get_or_insert_default();
        waiting.last_id = id;
        waiting.list.push(pending);
        cx.actions.push(Action::SetTimer { at_ms: until_ms });
    }

    /// Waits for the application's late answer about a client.
    pub(super) fn await_decision(
        &mut self,
        id: u32,
        newcomer: Newcomer<'_>,
        admission: Admission,
        cx: &mut Context<'_>,
    ) {
        if newcomer.is_new {
            self.next_number = newcomer.number.wrapping_add(1).max(1);
        }
        // Its `auth` was read.
        self.put_pending(id, Newcomer { auth: None, ..newcomer }, admission, cx);
    }

    /// Takes the application's late answer; `None`: there will be none.
    ///
    /// # Errors
    /// The reason for which the connection ends.
    pub(in crate::session) fn answered_late(
        &mut self,
        id: u32,
        admit: Option<Admit<S>>,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        // The client may have left meanwhile.
        let Some(known) = self.take_pending(|one| one.id == id) else { return Ok(()) };
        self.trim_pending();
        let Some(admit) = admit else {
            self.release(&known.admission.identity, cx);
            return Err(CloseReason::Dismissed(Dismissed::Internal));
        };
        let Pending { namespace, number, admission, .. } = known;
        let newcomer = Newcomer { namespace: &namespace, auth: None, number, is_new: false };
        self.decided(newcomer, admission, admit, cx)
    }

    pub(super) fn pending(&self) -> &[Pending] {
        self.waiting.as_ref().map_or(&[], |waiting| &waiting.list)
    }

    /// Whether the CONNECT for this namespace has no answer yet.
    pub(super) fn is_pending(&self, namespace: &str) -> bool {
        self.pending().iter().any(|one| *one.namespace == *namespace)
    }

    /// The time at which the first packet must have an answer.
    pub(super) fn pending_until_ms(&self) -> u64 {
        self.pending().iter().map(|one| one.until_ms).min().unwrap_or(u64::MAX)
    }

    pub(super) fn take_pending(&mut self, is_it: impl Fn(&Pending) -> bool) -> Option<Pending> {
        let list = &mut self.waiting.as_mut()?.list;
        let at = list.iter().position(is_it)?;
        Some(list.remove(at))
    }

    /// Drops the box once nothing waits.
    pub(super) fn trim_pending(&mut self) {
        let Some(waiting) = self.waiting.as_mut().filter(|waiting| waiting.list.is_empty()) else { return };
        waiting.list = Vec::new();
        if !waiting.is_answer_due && waiting.buckets.is_none() && waiting.visit.is_none() {
            self.waiting = None;
        }
    }

    /// Removes a packet whose question has no answer yet.
    fn withdraw_pending(&mut self, is_it: impl Fn(&Pending) -> bool) -> Option<Pending> {
        let withdrawn = self.take_pending(is_it)?;
        if let Some(waiting) = &mut self.waiting {
            waiting.is_answer_due = true;
        }
        Some(withdrawn)
    }

    /// Forgets a CONNECT whose client has left the namespace since.
    pub(super) fn withdraw(&mut self, namespace: &str, cx: &mut Context<'_>) {
        if let Some(gone) = self.withdraw_pending(|one| *one.namespace == *namespace) {
            self.release(&gone.admission.identity, cx);
            self.trim_pending();
        }
    }

    /// The knowledge about the client with this question; `None` when its packet waits no longer.
    pub(in crate::session) fn claimant(&mut self, id: u32) -> Option<&mut Admission> {
        let list = &mut self.waiting.as_mut()?.list;
        list.iter_mut().find(|one| one.id == id).map(|one| &mut one.admission)
    }

    /// Asks the application about a client that is identified.
    pub(in crate::session) fn identified<H: Handler<State = S>>(
        &mut self,
        id: u32,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let Some(known) = self.take_pending(|one| one.id == id) else { return Ok(()) };
        self.trim_pending();
        let Pending { namespace, auth, number, admission, .. } = known;
        let newcomer = Newcomer { namespace: &namespace, auth: auth.as_deref(), number, is_new: false };
        self.decide(newcomer, admission, handler, cx)
    }

    /// Refuses a client as the shard decided.
    pub(in crate::session) fn refused(&mut self, id: u32, refusal: &SocketRefusal<'_>, cx: &mut Context<'_>) {
        if let Some(refused) = self.take_pending(|one| one.id == id) {
            self.turn_away(&refused, refusal, cx);
        }
    }

    /// Refuses the clients of a user whose packets have no answer yet.
    pub(super) fn refuse_pending_of(
        &mut self,
        user: &str,
        refusal: &SocketRefusal<'_>,
        cx: &mut Context<'_>,
    ) {
        let is_known = |one: &Pending| !user.is_empty() && *one.admission.identity.user == *user;
        while let Some(refused) = self.withdraw_pending(is_known) {
            self.turn_away(&refused, refusal, cx);
        }
    }

    fn turn_away(&mut self, refused: &Pending, refusal: &SocketRefusal<'_>, cx: &mut Context<'_>) {
        self.release(&refused.admission.identity, cx);
        self.trim_pending();
        self.refuse_by(&refused.namespace, refusal, cx);
    }

    /// Answers CONNECT by an error with its code, or with the application's data.
    pub(super) fn refuse_by(&self, namespace: &str, refusal: &SocketRefusal<'_>, cx: &mut Context<'_>) {
        let own = format!("{{\"code\":{}}}", refusal.code);
        let data = std::str::from_utf8(refusal.data).ok().filter(|data| !data.is_empty());
        self.refuse(namespace, refusal.message, Some(data.unwrap_or(&own)), cx);
    }

    /// Tells the shard that a user has one connection less, if no other socket of this one has the user.
    pub(super) fn release(&mut self, gone: &Identity, cx: &mut Context<'_>) {
        if gone.is_counted && !self.identities().any(|identity| identity.user == gone.user) {
            cx.actions.push(Action::UserLeft { user: (&*gone.user).into() });
        }
    }

    /// The identities of all sockets, also of those whose packet has no answer yet.
    pub(in crate::session) fn identities(&self) -> impl Iterator<Item = &Identity> {
        let pending = self.pending().iter().map(|one| &one.admission.identity);
        self.list.iter().filter_map(Entry::identity).chain(pending)
    }
}

/// Numbers of questions: the shard marks some by higher bits.
const ID_MAX: u32 = (1 << 29) - 1;
