//! Events by the configuration: rules, and the mode in which everything is relayed; what neither takes goes to the
//! application.
//!
//! Invariant: the events of a socket are handled one after the other, in the order in which the client sent them. What
//! cannot be decided here is asked (the rooms of a socket), and the answer comes later.

use std::borrow::Cow;
use std::sync::Arc;

use super::waiting::{Asked, Held, HeldEvent, Logic};
use super::{Entry, Sockets};
use crate::hub::selector::{namespace_channel, room_of};
use crate::hub::words::Ask;
use crate::proto::socketio::JsonArgs;
use crate::proto::socketio::effects::{Binaries, Content, Effect, EmitEffect, Names};
use crate::session::bound::Bound;
use crate::session::labels::EventRefusal;
use crate::session::socketio::events::{Event, Why};

use crate::session::socketio::rules::{self, Found, Rule, RuleAction};
use crate::session::socketio::template::{AckForm, Path};
use crate::session::socketio::{Ending, Socket};
use crate::session::{Action, CloseReason, Context, Handler, Note};

/// The place of an effect of a hook in the log, where an event's name stands for effects of rules.
pub(super) const EFFECT_PLACE: &str = "an effect of the hook";

impl<S> Entry<S> {
    /// Whether what the client sends for the socket has to wait.
    pub(super) fn is_busy(&self) -> bool {
        self.logic.as_ref().is_some_and(|logic| logic.is_busy())
    }

    /// The user of the socket; empty for none.
    pub(super) fn user(&self) -> &str {
        self.identity().map_or("", |identity| &identity.user)
    }

    /// Whether the client has left, and events before that wait.
    pub(super) fn is_left(&self) -> bool {
        self.logic.as_ref().is_some_and(|logic| logic.is_left())
    }

    pub(super) fn logic_mut(&mut self) -> &mut Logic {
        self.logic.get_or_insert_default()
    }

    /// The effects for the time when the client was told that it is connected, a list in JSON.
    pub(super) fn take_opening(&mut self) -> Box<str> {
        let effects = self.logic.as_mut().map(|logic| logic.take_opening()).unwrap_or_default();
        self.trim();
        effects
    }

    /// Forgets the rates of rules that are not in force any more.
    fn follow(&mut self, rules_version: u32) {
        if let Some(logic) = &mut self.logic {
            logic.follow(rules_version);
            self.trim();
        }
    }

    /// Counts an event for a rule with a rate; returns false when it is one too many.
    fn takes(&mut self, rule: usize, rate_per_s: u32, cx: &Context<'_>) -> bool {
        let logic = self.logic_mut();
        logic.follow(cx.settings.rules_version);
        logic.takes(rule, rate_per_s, cx.now_ms)
    }

    /// Drops what is not in use.
    fn trim(&mut self) {
        if self.logic.as_ref().is_some_and(|logic| logic.is_trivial()) {
            self.logic = None;
        }
    }
}

impl<S> Sockets<S> {
    /// Whether sockets can take no more input. Nothing is read behind the leave of a client while events before that wait:
    /// it may connect again, or close.
    pub(in crate::session::socketio) fn is_full(&self, cx: &Context<'_>) -> bool {
        let options = &cx.settings.socketio;
        let (count_max, bytes_max) = (options.events_waiting_max, options.payload_bytes_max);
        let is_full = |logic: &Logic| logic.is_left() || logic.is_full(count_max, bytes_max);
        self.list.iter().filter_map(|entry| entry.logic.as_deref()).any(is_full)
    }

    /// Takes an event for a socket: now, or after those before it.
    pub(super) fn take_event<H: Handler<State = S>>(
        &mut self,
        at: usize,
        event: Event<'_>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let entry = &mut self.list[at];
        if entry.is_busy() {
            entry.logic_mut().hold(Held::Event(HeldEvent::new(&event)));
            return Ok(());
        }
        self.handle_event(at, event, None, handler, cx)
    }

    /// Handles an event. `rooms` are those of the socket, if they were asked for.
    fn handle_event<H: Handler<State = S>>(
        &mut self,
        at: usize,
        event: Event<'_>,
        rooms: Option<&[Box<str>]>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let options = &cx.settings.socketio;
        self.list[at].follow(cx.settings.rules_version);
        let namespace = self.list[at].namespace();
        let asked = rules::Candidate {
            namespace,
            event: event.name,
            args: event.args,
            user: self.list[at].user(),
            rooms,
        };
        let hook = options.event_hook.as_ref();
        if hook.is_some_and(|hook| hook.selects(event.name)) {
            return self.ask_hook(at, HeldEvent::new(&event), cx);
        }
        match rules::find(&options.rules, &asked) {
            Found::Rule(number, rule) => self.apply(at, (number, rule), event, rooms, handler, cx),
            Found::NeedsRooms => {
                self.ask_rooms(at, &event, cx);
                Ok(())
            }
            Found::Nothing if hook.is_some_and(|hook| hook.takes_rest()) => {
                self.ask_hook(at, HeldEvent::new(&event), cx)
            }
            Found::Nothing if handler.serves_sockets() => {
                self.call(at, Bound::answer(), handler, cx, |handler, state, socket| {
                    handler.socket_event(state, event, socket)
                })
            }
            Found::Nothing if options.insecure => self.relay(at, event, rooms, handler, cx),
            Found::Nothing => {
                refuse(event.name, EventRefusal::NoRule, || "no rule takes it".to_owned(), cx);
                Ok(())
            }
        }
    }

    pub(super) fn next_event_question(&mut self) -> u32 {
        self.last_question = self.last_question.wrapping_add(1);
        self.last_question
    }

    /// Asks for the rooms of a socket; the event waits.
    fn ask_rooms(&mut self, at: usize, event: &Event<'_>, cx: &mut Context<'_>) {
        let number = self.next_event_question();
        let entry = &mut self.list[at];
        entry.logic_mut().ask(Asked { number, events: vec![HeldEvent::new(event)] });
        let ask = Ask::Rooms { group: namespace_channel(entry.namespace()) };
        cx.actions.push(Action::Ask { id: number, ask });
    }

    /// Takes the rooms of a socket, as channels, and continues with its events.
    pub(in crate::session::socketio) fn rooms_told<H: Handler<State = S>>(
        &mut self,
        question: u32,
        channels: &[Arc<str>],
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let mut all = self.list.iter_mut().enumerate();
        let asked = all.find_map(|(at, entry)| Some((at, entry.logic.as_mut()?.answered(question)?)));
        let Some((at, mut held)) = asked else { return Ok(()) };
        let Some(held) = held.pop() else { return Ok(()) };
        let (number, namespace) = (self.list[at].number, self.list[at].namespace());
        let map = &cx.settings.rooms;
        let room = |channel| {
            room_of(channel, namespace).or_else(|| map.is_room_of(channel, namespace).then_some(channel))
        };
        let rooms = channels.iter().filter_map(|channel| Some(room(&**channel)?.into()));
        let rooms: Vec<Box<str>> = rooms.collect();
        self.handle_event(at, held.event()?, Some(&rooms), handler, cx)?;
        self.go_on(number, handler, cx)
    }

    /// Continues with what waits for the socket of this number.
    pub(super) fn go_on<H: Handler<State = S>>(
        &mut self,
        number: u8,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        while let Some(at) = self.list.iter().position(|entry| entry.number == number) {
            let entry = &mut self.list[at];
            match entry.logic.as_mut().and_then(|logic| logic.next()) {
                Some(Held::Event(held)) => self.handle_event(at, held.event()?, None, handler, cx)?,
                Some(Held::Leave) => self.remove(at, Why::ClientLeft, handler, cx),
                None => {
                    entry.trim();
                    break;
                }
            }
        }
        Ok(())
    }

    /// Applies a rule. The texts of all its actions are filled in first: nothing of a rule is done by half.
    fn apply<H: Handler<State = S>>(
        &mut self,
        at: usize,
        (number, rule): (usize, &Rule),
        event: Event<'_>,
        rooms: Option<&[Box<str>]>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let rate = rule.rate_per_s;
        if rate > 0 && !self.list[at].takes(number, rate, cx) {
            refuse(event.name, EventRefusal::Rate, || format!("more than {rate} per second"), cx);
            return Ok(());
        }
        if rule.actions == [RuleAction::Hook] {
            return self.ask_hook(at, HeldEvent::new(&event), cx);
        }
        let room = rule.room.iter().map(|room| room.fill(event.args)).collect::<Result<Names<'_>, _>>();
        let to = rule.to.iter().map(|room| room.fill(event.args)).collect::<Result<Names<'_>, _>>();
        let (room, to) = match (room, to) {
            (Ok(room), Ok(to)) => (room, to),
            (Err(path), _) | (_, Err(path)) => {
                refuse(event.name, EventRefusal::Argument, || no_text(path), cx);
                return Ok(());
            }
        };
        if rule.actions == [RuleAction::Drop] {
            cx.told.events_refused[EventRefusal::Dropped.place()].add(1);
        }
        let Event { name, args, attachments, ack } = event;
        let content = Content { args, attachments: Binaries::Received(attachments) };
        self.call(at, Bound::answer(), handler, cx, |_, _, socket| {
            let mut acks = [ack];
            acknowledge(rule.ack.as_ref(), name, &content, &mut acks, socket)?;
            for action in &rule.actions {
                let effect = match action {
                    RuleAction::Join => Effect::Join(room.clone()),
                    RuleAction::Leave => Effect::Leave(room.clone()),
                    RuleAction::Emit => Effect::Emit(EmitEffect {
                        event: Cow::Borrowed(rule.rename.as_deref().unwrap_or(name)),
                        content: content.clone(),
                        to: to.clone(),
                        except: Names::new(),
                        is_to_others: rule.except_sender,
                        is_volatile: rule.is_volatile,
                    }),
                    RuleAction::Disconnect => Effect::Disconnect { closes: rule.closes },
                    RuleAction::Ack | RuleAction::Hook | RuleAction::Drop => continue,
                };
                carry_out_permitted(socket, name, &effect, rooms, &mut acks)?;
            }
            Ok(())
        })
    }

    /// Relays an event: `join` and `leave` with one text enter and leave a room, every other event goes to the rooms of
    /// the sender, or to the whole namespace if it is in none.
    fn relay<H: Handler<State = S>>(
        &mut self,
        at: usize,
        event: Event<'_>,
        rooms: Option<&[Box<str>]>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let effect = if event.name == "join" || event.name == "leave" {
            let room = event.args.sole().and_then(|_| event.read::<(String,)>().ok());
            let Some((room,)) = room else {
                let why = || format!("{} takes one text, the name of a room", event.name);
                refuse(event.name, EventRefusal::Argument, why, cx);
                return Ok(());
            };
            let room = vec![Cow::Owned(room)];
            if event.name == "join" { Effect::Join(room) } else { Effect::Leave(room) }
        } else if let Some(rooms) = rooms {
            Effect::Emit(EmitEffect {
                event: Cow::Borrowed(event.name),
                content: Content { args: event.args, attachments: Binaries::Received(event.attachments) },
                to: rooms.iter().map(|room| Cow::Borrowed(&**room)).collect(),
                except: Names::new(),
                is_to_others: false,
                is_volatile: false,
            })
        } else {
            self.ask_rooms(at, &event, cx);
            return Ok(());
        };
        let (name, mut acks) = (event.name, [event.ack]);
        self.call(at, Bound::answer(), handler, cx, |_, _, socket| {
            acknowledge(Some(&AckForm::Empty), name, &Content::default(), &mut acks, socket)?;
            carry_out_permitted(socket, name, &effect, rooms, &mut acks)
        })
    }
}

/// Carries out an effect that a client has caused, if it is permitted in the channels that are rooms. `rooms` are those of
/// the socket, if they are known.
fn carry_out_permitted(
    socket: &mut Socket<'_, '_>,
    event: &str,
    effect: &Effect<'_>,
    rooms: Option<&[Box<str>]>,
    acks: &mut [Option<super::AckId>],
) -> Result<(), Ending> {
    let is_in = |room: &str| rooms.is_some_and(|rooms| rooms.iter().any(|one| **one == *room));
    let refused = match effect {
        Effect::Join(names) => names.iter().find(|room| !socket.may_join(room)),
        Effect::Emit(emit) => emit.to.iter().find(|room| !socket.may_emit(room, is_in(room))),
        Effect::Leave(_) | Effect::Ack { .. } | Effect::Disconnect { .. } => None,
    };
    if let Some(room) = refused {
        let why = || format!("the channel {room} does not permit it");
        refuse(event, EventRefusal::Effect, why, socket.cx);
        return Ok(());
    }
    carry_out(socket, event, effect, acks)
}

/// Carries out an effect of a rule or a hook. One that cannot be carried out is logged, and the others follow.
pub(super) fn carry_out(
    socket: &mut Socket<'_, '_>,
    event: &str,
    effect: &Effect<'_>,
    acks: &mut [Option<super::AckId>],
) -> Result<(), Ending> {
    match socket.carry_out(effect, acks) {
        Ok(None) => Ok(()),
        Ok(Some(ending)) => Err(ending),
        Err(error) => {
            refuse(event, EventRefusal::Effect, || error.to_string(), socket.cx);
            Ok(())
        }
    }
}

/// Answers an event as a rule says.
fn acknowledge(
    form: Option<&AckForm>,
    name: &str,
    content: &Content<'_>,
    acks: &mut [Option<super::AckId>],
    socket: &mut Socket<'_, '_>,
) -> Result<(), Ending> {
    let list;
    let content = match form {
        None => return Ok(()),
        Some(AckForm::Empty) => Content::default(),
        Some(AckForm::Same) => content.clone(),
        Some(AckForm::Values(values)) => {
            list = AckForm::list(values, content.args);
            let Ok(args) = JsonArgs::of_list(&list) else { return Ok(()) };
            Content { args, attachments: Binaries::default() }
        }
    };
    carry_out(socket, name, &Effect::Ack { event: 0, content }, acks)
}

fn no_text(path: &Path) -> String {
    format!("its argument {path} is no text and no whole number")
}

/// Counts and logs an event that is not handled, or not as it should be.
pub(super) fn refuse(event: &str, refusal: EventRefusal, why: impl FnOnce() -> String, cx: &mut Context<'_>) {
    cx.told.events_refused[refusal.place()].add(1);
    cx.note(|| Note::EventRefused { event: event.into(), why: why().into() });
}
