//! The namespace `/admin`, to which the reference's admin page connects (npm `@socket.io/admin-ui`, version 0.5).
//!
//! The page logs in with a user name and a password, or with the session id that it got for these. It is told statistics every
//! two seconds, and in development mode the sockets of all shards: each time the session compares them with what the page
//! knows, and tells it the difference. So the page costs connections nothing while none is open. It may ask for events and
//! orders to sockets, unless it is read-only.
//!
//! Left out: events of clients, and sums of events over time. `tell` writes what the page is told.

mod tell;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use subtle::ConstantTimeEq as _;

use super::acks::Acks;
use super::rooms::{Emit, Place, naming};
use super::sockets::{Plain, Sockets, auth_text};
use super::{EmitError, Socket, SocketId};
use crate::base::seed::{Purpose, Seed};
use crate::hub::selector::{Rooms, is_namespace};
use crate::hub::socket_order::{Gathered, SocketDeed, SocketFacts, SocketOrder};
use crate::hub::socket_place::SocketPlace;
use crate::hub::words::{Ask, OrderSockets};
use crate::proto::socketio::{Attachments, JsonArgs, PacketBody, SocketEvent};
use crate::session::bound::Bound;
use crate::session::engine::Outlet;
use crate::session::{Action, CloseReason, Context, OrderFault};

/// The namespace.
pub(super) const NAMESPACE: &str = "/admin";
/// Time between two reports of statistics, in milliseconds, as at the reference.
const REPORT_MS: u64 = 2000;
/// Most sockets that a page is told of.
const SOCKETS_MAX: usize = 1000;
/// The request for a survey: the number of the socket is in its upper bits.
const SURVEY: u32 = 1;

/// Options of the admin page.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AdminOptions {
    /// The name with which the page logs in. Default empty.
    pub username: String,
    /// The password. The page is served if both are set. Default empty.
    pub password: String,
    /// Whether the page may only look. Default false.
    pub is_readonly: bool,
    /// Whether the page is told all sockets with their rooms, not only their number. Default false.
    pub is_development: bool,
    /// The id of the process, which the page shows; set by the server. Default 0.
    pub pid: u32,
}

impl AdminOptions {
    /// Whether the page is served.
    pub fn is_served(&self) -> bool {
        !self.username.is_empty() && !self.password.is_empty()
    }

    /// The id that stands for a login. It changes with the credentials, and with each start of the process.
    fn session_id(&self, seed: Seed) -> String {
        let parts = [self.username.as_bytes(), self.password.as_bytes()];
        format!("{:032x}", seed.hash_128(Purpose::AdminSession, &parts))
    }

    /// Whether the `auth` of a page is right; `Some(true)` if it has the password, and is told a session id.
    fn admits(&self, auth: &str, seed: Seed) -> Option<bool> {
        let Login { username, password, session_id } = serde_json::from_str(auth).ok()?;
        let is_equal = |told: &Option<String>, own: &str| -> bool {
            told.as_ref().is_some_and(|told| told.as_bytes().ct_eq(own.as_bytes()).into())
        };
        if is_equal(&session_id, &self.session_id(seed)) {
            return Some(false);
        }
        // Both are compared, so that the time does not tell which one is wrong.
        let (is_user, is_password) =
            (is_equal(&username, &self.username), is_equal(&password, &self.password));
        (is_user & is_password).then_some(true)
    }
}

impl std::fmt::Debug for AdminOptions {
    /// Does not print the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminOptions").field("username", &self.username).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default, rename = "sessionId")]
    session_id: Option<String>,
}

/// A connection's part in the namespace.
#[derive(Debug, Default)]
pub(super) struct Visit {
    /// The socket of a page that has logged in.
    pub(super) page: Option<Admin>,
    /// Whether one has tried in vain to log in.
    has_wrong_login: bool,
}

/// The socket of a page.
#[derive(Debug)]
pub(super) struct Admin {
    pub(super) number: u8,
    /// Whether the page is to be told its session id.
    tells_session: bool,
    is_greeted: bool,
    /// The time of the next report, in milliseconds of the shard's clock.
    due_ms: u64,
    /// The sockets that the page knows, with their rooms; `None` before it was told any.
    known: Option<Known>,
}

/// Sockets by their ids.
pub(super) type Known = BTreeMap<Box<str>, SocketFacts>;

impl Admin {
    /// Bytes that it holds beside its own size.
    pub(super) fn held_bytes(&self) -> usize {
        let of = |facts: &SocketFacts| facts.bytes() + size_of::<Box<str>>() + facts.id.len();
        size_of::<Self>() + self.known.as_ref().map_or(0, |known| known.values().map(of).sum())
    }

    fn id(&self, cx: &Context<'_>) -> SocketId {
        SocketId::new(cx.client, self.number)
    }

    /// Emits events to the page; unsolicited, so the limit of the outbox applies.
    fn emit(
        &self,
        outlet: Outlet,
        cx: &mut Context<'_>,
        call: impl FnOnce(&mut Socket<'_, '_>) -> Result<(), EmitError>,
    ) -> Result<(), CloseReason> {
        let (mut acks, bound) = (Acks::default(), Bound::unasked(cx));
        let place = SocketPlace { shard: cx.client.shard, conn: cx.client.token, number: self.number };
        let mut socket = Socket {
            cx,
            outlet,
            namespace: NAMESPACE,
            number: self.number,
            identity: None,
            place,
            acks: &mut acks,
            track: None,
            bound,
            is_recovered: false,
        };
        // What the page is told can be JSON.
        call(&mut socket).ok();
        socket.outcome()
    }

    /// Asks all shards for their counts, and in development mode for some of their sockets.
    fn survey(&self, cx: &mut Context<'_>) {
        let sockets_max = if cx.settings.socketio.admin.is_development { SOCKETS_MAX } else { 0 };
        let rooms = Rooms::of(NAMESPACE, Vec::new(), Vec::new());
        let deed = SocketDeed::Survey { sockets_max };
        let order = SocketOrder { namespace: NAMESPACE.into(), rooms, not_to: None, deed };
        let id = super::orders::request_of(self.number, SURVEY);
        let ask = Ask::OrderSockets(Box::new(OrderSockets { order, is_to_others: false }));
        cx.actions.push(Action::Ask { id, ask });
    }
}

/// The sockets that a page is told of: those that it knows, and of the others as many as fit.
pub(super) fn shown(sockets: &[SocketFacts], known: Option<&Known>, bytes_max: usize) -> Known {
    let is_known = |facts: &SocketFacts| known.is_some_and(|known| known.contains_key(&facts.id));
    let (old, new): (Vec<_>, Vec<_>) = sockets.iter().partition(|facts| is_known(facts));
    let mut bytes = 0;
    let fits = |facts: &&SocketFacts| {
        bytes += facts.bytes();
        bytes <= bytes_max
    };
    let shown = old.into_iter().chain(new).take(SOCKETS_MAX).take_while(fits);
    shown.map(|facts| (facts.id.clone(), facts.clone())).collect()
}

impl<S> Sockets<S> {
    /// Takes a packet of an admin page.
    pub(super) fn admin_packet(
        &mut self,
        body: PacketBody<'_>,
        attachments: Attachments<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        match body {
            PacketBody::Connect { auth, query } => {
                let auth = auth_text(auth, query)?;
                self.connect_admin(auth.as_deref(), cx)
            }
            PacketBody::ConnectError(_) => Err(CloseReason::Malformed(OrderFault::ConnectError.into())),
            PacketBody::Disconnect => {
                self.visit().page = None;
                Ok(())
            }
            PacketBody::Event(SocketEvent { name, args, .. }) => {
                let plain = Plain::of(args)?;
                let (args, attachments) = plain.read(args, attachments)?;
                self.asked_by_admin(&name, args, attachments, cx);
                Ok(())
            }
            PacketBody::Ack { .. } => Ok(()),
        }
    }

    /// The time of the next report to a page.
    pub(super) fn admin_due_ms(&self) -> u64 {
        self.page().map_or(u64::MAX, |page| page.due_ms)
    }

    /// Connects a page, or refuses it. A connection has one try.
    pub(super) fn connect_admin(
        &mut self,
        auth: Option<&str>,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if self.page().is_some() {
            return Err(CloseReason::Malformed(OrderFault::SecondConnect.into()));
        }
        let admits = auth.and_then(|auth| cx.settings.socketio.admin.admits(auth, cx.client.seed));
        let Some(tells_session) = admits else {
            self.refuse(NAMESPACE, "invalid credentials", None, cx);
            self.note_refused();
            if std::mem::replace(&mut self.visit().has_wrong_login, true) {
                return Err(CloseReason::Malformed(OrderFault::WrongLogins.into()));
            }
            return Ok(());
        };
        let number = self.take_number();
        let due_ms = cx.now_ms + super::sockets::GREETING_MS;
        let admin = Admin { number, tells_session, is_greeted: false, due_ms, known: None };
        self.put_connected(NAMESPACE, admin.id(cx), None, cx);
        self.visit().page = Some(admin);
        cx.actions.push(Action::SetTimer { at_ms: due_ms });
        Ok(())
    }

    /// Tells a page what is due.
    pub(super) fn report_to_admin(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        let outlet = self.engine.outlet();
        let Some(admin) = self.page_mut().filter(|admin| admin.due_ms <= cx.now_ms) else {
            return Ok(());
        };
        admin.due_ms = cx.now_ms + REPORT_MS;
        cx.actions.push(Action::SetTimer { at_ms: admin.due_ms });
        if !std::mem::replace(&mut admin.is_greeted, true) {
            let options = &cx.settings.socketio.admin;
            let session = admin.tells_session.then(|| options.session_id(cx.client.seed));
            let features = tell::features(options);
            admin.emit(outlet, cx, |socket| {
                if let Some(session) = &session {
                    socket.emit("session", &(session,))?;
                }
                socket.emit("config", &(features,))
            })?;
        }
        // A page that does not read as fast gets fewer reports.
        if cx.waiting_bytes == 0 {
            admin.survey(cx);
        }
        Ok(())
    }

    /// Takes the result of a survey.
    pub(super) fn surveyed(&mut self, gathered: &Gathered, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        let outlet = self.engine.outlet();
        let Some(admin) = self.page_mut() else { return Ok(()) };
        let stats = tell::statistics(gathered, cx);
        admin.emit(outlet, cx, |socket| socket.emit("server_stats", &(stats,)))?;
        if !cx.settings.socketio.admin.is_development {
            return Ok(());
        }
        let before = admin.known.take();
        let sockets = shown(&gathered.sockets, before.as_ref(), cx.settings.outbox_bytes_max / 2);
        admin.emit(outlet, cx, |socket| match &before {
            None => socket.emit("all_sockets", &(tell::sockets(&sockets),)),
            Some(before) => tell::changes(before, &sockets, socket),
        })?;
        admin.known = Some(sockets);
        Ok(())
    }

    /// Carries out what a page asks for.
    pub(super) fn asked_by_admin(
        &mut self,
        name: &str,
        args: JsonArgs<'_>,
        attachments: Attachments<'_>,
        cx: &mut Context<'_>,
    ) {
        if cx.settings.socketio.admin.is_readonly || self.page().is_none() {
            return;
        }
        let mut desk = Desk { outlet: self.engine.outlet(), cx };
        // What it cannot ask for is ignored, as at the reference.
        match name {
            "emit" => desk.emit(args, attachments),
            "join" => desk.order(args, |sockets, room: String| sockets.sockets_join(&room)),
            "leave" => desk.order(args, |sockets, room: String| sockets.sockets_leave(&room)),
            "_disconnect" => desk.order(args, |sockets, close: Option<bool>| {
                sockets.disconnect_sockets(close.unwrap_or(false))
            }),
            _ => None,
        };
    }
}

/// Carries out what a page asks for.
struct Desk<'d, 'b> {
    outlet: Outlet,
    cx: &'d mut Context<'b>,
}

impl Desk<'_, '_> {
    /// The sockets of a namespace, in the room of a filter if there is one. `None` for a name that is none.
    fn sockets<'s>(&'s mut self, namespace: &'s str, filter: Option<&str>) -> Option<Emit<'s>> {
        let Context { settings, client, ref mut actions, .. } = *self.cx;
        if !is_namespace(namespace, settings.channel_name_bytes_max) {
            return None;
        }
        let place = Place {
            namespace,
            // The page is in no channel.
            id: SocketId::new(client, 0),
            identity: None,
            naming: naming(settings, client),
            is_msgpack: self.outlet.is_msgpack,
            asking: None,
            sender: None,
            actions,
        };
        let all = Emit::new(place, false);
        Some(match filter.filter(|filter| !filter.is_empty()) {
            Some(room) => all.to(room),
            None => all,
        })
    }

    /// An order: its arguments are the namespace, one of its own, and the filter.
    fn order<T: DeserializeOwned>(
        &mut self,
        args: JsonArgs<'_>,
        give: impl FnOnce(Emit<'_>, T) -> Result<(), EmitError>,
    ) -> Option<()> {
        let (namespace, own, filter) =
            (arg::<String>(args, 0)?, arg(args, 1)?, arg::<Option<String>>(args, 2)?);
        give(self.sockets(&namespace, filter.as_deref())?, own).ok()
    }

    /// An event: the arguments are namespace, filter, name, and those of the event.
    fn emit(&mut self, args: JsonArgs<'_>, attachments: Attachments<'_>) -> Option<()> {
        let (namespace, filter) = (arg::<String>(args, 0)?, arg::<Option<String>>(args, 1)?);
        let event = arg::<String>(args, 2)?;
        let rest: Vec<&str> = args.items().skip(3).map(RawValue::get).collect();
        let rest = format!("[{}]", rest.join(","));
        let sockets = self.sockets(&namespace, filter.as_deref())?;
        sockets.emit_raw(&event, JsonArgs::of_list(&rest).ok()?, attachments).ok()
    }
}

/// An argument; one that is left out is null. `None` if it is of another type.
fn arg<T: DeserializeOwned>(args: JsonArgs<'_>, at: usize) -> Option<T> {
    serde_json::from_str(args.items().nth(at).map_or("null", RawValue::get)).ok()
}
