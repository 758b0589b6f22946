//! Events that go to the application's hook, one question per socket at a time; with `batch_max`, one question for several
//! events that wait.

use super::logic::{EFFECT_PLACE, carry_out, refuse};
use super::waiting::{Asked, Held, HeldEvent};
use super::{About, Entry, Sockets};
use crate::hub::words::{Ask, Denied};
use crate::proto::socketio::JsonArgs;
use crate::proto::socketio::effects::{Binaries, Content, Effect, HookAnswer};
use crate::session::bound::Bound;
use crate::session::centrifuge::code_of;
use crate::session::labels::EventRefusal;
use crate::session::socketio::SocketId;
use crate::session::socketio::events::{AckId, Event};
use crate::session::socketio::hook::Of;
use crate::session::socketio::identity::Identity;
use crate::session::socketio::rules::{self, Found, RuleAction};
use crate::session::{Action, CloseReason, Context, Handler};

impl<S> Entry<S> {
    /// The backend's data of the socket, JSON; empty for none.
    pub(super) fn state_of_hook(&self) -> &str {
        About::state(self.about.as_deref())
    }

    fn set_state_of_hook(&mut self, state: &str) {
        let state = if state == "null" { "" } else { state };
        let namespace = self.namespace().to_owned();
        let before =
            self.about.take().and_then(|about| about.identity).map_or_else(Identity::default, |one| *one);
        self.about = About::new(&namespace, Identity { state: state.as_bytes().into(), ..before });
    }
}

impl<S> Sockets<S> {
    /// Whether an event goes to the hook, as far as that does not depend on the rooms of the socket.
    fn is_for_hook(&self, at: usize, event: &Event<'_>, cx: &Context<'_>) -> bool {
        let options = &cx.settings.socketio;
        let Some(hook) = &options.event_hook else { return false };
        let namespace = self.list[at].namespace();
        let asked = rules::Candidate {
            namespace,
            event: event.name,
            args: event.args,
            user: self.list[at].user(),
            rooms: None,
        };
        hook.selects(event.name)
            || match rules::find(&options.rules, &asked) {
                // A rate counts each event, when its turn comes.
                Found::Rule(_, rule) => rule.actions == [RuleAction::Hook] && rule.rate_per_s == 0,
                Found::NeedsRooms => false,
                Found::Nothing => hook.takes_rest(),
            }
    }

    /// Asks the hook about an event, and about those behind it that wait and go there, too.
    pub(super) fn ask_hook(
        &mut self,
        at: usize,
        first: HeldEvent,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let Some(hook) = &cx.settings.socketio.event_hook else { return Ok(()) };
        let mut events = vec![first];
        while events.len() < hook.batch_max
            && let Some(Held::Event(next)) = self.list[at].logic.as_ref().and_then(|logic| logic.first())
            && self.is_for_hook(at, &next.event()?, cx)
            && let Some(Held::Event(next)) = self.list[at].logic_mut().next()
        {
            events.push(next);
        }
        let number = self.next_event_question();
        let entry = &mut self.list[at];
        let sid = SocketId::of(entry.place(cx.client), cx.client.seed);
        let of = Of {
            sid: sid.as_str(),
            namespace: entry.namespace(),
            user: entry.user(),
            state: entry.state_of_hook(),
        };
        let told = events.iter().map(HeldEvent::event).collect::<Result<Vec<_>, _>>()?;
        let ask = of.asks(&told, hook.batch_max > 1, hook.includes_rooms);
        drop(told);
        entry.logic_mut().ask(Asked { number, events });
        cx.actions.push(Action::Ask { id: number, ask: Ask::Event(Box::new(ask)) });
        Ok(())
    }

    /// Takes the answer of the hook, and continues with the socket's events.
    pub(in crate::session::socketio) fn hooked<H: Handler<State = S>>(
        &mut self,
        question: u32,
        outcome: Result<&str, &Denied>,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let mut all = self.list.iter_mut().enumerate();
        let asked = all.find_map(|(at, entry)| Some((at, entry.logic.as_mut()?.answered(question)?)));
        let Some((at, held)) = asked else {
            // Its socket has ended, and the events were counted.
            return Ok(());
        };
        let number = self.list[at].number;
        let events = held.iter().map(HeldEvent::event).collect::<Result<Vec<_>, _>>()?;
        let (names, mut acks): (Vec<_>, Vec<_>) =
            events.into_iter().map(|event| (event.name, event.ack)).unzip();
        let answer = outcome.map(|text| HookAnswer::read(text, names.len()));
        match answer {
            Ok(Ok(answer)) => {
                if let Some(state) = answer.state {
                    self.list[at].set_state_of_hook(state);
                }
                self.call(at, Bound::answer(), handler, cx, |_, _, socket| {
                    answer
                        .effects
                        .iter()
                        .try_for_each(|effect| carry_out(socket, EFFECT_PLACE, effect, &mut acks))
                })?;
            }
            // It was read before it came here.
            Ok(Err(why)) => refuse(names[0], EventRefusal::Hook, || why, cx),
            Err(denied) => self.hook_failed(at, &names, (acks, denied), handler, cx)?,
        }
        self.go_on(number, handler, cx)
    }

    /// Handles events whose hook has failed: they are lost, and their client is told where that is configured.
    fn hook_failed<H: Handler<State = S>>(
        &mut self,
        at: usize,
        names: &[&str],
        (mut acks, denied): (Vec<Option<AckId>>, &Denied),
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        cx.told.events_refused[EventRefusal::Hook.place()].add(names.len() as u64);
        if !cx.settings.socketio.event_hook.as_ref().is_some_and(|hook| hook.acks_errors) {
            return Ok(());
        }
        let (code, message) = code_of(denied);
        let error = serde_json::json!([{ "error": { "code": code, "message": message } }]).to_string();
        let Ok(args) = JsonArgs::of_list(&error) else { return Ok(()) };
        self.call(at, Bound::answer(), handler, cx, |_, _, socket| {
            for (event, name) in names.iter().enumerate() {
                let content = Content { args, attachments: Binaries::default() };
                carry_out(socket, name, &Effect::Ack { event, content }, &mut acks)?;
            }
            Ok(())
        })
    }
}
