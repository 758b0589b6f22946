//! Execution of a home's requests: the memory is asked, and its answer completes the request.
//!
//! Invariant: requests to one channel are executed in the order in which they were made; see
//! [`super::super::waiting`].

use std::sync::Arc;

use super::{Answer, Asker, Done, Home, Joined, Joining, Member, Now, Published, Refused, Shards, Terms};
use crate::base::heap;
use crate::hub::Publication;
use crate::hub::memory::{Appended, Brought, Read, Response, Wanted};
use crate::hub::once::Digest;
use crate::hub::options::ChannelOptions;
use crate::hub::order::recovered;
use crate::hub::waiting::{self, Entry, State, Work};

/// Progress of the memory's part of a request.
pub(super) enum Start {
    /// It is done.
    Answered(waiting::FromMemory),
    /// Its answer comes under this number.
    Asked(u64),
    /// The channel's stream comes under this number; the memory was not asked yet.
    Opening(u64),
}

/// Whether a subscriber needs data of the stream.
fn asks(joining: &Joining) -> bool {
    joining.wants_position || joining.recover.is_some()
}

/// Allows a delta where it is wanted and the options permit it.
fn set_delta(publication: &mut Publication, options: &ChannelOptions) {
    publication.is_delta = (publication.is_delta || options.delta_publish) && options.allows_fossil_delta;
}

impl Start {
    fn of<T>(reply: Response<T>, brought: impl FnOnce(T) -> Brought) -> Self {
        match reply {
            Response::Now(answer) => Self::Answered(Some(answer.map(brought))),
            Response::Later(number) => Self::Asked(number),
        }
    }
}

impl<A: Asker> Home<A> {
    /// Closes a channel without subscribers, waiting entries or a stream; a remaining stream becomes unattended.
    pub(super) fn let_go(&mut self, now: Now, id: u32) {
        let home = &self.channels[id as usize];
        if !home.audience.crowd.is_empty() || self.waiting.holds(id) {
            return;
        }
        match home.line.stream {
            Some(stream) => self.order.memory.attend(stream, now, false),
            None => self.close(id),
        }
    }

    pub(super) fn count_publication(&mut self, channel: &str) {
        if let Some(tally) = &mut self.tally {
            tally.of(channel).publications.add(1);
        }
    }

    /// Executes a request: at once, or in its turn behind waiting ones.
    pub(super) fn take_up(
        &mut self,
        now: Now,
        id: u32,
        mut work: Work,
        from: Option<Member>,
        asker: Option<A>,
    ) -> Option<Done<A>> {
        let waits = self.waiting.holds(id);
        let start = if self.waiting.is_full() && (waits || !self.order.memory.is_prompt()) {
            Start::Answered(Some(Err(Refused::TooManyWaiting)))
        } else if waits {
            self.put_behind(now, id, Entry { work, from, asker, state: State::Idle });
            return None;
        } else {
            self.start(now, id, &mut work, asker.as_ref())
        };
        let state = match start {
            Start::Answered(answer) => {
                let is_refused = matches!(answer, Some(Err(_)));
                let done = self.finish(now, id, work, asker, answer);
                if is_refused {
                    self.let_go(now, id);
                }
                return done;
            }
            Start::Asked(number) => State::Asked(number),
            Start::Opening(number) => {
                self.waiting.open(id, number);
                State::Idle
            }
        };
        self.put_first(now, id, Entry { work, from, asker, state });
        None
    }

    /// The common path of publications: no request waits, the stream exists and the memory answers at once. Returns
    /// the publication in any other case.
    #[inline]
    pub(super) fn publish_now(
        &mut self,
        now: Now,
        id: u32,
        mut publication: Box<Publication>,
        (options, terms): (&ChannelOptions, &Terms),
        (digest, keeps): (Option<Digest>, bool),
    ) -> Result<Result<Published, Refused>, Box<Publication>> {
        let stream = self.channels[id as usize].line.stream;
        if self.waiting.holds(id) || !self.order.memory.is_prompt() {
            return Err(publication);
        }
        set_delta(&mut publication, options);
        let appended = match stream {
            Some(stream) if keeps => {
                match self.order.memory.append(stream, now, &publication, options, terms) {
                    Response::Now(Ok(appended)) => Some(appended),
                    Response::Now(Err(refused)) => return Ok(Err(refused)),
                    // A memory that answers later was excluded above.
                    Response::Later(_) => return Ok(Err(Refused::Unavailable)),
                }
            }
            Some(stream) => {
                self.order.memory.bypass(stream);
                None
            }
            None if keeps => return Err(publication),
            None => None,
        };
        Ok(Ok(self.send_out(now, id, publication, digest, appended)))
    }

    /// The common path of subscribers, as for publications. `None` in any other case.
    #[inline]
    pub(super) fn subscribe_now(
        &mut self,
        now: Now,
        id: u32,
        (options, joining): (&ChannelOptions, &Joining),
        asker: &A,
    ) -> Option<Result<Joined, Refused>> {
        if self.waiting.holds(id) || !self.order.memory.is_prompt() {
            return None;
        }
        let mut read = None;
        if options.keeps_history() && asks(joining) {
            let stream = self.channels[id as usize].line.stream?;
            let passes = |one: &Publication| asker.wants(one);
            match self.order.read_for(stream, now, options, (joining, self.limits.recovery_max), &passes) {
                Response::Now(Ok(found)) => read = Some(found),
                Response::Now(Err(refused)) => return Some(Err(refused)),
                // A memory that answers later was excluded above.
                Response::Later(_) => return Some(Err(Refused::Unavailable)),
            }
        } else {
            self.touch(now, id, options);
        }
        Some(Ok(self.join(now, id, (options, joining), read, asker)))
    }

    /// Marks a channel's stream as used, if it has one.
    fn touch(&mut self, now: Now, id: u32, options: &ChannelOptions) {
        if let Some(stream) = self.channels[id as usize].line.stream
            && options.keeps_history()
        {
            self.order.memory.touch(stream, now, options);
        }
    }

    /// The channel's stream, or the number under which it comes.
    fn stream(&mut self, now: Now, id: u32, options: &ChannelOptions) -> Result<u32, Start> {
        let home = &mut self.channels[id as usize];
        if let Some(stream) = home.line.stream {
            return Ok(stream);
        }
        match self.order.memory.open(now, id, &home.name, options) {
            Response::Now(Ok(stream)) => {
                self.order.memory.attend(stream, now, !home.audience.crowd.is_empty());
                home.line.stream = Some(stream);
                Ok(stream)
            }
            Response::Now(Err(refused)) => Err(Start::Answered(Some(Err(refused)))),
            Response::Later(number) => Err(Start::Opening(number)),
        }
    }

    /// Asks the memory for the data that a request needs.
    pub(super) fn start(&mut self, now: Now, id: u32, work: &mut Work, asker: Option<&A>) -> Start {
        let stream = self.channels[id as usize].line.stream;
        match work {
            Work::Subscribe { options, joining, .. } => {
                if !options.keeps_history() || !asks(joining) {
                    self.touch(now, id, options);
                    return Start::Answered(None);
                }
                let stream = match self.stream(now, id, options) {
                    Ok(stream) => stream,
                    Err(start) => return start,
                };
                let passes = |one: &Publication| asker.is_none_or(|asker| asker.wants(one));
                let joining = (&**joining, self.limits.recovery_max);
                let read = self.order.read_for(stream, now, options, joining, &passes);
                Start::of(read, Brought::Read)
            }
            Work::Publish { publication, options, terms, keeps, .. } => {
                set_delta(publication, options);
                if *keeps {
                    let stream = match self.stream(now, id, options) {
                        Ok(stream) => stream,
                        Err(start) => return start,
                    };
                    let appended = self.order.memory.append(stream, now, publication, options, terms);
                    return Start::of(appended, Brought::Appended);
                }
                if let Some(stream) = stream {
                    self.order.memory.bypass(stream);
                }
                Start::Answered(None)
            }
            Work::Read { options, filter } => match self.stream(now, id, options) {
                Ok(stream) => {
                    let wanted = Wanted::Filtered(filter);
                    Start::of(self.order.memory.read(stream, now, options, &wanted), Brought::Read)
                }
                Err(start) => start,
            },
            Work::Clear => match stream {
                Some(stream) => Start::of(self.order.memory.clear(stream), |()| Brought::Cleared),
                None => Start::Answered(None),
            },
        }
    }

    /// Completes a request with the memory's answer.
    pub(super) fn finish(
        &mut self,
        now: Now,
        id: u32,
        work: Work,
        asker: Option<A>,
        answer: waiting::FromMemory,
    ) -> Option<Done<A>> {
        let answer = answer.transpose();
        match work {
            Work::Subscribe { channel, options, joining } => {
                let asker = asker?;
                let read = answer.map(|brought| match brought {
                    Some(Brought::Read(read)) => Some(read),
                    Some(Brought::Opened(_) | Brought::Appended(_) | Brought::Cleared) | None => None,
                });
                let outcome =
                    read.map(|read| Box::new(self.join(now, id, (&options, &joining), read, &asker)));
                Some(Done::Subscribed { channel, asker, outcome })
            }
            Work::Publish { publication, digest, .. } => {
                let appended = answer.map(|brought| match brought {
                    Some(Brought::Appended(appended)) => Some(appended),
                    Some(Brought::Opened(_) | Brought::Read(_) | Brought::Cleared) | None => None,
                });
                let outcome = appended.map(|appended| self.send_out(now, id, publication, digest, appended));
                Some(Done::Published { asker, outcome })
            }
            Work::Read { .. } => {
                let answer = match answer {
                    Ok(Some(Brought::Read(Read { publications, position, .. }))) => {
                        Answer::History { publications, position }
                    }
                    Ok(Some(Brought::Opened(_) | Brought::Appended(_) | Brought::Cleared) | None) => {
                        Answer::Refused(Refused::Unavailable)
                    }
                    Err(refused) => Answer::Refused(refused),
                };
                Some(Done::Answered { asker: asker?, answer })
            }
            Work::Clear => {
                let answer = answer.map_or_else(Answer::Refused, |_| Answer::Removed);
                Some(Done::Answered { asker: asker?, answer })
            }
        }
    }

    /// Counts a subscriber, unless it is counted already: it receives every item sent from here on.
    fn join(
        &mut self,
        now: Now,
        id: u32,
        (options, joining): (&ChannelOptions, &Joining),
        read: Option<Read>,
        asker: &A,
    ) -> Joined {
        let mut joined = Joined { seq: self.order.seq, ..Joined::default() };
        if let Some(mut read) = read {
            if let Some(from) = &joining.recover {
                (joined.recovered, joined.publications) =
                    recovered(&mut read, options, from, |one| asker.wants(one));
            }
            joined.position = Some(read.position);
        }
        if joining.renews {
            return joined;
        }
        self.count_in(now, id, (options, joining));
        joined
    }

    /// Counts one more subscriber of a channel.
    pub(in crate::hub) fn count_in(
        &mut self,
        now: Now,
        id: u32,
        (options, joining): (&ChannelOptions, &Joining),
    ) {
        let home = &mut self.channels[id as usize];
        if let Some(stream) = home.line.stream {
            self.order.memory.attend(stream, now, true);
        }
        if let Some(counters) = &home.counters {
            counters.subscriptions.add(1);
        }
        if home.audience.crowd.is_empty() {
            self.name_bytes -= heap::arc(home.name.len());
            self.occupied_count += 1;
            if let Some(counters) = &home.counters {
                counters.channels.add(1);
            }
        }
        self.spread.enter(now, (id, &home.name), &mut home.audience, (joining, options));
    }

    /// Numbers a publication that the memory has kept, or that is not to be kept.
    fn send_out(
        &mut self,
        now: Now,
        id: u32,
        mut publication: Box<Publication>,
        digest: Option<Digest>,
        appended: Option<Appended>,
    ) -> Published {
        self.count_publication(&publication.channel);
        // A version that is not newer is not published, so its key is not stored.
        if let Some(Appended::Known(position)) = appended {
            return Published { position, delivery: None };
        }
        let position = self.order.number(&mut publication, appended);
        self.order.remember(now, digest, &position);
        let shards = self.channels[id as usize].audience.crowd.shards();
        let delivery = self.delivery(publication, shards);
        Published { position, delivery }
    }

    /// The delivery of a publication. Without subscribers there is one for sockets that are away, which may get the
    /// publication when they return.
    pub(super) fn delivery(
        &self,
        publication: Box<Publication>,
        shards: Shards,
    ) -> Option<(Arc<Publication>, Shards)> {
        let is_for_return = self.keeper.is_some() && !publication.is_emitted;
        (is_for_return || !shards.is_empty()).then(|| (Arc::from(publication), shards))
    }
}
