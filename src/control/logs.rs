//! Logs: events of the process on stderr or in a file, as text or JSON. No line per message or per request.
//!
//! All lines go to one writer (`log_writer`), which is the process's only global: the panic hook must find it from
//! any thread.

use super::console;
use super::log_writer::LogWriter;
use crate::config::{LogFormat, Logs};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::panic;
use std::process;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The writer of the process, set by [`init`].
static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// Timeout for writing the last lines at the end of the process.
const FLUSH_MAX: Duration = Duration::from_millis(500);

/// The target of lines that are written at any level: see [`super::announce`].
pub(super) const ANNOUNCE_TARGET: &str = "throng::announce";

/// Initialises logging for the process. Call it once, in `main`.
///
/// # Errors
/// When the level is not a valid filter (a checked configuration has a valid one), logging is initialised already,
/// the file cannot be opened, or no threads or descriptors are left.
pub fn init(logs: &Logs) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter = EnvFilter::try_new(&logs.level)?.add_directive(format!("{ANNOUNCE_TARGET}=info").parse()?);
    let sink = if logs.file.is_empty() {
        // A separate descriptor: users of `io::stderr` share a lock, which another thread may hold while it waits for
        // a reader.
        File::from(io::stderr().as_fd().try_clone_to_owned()?)
    } else {
        let opened = File::options().append(true).create(true).open(&logs.file);
        opened.map_err(|error| format!("log.file = {:?}: cannot be opened: {error}", logs.file))?
    };
    let is_terminal = logs.file.is_empty() && io::stderr().is_terminal();
    let writer = LogWriter::start(sink)?;
    WRITER.set(writer.clone()).map_err(|_| "logging is set up already")?;
    // The subscriber would report its own errors with a macro that panics when it cannot write.
    let builder = tracing_subscriber::fmt()
        .with_writer(MakeLine(writer))
        .with_env_filter(filter)
        .log_internal_errors(false);
    match logs.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => {
            let colours = is_terminal && std::env::var_os("NO_COLOR").is_none();
            builder.with_ansi(colours).try_init()
        }
    }
}

/// Gives the subscriber the writer's handle.
struct MakeLine(LogWriter);

impl<'a> MakeWriter<'a> for MakeLine {
    type Writer = &'a LogWriter;

    fn make_writer(&'a self) -> &'a LogWriter {
        &self.0
    }
}

/// Writes a line unchanged, after earlier events.
pub(super) fn line(text: &str) {
    match WRITER.get() {
        Some(writer) => writer.put(format!("{text}\n").as_bytes()),
        None => console::complain(&text),
    }
}

/// The number of lines that could not be written.
pub(super) fn lost_lines() -> u64 {
    WRITER.get().map_or(0, LogWriter::lost)
}

/// Waits until all lines are written, for at most half a second. Call it before the process ends.
pub fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush(FLUSH_MAX);
    }
}

/// Makes a panic in any thread end the process with exit code 1 and one line on stderr. A shard that has ended takes
/// its connections and the order of its channels with it: continuing without it would break guarantees to clients.
///
/// For the binary only; in another program the caller decides.
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
        flush();
        process::exit(1);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// This test runs itself again in a separate process that panics.
    #[test]
    fn a_panic_in_a_thread_ends_the_process_with_one_line() {
        const CHILD: &str = "THRONG_TEST_PANICS";
        if std::env::var_os(CHILD).is_some() {
            init(&Logs { level: "error".into(), format: LogFormat::Json, file: String::new() }).unwrap();
            end_process_on_panic();
            let shard = thread::Builder::new().name("shard-3".into()).spawn(|| panic!("planted")).unwrap();
            shard.join().ok();
            process::exit(0);
        }
        let child = || {
            let mut command = Command::new(std::env::current_exe().unwrap());
            let name = "control::logs::tests::a_panic_in_a_thread_ends_the_process_with_one_line";
            command.args(["--exact", "--nocapture", name]).env(CHILD, "1").env_remove("RUST_BACKTRACE");
            command
        };
        let output = child().output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let line: serde_json::Value = serde_json::from_str(stderr.trim_end()).unwrap();
        assert_eq!(line["level"], "ERROR");
        let message = line["message"].as_str().unwrap();
        assert!(message.starts_with("thread shard-3 panicked at src/control/logs.rs:"), "{message}");
        assert!(message.ends_with(": planted"), "{message}");
        // If the line cannot be written, the exit is the same without it: there is no second panic, which would
        // abort.
        let full = File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(child().stderr(full).stdout(Stdio::null()).status().unwrap().code(), Some(1));
        let gone = io::pipe().unwrap().1;
        assert_eq!(child().stderr(gone).stdout(Stdio::null()).status().unwrap().code(), Some(1));
    }
}
