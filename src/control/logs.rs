//! Logs: events of the process on stderr, as text or JSON. None per message, none per request.

use crate::config::{LogFormat, Logs};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal as _};
use std::panic;
use std::process;
use std::thread;
use tracing_subscriber::EnvFilter;

/// The target of what must be said whatever the level: see [`super::announce`].
pub(super) const ANNOUNCE_TARGET: &str = "throng::announce";

/// Sets up logging for the process. Call it once, in `main`.
///
/// # Errors
/// When the level is no filter (a configuration that was checked has none such), or logging is set up already.
pub fn init(logs: &Logs) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::try_new(&logs.level)?.add_directive(format!("{ANNOUNCE_TARGET}=info").parse()?);
    let builder = tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(filter);
    match logs.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => {
            let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            builder.with_ansi(colours).try_init()
        }
    }
}

/// Makes a panic in any thread end the process with exit code 1 and one clear line. A shard that is gone takes
/// its connections and the order of its channels with it: going on without it would be lying to clients.
///
/// For the binary only; inside another program the caller decides.
pub fn end_process_on_panic() {
    panic::set_hook(Box::new(|info| {
        let thread = thread::current();
        let message = info.payload_as_str().unwrap_or("no message");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!("thread {} panicked at {place}: {message}", thread.name().unwrap_or("unnamed"));
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            tracing::error!("{backtrace}");
        }
        process::exit(1);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// This test runs itself once more, in a process of its own that is meant to die.
    #[test]
    fn a_panic_in_a_thread_ends_the_process_with_one_line() {
        const CHILD: &str = "THRONG_TEST_PANICS";
        if std::env::var_os(CHILD).is_some() {
            init(&Logs { level: "error".into(), format: LogFormat::Json }).unwrap();
            end_process_on_panic();
            let shard = thread::Builder::new().name("shard-3".into()).spawn(|| panic!("planted")).unwrap();
            shard.join().ok();
            process::exit(0);
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "control::logs::tests::a_panic_in_a_thread_ends_the_process_with_one_line",
            ])
            .env(CHILD, "1")
            .env_remove("RUST_BACKTRACE")
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let line: serde_json::Value = serde_json::from_str(stderr.trim_end()).unwrap();
        assert_eq!(line["level"], "ERROR");
        let message = line["message"].as_str().unwrap();
        assert!(message.starts_with("thread shard-3 panicked at src/control/logs.rs:"), "{message}");
        assert!(message.ends_with(": planted"), "{message}");
    }
}
