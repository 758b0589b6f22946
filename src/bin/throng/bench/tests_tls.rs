//! Scenarios over TLS, and storms: the servers of the other tests behind a TLS terminator that uses rustls, and
//! servers that refuse.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

use super::tests::{Manners, Small, args};
use crate::bench::args::Scenario;
use crate::bench::connections::workers;
use crate::bench::scenarios::echo;
use crate::bench::scenarios::fanout;
use crate::bench::scenarios::handshakes;
use crate::bench::scenarios::idle;
use crate::bench::scenarios::recover;
use crate::bench::scenarios::storm;

/// Terminates TLS for a server on loopback: one connection, two threads, as plain as can be.
struct Veil {
    /// Its address.
    address: SocketAddr,
    /// Its certificate, in PEM.
    ca: tempfile::Path,
}

mod tempfile {
    //! A file that is removed at the end of its test.
    pub(crate) struct Path(std::path::PathBuf);

    impl Path {
        pub(crate) fn new(text: &str) -> Self {
            use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let name = format!("throng-load-{}-{}.pem", std::process::id(), COUNT.fetch_add(1, Relaxed));
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, text).unwrap();
            Self(path)
        }

        pub(crate) fn display(&self) -> std::path::Display<'_> {
            self.0.display()
        }
    }

    impl Drop for Path {
        fn drop(&mut self) {
            drop(std::fs::remove_file(&self.0));
        }
    }
}

impl Veil {
    fn over(server: SocketAddr) -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth();
        let mut config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for veiled in listener.incoming() {
                let (veiled, plain) = (veiled.unwrap(), TcpStream::connect(server).unwrap());
                let session = Arc::new(Mutex::new(ServerConnection::new(Arc::clone(&config)).unwrap()));
                let (other, back) = (Arc::clone(&session), plain.try_clone().unwrap());
                let out = veiled.try_clone().unwrap();
                thread::spawn(move || conceal(&other, back, out));
                thread::spawn(move || reveal(&session, veiled, plain));
            }
        });
        Self { address, ca: tempfile::Path::new(&made.cert.pem()) }
    }

    /// The flags with which a scenario reaches `path` through it.
    fn flags(&self, path: &str) -> String {
        format!("--json --url wss://{}{path} --tls-ca {}", self.address, self.ca.display())
    }
}

/// Records become plaintext.
fn reveal(session: &Mutex<ServerConnection>, mut veiled: TcpStream, mut plain: TcpStream) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = veiled.read(&mut buffer) {
        let mut session = session.lock().unwrap();
        let (mut records, mut text) = (&buffer[..read], Vec::new());
        while !records.is_empty() && session.read_tls(&mut records).is_ok() {
            let outcome = session.process_new_packets();
            while session.wants_write() && session.write_tls(&mut veiled).is_ok() {}
            if outcome.is_err() {
                break;
            }
            drop(session.reader().read_to_end(&mut text));
        }
        if plain.write_all(&text).is_err() {
            break;
        }
    }
    drop(plain.shutdown(Shutdown::Both));
}

/// Plaintext becomes records.
fn conceal(session: &Mutex<ServerConnection>, mut plain: TcpStream, mut veiled: TcpStream) {
    let mut buffer = [0; 64 << 10];
    loop {
        let read = plain.read(&mut buffer).unwrap_or(0);
        let mut session = session.lock().unwrap();
        let mut rest = &buffer[..read];
        if rest.is_empty() {
            session.send_close_notify();
        }
        loop {
            let taken = session.writer().write(rest).unwrap();
            rest = &rest[taken..];
            while session.wants_write() && session.write_tls(&mut veiled).is_ok() {}
            if rest.is_empty() {
                break;
            }
        }
        if read == 0 {
            drop(veiled.shutdown(Shutdown::Write));
            return;
        }
    }
}

/// An echo server over tungstenite.
fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
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
    address
}

fn run(line: &str) -> Result<bool, workers::Refusal> {
    match args(line) {
        Scenario::Idle(args) => idle::run(&args),
        Scenario::Echo(args) => echo::run(&args),
        Scenario::Rpc(args) => echo::call(&args),
        Scenario::Publish(args) => echo::publish(&args),
        Scenario::Recover(args) => recover::run(&args),
        Scenario::Fanout(args) => fanout::run(&args),
        Scenario::Handshakes(args) => handshakes::run(&args),
        Scenario::Storm(args) => storm::run(&args),
    }
}

#[test]
fn echoes_come_back_through_tls_of_both_versions_and_all_suites() {
    let veil = Veil::over(echo_server());
    for more in [
        "--size 20",
        "--size 20 --tls-version 1.2",
        "--size 20 --in-flight 7 --tls-suite aes128",
        "--size 70000 --in-flight 8 --threads 2",
        "--size 70000 --in-flight 8 --tls-version 1.2",
        "--size 300 --tls-suite chacha20",
    ] {
        let line = format!("echo --connections 3 --seconds 0.2 --warmup 0 {more} {}", veil.flags("/echo"));
        assert_eq!(run(&line), Ok(true), "{more}");
    }
}

#[test]
fn every_scenario_of_the_centrifuge_protocol_goes_through_tls() {
    for manners in [Manners::Good, Manners::Piecemeal, Manners::Chatty] {
        let (_, target) = Small::start(manners);
        let veil = Veil::over(target.address);
        let flags = veil.flags("/connection/websocket");
        for line in [
            "rpc --connections 2 --bytes 5000 --seconds 0.1 --warmup 0",
            "publish --connections 2 --seconds 0.1 --warmup 0",
            // Without a schedule: whether a rate is reached in so short a time depends on the machine.
            "fanout --connections 5 --threads 2 --in-flight 2 --seconds 0.05 --warmup 0",
        ] {
            assert_eq!(run(&format!("{line} {flags}")), Ok(true), "{line}");
        }
    }
    // Each on a server of its own: publications are numbered from the start of a run.
    for line in
        ["idle --connections 5 --hold 0 --subscribe bench --publish 3", "recover --connections 5 --missed 9"]
    {
        let (_, target) = Small::start(Manners::Piecemeal);
        let veil = Veil::over(target.address);
        assert_eq!(run(&format!("{line} {}", veil.flags("/connection/websocket"))), Ok(true), "{line}");
    }
}

#[test]
fn a_server_that_nobody_vouches_for_is_a_failure_unless_nobody_asks() {
    let veil = Veil::over(echo_server());
    let line = format!("echo --connections 2 --seconds 0.1 --warmup 0 --json --url wss://{}/", veil.address);
    assert_eq!(run(&line), Ok(false));
    assert_eq!(run(&format!("{line} --tls-insecure")), Ok(true));
    let other = Veil::over(echo_server());
    assert_eq!(run(&format!("{line} --tls-ca {}", other.ca.display())), Ok(false));
}

#[test]
fn what_is_no_tls_is_a_failure() {
    let line = format!("idle --connections 2 --hold 0 --json --timeout 5 --url wss://{}/", echo_server());
    assert_eq!(run(&line), Ok(false));
}

#[test]
fn sessions_are_resumed_where_that_is_asked_for() {
    let veil = Veil::over(echo_server());
    for (version, resume) in [("1.3", true), ("1.2", true), ("1.3", false)] {
        let resume_flag = if resume { " --tls-resume" } else { "" };
        let Scenario::Handshakes(args) = args(&format!(
            "handshakes --concurrency 2 --seconds 0.3 --warmup 0.1 --tls-version {version}{resume_flag} {}",
            veil.flags("/echo")
        )) else {
            unreachable!()
        };
        let (ok, target) = handshakes::run_at(&args).unwrap();
        let (full, resumed) = target.tls.unwrap().tally.counts();
        assert!(ok && full + resumed > 0, "{version}");
        assert_eq!(resumed > 0, resume, "{version}: {full} full, {resumed} resumed");
    }
}

/// Answers requests at this address with 503 until `refusals` are used up, then passes them on to `server`.
fn reluctant(server: SocketAddr, refusals: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let left = AtomicUsize::new(refusals);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or(0);
            let is_live = head.starts_with(b"GET /echo");
            let refused = !is_live && left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
            if refused {
                let answer =
                    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
                drop(stream.write_all(answer));
                continue;
            }
            let mut onward = TcpStream::connect(server).unwrap();
            onward.write_all(&head[..read]).unwrap();
            let (mut from, mut to) = (onward.try_clone().unwrap(), stream.try_clone().unwrap());
            thread::spawn(move || {
                drop(std::io::copy(&mut stream, &mut onward));
                drop(onward.shutdown(Shutdown::Both));
            });
            thread::spawn(move || {
                drop(std::io::copy(&mut from, &mut to));
                drop(to.shutdown(Shutdown::Both));
            });
        }
    });
    address
}

#[test]
fn who_is_refused_in_a_storm_comes_again_and_who_gives_up_has_failed() {
    let few = "storm --connections 20 --live 3 --live-rate 200 --quiet 0.1 --json";
    for (refusals, more, is_good) in [
        (0, "", true),
        (5, "--back-off-min-ms 10 --back-off-max-ms 50", true),
        (30, "--back-off none", true),
        (30, "--back-off none --attempts 1", false),
        (usize::MAX, "--back-off-min-ms 10 --back-off-max-ms 50 --within 0.3", false),
    ] {
        let address = reluctant(echo_server(), refusals);
        let line = format!("{few} --url ws://{address}/crowd {more}");
        assert_eq!(run(&line), Ok(is_good), "{line}");
    }
}

#[test]
fn a_storm_over_tls_resumes_the_sessions_of_those_who_were_here_before() {
    let veil = Veil::over(echo_server());
    let few = "storm --connections 20 --live 3 --live-rate 200 --quiet 0.1 --threads 2";
    let Scenario::Storm(args) = args(&format!("{few} --tls-resume {}", veil.flags("/crowd"))) else {
        unreachable!()
    };
    let (ok, target) = storm::run_at(&args).unwrap();
    // The live connections present tickets, too, and get others.
    let (full, resumed) = target.tls.unwrap().tally.counts();
    assert_eq!((ok, full, resumed), (true, 0, 20 + 3));
}
