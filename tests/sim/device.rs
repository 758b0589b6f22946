//! Clients that outlive their connections: they drop at any time, reconnect, possibly to another shard, and recover
//! from their positions in each of their channels.
//!
//! A [`Device`] is the state of such a client; a [`DeviceConduct`] is its conduct on one connection. `replies` checks
//! the answers.

mod replies;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::conduct::{Conduct, Io};
use crate::fan::{PATH, publication};
use crate::model::Model;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::streams::{FIRST, HeldSubscription, Place, name};
use crate::wire::{self, Frame, TEXT};

/// Maximum of waiting commands when another one is sent before the connect reply.
const EARLY_MAX: usize = 30;

/// How far a subscription has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SubscriptionState {
    #[default]
    Off,
    /// Requested; the reply is pending.
    Asked,
    On,
}

#[derive(Debug, Default)]
struct Sub {
    state: SubscriptionState,
    /// Ended, but that is not answered yet.
    is_leaving: bool,
    place: Option<Place>,
    /// The position that it asked to recover from.
    from: Option<Place>,
    /// Time of the request, and time at which the subscription was known to exist.
    asked_us: u64,
    began: u64,
    told: BTreeMap<String, bool>,
    /// Number of joins and leaves that it received.
    told_count: u64,
}

/// A client's state between connections: its channels, and its position in each.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) id: u32,
    subs: BTreeMap<u32, Sub>,
    /// The connection's id, while there is one.
    client: Option<String>,
    /// Between two connections.
    pub(crate) is_away: bool,
    /// When it comes again.
    pub(crate) comes_us: Option<u64>,
    /// Connections that it began since the storm.
    pub(crate) failures: u32,
    /// When its connection was opened, on the model's clock.
    came: u64,
}

pub(crate) type SharedDevice = Rc<RefCell<Device>>;

impl Device {
    pub(crate) fn new(id: u32, rng: &mut Rng, plan: &Plan) -> Self {
        let most = plan.config.limits.channels_per_connection_max;
        let mut channels: Vec<u32> = (FIRST..FIRST + plan.history.channels).collect();
        rng.shuffle(&mut channels);
        channels.truncate(most);
        let subs = channels.into_iter().map(|channel| (channel, Sub::default())).collect();
        Self { id, subs, client: None, is_away: true, comes_us: None, failures: 0, came: 0 }
    }

    /// The connection's id, while there is one.
    pub(crate) fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// The channels that it wants.
    pub(crate) fn channels(&self) -> Vec<u32> {
        self.subs.keys().copied().collect()
    }

    /// The subscriptions that hold.
    pub(crate) fn held(&self) -> impl Iterator<Item = HeldSubscription<'_>> {
        let on =
            self.subs.iter().filter(|(_, sub)| self.client.is_some() && sub.state == SubscriptionState::On);
        on.map(|(&channel, sub)| HeldSubscription {
            client: self.client.as_deref().unwrap(),
            channel,
            place: sub.place.as_ref().unwrap(),
            came: self.came,
            began: sub.began,
            told: &sub.told,
        })
    }
}

#[derive(Debug)]
enum DeviceCommand {
    Connect,
    Subscribe(u32),
    Unsubscribe(u32),
    Publish(u32),
    Presence(u32),
    /// And when it was asked.
    History(u32, u64),
}

/// How a device behaves on one connection.
#[derive(Debug)]
pub(crate) struct DeviceConduct {
    device: SharedDevice,
    plan: Rc<Plan>,
    pending: BTreeMap<u32, DeviceCommand>,
    next_id: u32,
    was_opened: bool,
    opened_us: u64,
    now_us: u64,
}

impl DeviceConduct {
    pub(crate) fn new(device: SharedDevice, plan: Rc<Plan>, who: u32) -> Self {
        device.borrow_mut().is_away = false;
        Self {
            device,
            plan,
            pending: BTreeMap::new(),
            next_id: 1 + who * 100_000,
            was_opened: false,
            opened_us: 0,
            now_us: 0,
        }
    }

    fn id(&mut self, pending: DeviceCommand) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id, pending);
        id
    }

    fn is_asking(&self, channel: u32) -> bool {
        self.pending.values().any(|one| matches!(one, DeviceCommand::Subscribe(of) if *of == channel))
    }

    fn subscribe(&mut self, channel: u32, recovers: bool) -> Value {
        let mut command = json!({"channel": name(channel)});
        let is_asking = self.is_asking(channel);
        {
            let device = &mut *self.device.borrow_mut();
            let sub = device.subs.get_mut(&channel).unwrap();
            (sub.state, sub.from) = (SubscriptionState::Asked, None);
            sub.asked_us = if is_asking { sub.asked_us } else { self.now_us };
            if let (true, Some((epoch, offset))) = (recovers, &sub.place) {
                command["recover"] = true.into();
                command["epoch"] = epoch.as_str().into();
                command["offset"] = (*offset).into();
                sub.from = sub.place.clone();
            }
        }
        json!({"id": self.id(DeviceCommand::Subscribe(channel)), "subscribe": command})
    }

    /// The connect command, with the positions of its server-side subscriptions.
    fn connect(&mut self) -> Value {
        let channels = self.device.borrow().channels();
        let names: Vec<String> = channels.iter().map(|&channel| name(channel)).collect();
        let mut subs = json!({});
        if self.plan.history.hooks_connect {
            for &channel in &channels {
                let command = self.subscribe(channel, true);
                self.pending.pop_last();
                subs[name(channel)] = command["subscribe"].clone();
            }
        }
        let id = self.id(DeviceCommand::Connect);
        json!({"id": id, "connect": {"name": format!("subs {}", names.join(",")), "subs": subs}})
    }

    /// A subscription began, with this result.
    fn begin(&mut self, channel: u32, result: &Value, model: &mut Model) {
        let device = &mut *self.device.borrow_mut();
        let sub = device.subs.get_mut(&channel).unwrap();
        assert!(result["recoverable"] == true && result["positioned"] == true, "{result}");
        let offset = result["offset"].as_u64().unwrap_or(0);
        let epoch = result["epoch"].as_str().expect("an epoch").to_owned();
        let publications = result["publications"].as_array().map_or(&[][..], Vec::as_slice);
        let top = offset + publications.len() as u64;
        match sub.from.take() {
            Some(from) => {
                assert!(result["was_recovering"] == true, "{result}");
                assert!(epoch != from.0 || top >= from.1, "{channel} fell behind {from:?}: {result}");
                if result["recovered"] == true {
                    let count = publications.len();
                    assert!(count <= self.plan.history.recovery_max, "{channel}: {result}");
                    model.streams.check_kept(&self.plan, (channel, &epoch), offset + 1, count, sub.asked_us);
                    model.streams.recovered += 1;
                    model.streams.caught_up += publications.len() as u64;
                    assert_eq!((&from.0, from.1), (&epoch, offset), "{channel}: {result}");
                } else {
                    assert!(publications.is_empty(), "{channel}: {result}");
                    model.streams.check_unrecovered(&self.plan, &from, &(epoch.clone(), offset));
                }
            }
            None => assert!(publications.is_empty() && result["recovered"] != true, "{channel}: {result}"),
        }
        sub.place = Some((epoch, offset));
        for publication in publications {
            model.streams.hear(sub.place.as_mut().expect("a subscription"), channel, publication);
        }
        (sub.state, sub.began) = (SubscriptionState::On, model.streams.tick());
        model.streams.present.clear();
        sub.told_count = 0;
        sub.told.clear();
    }

    fn command(&mut self, io: &mut Io, model: &mut Model) -> Option<Value> {
        let channels = self.device.borrow().channels();
        let channel = io.rng.pick(&channels);
        let (state, is_leaving) = {
            let device = self.device.borrow();
            (device.subs[&channel].state, device.subs[&channel].is_leaving)
        };
        Some(match io.rng.range(0..=99) {
            0..60 => self.publish(channel, io, model),
            60..70 if state != SubscriptionState::Off && !is_leaving => {
                self.device.borrow_mut().subs.get_mut(&channel).unwrap().is_leaving = true;
                json!({"id": self.id(DeviceCommand::Unsubscribe(channel)), "unsubscribe": {"channel": name(channel)}})
            }
            70..90 if state == SubscriptionState::Off && !is_leaving => {
                let recovers = io.rng.chance(85);
                self.subscribe(channel, recovers)
            }
            90..94 if state == SubscriptionState::On => {
                json!({"id": self.id(DeviceCommand::Presence(channel)), "presence": {"channel": name(channel)}})
            }
            94.. => self.history(channel),
            _ => return None,
        })
    }

    fn publish(&mut self, channel: u32, io: &mut Io, model: &mut Model) -> Value {
        let by = 1000 + self.device.borrow().id;
        let number = model.streams.publish(by, channel);
        let data = publication(channel, by, number, self.plan.history.pad_bytes_max, io);
        let data: Value = serde_json::from_str(&data).unwrap();
        let id = self.id(DeviceCommand::Publish(channel));
        json!({"id": id, "publish": {"channel": name(channel), "data": data}})
    }

    fn history(&mut self, channel: u32) -> Value {
        let id = self.id(DeviceCommand::History(channel, self.now_us));
        json!({"id": id, "history": {"channel": name(channel), "limit": -1}})
    }
}

impl Conduct for DeviceConduct {
    fn hello(&mut self, io: &mut Io) {
        io.out.extend(wire::upgrade(PATH));
    }

    fn opened(&mut self, io: &mut Io, model: &mut Model) {
        (self.now_us, self.opened_us) = (io.now_us, io.now_us);
        self.device.borrow_mut().came = model.streams.tick();
        let mut commands = vec![self.connect()];
        if !self.plan.history.hooks_connect {
            let channels = self.device.borrow().channels();
            for channel in channels {
                // All at once, or the rest whenever it likes.
                if io.rng.chance(90) {
                    commands.push(self.subscribe(channel, true));
                }
            }
        }
        let lines: Vec<String> = commands.iter().map(Value::to_string).collect();
        match io.rng.chance(50) {
            true => io.say(TEXT, lines.join("\n").as_bytes()),
            false => lines.iter().for_each(|line| io.say(TEXT, line.as_bytes())),
        }
    }

    fn message(&mut self, frame: Frame, io: &mut Io, model: &mut Model) {
        let text = String::from_utf8(frame.payload).unwrap();
        for line in text.split('\n') {
            if line == "{}" {
                io.say(TEXT, b"{}");
                continue;
            }
            let value: Value = serde_json::from_str(line).unwrap();
            if value["connect"].is_object() {
                self.was_opened = true;
            }
            assert!(self.was_opened, "before the connect reply: {line}");
            match value.get("push") {
                Some(push) => self.push(push, model),
                None => self.reply(&value, model),
            }
        }
    }

    fn act(&mut self, io: &mut Io, model: &mut Model) {
        self.now_us = io.now_us;
        let count = if io.rng.chance(20) { io.rng.size(2..=8) } else { 1 };
        let mut commands = Vec::new();
        for _ in 0..count {
            if self.was_opened {
                commands.extend(self.command(io, model));
            } else if self.pending.len() < EARLY_MAX {
                let channel = io.rng.pick(&self.device.borrow().channels());
                commands.push(self.publish(channel, io, model));
            }
        }
        for command in commands {
            io.say(TEXT, command.to_string().as_bytes());
        }
    }

    fn audit(&mut self, io: &mut Io) {
        self.now_us = io.now_us;
        let held: Vec<u32> = self.device.borrow().held().map(|held| held.channel).collect();
        for channel in held {
            let id = self.id(DeviceCommand::Presence(channel));
            io.say(TEXT, json!({"id": id, "presence": {"channel": name(channel)}}).to_string().as_bytes());
            let history = self.history(channel);
            io.say(TEXT, history.to_string().as_bytes());
        }
    }

    fn over(&mut self, model: &mut Model) {
        model.streams.present.clear();
        let device = &mut *self.device.borrow_mut();
        (device.client, device.is_away, device.comes_us) = (None, true, None);
        for sub in device.subs.values_mut() {
            (sub.state, sub.is_leaving, sub.from) = (SubscriptionState::Off, false, None);
        }
    }

    fn check_settled(&self, who: u32) {
        assert!(self.pending.is_empty(), "{who}: no answer to {:?}", self.pending);
    }

    fn drain_code(&self) -> u16 {
        3001
    }

    fn is_restless(&self) -> bool {
        true
    }

    fn obeys(&self, code: u16) -> bool {
        self.plan.history.has_orders && code == 3011 || self.plan.may_lack_room() && code == 3013
    }
}
