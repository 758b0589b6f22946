//! Whole scenarios against a small server on loopback that can misbehave; the generator must detect it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use clap::FromArgMatches;

use crate::bench::args::{Args, Rpc, Scenario, Target};
use crate::bench::connections::audience::Findings;
use crate::bench::connections::state::RunState;
use crate::bench::connections::tls::TlsArgs;
use crate::bench::connections::workers;
use crate::bench::messages::frames;
use crate::bench::messages::publisher::Publisher;
use crate::bench::messages::script::Script;
use crate::bench::report::progress::Progress;
use crate::bench::scenarios::subscribing;

const SUBSCRIBERS: u64 = 5;
const PUBLICATIONS: u32 = 30;

/// The server's misbehaviour, or unusual behaviour, towards each subscriber.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    Good,
    /// Sends every frame in pieces of three bytes.
    Piecemeal,
    /// Sends a WebSocket ping, a heartbeat and an unknown push before every publication, in one frame where it can.
    Chatty,
    /// Leaves out the tenth publication.
    Forgetful,
    /// Sends the tenth publication twice.
    Repeating,
    /// Closes the first subscriber at the tenth publication.
    Closing,
    /// Answers the subscribe command with an error.
    Denying,
    /// Acknowledges no publication, and sends heartbeats.
    Mute,
}

/// A Centrifuge server for the commands of the generator: one thread per connection, no limits, no order of its own.
pub(crate) struct Small {
    manners: Manners,
    subscribers: Mutex<Vec<TcpStream>>,
    published: Mutex<u32>,
    answers: Mutex<Vec<String>>,
    history: Mutex<Vec<(u32, serde_json::Value)>>,
}

impl Small {
    pub(crate) fn start(manners: Manners) -> (Arc<Self>, Target) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/connection/websocket", listener.local_addr().unwrap());
        let (subscribers, published, answers, history) = Default::default();
        let small = Arc::new(Self { manners, subscribers, published, answers, history });
        let server = Arc::clone(&small);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let server = Arc::clone(&server);
                thread::spawn(move || server.serve(stream.unwrap()));
            }
        });
        (small, Target::parse(&url, &TlsArgs::default()).unwrap())
    }

    fn serve(&self, stream: TcpStream) {
        let raw = stream.try_clone().unwrap();
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        while let Ok(message) = socket.read() {
            if message.is_pong() {
                self.answers.lock().unwrap().push("pong".to_owned());
            }
            let Ok(text) = message.into_text() else { continue };
            for line in text.split('\n').filter(|line| !line.is_empty()) {
                self.command(line, &raw);
            }
        }
        drop(raw.shutdown(std::net::Shutdown::Both));
    }

    fn command(&self, line: &str, mut raw: &TcpStream) {
        let Ok(command) = serde_json::from_str::<serde_json::Value>(line) else { return };
        let mut frame = Vec::new();
        let mut reply = |text: String| frames::push_unmasked(&mut frame, frames::TEXT, text.as_bytes());
        let id = &command["id"];
        if line == "{}" {
            self.answers.lock().unwrap().push(line.to_owned());
            if self.manners == Manners::Mute {
                reply("{}".to_owned());
            }
        } else if command["connect"].is_object() {
            reply(format!("{{\"id\":{id},\"connect\":{{\"client\":\"x\",\"ping\":25,\"pong\":true}}}}"));
        } else if command["subscribe"].is_object() && self.manners == Manners::Denying {
            reply(format!("{{\"id\":{id},\"error\":{{\"code\":103,\"message\":\"permission denied\"}}}}"));
        } else if command["subscribe"].is_object() {
            self.subscribers.lock().unwrap().push(raw.try_clone().unwrap());
            let subscribe = &command["subscribe"];
            let stream =
                if subscribe["recoverable"] == true { self.stream(subscribe) } else { String::new() };
            reply(format!("{{\"id\":{id},\"subscribe\":{{{stream}}}}}"));
        } else if command["rpc"].is_object() {
            reply(format!("{{\"id\":{id},\"rpc\":{{\"data\":{}}}}}", command["rpc"]["data"]));
        } else if command["publish"].is_object() {
            self.publish(&command["publish"]["data"]);
            let is_mute = self.manners == Manners::Mute;
            reply(if is_mute { "{}".to_owned() } else { format!("{{\"id\":{id},\"publish\":{{}}}}") });
        }
        raw.write_all(&frame).unwrap();
    }

    /// The stream in a subscribe reply, with the missed publications.
    fn stream(&self, subscribe: &serde_json::Value) -> String {
        let mut fields =
            serde_json::json!({"recoverable": true, "epoch": "e", "offset": *self.published.lock().unwrap()});
        if subscribe["recover"] == true {
            let since = subscribe["offset"].as_u64().unwrap();
            let history = self.history.lock().unwrap();
            let missed = history.iter().filter(|(offset, _)| u64::from(*offset) > since);
            let missed = missed.map(|(offset, data)| serde_json::json!({"data": data, "offset": offset}));
            fields["publications"] = missed.collect();
            fields["recovered"] = (subscribe["epoch"] == "e").into();
        }
        fields.to_string().trim_matches(['{', '}']).to_owned()
    }

    fn publish(&self, data: &serde_json::Value) {
        let mut number = self.published.lock().unwrap();
        *number += 1;
        let push =
            format!("{{\"push\":{{\"channel\":\"bench\",\"pub\":{{\"data\":{data},\"offset\":{number}}}}}}}");
        let mut frame = Vec::new();
        if self.manners == Manners::Forgetful && *number == 10 {
            return;
        }
        self.history.lock().unwrap().push((*number, data.clone()));
        if self.manners == Manners::Chatty {
            frames::push_unmasked(&mut frame, frames::PING, b"there?");
            let other = "{\"push\":{\"channel\":\"bench\",\"pub\":{\"data\":{\"a\":1}}}}";
            frames::push_unmasked(&mut frame, frames::TEXT, format!("{{}}\n{other}\n{push}").as_bytes());
        } else {
            frames::push_unmasked(&mut frame, frames::TEXT, push.as_bytes());
        }
        if self.manners == Manners::Repeating && *number == 10 {
            frames::push_unmasked(&mut frame, frames::TEXT, push.as_bytes());
        }
        for (index, mut subscriber) in self.subscribers.lock().unwrap().iter().enumerate() {
            if self.manners == Manners::Closing && *number >= 10 && index == 0 {
                drop(subscriber.write_all(&[0x88, 6, 0x0b, 0xc0, b's', b'l', b'o', b'w']));
                continue;
            }
            let piece = if self.manners == Manners::Piecemeal { 3 } else { frame.len() };
            for bytes in frame.chunks(piece) {
                // A disconnected subscriber gets nothing.
                drop(subscriber.set_nodelay(true).and_then(|()| subscriber.write_all(bytes)));
            }
        }
    }
}

pub(crate) fn args(line: &str) -> Scenario {
    let command = <Args as clap::Args>::augment_args(clap::Command::new("bench"));
    Args::from_arg_matches(&command.get_matches_from(format!("bench {line}").split_whitespace()))
        .unwrap()
        .scenario
}

/// Publishes to subscribers of a server with this behaviour; returns the final state, the results of the threads,
/// and the number of missing deliveries.
fn watch(manners: Manners) -> (RunState, Findings, u64, Arc<Small>) {
    let (small, target) = Small::start(manners);
    let Scenario::Fanout(args) = args(&format!("fanout --connections {SUBSCRIBERS} --threads 2 --timeout 1"))
    else {
        unreachable!()
    };
    let script = Script::new(target, false, Some("bench"), 100);
    let (missing, findings, state) =
        subscribing::perform("test", &args.common, &args.opening, &script, |scene| {
            let mut progress = Progress::new(scene.state.clock, "test");
            let timeout_ns = scene.common.timeout_ns();
            let mut publisher = Publisher::connect(scene.script, scene.state, "bench", timeout_ns)?;
            publisher.measure_from_here(PUBLICATIONS);
            publisher.on_schedule(2000.0, PUBLICATIONS / 2, &mut progress)?;
            if scene.state.audience() > 0 {
                publisher.saturate(4, u64::MAX, PUBLICATIONS / 2, &mut progress)?;
            }
            publisher.settle(&mut progress)?;
            Ok(publisher.outstanding())
        })
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    (state, findings, missing, small)
}

#[test]
fn all_deliveries_are_counted_however_they_are_cut_and_joined() {
    for manners in [Manners::Good, Manners::Piecemeal, Manners::Chatty] {
        let (state, findings, missing, small) = watch(manners);
        let total = SUBSCRIBERS * u64::from(PUBLICATIONS);
        assert!(findings.failures.is_empty(), "{:?}", findings.failures);
        assert_eq!((state.sum(|lane| &lane.messages), state.delivered(), missing), (total, total, 0));
        assert_eq!((state.sum(|lane| &lane.gaps), state.sum(|lane| &lane.behind)), (0, 0));
        assert_eq!(findings.opening.summary().unwrap().count, SUBSCRIBERS);
        let quarter = |latency: &crate::bench::report::findings::Latency| latency.summary().unwrap().count;
        let [all, first, last] = &findings.arrivals;
        // 30 publications: the first quarter is 0..=7, the last 23..=29.
        assert_eq!((quarter(all), quarter(first), quarter(last)), (total, 8 * SUBSCRIBERS, 7 * SUBSCRIBERS));
        if manners == Manners::Chatty {
            assert_eq!(state.sum(|lane| &lane.heartbeats), 2 * total);
            // The run may end before the server has read the last answers.
            let answers = small.answers.lock().unwrap();
            assert!(answers.iter().any(|a| a == "pong") && answers.iter().any(|a| a == "{}"));
        }
    }
}

#[test]
fn a_gap_is_noticed_by_every_subscriber() {
    let (state, _, missing, _) = watch(Manners::Forgetful);
    assert_eq!((state.sum(|lane| &lane.gaps), state.sum(|lane| &lane.behind), missing), (SUBSCRIBERS, 0, 0));
}

#[test]
fn a_repetition_is_noticed_by_every_subscriber() {
    let (state, _, missing, _) = watch(Manners::Repeating);
    assert_eq!((state.sum(|lane| &lane.gaps), state.sum(|lane| &lane.behind), missing), (0, SUBSCRIBERS, 0));
}

#[test]
fn a_lost_subscriber_is_counted_and_not_waited_for() {
    let (state, findings, missing, _) = watch(Manners::Closing);
    assert_eq!((state.sum(|lane| &lane.lost), state.audience(), missing), (1, SUBSCRIBERS - 1, 0));
    let kinds: Vec<_> = findings.failures.each().collect();
    assert_eq!(kinds, [("lost, closed by the server: 3008 slow", 1)]);
}

#[test]
fn who_may_not_subscribe_has_failed() {
    let (state, findings, _, _) = watch(Manners::Denying);
    assert_eq!((state.sum(|lane| &lane.ready), state.sum(|lane| &lane.failed)), (0, SUBSCRIBERS));
    let kinds: Vec<_> = findings.failures.each().collect();
    assert_eq!(kinds, [("reply: error 103 permission denied", SUBSCRIBERS)]);
}

#[test]
fn a_server_that_is_not_there_is_a_failure_of_each_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/connection/websocket", listener.local_addr().unwrap());
    drop(listener);
    for line in ["idle --connections 7 --hold 0", "echo --connections 7 --seconds 0.1 --warmup 0"] {
        let outcome = match args(&format!("{line} --url {url} --json")) {
            Scenario::Idle(args) => crate::bench::scenarios::idle::run(&args),
            Scenario::Echo(args) => crate::bench::scenarios::echo::run(&args),
            Scenario::Rpc(args) => crate::bench::scenarios::echo::call(&args),
            Scenario::Publish(args) => crate::bench::scenarios::echo::publish(&args),
            Scenario::Recover(args) => crate::bench::scenarios::recover::run(&args),
            Scenario::Fanout(_) | Scenario::Handshakes(_) | Scenario::Storm(_) => unreachable!(),
        };
        assert_eq!(outcome, Ok(false), "{line}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_opened() {
    for line in ["--url http://127.0.0.1/", "--tls --tls-ca /none", "--pid 4294967295", "--pin 100000"] {
        let Scenario::Idle(args) = args(&format!("idle --connections 7 {line}")) else { unreachable!() };
        assert!(
            matches!(crate::bench::scenarios::idle::run(&args), Err(workers::Refusal::Arguments(_))),
            "{line}"
        );
    }
}

#[test]
fn echo_and_handshakes_run_against_an_echo_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/echo", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let Ok(mut socket) = tungstenite::accept(stream.unwrap()) else { return };
                while let Ok(message) = socket.read() {
                    if (message.is_binary() || message.is_text()) && socket.send(message).is_err() {
                        return;
                    }
                }
            });
        }
    });
    for line in [
        "echo --connections 3 --size 20 --seconds 0.2 --warmup 0",
        "echo --connections 2 --size 70000 --in-flight 8 --threads 2 --text --seconds 0.2 --warmup 0",
    ] {
        let Scenario::Echo(args) = args(&format!("{line} --json --url {url}")) else { unreachable!() };
        assert_eq!(crate::bench::scenarios::echo::run(&args), Ok(true), "{line}");
    }
    for line in ["--concurrency 4", "--ending goodbye", "--ending reset"] {
        let Scenario::Handshakes(args) =
            args(&format!("handshakes --seconds 0.2 --warmup 0 {line} --json --url {url}"))
        else {
            unreachable!()
        };
        assert_eq!(crate::bench::scenarios::handshakes::run(&args), Ok(true), "{line}");
    }
}

#[test]
fn calls_and_publications_are_answered_and_what_is_denied_has_failed() {
    let (_, target) = Small::start(Manners::Good);
    for (line, is_good) in [
        ("rpc --bytes 20", true),
        ("rpc --bytes 70000 --threads 2 --token-secret s", true),
        ("publish --connections 3", true),
    ] {
        let line = format!("{line} --seconds 0.2 --warmup 0 --json --url {}", target.url);
        let outcome = match args(&line) {
            Scenario::Rpc(args) => crate::bench::scenarios::echo::call(&Rpc { connections: 3, ..args }),
            Scenario::Publish(args) => crate::bench::scenarios::echo::publish(&args),
            other @ (Scenario::Idle(_)
            | Scenario::Echo(_)
            | Scenario::Recover(_)
            | Scenario::Fanout(_)
            | Scenario::Handshakes(_)
            | Scenario::Storm(_)) => panic!("{other:?}"),
        };
        assert_eq!(outcome, Ok(is_good), "{line}");
    }
    let Scenario::Rpc(args) = args("rpc --url ws://127.0.0.1:1/echo") else { unreachable!() };
    assert!(matches!(crate::bench::scenarios::echo::call(&args), Err(workers::Refusal::Arguments(_))));
}

#[test]
fn the_server_api_is_asked_over_one_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/api/publish", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    let request = String::from_utf8_lossy(&buffer[..read]);
                    assert!(request.starts_with("POST /api/publish HTTP/1.1\r\n"), "{request}");
                    assert!(request.ends_with('}'), "{request}");
                    let body = if request.contains("X-API-Key: k\r\n") {
                        "{\"result\":{}}"
                    } else {
                        "{\"error\":1}"
                    };
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    stream.write_all((head + body).as_bytes()).unwrap();
                }
            });
        }
    });
    for (key, is_good) in [(" --api-key k", true), ("", false)] {
        let line = format!("publish --api{key} --connections 2 --seconds 0.2 --warmup 0 --json --url {url}");
        let Scenario::Publish(args) = args(&line) else { unreachable!() };
        assert_eq!(crate::bench::scenarios::echo::publish(&args), Ok(is_good), "{line}");
    }
}

#[test]
fn who_comes_back_must_recover_everything() {
    for (manners, is_good) in [(Manners::Good, true), (Manners::Piecemeal, true), (Manners::Forgetful, false)]
    {
        let (_, target) = Small::start(manners);
        let line = format!(
            "recover --connections 7 --threads 2 --missed 20 --more 2 --timeout 1 --json --url {}",
            target.url
        );
        let Scenario::Recover(args) = args(&line) else { unreachable!() };
        assert_eq!(crate::bench::scenarios::recover::run(&args), Ok(is_good));
    }
}

/// Publications that are to be surely there are waited for no longer than `--timeout`, whatever else comes.
#[test]
fn acknowledgements_that_do_not_come_end_the_run() {
    let (_, target) = Small::start(Manners::Mute);
    let line = format!("recover --connections 2 --missed 20 --timeout 1 --json --url {}", target.url);
    let Scenario::Recover(args) = args(&line) else { unreachable!() };
    let cause = crate::bench::scenarios::recover::run(&args).unwrap_err();
    assert!(format!("{cause:?}").contains("no acknowledgement"), "{cause:?}");
}

#[test]
fn messages_on_schedule_are_as_many_as_were_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let (bytes_in, counted) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, bytes_in) = (stream.unwrap(), bytes_in.clone());
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    bytes_in.send(read).unwrap();
                    stream.write_all(&buffer[..read]).unwrap();
                }
            });
        }
    });
    let line = format!("echo --tcp --rate 100 --connections 2 --seconds 0.2 --warmup 0 --url {url} --json");
    let Scenario::Echo(args) = args(&line) else { unreachable!() };
    assert_eq!(crate::bench::scenarios::echo::run(&args), Ok(true));
    // 26 bytes each. However late the run ended, far from the tens of thousands that a closed loop has.
    let messages = counted.try_iter().sum::<usize>() / 26;
    assert!((1..10_000).contains(&messages), "{messages}");
}

#[test]
fn an_echo_that_is_not_the_same_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut buffer) = (stream.unwrap(), [0; 64]);
            let read = stream.read(&mut buffer).unwrap();
            buffer[..read].reverse();
            stream.write_all(&buffer[..read]).unwrap();
        }
    });
    let line = format!("echo --tcp --connections 1 --seconds 0.1 --warmup 0 --url {url} --json");
    let Scenario::Echo(args) = args(&line) else { unreachable!() };
    assert_eq!(crate::bench::scenarios::echo::run(&args), Ok(false));
}
