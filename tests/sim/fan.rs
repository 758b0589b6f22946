//! A client of the Centrifuge protocol: connects, subscribes, publishes, and checks every reply.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::conduct::{Conduct, Expect, Io};
use crate::model::{Model, SequenceId};
use crate::plan::Plan;
use crate::wire::{self, Frame, TEXT};

pub(crate) const PATH: &str = "/connection/websocket";

/// The expected reply of a command.
#[derive(Debug)]
enum FanCommand {
    Connect,
    /// `is_withdrawn`: a later unsubscribe was answered before.
    Subscribe {
        channel: u32,
        error: Option<u64>,
        is_withdrawn: bool,
    },
    Unsubscribe {
        channel: u32,
    },
    Publish {
        channel: u32,
    },
    Ping,
    Error(u64),
}

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Subscribes, unsubscribes, publishes, all the time.
    Busy,
    /// Subscribes to some channels and listens.
    Quiet,
    /// Does not answer heartbeats.
    Mute,
    /// Subscribes and never reads.
    Deaf,
    /// Completes the handshake and never sends its first command.
    Shy,
}

#[derive(Debug)]
pub(crate) struct Fan {
    manner: Manner,
    channels: u32,
    channels_max: usize,
    churn: u64,
    pad_bytes_max: usize,
    may_refuse_channels: bool,
    expect: (Expect, Option<u64>),
    next_id: u32,
    pending: BTreeMap<u32, FanCommand>,
    /// The client's subscriptions from the server's view, once it has read all commands.
    held: BTreeSet<u32>,
    runs: BTreeMap<u32, SequenceId>,
}

impl Fan {
    pub(crate) fn new(manner: Manner, plan: &Plan, io_seed: u32) -> Self {
        let t = &plan.config.timeouts;
        let heartbeat_ms = match (t.ping_interval_ms, t.idle_ms) {
            (0, 0) => None,
            (0, idle_ms) => Some(idle_ms),
            (ping_ms, _) => Some(ping_ms + t.pong_timeout_ms),
        };
        let expect = match manner {
            Manner::Mute if heartbeat_ms.is_some() => {
                (Expect::Code(3012), heartbeat_ms.map(|ms| (ms) * 1000))
            }
            Manner::Shy => (Expect::Code(3502), Some(t.connect_ms * 1000)),
            Manner::Busy | Manner::Quiet | Manner::Mute | Manner::Deaf => (Expect::Life, None),
        };
        Self {
            manner,
            channels: plan.channels,
            channels_max: plan.config.limits.channels_per_connection_max,
            churn: plan.churn,
            pad_bytes_max: plan.pad_bytes_max,
            may_refuse_channels: plan.may_refuse_channels(),
            expect,
            // Ids of different clients differ: an answer that goes astray is noticed.
            next_id: 1 + io_seed * 100_000,
            pending: BTreeMap::new(),
            held: BTreeSet::new(),
            runs: BTreeMap::new(),
        }
    }

    fn id(&mut self, pending: FanCommand) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id, pending);
        id
    }

    fn subscribe(&mut self, channel: u32) -> String {
        let error = if self.held.contains(&channel) {
            Some(105)
        } else if self.held.len() >= self.channels_max {
            Some(106)
        } else {
            self.held.insert(channel);
            None
        };
        let id = self.id(FanCommand::Subscribe { channel, error, is_withdrawn: false });
        format!(r#"{{"id":{id},"subscribe":{{"channel":"c{channel}"}}}}"#)
    }

    fn unsubscribe(&mut self, channel: u32) -> String {
        self.held.remove(&channel);
        let id = self.id(FanCommand::Unsubscribe { channel });
        format!(r#"{{"id":{id},"unsubscribe":{{"channel":"c{channel}"}}}}"#)
    }

    fn publish(&mut self, channel: u32, io: &mut Io, model: &mut Model) -> String {
        let number = model.publish(io.who, channel);
        let id = self.id(FanCommand::Publish { channel });
        let data = publication(channel, io.who, number, self.pad_bytes_max, io);
        format!(r#"{{"id":{id},"publish":{{"channel":"c{channel}","data":{data}}}}}"#)
    }

    fn wrong(&mut self, io: &mut Io) -> String {
        let (code, body) = io.rng.pick(&[
            (108, r#""rpc":{}"#),
            (108, r#""history":{"channel":"c0"}"#),
            (104, r#""dance":{}"#),
            (107, r#""subscribe":{"channel":""}"#),
            (107, r#""subscribe":{"channel":"much too long a name"}"#),
            (107, r#""publish":{"channel":"c0"}"#),
        ]);
        let id = self.id(FanCommand::Error(code));
        format!(r#"{{"id":{id},{body}}}"#)
    }

    fn command(&mut self, io: &mut Io, model: &mut Model) -> String {
        let channel = io.rng.range(0..=u64::from(self.channels) - 1) as u32;
        if io.rng.chance(self.churn) {
            return self.unsubscribe(channel);
        }
        match io.rng.range(0..=99) {
            0..35 => self.subscribe(channel),
            35..90 => self.publish(channel, io, model),
            90..96 => format!(r#"{{"id":{},"ping":{{}}}}"#, self.id(FanCommand::Ping)),
            _ => self.wrong(io),
        }
    }

    fn reply(&mut self, reply: &Value, io: &Io, model: &mut Model) {
        let who = io.who;
        let id = reply["id"].as_u64().unwrap() as u32;
        let pending = self.pending.remove(&id);
        let pending = pending.unwrap_or_else(|| panic!("{who}: an answer to nothing: {reply}"));
        let code = reply["error"]["code"].as_u64();
        match pending {
            FanCommand::Connect => assert_eq!(reply["connect"]["client"].as_str().map(str::len), Some(36)),
            FanCommand::Ping => assert!(reply["ping"].is_object(), "{who}: {reply}"),
            FanCommand::Error(expected) => assert_eq!(code, Some(expected), "{who}: {reply}"),
            FanCommand::Publish { channel } => {
                assert!(reply["publish"].is_object(), "{who}: {reply}");
                model.ordered(who, channel);
            }
            FanCommand::Unsubscribe { channel } => {
                assert!(reply["unsubscribe"].is_object(), "{who}: {reply}");
                self.end_run(channel, model);
                for (_, earlier) in self.pending.range_mut(..id) {
                    if let FanCommand::Subscribe { channel: c, is_withdrawn, .. } = earlier {
                        *is_withdrawn |= *c == channel;
                    }
                }
            }
            FanCommand::Subscribe { channel, error, is_withdrawn } => {
                if self.may_refuse_channels && code.is_some() {
                    if matches!(code, Some(106 | 111)) && error.is_none() {
                        self.held.remove(&channel);
                    }
                } else if !self.may_refuse_channels {
                    assert_eq!(code, error, "{who}: {reply} to a subscription to {channel}");
                }
                if code.is_none() {
                    assert!(reply["subscribe"].is_object(), "{who}: {reply}");
                    if !is_withdrawn {
                        let run = model.begin(who, channel);
                        assert!(
                            self.runs.insert(channel, run).is_none(),
                            "{who}: subscribed twice to {channel}"
                        );
                    }
                }
            }
        }
    }

    fn end_run(&mut self, channel: u32, model: &mut Model) {
        if let Some(run) = self.runs.remove(&channel) {
            model.end(run);
        }
    }

    fn push(&mut self, push: &Value, io: &Io, model: &mut Model) {
        let name = push["channel"].as_str().unwrap();
        let channel: u32 = name[1..].parse().unwrap();
        let run = self.runs.get(&channel);
        let run =
            *run.unwrap_or_else(|| panic!("{}: a publication in {name}, not subscribed: {push}", io.who));
        let (in_channel, id) = publication_id(&push["pub"]["data"]);
        assert_eq!(in_channel, channel, "{}: {push}", io.who);
        model.deliver(run, id);
    }
}

impl Conduct for Fan {
    fn hello(&mut self, io: &mut Io) {
        io.out.extend(wire::upgrade(PATH));
    }

    fn opened(&mut self, io: &mut Io, _: &mut Model) {
        if self.manner == Manner::Shy {
            return;
        }
        let mut commands =
            vec![format!(r#"{{"id":{},"connect":{{"name":"sim"}}}}"#, self.id(FanCommand::Connect))];
        if matches!(self.manner, Manner::Quiet | Manner::Deaf) {
            commands.extend((0..self.channels).map(|channel| self.subscribe(channel)));
        }
        io.say(TEXT, commands.join("\n").as_bytes());
    }

    fn message(&mut self, frame: Frame, io: &mut Io, model: &mut Model) {
        assert_eq!(frame.opcode, TEXT);
        let text = String::from_utf8(frame.payload).unwrap();
        for line in text.split('\n') {
            if line == "{}" {
                if self.manner != Manner::Mute {
                    io.say(TEXT, b"{}");
                }
                continue;
            }
            let value: Value = serde_json::from_str(line).unwrap();
            match value.get("push") {
                Some(push) => self.push(push, io, model),
                None => self.reply(&value, io, model),
            }
        }
    }

    fn act(&mut self, io: &mut Io, model: &mut Model) {
        if self.manner == Manner::Busy {
            let count = if io.rng.chance(20) { io.rng.size(2..=8) } else { 1 };
            let mut commands = self.command(io, model);
            for _ in 1..count {
                if commands.len() < 1000 {
                    commands = format!("{commands}\n{}", self.command(io, model));
                }
            }
            io.say(TEXT, commands.as_bytes());
        }
    }

    fn over(&mut self, model: &mut Model) {
        for (_, run) in std::mem::take(&mut self.runs) {
            model.end(run);
        }
    }

    fn check_settled(&self, who: u32) {
        assert!(self.pending.is_empty(), "{who}: no answer to {:?}", self.pending);
    }

    fn expect(&self) -> (Expect, Option<u64>) {
        self.expect
    }

    fn drain_code(&self) -> u16 {
        3001
    }

    fn reads(&self) -> bool {
        // It reads the first answers, and nothing after them.
        self.manner != Manner::Deaf || self.next_id % 100_000 == 1 || !self.pending.is_empty()
    }
}

/// The data of a publication: the model's fields, and padding.
pub(crate) fn publication(channel: u32, by: u32, number: u32, pad_bytes_max: usize, io: &mut Io) -> String {
    let pad = "x".repeat(io.rng.size(0..=pad_bytes_max));
    format!(r#"{{"in":{channel},"by":{by},"number":{number},"pad":"{pad}"}}"#)
}

/// Channel, publisher and number of a publication's data.
pub(crate) fn publication_id(data: &Value) -> (u32, (u32, u32)) {
    let field = |name: &str| data[name].as_u64().unwrap() as u32;
    (field("in"), (field("by"), field("number")))
}
