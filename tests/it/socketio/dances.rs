//! From HTTP long-polling to WebSocket, in the ways in which clients of other languages do it, written after their sources.

use throng::SocketIoOptions;

use super::polling::Polling;
use super::upgrade::{back, check_upgraded, event, options, probe};
use super::{Running, text};
use crate::support::peer::{TEXT, upgrade};
use crate::support::{Frame, Peer};

/// `lib/socket.ts` of engine.io-client (JavaScript) and `Socket.java` of engine.io-client-java over OkHttp: a poll is parked, the
/// probe is answered, the client waits for the end of its poll, and then sends `5`.
#[test]
fn the_dance_of_javascript_and_java() {
    let running = Running::start(options());
    for _ in 0..16 {
        let mut client = Polling::client(&running);
        client.park();
        let mut peer = client.websocket(&running);
        probe(&mut peer);
        assert_eq!(client.gets.answer().body, "6");
        peer.send(TEXT, "5");
        check_upgraded(&mut client, &mut peer);
    }
    running.end();
}

/// `WebSocketSession.cs` of socket.io-client-csharp, also used in Unity: `5` at once, without a probe, beside a parked poll.
#[test]
fn the_dance_of_c_sharp() {
    let running = Running::start(options());
    for _ in 0..8 {
        let mut client = Polling::client(&running);
        client.park();
        let mut peer = client.websocket(&running);
        peer.send(TEXT, "5");
        assert_eq!(client.gets.answer().body, "6");
        check_upgraded(&mut client, &mut peer);
    }
    // All in one write: the request, the upgrade, and an event.
    for _ in 0..8 {
        let mut client = Polling::client(&running);
        let mut peer = Peer::connect(running.address);
        let frames = [Frame::new(TEXT, "5").bytes(), Frame::new(TEXT, event(1)).bytes()].concat();
        peer.send_bytes(&[upgrade(&client.by_websocket(), "").into_bytes(), frames].concat());
        assert_eq!(peer.response_head().status, 101);
        assert_eq!(text(&mut peer), back(1));
        check_upgraded(&mut client, &mut peer);
    }
    running.end();
}

/// `HttpEngineIO4Adapter.cs`, `PollingHandler.cs` and `WebSocketSession.cs` of socket.io-client-csharp since version 4: CONNECT
/// by a POST, no poll but the first, and `5` at once. The answer to CONNECT waits for the WebSocket.
#[test]
fn the_dance_of_c_sharp_without_polls() {
    let running = Running::start(options());
    for _ in 0..8 {
        let mut client = Polling::open(&running);
        client.post("40");
        let mut peer = client.websocket(&running);
        peer.send(TEXT, "5");
        assert!(text(&mut peer).starts_with("40{\"sid\":\""));
        assert_eq!(text(&mut peer), "42[\"auth\",{}]");
        check_upgraded(&mut client, &mut peer);
        // It leaves by DISCONNECT and a close frame.
        peer.send(TEXT, "41");
        peer.send_close(1000);
        peer.expect_close(1000);
    }
    running.end();
}

/// `src/engineio/client.py` of python-engineio: a probe while no poll is parked, before the client polls for the first time.
#[test]
fn the_dance_of_python() {
    let running = Running::start(options());
    for _ in 0..8 {
        let mut client = Polling::open(&running);
        let mut peer = client.websocket(&running);
        probe(&mut peer);
        peer.send(TEXT, "5");
        peer.send(TEXT, "40");
        assert!(text(&mut peer).starts_with("40{\"sid\":\""));
        assert_eq!(text(&mut peer), "42[\"auth\",{}]");
        check_upgraded(&mut client, &mut peer);
    }
    running.end();
}

/// `SocketEngine.swift` of socket.io-client-swift: behind the answer to its probe it posts `6`, waits for its poll, and sends `5`.
#[test]
fn the_dance_of_swift() {
    let running = Running::start(options());
    for _ in 0..8 {
        let mut client = Polling::client(&running);
        client.park();
        let mut peer = client.websocket(&running);
        probe(&mut peer);
        client.post("6");
        assert_eq!(client.gets.answer().body, "6");
        peer.send(TEXT, "5");
        check_upgraded(&mut client, &mut peer);
    }
    running.end();
}

/// `sio_client_impl.cpp` of socket.io-client-cpp: WebSocket only, and nothing to upgrade. It knows that the server lives by
/// pings, whose answer is a packet without data, and ends with a close frame.
#[test]
fn the_dance_of_c_plus_plus() {
    let running = Running::start(SocketIoOptions { ping_interval_ms: 100, ..options() });
    let mut peer = Peer::open(running.address, super::PATH);
    assert!(text(&mut peer).contains("\"upgrades\":[]"));
    peer.send(TEXT, "40");
    assert!(text(&mut peer).starts_with("40{"));
    assert_eq!(text(&mut peer), "42[\"auth\",{}]");
    for number in 0..3 {
        assert_eq!(peer.message(), (TEXT, b"2".to_vec()));
        peer.send(TEXT, "3");
        peer.send(TEXT, event(number));
        assert_eq!(text(&mut peer), back(number));
    }
    peer.send_close(1000);
    // A ping may be on its way.
    let last = loop {
        let frame = peer.frame();
        if frame.opcode != TEXT {
            break frame;
        }
    };
    assert_eq!(last.close_code(), Some(1000));
    peer.expect_end();
    running.end();
}
