//! Events from outside the shards: the server API's publications and orders, by letters.

use std::sync::Arc;

use throng::parts::base::budget::Budget;
use throng::parts::base::shared::Shared;
use throng::parts::hub::home::{Answer, Terms};
use throng::parts::hub::{DataKind, Publication, home_of};
use throng::parts::shard::mailbox::{Asker, Deed, Letter, Order, Target};
use throng::parts::shard::outside::Grant;

use super::Run;
use crate::late::Memories;
use crate::plan::Plan;
use crate::rng::{Rng, mix};
use crate::streams::{FIRST, SERVER, name};
use crate::world::fingerprint;

impl Run {
    /// A run in which the memories of homes may answer later.
    pub(crate) fn late(seed: u64) -> Self {
        let mut plan = Plan::new(seed);
        let mut rng = Rng::new(seed ^ 0x006c_6174_6572);
        let memories = Memories::new(plan.shards, &mut rng);
        plan.memories_fail = memories.fail();
        Self::with_memories(seed, plan, Some((memories, rng)))
    }

    /// The server's API, and hooks that answer.
    pub(super) fn speak_from_outside(&mut self) -> bool {
        let mut progress = !self.oracle.is_idle();
        while progress
            && self.rng.chance(40)
            && let Some((shard, letter)) = self.oracle.answer(&mut self.rng)
        {
            self.model.streams.verdicts += 1;
            self.mailboxes[usize::from(shard)].put(&mut vec![letter]);
        }
        progress |= self.memories_answer();
        for (channel, number, answer) in self.api_answers.lock().unwrap().drain(..) {
            match answer {
                Answer::Published(position) => {
                    let place = fingerprint(position.epoch.as_bytes()) ^ mix(position.offset);
                    self.world.borrow_mut().note("answer", channel as usize, place ^ u64::from(number));
                    let streams = &mut self.model.streams;
                    streams.answered(channel);
                    streams.place(channel, &position.epoch, position.offset, (SERVER, number));
                }
                answer @ (Answer::Presence(_)
                | Answer::PresenceStats { .. }
                | Answer::History { .. }
                | Answer::Removed
                | Answer::Channels(_)
                | Answer::Users(_)
                | Answer::Gathered(_)
                | Answer::Refused(_)) => {
                    self.world.borrow_mut().note("no answer", channel as usize, u64::from(number));
                    assert!(self.plan.may_refuse_channels(), "{answer:?}");
                }
            }
        }
        if self.is_calm || self.now_us() < self.api_us {
            return progress;
        }
        self.api_us = self.now_us() + 1 + self.rng.range(0..=2 * self.plan.pace_us);
        progress = true;
        if self.plan.history.has_orders && self.rng.chance(20) {
            self.order()
        } else {
            self.publish()
        }
        progress
    }

    /// Releases some answers of memories that answer later.
    fn memories_answer(&mut self) -> bool {
        let Some((memories, rng)) = &mut self.memories else { return false };
        let is_busy = !memories.is_idle();
        while rng.chance(70) && !memories.is_idle() {
            if let Some((shard, letter)) = memories.answer(rng) {
                let is_failure = matches!(&letter, Letter::Memory { answer, .. } if answer.is_err());
                self.model.streams.late += 1;
                self.model.streams.late_failures += u64::from(is_failure);
                self.mailboxes[usize::from(shard)].put(&mut vec![letter]);
            }
        }
        is_busy
    }

    fn publish(&mut self) {
        let channel = FIRST + self.rng.range(0..=u64::from(self.plan.history.channels) - 1) as u32;
        let number = self.model.streams.publish(SERVER, channel);
        let (name, options) = (name(channel), &self.plan.config.namespaces);
        let options = Arc::clone(options.resolve(&name).unwrap());
        let data = format!(r#"{{"in":{channel},"by":{SERVER},"number":{number}}}"#);
        let data = Shared::new(data.into_bytes(), &Budget::new(1 << 30));
        let answers = Arc::clone(&self.api_answers);
        let reply = move |answer| answers.lock().unwrap().push((channel, number, answer));
        let home = home_of(&name, self.seed.into(), self.plan.shards);
        let letter = Letter::Publish {
            publication: Box::new(Publication::new(name.into(), DataKind::Json, data)),
            options,
            terms: Terms::default(),
            from: None,
            asker: Some(Asker::Outside(Box::new(reply))),
        };
        self.mailboxes[usize::from(home)].put(&mut vec![letter]);
    }

    fn order(&mut self) {
        let at = self.rng.size(0..=self.devices.len() - 1);
        let device = self.devices[at].borrow();
        let Some(client) = device.client() else { return };
        let target = Target { client: client.to_owned(), ..Target::default() };
        let number = self.rng.pick(&device.channels());
        let channel: Arc<str> = name(number).into();
        let deed = match self.rng.range(0..=2) {
            0 => Deed::Disconnect { code: 3011, reason: "again".to_owned(), spared: Vec::new() },
            1 => Deed::Unsubscribe { channel, code: 2500, reason: "again".to_owned() },
            _ => {
                let ordered = &mut self.model.streams.subscribe_orders;
                *ordered.entry((client.to_owned(), number)).or_default() += 1;
                let options = Arc::clone(self.plan.config.namespaces.resolve(&channel).unwrap());
                Deed::Subscribe { channel, options, grant: Box::<Grant>::default() }
            }
        };
        self.model.streams.orders += 1;
        let order = Arc::new(Order::new(target, deed));
        for mailbox in self.mailboxes.iter() {
            mailbox.put(&mut vec![Letter::Order(Arc::clone(&order))]);
        }
    }
}
