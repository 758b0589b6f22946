//! The upgrade of a polling client to WebSocket.
//!
//! The invariant: the client ends polling (`5`) only when the server has answered the probe by WebSocket and the parked
//! GET by a noop, and the upgrade counts when an event was answered by WebSocket. Left out: polling.

use mio::Token;
use mio::net::TcpStream;

use super::Pollers;
use crate::bench::connections::dial;
use crate::bench::connections::wire::{Got, Wire};
use crate::bench::messages::{frames, replies, script, socketio};

/// The event that shows that an upgrade is complete, and its answer.
const LAST_EVENT: (usize, &str) = (0, "\"upgraded\"");

/// The WebSocket of an upgrade.
pub(super) struct Probe {
    wire: Wire<TcpStream>,
    /// Whether the upgrade request is sent, and its answer is here.
    is_asked: bool,
    is_open: bool,
    /// Whether the server has answered the probe.
    is_probed: bool,
    /// Whether polling has ended, by the server's noop.
    is_released: bool,
    input: Vec<u8>,
}

impl Pollers<'_> {
    /// Dials the WebSocket, while a GET is parked.
    pub(super) fn begin_upgrade(&mut self, index: usize) -> Result<(), String> {
        let wire = self.dial(Token(2 * index + 1)).map_err(|e| dial::cause("connect", &e))?;
        let (is_asked, is_open, is_probed, is_released) = (false, false, false, false);
        let probe = Probe { wire, is_asked, is_open, is_probed, is_released, input: Vec::new() };
        self.clients[index].probe = Some(Box::new(probe));
        Ok(())
    }

    /// The parked GET was answered by a noop.
    pub(super) fn released(&mut self, index: usize) -> Result<(), String> {
        if let Some(probe) = &mut self.clients[index].probe {
            probe.is_released = true;
        }
        self.upgrade(index)
    }

    /// Handles one event of the WebSocket of an upgrade.
    pub(super) fn probe(&mut self, index: usize) -> Result<(), String> {
        let client = &mut self.clients[index];
        let Some(probe) = &mut client.probe else { return Ok(()) };
        if probe.is_asked {
            probe.wire.flush().map_err(|e| dial::cause("send", &e))?;
        } else {
            probe.is_asked = true;
            let request =
                dial::request_to(&self.script.target, &websocket_path(&self.script.target.path, &client.sid));
            probe.wire.write_all(&request).map_err(|e| dial::cause("connect", &e))?;
        }
        loop {
            let Some(probe) = &mut self.clients[index].probe else { return Ok(()) };
            match probe.wire.read(&mut self.scratch, &mut self.buffer) {
                Ok(Got::Bytes { count, .. }) => probe.input.extend_from_slice(&self.buffer[..count]),
                Ok(Got::Nothing) => return Ok(()),
                Ok(Got::End) => return Err("upgrade: closed by the server".to_owned()),
                Err(e) => return Err(dial::cause("receive", &e)),
            }
            self.probe_input(index)?;
        }
    }

    fn probe_input(&mut self, index: usize) -> Result<(), String> {
        let Some(probe) = &mut self.clients[index].probe else { return Ok(()) };
        if !probe.is_open {
            let Some(head_bytes) = self.script.upgrade.check(&probe.input)? else { return Ok(()) };
            probe.input.drain(..head_bytes);
            probe.is_open = true;
            let mut out = Vec::new();
            frames::push_masked(&mut out, frames::TEXT, socketio::PROBE.as_bytes());
            probe.wire.write_all(&out).map_err(|e| dial::cause("send", &e))?;
        }
        let (mut at, mut is_probed, mut is_done) = (0, false, false);
        while let Some(head) =
            frames::header(&probe.input[at..]).map_err(|broken| broken.cause().to_owned())?
        {
            let Some(payload) = probe.input[at + head.head_bytes..].get(..head.payload_bytes) else { break };
            at += head.head_bytes + payload.len();
            match head.opcode {
                frames::CLOSE => return Err(script::close_cause(payload)),
                frames::TEXT if payload == socketio::PROBED => is_probed = true,
                frames::TEXT => {
                    let (id, data) = LAST_EVENT;
                    is_done |= payload == replies::acknowledgement(id, data).as_bytes();
                }
                _ => {}
            }
        }
        probe.input.drain(..at);
        if is_probed {
            probe.is_probed = true;
            self.upgrade(index)?;
        }
        if is_done {
            self.done(index);
        }
        Ok(())
    }

    /// Ends polling once the server has answered the probe and the parked GET, and sends an event by WebSocket.
    fn upgrade(&mut self, index: usize) -> Result<(), String> {
        let Some(probe) = &mut self.clients[index].probe else { return Ok(()) };
        if !probe.is_probed || !probe.is_released {
            return Ok(());
        }
        let mut out = Vec::new();
        frames::push_masked(&mut out, frames::TEXT, socketio::UPGRADE.as_bytes());
        frames::push_masked(&mut out, frames::TEXT, replies::event(LAST_EVENT.0, LAST_EVENT.1).as_bytes());
        probe.wire.write_all(&out).map_err(|e| dial::cause("send", &e))
    }
}

/// The path of the WebSocket of a session.
fn websocket_path(polling: &str, sid: &str) -> String {
    format!("{}&sid={sid}", polling.replacen("transport=polling", "transport=websocket", 1))
}
