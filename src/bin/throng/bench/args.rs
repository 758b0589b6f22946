//! The command line of `throng bench`: flags and their checks. The scenarios give them their effect. Invariant: a
//! command line that passes clap and `Common::target` can be run; any other one ends with exit code 2.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::bench::connections::tls::{Tls, TlsArgs};
use crate::bench::connections::tokens::Identity;
use crate::bench::report::probe::Cpu;
use throng::parts::net::sys;

/// The default path of Socket.IO.
const SOCKETIO_PATH: &str = "/socket.io/";

/// Arguments of `throng bench`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) scenario: Scenario,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Scenario {
    #[command(after_long_help = crate::bench::report::json_help())]
    /// Open connections and hold them: connect rate, memory per connection, CPU of heartbeats
    Idle(Idle),
    #[command(after_long_help = crate::bench::report::json_help())]
    /// Send messages to an echo endpoint and wait for them: CPU per message, rate, latency
    Echo(Echo),
    #[command(after_long_help = crate::bench::report::json_help())]
    /// Call a method (rpc) that returns its argument, and wait for the answer; measures the same as echo
    Rpc(Rpc),
    #[command(after_long_help = crate::bench::report::json_help())]
    /// Publish to a channel without subscribers and wait for the answer, over the Centrifuge protocol or the server API; measures the same as echo
    Publish(Publish),
    #[command(after_long_help = crate::bench::report::json_help())]
    /// Reconnect all clients at once and recover missed publications: time until the last has recovered
    Recover(Recover),
    #[command(after_long_help = crate::bench::report::json_help())]
    /// Publish to subscribers of one channel: deliveries per second, CPU per delivery, latency, order, gaps
    Fanout(Fanout),
    #[command(after_long_help = crate::bench::report::json_help())]
    /// Open and close connections repeatedly: handshakes per second, CPU per handshake
    Handshakes(Handshakes),
    #[command(after_long_help = crate::bench::report::json_help())]
    /// Reconnect very many clients at once while others echo: time until all are back, effect on the others
    Storm(Storm),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// Server, ws:// or wss://HOST:PORT/PATH [default: the scenario's path on 127.0.0.1:8000]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Threads of the load generator; more are added if one descriptor table is too small
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: u16,
    /// Cores for the threads, in turn, such as 1 or 2,3 [default: chosen by the kernel]
    #[arg(long, value_name = "CORES", value_delimiter = ',')]
    pub(crate) pin: Vec<usize>,
    /// Process of the server, to measure its CPU and memory; several for a group
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub(crate) pid: Vec<u32>,
    /// Print a JSON object instead of the table
    #[arg(long)]
    pub(crate) json: bool,
    /// Timeout in seconds for a handshake and for the last delivery
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    pub(crate) timeout: f64,
    /// Protocol of the connections [default: by the path: Centrifuge at its endpoint, else WebSocket messages]
    #[arg(long, value_enum, default_value_t = Protocol::Auto, hide_default_value = true)]
    pub(crate) protocol: Protocol,
    /// Transport of Socket.IO; polling for idle, echo and handshakes, upgrade for handshakes
    #[arg(long, value_enum, default_value_t = Transport::Websocket)]
    pub(crate) transport: Transport,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

/// The protocol of a run's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// By the path
    #[default]
    Auto,
    /// Engine.IO 4 and Socket.IO 5, with an application as examples/socketio_bench.rs
    Socketio,
}

/// The transport of Socket.IO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    #[default]
    Websocket,
    /// HTTP long-polling
    Polling,
    /// HTTP long-polling first, then WebSocket
    Upgrade,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Opening {
    /// Connections to open
    #[arg(long, visible_alias = "subscribers", value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    pub(crate) connections: u32,
    /// Concurrent handshakes, all threads together
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) concurrency: u32,
    /// Milliseconds that a thread collects events; adds to latencies [default: 0, or 10 with more than 4 threads per core]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u16).range(..=1000))]
    pub(crate) pause: Option<u16>,
    /// Connections to open per second [default: as fast as they succeed]
    #[arg(long, value_name = "PER_SECOND", value_parser = positive)]
    pub(crate) connect_rate: Option<f64>,
}

/// The period of a measurement.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Period {
    /// Seconds to measure
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Seconds to run before measuring
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub(crate) warmup: f64,
}

/// The data of publications with numbers.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Data {
    /// Bytes of data per publication, as JSON
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(12..=1_000_000))]
    pub(crate) size: u32,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Idle {
    #[command(flatten)]
    pub(crate) opening: Opening,
    /// Channel that every connection subscribes to
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) subscribe: Option<String>,
    /// Seconds to hold the connections, answering heartbeats
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub(crate) hold: f64,
    /// Subscribe with recovery
    #[arg(long, requires = "subscribe")]
    pub(crate) recoverable: bool,
    #[command(flatten)]
    pub(crate) identity: Identity,
    /// Afterwards, publish this many times to the channel, each after the previous one has reached all
    #[arg(long, value_name = "COUNT", default_value_t = 0, requires = "subscribe")]
    pub(crate) publish: u32,
    #[command(flatten)]
    pub(crate) data: Data,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Echo {
    /// Connections
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) connections: u32,
    /// Bytes of payload per message
    #[arg(long, value_name = "BYTES", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub(crate) size: u32,
    /// Messages in flight per connection
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) in_flight: u32,
    #[command(flatten)]
    pub(crate) period: Period,
    /// Send text messages [default: binary]
    #[arg(long)]
    pub(crate) text: bool,
    /// No WebSocket: send the bytes of a masked frame and expect them back (for `bare echo`)
    #[arg(long, conflicts_with = "text")]
    pub(crate) tcp: bool,
    /// Messages per second, all connections together, on a fixed schedule (open loop)
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "in_flight", value_parser = positive)]
    pub(crate) rate: Option<f64>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Rpc {
    /// Connections, each with one call in flight
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) connections: u32,
    /// Bytes of argument, a JSON string
    #[arg(long, value_name = "BYTES", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub(crate) bytes: u32,
    #[command(flatten)]
    pub(crate) period: Period,
    #[command(flatten)]
    pub(crate) identity: Identity,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Publish {
    /// Connections, each with one publication in flight
    #[arg(long, default_value_t = 1, visible_alias = "clients", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) connections: u32,
    /// Channel
    #[arg(long, default_value = "bench")]
    pub(crate) channel: String,
    /// Use the server API: HTTP with keep-alive to --url, such as ws://127.0.0.1:9000/api/publish
    #[arg(long)]
    pub(crate) api: bool,
    /// Key of the server API
    #[arg(long, value_name = "KEY", requires = "api")]
    pub(crate) api_key: Option<String>,
    /// Bytes of data per publication, a JSON string
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub(crate) size: u32,
    #[command(flatten)]
    pub(crate) period: Period,
    #[command(flatten)]
    pub(crate) identity: Identity,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Recover {
    #[command(flatten)]
    pub(crate) opening: Opening,
    /// Channel; its history must be large enough for the missed publications
    #[arg(long, default_value = "bench")]
    pub(crate) channel: String,
    /// Publications that each connection missed
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) missed: u32,
    /// Publications after recovery, which must continue the sequence
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    pub(crate) more: u32,
    #[command(flatten)]
    pub(crate) data: Data,
    #[command(flatten)]
    pub(crate) identity: Identity,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Fanout {
    #[command(flatten)]
    pub(crate) opening: Opening,
    /// Channel
    #[arg(long, default_value = "bench")]
    pub(crate) channel: String,
    /// Number of channels, used in turn; --channel is the prefix of their names
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) channels: u32,
    /// Channels that each connection subscribes to
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) each: u32,
    #[command(flatten)]
    pub(crate) identity: Identity,
    /// Publications per second, on a fixed schedule (open loop)
    #[arg(long, value_name = "PER_SECOND", value_parser = positive)]
    pub(crate) rate: Option<f64>,
    /// Saturation: concurrent publications, each until all subscribers have received it [default: 1]
    #[arg(long, value_name = "COUNT", conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) in_flight: Option<u32>,
    #[command(flatten)]
    pub(crate) data: Data,
    /// Seconds to measure
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Seconds to publish before measuring
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub(crate) warmup: f64,
    /// No WebSocket: send the server's bytes for each subscriber (for `bare fanout`)
    #[arg(long)]
    pub(crate) tcp: bool,
    /// Subscribers offer compression, which the server must accept; data consists of records of digits and names
    #[arg(long, conflicts_with = "tcp")]
    pub(crate) deflate: bool,
    /// With --tcp: bytes per delivery, framing included [default: as few as possible]
    #[arg(long, value_name = "BYTES", requires = "tcp", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub(crate) wire: Option<u32>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Handshakes {
    /// Concurrent connections
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) concurrency: u32,
    #[command(flatten)]
    pub(crate) period: Period,
    /// Handshakes per second [default: unlimited]
    #[arg(long, value_name = "PER_SECOND", value_parser = positive)]
    pub(crate) rate: Option<f64>,
    /// How a connection ends
    #[arg(long, value_enum, default_value_t = Ending::Close)]
    pub(crate) ending: Ending,
    /// No WebSocket: send the same bytes to a server that accepts anything (for `bare accept`)
    #[arg(long)]
    pub(crate) tcp: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Storm {
    /// Clients that reconnect; with --tls-resume they have connected once before
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) connections: u32,
    /// Channel that each client subscribes to
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) subscribe: Option<String>,
    #[command(flatten)]
    pub(crate) identity: Identity,
    /// Behaviour of a client that was refused
    #[arg(long, value_enum, default_value_t = Patience::Sdk)]
    pub(crate) back_off: Patience,
    /// Shortest delay of an SDK
    #[arg(long, value_name = "MS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub(crate) back_off_min_ms: u64,
    /// Longest delay of an SDK
    #[arg(long, value_name = "MS", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub(crate) back_off_max_ms: u64,
    /// Attempts per client, the first included; then it counts as failed
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) attempts: u16,
    /// Seconds within which all must be back
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0, value_parser = seconds)]
    pub(crate) within: f64,
    /// Connections that echo before and during the storm
    #[arg(long, value_name = "COUNT", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) live: u32,
    /// Echoes per second of these connections together, on a fixed schedule (open loop)
    #[arg(long, value_name = "PER_SECOND", default_value_t = 1000.0, value_parser = positive)]
    pub(crate) live_rate: f64,
    /// Path of the echo endpoint
    #[arg(long, value_name = "PATH", default_value = "/echo")]
    pub(crate) echo_path: String,
    /// Socket.IO: connect all before, and have them recover their sessions in the storm
    #[arg(long, requires = "subscribe")]
    pub(crate) recover: bool,
    /// With --recover: events that each client missed
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) missed: u32,
    /// Seconds before the storm
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0, value_parser = seconds)]
    pub(crate) quiet: f64,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Behaviour of a client that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Patience {
    /// Wait as SDKs do: exponential back-off with full jitter, at least as long as Retry-After says
    Sdk,
    /// Try again at once
    None,
}

/// The end of a connection that only performs a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Ending {
    /// The client closes its socket
    Close,
    /// WebSocket closing handshake, then the server closes
    Goodbye,
    /// The client sends a reset: no state remains in either kernel
    Reset,
}

fn positive(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    (value > 0.0 && value <= 1e9).then_some(value).ok_or_else(|| "not in 0 < x <= 1e9".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    (0.0..=1e6).contains(&value).then_some(value).ok_or_else(|| "not in 0..=1000000".to_owned())
}

/// Address and path of the server.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) protocol: Protocol,
    /// TLS settings, for `wss://`.
    pub(crate) tls: Option<Tls>,
}

impl Target {
    /// Reads `ws://HOST:PORT/PATH` or `wss://…`; the path is `/`, the port 80 or 443, when left out.
    pub(crate) fn parse(url: &str, tls: &TlsArgs) -> Result<Self, String> {
        let secure = url.strip_prefix("wss://");
        let rest = secure.or_else(|| url.strip_prefix("ws://"));
        let rest = rest.ok_or_else(|| format!("{url}: only ws:// and wss:// are supported"))?;
        let is_secure = secure.is_some() || tls.tls;
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let port_at = host.rfind(':').filter(|&at| !host[at..].contains(']'));
        let port = if is_secure { 443 } else { 80 };
        let with_port = if port_at.is_some() { host.to_owned() } else { format!("{host}:{port}") };
        let mut found = with_port.to_socket_addrs().map_err(|e| format!("{url}: {e}"))?;
        let address = found.next().ok_or_else(|| format!("{url}: no address"))?;
        if path.contains(|c: char| c.is_ascii_whitespace() || c.is_control()) {
            return Err(format!("{url}: the path has white space"));
        }
        let tls = is_secure.then(|| Tls::new(tls, &host[..port_at.unwrap_or(host.len())])).transpose()?;
        let url = if is_secure { format!("wss://{rest}") } else { url.to_owned() };
        let (host, path, protocol) = (host.to_owned(), path.to_owned(), Protocol::Auto);
        Ok(Self { url, address, host, path, protocol, tls })
    }

    /// This server for connections of Socket.IO, by this transport.
    fn of_socketio(mut self, transport: Transport) -> Self {
        let name = if transport == Transport::Websocket { "websocket" } else { "polling" };
        let joint = if self.path.contains('?') { '&' } else { '?' };
        self.path += &format!("{joint}EIO=4&transport={name}");
        self.protocol = Protocol::Socketio;
        self
    }
}

impl Common {
    /// The server of the URL; without one, `default_path` on the development address.
    ///
    /// # Errors
    /// An invalid URL, a core that may not be used, a process that cannot be read.
    pub(crate) fn target(&self, default_path: &str) -> Result<Target, String> {
        let cores = sys::allowed_cores().unwrap_or_default();
        if let Some(core) = self.pin.iter().find(|core| !cores.contains(core)) {
            return Err(format!("--pin {core}: not one of the cores {cores:?}"));
        }
        for pid in &self.pid {
            Cpu::read(&[*pid]).map_err(|e| format!("--pid {pid}: {e}"))?;
        }
        let is_socketio = self.protocol == Protocol::Socketio;
        if !is_socketio && self.transport != Transport::Websocket {
            return Err("--transport: needs --protocol socketio".to_owned());
        }
        let default_path = if is_socketio { SOCKETIO_PATH } else { default_path };
        let target = match &self.url {
            Some(url) => Target::parse(url, &self.tls),
            None => Target::parse(&format!("ws://127.0.0.1:8000{default_path}"), &self.tls),
        }?;
        Ok(if is_socketio { target.of_socketio(self.transport) } else { target })
    }

    /// As [`Common::target`], for a scenario that Socket.IO does not have.
    ///
    /// # Errors
    /// `--protocol socketio`, and those of [`Common::target`].
    pub(crate) fn target_without_socketio(&self, default_path: &str) -> Result<Target, String> {
        if self.protocol == Protocol::Socketio {
            return Err("--protocol socketio: not for this scenario".to_owned());
        }
        self.target(default_path)
    }

    /// As [`Common::target`], for a scenario that needs WebSocket from the beginning.
    ///
    /// # Errors
    /// Another transport, and those of [`Common::target`].
    pub(crate) fn target_by_websocket(&self, default_path: &str) -> Result<Target, String> {
        if self.transport != Transport::Websocket {
            return Err("--transport: not for this scenario".to_owned());
        }
        self.target(default_path)
    }

    pub(crate) fn timeout_ns(&self) -> u64 {
        crate::bench::clock::ns(self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_url_becomes_a_target() {
        let parse = |url: &str| Target::parse(url, &TlsArgs::default());
        let target = parse("ws://127.0.0.1:8000/a/b?c").unwrap();
        assert_eq!(target.address, "127.0.0.1:8000".parse().unwrap());
        assert_eq!((target.host.as_str(), target.path.as_str()), ("127.0.0.1:8000", "/a/b?c"));
        assert_eq!(parse("ws://127.0.0.1").unwrap().address.port(), 80);
        assert!(target.tls.is_none());
        let target = parse("wss://[::1]/").unwrap();
        assert_eq!((target.address.port(), target.tls.is_some()), (443, true));
        let tls = TlsArgs { tls: true, ..TlsArgs::default() };
        let target = Target::parse("ws://127.0.0.1:8000/", &tls).unwrap();
        assert_eq!((target.url.as_str(), target.tls.is_some()), ("wss://127.0.0.1:8000/", true));
        assert_eq!(parse("ws://[::1]:9/").unwrap().address, "[::1]:9".parse().unwrap());
        for bad in
            ["http://127.0.0.1/", "127.0.0.1:8000", "ws://", "ws://127.0.0.1:99999/", "ws://127.0.0.1/a b"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn socketio_has_its_own_path_and_query() {
        let target = |line: &str| {
            let cli = Cli::try_parse_from(format!("bench {line}").split(' ')).unwrap();
            let Scenario::Echo(echo) = cli.args.scenario else { unreachable!() };
            echo.common.target("/echo").map(|target| target.path)
        };
        assert_eq!(target("echo").unwrap(), "/echo");
        assert_eq!(target("echo --protocol socketio").unwrap(), "/socket.io/?EIO=4&transport=websocket");
        let polling = "echo --protocol socketio --transport polling --url ws://127.0.0.1:1/a/?b=1";
        assert_eq!(target(polling).unwrap(), "/a/?b=1&EIO=4&transport=polling");
        assert!(target("echo --transport polling").is_err());
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        let parse = |line: &str| Cli::try_parse_from(format!("bench {line}").split(' '));
        assert!(parse("idle --connections 10 --subscribe x --publish 1").is_ok());
        assert!(parse("fanout --subscribers 10 --in-flight 4 --pin 0,1 --pid 1 --pid 2").is_ok());
        for bad in [
            "idle --connections 0",
            "idle --connections 10 --publish 1",
            "fanout --connections 10 --rate 1 --in-flight 1",
            "fanout --connections 10 --rate 0",
            "echo --tcp --text",
            "echo --seconds -1",
            "echo --protocol raw",
            "storm --recover",
        ] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }
}
