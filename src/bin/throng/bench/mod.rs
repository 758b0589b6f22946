//! The load generator, `throng bench`: opens very many connections from one process and measures the server's
//! performance.
//!
//! A scenario (`idle`, `echo`, `rpc`, `publish`, `recover`, `fanout`, `handshakes`, `storm`) is a director on the main thread and worker threads
//! with connections. In reading order:
//!
//! * `args`: the command line; `clock`: the clock of the run;
//! * `messages`: `script`, `frames`, `socketio`, `publication` and its `publisher`, `replies`, `responses`, `unpack`;
//! * `connections`: their division among threads, descriptor tables and source addresses (`plan`), their start
//!   (`dial`, `tokens`, `retry`) and their sockets (`wire`, with `tls` and `secure`); the threads (`workers`, with
//!   the shared `state`): subscribers (`audience` with `receiver`), `senders`, `reconnects`, `pollers`;
//! * `scenarios`: `idle`, `fanout`, `recover` (with `subscribing`), `echo` (with calls and publish commands), `handshakes`, `storm`;
//! * `report`: `probe` and `usage` (CPU, memory), `findings`, `held`, `progress`.
//!
//! The invariants: the generator uses protocols and none of the server's code, so it measures other servers as
//! well. Latency counts from the scheduled time of a message, not from its sending; without a schedule, when each
//! message waits for the previous one, the figure is called service time. Order, gaps and content are checked
//! while measuring, and every report says whether the generator itself was the limit. With `--tcp` the same bytes
//! go to the bare programs of `benches/bare.rs`, which are the limit that a server can reach.
//!
//! `throng bench SCENARIO --help` lists the keys of the JSON object.

mod args;
mod clock;
mod connections;
mod messages;
mod report;
mod scenarios;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_socketio;
#[cfg(test)]
mod tests_tls;

use std::process::ExitCode;

pub(crate) use args::Args;
use args::Scenario;
use connections::workers::Refusal;
use scenarios::{echo, fanout, handshakes, idle, recover, storm};

use throng::parts::control::console;

/// Runs the scenario, with its progress on stderr and its report on stdout.
///
/// The exit code is 0 when nothing failed; 1 after a failed or lost connection, a gap or a wrong order, or when a rate that
/// was asked for was not held; and 2 when it cannot be done as asked.
pub(crate) fn run(args: &Args) -> ExitCode {
    let outcome = match &args.scenario {
        Scenario::Idle(args) => idle::run(args),
        Scenario::Echo(args) => echo::run(args),
        Scenario::Rpc(args) => echo::call(args),
        Scenario::Publish(args) => echo::publish(args),
        Scenario::Recover(args) => recover::run(args),
        Scenario::Fanout(args) => fanout::run(args),
        Scenario::Handshakes(args) => handshakes::run(args),
        Scenario::Storm(args) => storm::run(args),
    };
    let (code, text) = match outcome {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => return ExitCode::from(1),
        Err(Refusal::Failure(text)) => (1, text),
        Err(Refusal::Arguments(text)) => (2, text),
    };
    console::complain(&format!("throng bench: {text}"));
    ExitCode::from(code)
}
