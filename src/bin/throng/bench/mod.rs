//! The load generator, `throng bench`: opens very many connections from one process and measures what a server does
//! with them.
//!
//! A scenario (`idle`, `echo`, `rpc`, `publish`, `recover`, `fanout`, `handshakes`, `storm`) is a director on the main thread and worker threads
//! with connections. In reading order:
//!
//! * what is asked: `args`; the clock of the run: `clock`;
//! * `messages`: `script`, `frames`, `publication` and its `publisher`, `replies`, `responses`, `unpack`;
//! * `connections`: how they are divided among threads, descriptor tables and source addresses (`plan`), how one begins (`dial`,
//!   `tokens`, `retry`) and what carries it (`wire`, with `tls` and `secure`); the threads (`workers`, and `state`, which is what they
//!   tell each other): subscribers (`audience` with `receiver`), `senders`, `reconnects`;
//! * `scenarios`: `idle`, `fanout`, `recover` (with `subscribing`), `echo` (with calls and publish commands), `handshakes`, `storm`;
//! * `report`: `probe` and `usage` (CPU, memory), `findings`, `held`, `progress`.
//!
//! The invariants: the generator knows nothing of the server's code, only of protocols, so that it measures others
//! as well; latency counts from the moment something was due, not from when there was time for it, and where nothing is
//! ever due, because each message waits for the one before it, it has another name, service time; order, gaps and
//! content are checked while measuring; and every report says whether the generator itself was the limit. With
//! `--tcp` the same bytes go to the bare programs of `benches/bare.rs`, which are the limit that a server can reach.
//!
//! The keys of the JSON object are listed by `throng bench SCENARIO --help`.

mod args;
mod clock;
mod connections;
mod messages;
mod report;
mod scenarios;
#[cfg(test)]
mod tests;
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
/// The exit code is 0 when nothing failed; 1 after a failed or lost connection, a gap or a disorder, or when a rate that
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
