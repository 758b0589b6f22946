//! `throng doctor`: the limits of this machine that are too low.
//!
//! It reads limits and kernel settings, compares them with the needs of N connections, and prints one line for
//! each, with the value, the need, the reason and the command that changes it; or prints a profile for N, ready to
//! install. In reading order: `facts` (values of the machine), `needs` (required values), `settings` (the kernel
//! settings of a profile), the `check_*` files (comparison; `check_socketio` tries an endpoint), `report`, `json` and `emit` (output).
//!
//! The invariants: a profile depends on N and the ports alone, never on the machine that prints it, and a machine
//! with the profile in force passes all of its checks. A value that cannot be read is `unknown`, never a panic.
//! The doctor changes nothing; `tuning/apply` does.

mod cgroup;
mod check_certificates;
mod check_descriptors;
mod check_memory;
mod check_network;
mod check_socketio;
mod emit;
mod facts;
mod json;
mod kubernetes;
mod needs;
mod probe;
mod report;
mod service;
mod settings;
mod text;

#[cfg(test)]
mod fake;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use facts::Facts;
use needs::Plan;
use report::{Line, Report};
use service::Service;

use throng::parts::config::{self, Config, Variables};
use throng::parts::control::console;
use throng::parts::node;

/// Exit code of a bad configuration.
const EXIT_CONFIG: u8 = 2;

/// Report which limits and kernel settings of this machine are too low for N connections, or print a profile
///
/// Exit code: 0 if everything is sufficient, 1 if a value is too low, 2 for bad arguments or a bad configuration.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Args {
    /// Number of connections
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) connections: u64,

    /// Number of shards (threads) [default: as configured: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) shards: Option<u64>,

    /// Whether each shard has its own descriptor table [default: as configured: true]
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub(crate) private_descriptors: Option<bool>,

    /// Ports of the data listeners [default: as configured: 8000]
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) data_port: Vec<u16>,

    /// Port of the control listener [default: as configured: 9000]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) control_port: Option<u16>,

    /// Configuration file with shards, ports and certificates; default: what throng would start with here, from variables and the working directory
    #[arg(long, short = 'c', value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Inspect limits, control group and descriptors of this running throng process instead of the doctor's own
    #[arg(long, value_name = "PID", conflicts_with = "emit")]
    pub(crate) pid: Option<u32>,

    /// Also try a Socket.IO endpoint as clients reach it, through all that is in front of it: http:// or https://HOST[:PORT][/PATH]; takes as long as a heartbeat
    #[arg(long, value_name = "URL", conflicts_with = "emit")]
    pub(crate) socketio: Option<String>,

    /// Print the report as one JSON object
    #[arg(long, conflicts_with = "emit")]
    pub(crate) json: bool,

    /// Print a profile for N connections instead of the report
    #[arg(long, value_name = "KIND")]
    pub(crate) emit: Option<Emit>,

    /// Where /proc and /sys are found: a directory with a copy of another box's
    #[arg(long, hide = true, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
}

/// Kinds of profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Emit {
    /// A file for /etc/sysctl.d
    Sysctl,
    /// A file for /etc/security/limits.d
    Limits,
    /// A hardened systemd unit
    Systemd,
    /// A Pod spec fragment
    Kubernetes,
}

/// Runs `throng doctor`: 0 when nothing falls short (or a profile was printed), 1 when something does or the
/// output cannot be written, 2 when the configuration is wrong. A bad argument never comes here: clap ends with 2.
#[must_use]
pub(crate) fn run(args: &Args) -> ExitCode {
    let stdout = io::stdout();
    let colour = stdout.is_terminal() && colour_wanted(|name| std::env::var_os(name));
    // The configuration with which `throng` would start here: its variables, Centrifugo's, and the working directory's file.
    let typed = config::Args::of_file(args.config.clone()).of_program();
    let config = match config::resolve(&typed, &Variables::of_process()) {
        Ok(effective) => effective.config,
        Err(errors) => {
            for error in errors {
                console::complain(&format!("throng: {error}"));
            }
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if let Some(pid) = args.pid.filter(|&pid| Service::read(&args.root, pid).is_none()) {
        console::complain(&format!("throng: --pid {pid}: there is no such process"));
        return ExitCode::from(EXIT_CONFIG);
    }
    let tried = args.socketio.as_deref().map_or_else(|| Ok(Vec::new()), check_socketio::lines);
    let tried = match tried {
        Ok(lines) => lines,
        Err(error) => {
            console::complain(&format!("throng: --socketio {error}"));
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match execute(args, &config, tried, colour, &mut stdout.lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            console::complain(&format!("throng doctor: cannot write the report: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes the output that `args` request to `out`, with missing values and the certificates from `config`, and
/// the lines `tried` about an endpoint; false if something falls short.
///
/// # Errors
/// The result of `out`; a reader that has closed its end (`BrokenPipe`) is not an error.
fn execute(
    args: &Args,
    config: &Config,
    tried: Vec<Line>,
    colour: bool,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let service = args.pid.and_then(|pid| Service::read(&args.root, pid));
    let running = service.as_ref().map(|service| service.shards).filter(|&shards| shards > 0);
    let plan = Plan::new(args, config, running);
    let (text, sound) = match args.emit {
        Some(kind) => (emit::emit(kind, &plan), true),
        None => {
            let private =
                service.as_ref().map_or_else(probe::private_descriptors, Service::private_descriptors);
            let facts = Facts { private_descriptors: private, ..Facts::of(&args.root, args.pid) };
            let certificates = check_certificates::lines(&config.tls, node::now_s());
            let report = Report::new(&plan, &facts)
                .with_service(service.map_or_else(Vec::new, |service| service.lines(&facts)))
                .with_certificates(certificates)
                .with_socketio(tried);
            let text =
                if args.json { json::render(&plan, &report) } else { text::render(&plan, &report, colour) };
            (text, report.is_sound())
        }
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(sound),
    }
}

/// Colours only on a terminal, and not if NO_COLOR is set (no-color.org).
fn colour_wanted(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> bool {
    let refused = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = variable("TERM").is_some_and(|value| value == "dumb");
    !refused && !dumb
}
