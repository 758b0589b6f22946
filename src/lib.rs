//! throng is a real-time messaging server for Linux: it holds very many WebSocket, server-sent-event and HTTP-streaming
//! connections and delivers publish/subscribe messages to them.
//!
//! This page describes the library in reading order: first the API for embedding, then the structure of the engine,
//! from the outside in. The same crate is the `throng` binary; a program that embeds it gets the whole server.
//!
//! # A server
//!
//! [`Server::start`] returns once every shard listens. [`Server::wait`] runs the control plane in the calling thread
//! until the server has drained, [`Server::wait_async`] on a thread of its own; [`Server::drain`] begins that.
//!
//! ```
//! use throng::{Config, NoHandler, Outcome, Server};
//!
//! // Port 0: any free one. Every field of a configuration has a default.
//! let config = Config { listen: vec![([127, 0, 0, 1], 0).into()], control: None, shards: 2, ..Config::default() };
//! let server = Server::start(&config, |_shard| NoHandler)?;
//! assert_ne!(server.addresses()[0].port(), 0);
//!
//! server.drain();
//! assert_eq!(server.wait()?, Outcome::Drained);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It speaks the Centrifuge protocol at [`Config::websocket_path`], and over the other transports of
//! [`Config::endpoints`]. [`NoHandler`] adds nothing to that. A default configuration is development mode, in which
//! every client may do everything; [`Config::client`] restricts clients, [`Config::namespaces`] sets the options of
//! channels, [`Config::outside`] tokens and hooks. `docs/EMBEDDING.md` has an example, `docs/CONFIGURATION.md`
//! explains the fields.
//!
//! # A backend in the same process
//!
//! [`Server::node`] gives any thread a handle that publishes, queries channels, and subscribes or disconnects
//! clients. Its methods return a [`Pending`] outcome, which works with any executor or with none.
//!
//! ```
//! use throng::{Config, HistoryFilter, NoHandler, PublishOptions, Server};
//!
//! let config = Config { listen: vec![([127, 0, 0, 1], 0).into()], control: None, ..Config::default() };
//! let server = Server::start(&config, |_shard| NoHandler)?;
//! let node = server.node()?;
//!
//! // In development mode, channels of the namespace `chat` have a history.
//! for text in [r#"{"text":"hello"}"#, r#"{"text":"again"}"#] {
//!     node.publish("chat:lobby", text.into(), &PublishOptions::default()).wait()?;
//! }
//! let history = node.history("chat:lobby", HistoryFilter { limit: Some(1), reverse: true, ..HistoryFilter::default() });
//! let history = history.wait()?;
//! assert_eq!((history.position.offset, &*history.publications[0].data), (2, &br#"{"text":"again"}"#[..]));
//! # server.drain();
//! # server.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Endpoints of your own
//!
//! A [`Handler`] serves plain WebSocket connections at paths of its choice. Each shard has one and calls it in the
//! shard's thread, never concurrently, so it needs no lock. Its state of a connection, [`Handler::State`], is stored
//! inside the connection. It acts through the [`Peer`]: send, join and leave a group, broadcast to one, set a timer,
//! close.
//!
//! ```
//! use throng::{CloseReason, Handler, Kind, Message, Peer, Refusal, Request};
//!
//! /// Tells each client how many messages it has sent, and after a second without any how long it was silent.
//! struct Counting;
//!
//! impl Handler for Counting {
//!     type State = u32;
//!
//!     fn serves(&self, path: &str) -> bool {
//!         path == "/count"
//!     }
//!
//!     fn open(
//!         &mut self,
//!         _request: &Request<'_>,
//!         _subprotocol: Option<&'static str>,
//!         peer: &mut Peer<'_, '_>,
//!     ) -> Result<u32, Refusal> {
//!         peer.set_timer(1000);
//!         Ok(0)
//!     }
//!
//!     fn message(&mut self, count: &mut u32, message: Message<'_>, peer: &mut Peer<'_, '_>) -> Result<(), CloseReason> {
//!         if message.data.is_empty() {
//!             return peer.close(4000, "that was nothing");
//!         }
//!         *count += 1;
//!         peer.send(Kind::Text, count.to_string().as_bytes());
//!         peer.set_timer(1000); // replaces the one before
//!         Ok(())
//!     }
//!
//!     fn timer(&mut self, _count: &mut u32, peer: &mut Peer<'_, '_>) -> Result<(), CloseReason> {
//!         peer.send(Kind::Text, b"silent for a second");
//!         Ok(())
//!     }
//! }
//! # let config = throng::Config { listen: vec![([127, 0, 0, 1], 0).into()], control: None, ..throng::Config::default() };
//! # let server = throng::Server::start(&config, |_shard| Counting)?;
//! # let stream = std::net::TcpStream::connect(server.addresses()[0])?;
//! # let (mut client, _) = tungstenite::client(format!("ws://{}/count", server.addresses()[0]), stream).unwrap();
//! # fn read(client: &mut tungstenite::WebSocket<std::net::TcpStream>) -> tungstenite::Message {
//! #     loop {
//! #         match client.read().unwrap() {
//! #             tungstenite::Message::Ping(_) => {}
//! #             message => return message,
//! #         }
//! #     }
//! # }
//! # for count in 1..3 {
//! #     client.send("hello".into()).unwrap();
//! #     assert_eq!(read(&mut client), count.to_string().as_str().into());
//! # }
//! # assert_eq!(read(&mut client), "silent for a second".into());
//! # client.send("".into()).unwrap();
//! # let tungstenite::Message::Close(Some(frame)) = read(&mut client) else { panic!("no close frame") };
//! # assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4000, "that was nothing"));
//! # drop(client);
//! # server.drain();
//! # assert_eq!(server.wait()?, throng::Outcome::Drained);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A group is a channel: raw clients and Centrifuge clients of one channel receive the same messages in one order, on
//! all shards. [`Handler::call`] answers the calls of Centrifuge clients. `examples/chat.rs` is a chat with presence
//! and history that needs no code for messages, `examples/room.rs` a chat room of raw clients, `examples/game.rs` a
//! game with a timer; `docs/EMBEDDING.md` describes the order and the cost of the calls.
//!
//! # How it works, from the outside in
//!
//! 1. [`parts::config`]: all options, limits and deadlines. [`parts::server`]: shards in their threads, the
//!    mailboxes between them, and [`parts::control`] beside them: the server API, metrics, health, signals. It is
//!    never on the path of a message between clients. [`parts::node`]: handles by which any thread publishes, queries
//!    homes, disconnects clients and reloads. [`parts::outside`]: tokens verified by workers, and the application's
//!    hooks.
//! 2. [`parts::shard`]: one thread, its sockets, its connections, its part of the channels.
//!    [`parts::shard::Shard::turn`] is the data path on one screen: readiness events, reads and actions, letters,
//!    time, deliveries, writes, freed connections. Shards share nothing and communicate by the letters of
//!    [`parts::shard::mailbox`]. A shard never waits: its questions to other threads ([`parts::shard::outside`]) are
//!    answered by letters as well.
//! 3. [`parts::net`]: the one trait for system access. A shard uses sockets, readiness and time through
//!    [`parts::net::Net`] only, so a whole shard runs in a simulation as well.
//! 4. [`parts::session`]: the protocol state of one connection. It takes bytes and returns an
//!    [`parts::session::Action`] for each request to its shard. That closed enum is everything that a client can
//!    cause; [`CloseReason`] is the one list of endings.
//! 5. [`parts::hub`]: channels. Every channel has one [`parts::hub::home::Home`], which orders it and keeps its
//!    history and presence; every shard with subscribers keeps them in its [`parts::hub::local::Local`].
//!    [`parts::hub::options`] finds the options of a channel, [`parts::hub::permissions`] decides what a client may
//!    do there.
//! 6. [`parts::proto`]: protocols without I/O: HTTP heads, WebSocket, the Centrifuge protocol in both of its
//!    encodings, Engine.IO and Socket.IO; next section.
//! 7. [`parts::tls`]: TLS without buffers: rustls performs the handshake, then two pairs of keys open and seal records.
//! 8. [`parts::base`]: data structures without I/O, clock or knowledge of channels: slab with generations, timer
//!    wheel, shared bytes, outbox, budget, bucket, counters.
//!
//! The tools `throng bench`, `throng doctor` and `throng token` belong to the binary. A table in `docs/ARCHITECTURE.md`
//! lists the imports that each layer may make, and `tests/tidy.rs` refuses all others.
//!
//! # The parts by themselves
//!
//! Protocols own no socket and read no clock: bytes go in, values come out. The WebSocket decoder holds no memory
//! between two messages, and returns a whole message in place, unmasked:
//!
//! ```
//! use throng::Kind;
//! use throng::parts::proto::ws::{Decoder, Event, Limits, Violation};
//!
//! let limits = Limits { frame_bytes_max: 1000, message_bytes_max: 1000 };
//! let mut decoder = Decoder::default();
//! // A masked text frame, "hi", in two reads.
//! let mut input = *b"\x81\x82\x01\x02\x03\x04\x69\x6b";
//! let (mut first, mut rest) = input.split_at_mut(5);
//! assert!(decoder.next(&mut first, &limits, None)?.is_none());
//! assert!(decoder.held_bytes() > 0);
//! let Some(Event::Message(Kind::Text, payload)) = decoder.next(&mut rest, &limits, None)? else { panic!("no message") };
//! assert_eq!(&*payload, b"hi");
//! # drop(payload);
//! assert_eq!(decoder.held_bytes(), 0);
//!
//! // One variant per rule of the RFC: a client's frames are masked.
//! let mut input = *b"\x81\x02hi";
//! let broken = decoder.next(&mut input.as_mut_slice(), &limits, None);
//! assert_eq!(broken.unwrap_err(), Violation::Unmasked);
//! # Ok::<(), Violation>(())
//! ```
//!
//! Both encodings give a command of the Centrifuge protocol the same meaning:
//!
//! ```
//! use throng::parts::proto::centrifuge::message::{Encoding, Request};
//! use throng::parts::proto::centrifuge::{self, Error};
//!
//! let json = br#"{"id":7,"history":{"channel":"news","limit":10}}"#;
//! let protobuf = b"\x0c\x08\x07\x52\x08\x0a\x04news\x38\x0a";
//! for (encoding, frame) in [(Encoding::Json, &json[..]), (Encoding::Protobuf, protobuf)] {
//!     let command = centrifuge::commands(encoding, frame).next().unwrap().unwrap();
//!     assert_eq!(command.id, 7);
//!     assert!(matches!(command.request, Request::History(ask) if ask.channel == "news" && ask.limit == 10));
//! }
//!
//! let mut out = Vec::new();
//! let Error { code, message, temporary } = Error::NOT_AVAILABLE;
//! centrifuge::put_error(&mut out, 0, Encoding::Json, 7, code, message, temporary);
//! assert_eq!(out, br#"{"id":7,"error":{"code":108,"message":"not available"}}"#);
//! ```
//!
//! Time is an argument, too. The wheel has at most one deadline per key and no clock inside:
//!
//! ```
//! use throng::parts::base::wheel::Wheel;
//!
//! let mut wheel = Wheel::new(0, 10);
//! wheel.set(7, 25_000);
//! wheel.set(8, 40);
//! assert_eq!(wheel.next(), Some(40));
//! assert_eq!(wheel.pop_due(50), Some(8));
//! assert_eq!(wheel.pop_due(50), None);
//! assert_eq!(wheel.deadline(7), Some(25_000));
//! ```
//!
//! Channels identify subscribers by number and publications by reference, and know no protocol:
//!
//! ```
//! use std::sync::Arc;
//! use throng::parts::base::budget::Budget;
//! use throng::parts::base::seed::Seed;
//! use throng::parts::base::shared::Shared;
//! use throng::parts::hub::home::{Home, Joining, Limits, Member, Now, Terms};
//! use throng::parts::hub::options::ChannelOptions;
//! use throng::parts::hub::{DataKind, Publication, home_of};
//!
//! let name: Arc<str> = "news".into();
//! let options = Arc::new(ChannelOptions { history_size: 10, history_ttl_ms: 60_000, ..ChannelOptions::default() });
//! let seed = Seed::from(42); // a server draws one at random
//! let mut home = Home::new(
//!     Limits {
//!         channels_max: 1000,
//!         history_bytes_max: 1 << 20,
//!         join_leave_per_second_max: 100,
//!         history_meta_ttl_ms: 3_600_000,
//!         recovery_max: 300,
//!         waiting_max: 1000,
//!         recovery: None,
//!     },
//!     (seed, 0),
//! );
//! let now = Now { ms: 0, unix_ms: 1_700_000_000_000 };
//! let joining = |shard, recover| Joining {
//!     member: Member { shard, conn: 1 },
//!     info: None,
//!     in_presence: false,
//!     tells_join: false,
//!     wants_position: true,
//!     recover,
//!     renews: false,
//! };
//! home.subscribe(now, &name, &options, &joining(0, None)).unwrap(); // a subscriber in shard 0
//! let position = home.subscribe(now, &name, &options, &joining(3, None)).unwrap().position;
//! home.unsubscribe(now, &name, Member { shard: 3, conn: 1 });
//!
//! let data = Shared::new(b"{}".to_vec(), &Budget::new(1000));
//! let publication = Box::new(Publication::new(Arc::clone(&name), DataKind::Json, data));
//! let published = home.publish(now, publication, &options, &Terms::default()).unwrap();
//! assert_eq!(published.position.offset, 1);
//! let (_, shards) = published.delivery.unwrap();
//! assert_eq!(&shards[..], [0]);
//!
//! // The subscriber of shard 3 was away, and gets the publication that it missed.
//! let joined = home.subscribe(now, &name, &options, &joining(3, position)).unwrap();
//! assert_eq!((joined.recovered, joined.publications.len()), (true, 1));
//!
//! // The home follows from the name and the process's seed.
//! assert_eq!(home_of(&name, seed, 4), home_of("news", seed, 4));
//! ```

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod base;
mod config;
mod control;
mod hub;
mod net;
mod node;
mod outside;
mod proto;
mod server;
mod session;
mod shard;
mod tls;

pub use config::{
    ApiOptions, Args, ClientOptions, Config, ConfigError, Effective, Limits, PemText, Rates, Timeouts,
    TlsOptions, Variables, resolve,
};
pub use control::{Outcome, logs};
pub use hub::home::HistoryFilter;
pub use hub::options::{ChannelOptions, EventName, Namespaces};
pub use hub::words::Denied;
pub use net::Listen;
pub use net::sys::tune_allocator;
pub use node::{
    Certificates, Failure, Node, NotReloaded, Overloaded, Pending, PublishOptions, Publisher, Reloader,
    is_certificate_error,
};
pub use outside::options::{Options as OutsideOptions, TokenOptions};
pub use proto::centrifuge::Error;
pub use proto::http::{Refusal, Request, Status};
pub use proto::ws::Kind;
pub use server::Server;
pub use session::raw::{Call, Outcome as CallOutcome};
pub use session::{
    AdminOptions, ClientCertificate, ClientId, CloseReason, Endpoint, EngineClient, Handler, Message,
    NoHandler, Peer, Serves, SocketIoOptions, Transport,
};
pub use shard::mailbox::Target;
pub use tls::CertificateError;

/// Socket.IO: applications whose clients are those of the reference, unmodified.
///
/// [`Routes`](socketio::Routes) is an application by a table of functions, [`Events`](socketio::Events) the trait that it
/// implements; [`SocketIo`](socketio::SocketIo) makes a server's handler of either. [`Config::socketio`] turns the
/// endpoint on. `docs/SOCKETIO.md` says what is served.
pub mod socketio {
    pub use crate::hub::selector::{BadSelector, Selector};
    pub use crate::hub::socket_order::{SocketAnswer, SocketFacts};
    pub use crate::node::{Acks, BadEmit, SocketMessage};
    pub use crate::proto::socketio::write::Unsendable;
    pub use crate::proto::socketio::{Attachments, JsonArgs, JsonItems};
    pub use crate::session::socketio::{
        AckForm, AckId, AckValue, Acked, Admit, Answers, Binary, Connecting, Emit, EmitError, Ending, Event,
        EventHook, Events, Gone, Path, Require, Routes, Rule, RuleAction, SameSite, SessionCookie, Socket,
        SocketId, SocketIo, Template, Turn, UserRule, Why,
    };
    pub use crate::session::socketio::{Later, Ticket};
}

/// The engine's parts, for the binary, benches, tests and fuzz targets.
///
/// They change with the engine: a program that embeds a server needs the names of the crate's root only.
pub mod parts {
    /// Data structures without I/O, clock or knowledge of channels.
    pub mod base {
        pub use crate::base::{
            budget, counters, figures, networks, outbox, payload, seed, shared, slots, wheel,
        };
    }

    /// Every limit and deadline: keys, file, and the resulting configuration.
    pub mod config {
        pub use crate::config::*;
    }

    /// The control thread: server API, metrics, health, signals, logs.
    pub mod control {
        pub use crate::control::{Outcome, announce, api, console, logs, metrics, notify};
    }

    /// Channels: their homes, histories, presence, options and permissions.
    pub mod hub {
        pub use crate::hub::{
            ClientInfo, DataKind, Position, Publication, home, home_of, local, memory, options, permissions,
            reach, rooms, tally, words,
        };
    }

    /// System access: sockets, readiness, time, system calls.
    pub mod net {
        pub use crate::net::{Accepted, Inherited, Listen, MioNet, Net, Ready, has_ipv6, sys};
    }

    /// Handles to a running server.
    pub mod node {
        pub use crate::node::{Node, Wiring, check_certificates, is_certificate_error, now_s, read_pem};
    }

    /// Tokens, and the application's hooks.
    pub mod outside {
        pub use crate::outside::{mint, options, refusal, verify};
    }

    /// Protocols without I/O: bytes in, values out.
    pub mod proto {
        pub use crate::proto::{centrifuge, engine, fossil, http, proxy, socketio, ws};
    }

    /// Starting a whole server, and ending it.
    pub mod server {
        pub use crate::server::Server;
    }

    /// The protocol state of one connection.
    pub mod session {
        pub use crate::session::{
            Action, ClaimRules, ClientId, CloseReason, ConnectRate, Context, Counts, Endpoint, Endpoints,
            Forwarded, Handler, InPlace, LateAnswer, LateAnswers, Message, NoHandler, OrderFault,
            PacketFault, PacketRates, Peer, Phase, PlainRequest, PlainResponse, Secret, Serves, Session,
            Settings, Speaks, Told, Transport, centrifuge, raw, wire,
        };
    }

    /// One thread with its sockets, connections and part of the channels.
    pub mod shard {
        pub use crate::shard::{
            INPUT_BYTES, MakeMemory, Parts, Renewal, Secret, Shard, Turn, counters, desk, ledger, mailbox,
            options, outside,
        };
    }

    /// TLS without buffers.
    pub mod tls {
        pub use crate::tls::{
            Acceptor, CertificateError, Facts, Fault, Hot, Link, Pem, PemPair, Schedules, Terms,
            certificates, ticketer,
        };
    }
}

/// The Rust of the documents, compiled with the tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/EMBEDDING.md")]
    struct Embedding;
    #[doc = include_str!("../docs/SOCKETIO.md")]
    struct SocketIo;
    #[doc = include_str!("../docs/TLS.md")]
    struct Tls;
}
