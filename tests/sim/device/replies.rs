//! The replies and pushes that a device receives: they change its state, and are checked against the model.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{DeviceCommand, DeviceConduct, SubscriptionState};
use crate::fan::publication_id;
use crate::model::Model;
use crate::streams::channel_of;

impl DeviceConduct {
    pub(super) fn reply(&mut self, reply: &Value, model: &mut Model) {
        let id = reply["id"].as_u64().unwrap() as u32;
        let pending = self.pending.remove(&id).unwrap_or_else(|| panic!("an answer to nothing: {reply}"));
        let code = reply["error"]["code"].as_u64();
        match pending {
            DeviceCommand::Connect => {
                let client = reply["connect"]["client"].as_str().expect("a connection").to_owned();
                self.device.borrow_mut().client = Some(client);
                let none = serde_json::Map::new();
                let subs = reply["connect"]["subs"].as_object().unwrap_or(&none);
                for (name, result) in subs {
                    self.begin(channel_of(name), result, model);
                }
                // Subscriptions that a full home refused.
                if self.plan.history.hooks_connect {
                    for sub in self.device.borrow_mut().subs.values_mut() {
                        let is_on = sub.state == SubscriptionState::On;
                        assert!(
                            is_on || self.plan.may_refuse_channels(),
                            "not subscribed by the server: {reply}"
                        );
                        sub.state = if is_on { SubscriptionState::On } else { SubscriptionState::Off };
                    }
                }
            }
            DeviceCommand::Subscribe(channel) => self.subscribed(channel, code, reply, model),
            DeviceCommand::Unsubscribe(channel) => {
                assert!(reply["unsubscribe"].is_object(), "{reply}");
                let sub = &mut *self.device.borrow_mut();
                let sub = sub.subs.get_mut(&channel).unwrap();
                (sub.state, sub.is_leaving) = (SubscriptionState::Off, false);
            }
            DeviceCommand::Publish(channel) => match code {
                None => model.streams.answered(channel),
                Some(103 | 111) if self.plan.history.hooks_publish => {}
                Some(111) if self.plan.has_small_memory() => {}
                Some(100) if self.plan.memories_fail => {}
                Some(code) => assert!(code == 106 && self.plan.has_small_homes, "{reply}"),
            },
            DeviceCommand::Presence(channel) => self.check_presence(channel, reply, model),
            DeviceCommand::History(channel, asked_us) => self.check_history(channel, asked_us, reply, model),
        }
    }

    fn subscribed(&mut self, channel: u32, code: Option<u64>, reply: &Value, model: &mut Model) {
        let is_leaving = self.device.borrow().subs[&channel].is_leaving;
        if reply["subscribe"]["recoverable"] == true {
            return self.begin(channel, &reply["subscribe"], model);
        }
        // Ended before it began, which looks like a subscription; or refused.
        let history = &self.plan.history;
        let is_right = match code {
            None => is_leaving || history.has_orders,
            Some(100) => self.plan.memories_fail,
            Some(103) => history.hooks_subscribe,
            Some(105) => history.has_orders,
            Some(106) => self.plan.has_small_homes,
            Some(111) => history.hooks_subscribe || history.hooks_publish || self.plan.may_lack_room(),
            Some(_) => false,
        };
        assert!(is_right, "{channel}: {reply}");
        if code.is_some() && code != Some(105) {
            self.device.borrow_mut().subs.get_mut(&channel).unwrap().state = SubscriptionState::Off;
        }
    }

    fn check_presence(&self, channel: u32, reply: &Value, model: &mut Model) {
        let Some(told) = reply["presence"]["presence"].as_object() else {
            return assert!(reply["presence"].is_object() || reply["error"].is_object(), "{reply}");
        };
        if let Some(present) = model.streams.present.get(&channel) {
            let told: BTreeSet<String> = told.keys().cloned().collect();
            if told != *present {
                let difference = format!("the presence of {channel} is {told:?}, not {present:?}");
                model.streams.differences.push(difference);
            }
        }
    }

    fn check_history(&self, channel: u32, asked_us: u64, reply: &Value, model: &mut Model) {
        if reply["error"].is_object() {
            let lacks_room = reply["error"]["code"] == 111 && self.plan.may_lack_room();
            return assert!(self.plan.may_refuse_channels() || lacks_room, "{reply}");
        }
        let epoch = reply["history"]["epoch"].as_str().unwrap_or("");
        let top = reply["history"]["offset"].as_u64().unwrap_or(0);
        let publications = reply["history"]["publications"].as_array().map_or(&[][..], Vec::as_slice);
        // The newest may be cut off by the limit of one request, never any between.
        let first = publications.first().map_or(0, |first| first["offset"].as_u64().unwrap());
        let end = first + publications.len() as u64;
        assert!(publications.is_empty() || end == top + 1 || publications.len() == 300, "{channel}: {reply}");
        model.streams.check_kept(&self.plan, (channel, epoch), first, publications.len(), asked_us);
        for (publication, offset) in publications.iter().zip(first..) {
            assert_eq!(publication["offset"], offset, "a gap in the history of {channel}: {reply}");
            let (_, id) = publication_id(&publication["data"]);
            model.streams.place(channel, epoch, offset, id);
        }
    }

    pub(super) fn push(&mut self, push: &Value, model: &mut Model) {
        if push.get("disconnect").is_some() {
            return;
        }
        let channel = channel_of(push["channel"].as_str().unwrap());
        if let Some(result) = push.get("subscribe") {
            // A command of its own may still be in transit, and will be answered from its own position.
            let asked = {
                let sub = &mut *self.device.borrow_mut();
                let sub = sub.subs.get_mut(&channel).unwrap();
                // The time of the server's request is not known here.
                sub.asked_us = self.opened_us;
                sub.from.take()
            };
            self.begin(channel, result, model);
            let is_asking = self.is_asking(channel);
            self.device.borrow_mut().subs.get_mut(&channel).unwrap().from = asked.filter(|_| is_asking);
            return;
        }
        let device = &mut *self.device.borrow_mut();
        let sub = device.subs.get_mut(&channel).unwrap();
        if push.get("unsubscribe").is_some() {
            sub.state = SubscriptionState::Off;
            return;
        }
        assert_eq!(sub.state, SubscriptionState::On, "not subscribed: {push}");
        if let Some(publication) = push.get("pub") {
            model.streams.hear(sub.place.as_mut().expect("a subscription"), channel, publication);
        } else {
            let is_join = push.get("join").is_some();
            let info = &push[if is_join { "join" } else { "leave" }]["info"];
            let client = info["client"].as_str().expect("a client").to_owned();
            model.streams.memberships += 1;
            sub.told_count += 1;
            let rate = self.plan.config.limits.join_leave_per_second_max as u64;
            // A burst, and the tokens returned since; the home counts whole milliseconds.
            let since_us = model.streams.now_us + 1000 - sub.asked_us;
            assert!(sub.told_count <= rate + rate * since_us / 1_000_000, "too many were told: {push}");
            if sub.told.insert(client.clone(), is_join) == Some(is_join) {
                model.streams.contradict(device.id, (client, channel), is_join, push);
            }
        }
    }
}
