//! Identities of Socket.IO clients: tokens, the connect hook, expiry, and the limit of a user's connections.

use std::sync::Arc;

use throng::parts::outside::mint;
use throng::parts::outside::options::{HookOptions, TokenOptions};
use throng::socketio::{Admit, Connecting, Ending, Event, Events, Socket, SocketIo};
use throng::{ClientOptions, Node, PemText, Target, TlsOptions};

use super::polling::Polling;
use super::*;
use crate::support::application::{Application, hook};
use crate::support::tls::fixtures::Authority;
use crate::support::tls::{answer_to, trusting};

/// Tells each client who it is.
struct Mirror;

impl Events for Mirror {
    type State = ();

    fn connect(&mut self, connecting: &Connecting<'_>) -> Admit<()> {
        match connecting.user {
            "late" => {
                let (ticket, later) = connecting.later();
                thread::spawn(move || ticket.admit(Admit::In(())));
                later
            }
            "eve" => Admit::out("not you"),
            _ => Admit::In(()),
        }
    }

    fn connected(&mut self, (): &mut (), socket: &mut Socket<'_, '_>) -> Result<(), Ending> {
        let info = String::from_utf8_lossy(socket.info()).into_owned();
        let user = socket.user().to_owned();
        Ok(socket.emit("you", &(user, info))?)
    }

    fn event(&mut self, (): &mut (), event: Event<'_>, socket: &mut Socket<'_, '_>) -> Result<(), Ending> {
        Ok(socket.everyone().to("r").emit(event.name, &())?)
    }
}

struct Served {
    address: std::net::SocketAddr,
    node: Node,
    drain: Box<dyn Fn() + Send>,
    thread: thread::JoinHandle<Outcome>,
}

impl Served {
    fn start(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            listen: vec![([127, 0, 0, 1], 0).into()],
            control: None,
            shards: 2,
            pin: false,
            private_descriptors: false,
            client: ClientOptions::default(),
            socketio: SocketIoOptions { enabled: true, ..SocketIoOptions::default() },
            ..Config::default()
        };
        config.timeouts.drain_ms = 50;
        let outside = Arc::make_mut(&mut config.outside);
        outside.token = TokenOptions { hmac_secret_key: "between us".to_owned(), ..TokenOptions::default() };
        change(&mut config);
        let server = Embedded::start(&config, |_shard| SocketIo(Mirror)).unwrap();
        let (address, drain) = (server.addresses()[0], Box::new(server.drainer()));
        let node = server.node().unwrap();
        Self { address, node, drain, thread: thread::spawn(|| server.wait().unwrap()) }
    }

    fn open(&self) -> Peer {
        let mut peer = Peer::open(self.address, PATH);
        assert!(text(&mut peer).starts_with("0{\"sid\":\""));
        peer
    }

    /// The answer to CONNECT with this `auth`, and its connection.
    fn answer(&self, auth: &Value) -> (String, Peer) {
        let mut peer = self.open();
        peer.send(TEXT, format!("40{auth}"));
        (text(&mut peer), peer)
    }

    /// A client that the application has told who it is.
    fn client(&self, claims: &Value) -> (String, Peer) {
        let (connected, mut peer) = self.answer(&json!({"token": token(claims)}));
        assert!(connected.starts_with("40{\"sid\":\""), "{connected}");
        (text(&mut peer), peer)
    }

    fn end(self) {
        (self.drain)();
        assert_eq!(self.thread.join().unwrap(), Outcome::Drained);
    }
}

fn token(claims: &Value) -> String {
    mint(b"between us", claims.to_string().as_bytes())
}

fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_token_says_who_a_socket_is() {
    let served = Served::start(|_| {});
    let (you, _) = served.client(&json!({"sub": "late"}));
    assert_eq!(you, r#"42["you","late",""]"#, "the application may answer from any thread");
    let (you, mut peer) = served.client(&json!({"sub": "ann", "info": {"n": 1}}));
    assert_eq!(you, r#"42["you","ann","{\"n\":1}"]"#);
    // Each namespace has an identity of its own.
    peer.send(TEXT, format!("40/b,{}", json!({"token": token(&json!({"sub": "ben"}))})));
    assert!(text(&mut peer).starts_with("40/b,{"));
    assert_eq!(text(&mut peer), r#"42/b,["you","ben",""]"#);
    for (auth, refusal) in [
        (json!({"token": token(&json!({"sub": "ann", "exp": 1}))}), r#""token expired","data":{"code":109}"#),
        (json!({"token": mint(b"not us", b"{}")}), r#""invalid token","data":{"code":3500}"#),
        (json!({"token": 5}), r#""invalid token","data":{"code":3500}"#),
        (json!({}), r#""bad request","data":{"code":3501}"#),
        (json!({"token": token(&json!({"sub": "eve"}))}), r#""not you""#),
    ] {
        let (answer, mut peer) = served.answer(&auth);
        assert_eq!(answer, format!("44{{\"message\":{refusal}}}"), "{auth}");
        // The connection stays, and another token may be better.
        peer.send(TEXT, format!("40{}", json!({"token": token(&json!({"sub": "ann"}))})));
        assert!(text(&mut peer).starts_with("40{"), "{auth}");
    }
    // A token in the query is none.
    let mut peer = Peer::open(served.address, &format!("{PATH}&token={}", token(&json!({"sub": "ann"}))));
    text(&mut peer);
    peer.send(TEXT, "40");
    assert_eq!(text(&mut peer), r#"44{"message":"bad request","data":{"code":3501}}"#);
    served.end();
}

#[test]
fn an_anonymous_client_is_let_in_where_that_is_allowed() {
    let served = Served::start(|config| config.client.allow_anonymous_connect_without_token = true);
    let (answer, mut peer) = served.answer(&json!({}));
    assert!(answer.starts_with("40{"));
    assert_eq!(text(&mut peer), r#"42["you","",""]"#);
    let (you, _) = served.client(&json!({"sub": "ann"}));
    assert_eq!(you, r#"42["you","ann",""]"#);
    served.end();
}

#[test]
fn a_token_may_come_in_a_cookie() {
    let served = Served::start(|config| config.client.token_cookie = "t".to_owned());
    let cookie = format!("Cookie: a=b; t={}\r\n", token(&json!({"sub": "ann"})));
    let mut peer = Peer::connect(served.address).upgraded(PATH, &cookie);
    text(&mut peer);
    for namespace in ["/", "/b"] {
        peer.send(TEXT, format!("40{namespace},"));
        assert!(text(&mut peer).contains("\"sid\""));
        assert!(text(&mut peer).ends_with(r#"["you","ann",""]"#));
    }
    served.end();
}

/// The connection ends, so that the client comes back with a new token.
#[test]
fn the_expiry_of_a_token_ends_the_connection() {
    let served = Served::start(|_| {});
    let (_, mut peer) = served.client(&json!({"sub": "ann", "exp": now_s() + 2}));
    loop {
        let frame = peer.frame();
        if frame.close_code().is_some() {
            assert_eq!(frame.close_code(), Some(3005), "{frame:?}");
            break;
        }
    }
    served.end();
}

#[test]
fn a_user_has_so_many_connections() {
    let served = Served::start(|config| config.client.user_connection_limit = 2);
    let ann = json!({"sub": "ann"});
    let (_, mut first) = served.client(&ann);
    // Two namespaces of one connection are one connection.
    first.send(TEXT, format!("40/b,{}", json!({"token": token(&ann)})));
    assert!(text(&mut first).starts_with("40/b,{"));
    let (_, second) = served.client(&ann);
    let refusal = r#"44{"message":"connection limit","data":{"code":3504}}"#;
    let (answer, mut third) = served.answer(&json!({"token": token(&ann)}));
    assert_eq!(answer, refusal);
    drop(second);
    first.send(TEXT, "41/b,");
    // The home hears of the end at some time.
    let begun = Instant::now();
    loop {
        third.send(TEXT, format!("40{}", json!({"token": token(&ann)})));
        let answer = text(&mut third);
        if answer.starts_with("40{") {
            break;
        }
        assert_eq!(answer, refusal);
        assert!(begun.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(10));
    }
    let (answer, _) = served.answer(&json!({"token": token(&ann)}));
    assert_eq!(answer, refusal, "who left one of two namespaces is still there");
    served.end();
}

fn with_hook(application: &Application) -> Served {
    let endpoint = hook(application, "socket")["endpoint"].as_str().unwrap().to_owned();
    Served::start(|config| {
        let outside = Arc::make_mut(&mut config.outside);
        outside.socket_connect = Some(HookOptions { endpoint, timeout_ms: 20_000, ..HookOptions::default() });
    })
}

#[test]
fn an_application_elsewhere_says_who_a_socket_is() {
    let application = Application::start();
    let served = with_hook(&application);
    let mut peer = Peer::open(served.address, &format!("{PATH}&room=7"));
    text(&mut peer);
    peer.send(TEXT, r#"40/a,{"cookie":"abc"}"#);
    let result = json!({"user": "ann", "info": {"n": 1}, "rooms": ["r"], "state": {"s": 1}});
    let asked = application.answer("socket", json!({"result": result}));
    let (client, sid) = (asked["client"].as_str().unwrap(), asked["sid"].as_str().unwrap());
    assert_eq!((client.len(), sid.len()), (36, 20));
    let expected = json!({
        "client": client, "transport": "websocket", "protocol": "socketio", "encoding": "json", "namespace": "/a",
        "sid": sid, "query": "room=7", "recovered": false, "data": {"cookie": "abc"},
    });
    assert_eq!(asked, expected);
    assert_eq!(text(&mut peer), format!("40/a,{{\"sid\":\"{sid}\"}}"));
    assert_eq!(text(&mut peer), r#"42/a,["you","ann","{\"n\":1}"]"#);
    // It is in the room that the hook named.
    peer.send(TEXT, r#"42/a,["hello"]"#);
    assert_eq!(text(&mut peer), r#"42/a,["hello"]"#);
    // Another namespace goes on while the hook is asked.
    peer.send(TEXT, "40/b,");
    peer.send(TEXT, r#"42/a,["again"]"#);
    assert_eq!(text(&mut peer), r#"42/a,["again"]"#);
    let why = json!({"error": {"code": 1000, "message": "no", "data": {"why": 1}}});
    assert_eq!(application.answer("socket", why)["namespace"], "/b");
    assert_eq!(text(&mut peer), r#"44/b,{"message":"no","data":{"why":1}}"#);
    for (answer, refusal) in [
        (json!({"error": {"code": 1000, "message": "no"}}), r#"{"message":"no","data":{"code":1000}}"#),
        (json!({"disconnect": {"code": 4500, "reason": "go"}}), r#"{"message":"go","data":{"code":4500}}"#),
        (json!({}), r#"{"message":"bad request","data":{"code":3501}}"#),
        (json!({"result": {"expire_at": 1}}), r#"{"message":"expired","data":{"code":110}}"#),
    ] {
        peer.send(TEXT, "40/b,");
        application.answer("socket", answer);
        assert_eq!(text(&mut peer), format!("44/b,{refusal}"));
    }
    // A token needs no hook.
    let (you, _) = served.client(&json!({"sub": "ben"}));
    assert_eq!(you, r#"42["you","ben",""]"#);
    served.end();
}

/// Clients come back by themselves after the end of a connection, and not after an answer.
#[test]
fn a_hook_that_fails_ends_the_connection() {
    let application = Application::start();
    let served = with_hook(&application);
    for (answer, code) in [
        ("nonsense", 3004),
        (r#"{"error":{"code":7}}"#, 3004),
        (r#"{"disconnect":{"code":4000,"reason":"later"}}"#, 4000),
    ] {
        let mut peer = served.open();
        peer.send(TEXT, "40");
        application.question("socket").answer_text(answer);
        assert_eq!(peer.frame().close_code(), Some(code), "{answer}");
    }
    // A client that is gone before the answer is missed by nobody.
    let mut peer = served.open();
    peer.send(TEXT, "40");
    let question = application.question("socket");
    drop(peer);
    question.answer(json!({"result": {"user": "ann"}}));
    let mut peer = served.open();
    peer.send(TEXT, "40");
    application.answer("socket", json!({"result": {}}));
    assert!(text(&mut peer).starts_with("40{"));
    served.end();
}

/// Orders about a user find its sockets: those to come back close the connection, others disconnect for good.
#[test]
fn orders_about_a_user_reach_its_sockets() {
    let served = Served::start(|_| {});
    let target = |user: &str| Target { user: user.to_owned(), ..Target::default() };
    let (_, mut ben) = served.client(&json!({"sub": "ben"}));
    let ann = json!({"sub": "ann"});
    let (_, mut peer) = served.client(&ann);
    served.node.disconnect(target("ann"), 4000, "again", Vec::new()).wait().unwrap();
    assert_eq!(peer.frame().close_code(), Some(4000));
    let (_, mut peer) = served.client(&ann);
    served.node.disconnect(target("ann"), 4500, "for good", Vec::new()).wait().unwrap();
    assert_eq!(text(&mut peer), "41");
    assert_eq!(peer.frame().close_code(), Some(4500));
    // One of two users of a connection.
    let (_, mut peer) = served.client(&ann);
    peer.send(TEXT, format!("40/b,{}", json!({"token": token(&json!({"sub": "cid"}))})));
    assert!(text(&mut peer).starts_with("40/b,{") && text(&mut peer).starts_with("42/b,"));
    served.node.disconnect(target("ann"), 4500, "for good", Vec::new()).wait().unwrap();
    assert_eq!(text(&mut peer), "41");
    served.node.refresh(target("cid"), true, 0, Vec::new().into()).wait().unwrap();
    assert_eq!(peer.frame().close_code(), Some(3005));
    // Others notice nothing.
    ben.send(TEXT, "40/b,{}");
    assert_eq!(text(&mut ben), r#"44/b,{"message":"bad request","data":{"code":3501}}"#);
    served.end();
}

/// The hook is asked at the end of an identity, and prolongs it, or ends the connection.
#[test]
fn the_refresh_hook_prolongs_an_identity_or_ends_it() {
    let application = Application::start();
    let endpoint = hook(&application, "refresh")["endpoint"].as_str().unwrap().to_owned();
    let served = Served::start(|config| {
        let outside = Arc::make_mut(&mut config.outside);
        outside.refresh = Some(HookOptions { endpoint, timeout_ms: 20_000, ..HookOptions::default() });
    });
    for (result, prolongs) in
        [(json!({"expire_at": now_s() + 3600}), true), (json!({"expired": true}), false), (json!({}), false)]
    {
        let (_, mut peer) = served.client(&json!({"sub": "ann", "exp": now_s() + 2}));
        let asked = application.answer("refresh", json!({"result": result}));
        assert_eq!((&asked["user"], &asked["protocol"]), (&json!("ann"), &json!("socketio")), "{asked}");
        if prolongs {
            peer.send(TEXT, "40/b,{}");
            assert!(text(&mut peer).starts_with("44/b,"), "the connection goes on");
        } else {
            assert_eq!(peer.frame().close_code(), Some(3005), "{result}");
        }
    }
    // Over polling, too.
    let mut client = Polling::at(served.address);
    client.post(&format!("40{}", json!({"token": token(&json!({"sub": "ann", "exp": now_s() + 2}))})));
    client.packets(2);
    application.answer("refresh", json!({"result": {"expired": true}}));
    assert_eq!(client.packets(1), ["1"], "the end of the session");
    served.end();
}

/// Over polling, a session is identified and expires as one by WebSocket.
#[test]
fn a_token_says_who_a_polling_socket_is() {
    let served = Served::start(|_| {});
    let mut client = Polling::at(served.address);
    client.post(&format!("40{}", json!({"token": token(&json!({"sub": "ann", "exp": now_s() + 2}))})));
    let packets = client.packets(2);
    assert!(packets[0].starts_with("40{") && packets[1] == r#"42["you","ann",""]"#, "{packets:?}");
    assert_eq!(client.packets(1), ["1"], "the end of the session");
    served.end();
}

/// The certificate of the request that opened a session on polling is the client's, and other requests must have it.
#[test]
fn a_polling_session_belongs_to_the_certificate_that_opened_it() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let (chain, key) = ca.issue(&["a.test"]);
    let served = Served::start(|config| {
        config.client.allow_certificate_connect_without_token = true;
        config.tls = TlsOptions {
            pem: vec![PemText { name: "mine".into(), chain, key }],
            client_ca_pem: clients.pem().to_owned(),
            requires_client_cert: false,
            ..TlsOptions::default()
        };
    });
    let [ann, ben] = ["Ann", "Ben"].map(|name| trusting(&ca, Some(&clients.issue_client(name, vec![]))));
    let nobody = trusting(&ca, None);
    let request = |who: &Arc<rustls::ClientConfig>, line: &str, more: &str, body: &str| {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let request =
            format!("{line} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{length}{more}\r\n{body}");
        answer_to(who, served.address, "a.test", &request)
    };
    const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
    let opened = request(&ann, &format!("GET {POLLING}"), "", "");
    let sid = opened.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap();
    let (get, post) = (format!("GET {POLLING}&sid={sid}"), format!("POST {POLLING}&sid={sid}"));
    for other in [&ben, &nobody] {
        for answer in [request(other, &get, "", ""), request(other, &post, "", "40")] {
            assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
            assert!(answer.ends_with(r#"{"code":4,"message":"Forbidden"}"#), "{answer}");
        }
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let target = format!("GET /socket.io/?EIO=4&transport=websocket&sid={sid}");
        let asked = format!("{target} HTTP/1.1\r\nHost: a.test\r\n{upgrade}\r\n");
        let answer = answer_to(other, served.address, "a.test", &asked);
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    assert!(request(&ann, &post, "", "40").ends_with("\r\n\r\nok"));
    let mut packets = String::new();
    while !packets.contains("\"you\"") {
        packets += &request(&ann, &get, "", "");
    }
    assert!(packets.contains(r#"42["you","Ann",""]"#), "{packets}");
    served.end();
}

/// Pages of other origins are refused, whatever the transport; those of listed ones can read refusals.
#[test]
fn pages_of_other_origins_are_refused() {
    let served = Served::start(|config| config.client.allowed_origins = vec!["https://a.test".to_owned()]);
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let ask = |query: &str, origin: &str, more: &str| {
        let mut peer = Peer::connect(served.address);
        let request =
            format!("GET /socket.io/?{query} HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n{more}\r\n");
        peer.send_bytes(request.as_bytes());
        peer.response_head()
    };
    for (query, more) in [("EIO=4&transport=polling", ""), ("EIO=4&transport=websocket", upgrade)] {
        assert_eq!(ask(query, "https://b.test", more).status, 403, "{query}");
        assert_ne!(ask(query, "https://a.test", more).status, 403, "{query}");
    }
    let refused = ask("EIO=4&transport=polling&sid=x", "https://a.test", "");
    assert_eq!(refused.status, 400);
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://a.test"));
    served.end();
}
