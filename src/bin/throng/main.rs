//! The `throng` binary: it turns the command line into a call of the library, and the result into an exit code.
//!
//! Exit codes: 0 for success (serve: after a clean drain), 2 for a bad configuration or command line, 1 for any
//! other error.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod beginning;
mod bench;
mod convert;
mod doctor;
mod names;
mod stray;
mod token;
mod yaml;

use clap::{CommandFactory as _, Parser, Subcommand};
use std::ffi::OsString;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use throng::parts::config::convert::Version;
use throng::parts::config::{self, ConfigError, Effective, Variables};
use throng::parts::control::{announce, console, logs, notify};
use throng::parts::server::Server;
use throng::parts::session::raw::Echo;
use throng::parts::{net, node};

/// Exit code of a bad configuration or command line.
const EXIT_CONFIG: u8 = 2;

/// Commands that take no keys of the configuration as flags.
const WITHOUT_KEYS: [&str; 4] = ["bench", "doctor", "token", "help"];

/// A real-time messaging server: publish/subscribe over WebSocket, server-sent events and HTTP streaming, with the Centrifuge protocol
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 110)]
#[command(
    after_help = "Without a command, throng serves. Every option of serve is also an environment variable (--ping-interval-ms: THRONG_PING_INTERVAL_MS) and a key of the configuration file (ping_interval_ms). Every key of a section is also a flag, --client.channel_limit=64; `throng config --flags` lists them. Flags take precedence over variables, variables over the file. -h omits limits and deadlines, --help shows all options."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: config::Args,
}

#[derive(Subcommand)]
enum Command {
    /// Serve connections until a signal starts a drain (the default)
    Serve(config::Args),
    /// Print the effective configuration, the source of each value, and the memory needed at its limits
    Config(ConfigArgs),
    /// Load a server and measure it
    Bench(bench::Args),
    /// Report which limits of this machine are too low for a number of connections
    Doctor(doctor::Args),
    /// Create a token for development, signed with the configured secret, or inspect one
    Token(token::Args),
}

#[derive(clap::Args)]
struct ConfigArgs {
    /// Print only errors and warnings, also for the configured certificates and keys; exit code 2 if there are errors
    #[arg(long, conflicts_with_all = ["json", "show_secrets"])]
    check: bool,
    /// With --check: exit code 1 if there is no configuration file
    #[arg(long, requires = "check")]
    needs_file: bool,
    /// Print every key as a flag of the form --section.key=VALUE, with its description
    #[arg(long, conflicts_with_all = ["check", "json", "show_secrets"])]
    flags: bool,
    /// Print JSON instead of TOML
    #[arg(long)]
    json: bool,
    /// Print secrets in plain text; otherwise the output does not load back
    #[arg(long)]
    show_secrets: bool,
    /// Convert a file of Centrifugo 3, 4 or 5 to the present form, in TOML or with --json in JSON
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with_all = ["check", "show_secrets"])]
    convert: Option<Option<PathBuf>>,
    /// With --convert: the version of Centrifugo that read it. Clients of version 3 could do what was not forbidden: 3 writes that out
    #[arg(long, value_name = "VERSION", requires = "convert", value_parser = ["3", "4", "5"])]
    from: Option<String>,
    /// Write an initial configuration with new secrets to this new file: JSON or YAML if its name ends so, else TOML
    #[arg(long, value_name = "FILE", conflicts_with_all = ["check", "json", "show_secrets", "convert"])]
    new: Option<PathBuf>,
    /// Print every key with its default outside development mode; ignores the configuration
    #[arg(long, conflicts_with_all = ["check", "show_secrets", "convert", "new"])]
    defaults: bool,
    /// With --convert and --defaults: write to this file, which must not exist yet, instead of standard output; JSON or YAML if its name ends so
    #[arg(short = 'o', long, value_name = "FILE", conflicts_with_all = ["check", "show_secrets", "new"])]
    output: Option<PathBuf>,
    /// With --convert: write variables; without a file, from those of the environment
    #[arg(long, requires = "convert", conflicts_with = "json")]
    env: bool,
    #[command(flatten)]
    typed: config::Args,
}

impl ConfigArgs {
    /// The version of Centrifugo that read what is converted.
    fn version(&self) -> Version {
        if self.from.as_deref() == Some("3") { Version::Three } else { Version::Later }
    }

    /// The form of a conversion's output.
    fn form(&self) -> convert::Form {
        match (self.env, self.json) {
            (true, _) => convert::Form::Variables,
            (false, true) => convert::Form::Json,
            (false, false) => convert::Form::Toml,
        }
    }
}

fn main() -> ExitCode {
    let typed: Vec<OsString> = std::env::args_os().collect();
    let words = names::translated(typed.clone());
    let has_keys = words.get(1).is_none_or(|command| !WITHOUT_KEYS.iter().any(|name| command == name));
    let code = match Cli::try_parse_from(if has_keys { config::spell_flags(words) } else { words }) {
        Ok(cli) => run(cli),
        Err(error) => match stray::told(&error, &typed, &commands()) {
            Some(told) => {
                console::complain(&told);
                ExitCode::from(EXIT_CONFIG)
            }
            None => error.exit(),
        },
    };
    logs::flush();
    code
}

/// The names of all commands, for an error.
fn commands() -> String {
    let command = Cli::command();
    command.get_subcommands().map(clap::Command::get_name).collect::<Vec<_>>().join(", ")
}

fn run(cli: Cli) -> ExitCode {
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(typed) => {
            let typed = typed.of_program();
            match examined(&typed) {
                Ok((effective, _)) => serve(effective, &typed),
                Err(code) => code,
            }
        }
        Command::Config(ConfigArgs { flags: true, .. }) => print(&config::listed_flags(), "the flags"),
        Command::Config(args) if args.convert.is_some() => {
            let input = args.convert.as_ref().and_then(Option::as_deref);
            convert::run(input, args.output.as_deref(), args.form(), args.version())
        }
        Command::Config(ConfigArgs { new: Some(path), .. }) => beginning::write_new(&path),
        Command::Config(ConfigArgs { defaults: true, json, output, .. }) => {
            beginning::defaults(output.as_deref(), json)
        }
        Command::Config(ConfigArgs { output: Some(_), .. }) => {
            failed(&"-o needs --convert or --defaults");
            ExitCode::from(EXIT_CONFIG)
        }
        Command::Config(ConfigArgs { check: true, needs_file, typed, .. }) => {
            check(&typed.of_program(), needs_file)
        }
        Command::Config(ConfigArgs { json, show_secrets, typed, .. }) => {
            resolved(&typed.of_program(), |effective| show(&effective, json, show_secrets))
        }
        Command::Bench(args) => bench::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Token(args) => {
            resolved(&args.configuration(), |effective| token::run(&args, &effective.config.outside))
        }
    }
}

/// Resolves the command line and continues with it, or prints all errors.
fn resolved(typed: &config::Args, then: impl FnOnce(Effective) -> ExitCode) -> ExitCode {
    match config::resolve(typed, &Variables::of_process()) {
        Ok(effective) => then(effective),
        Err(errors) => refused(errors),
    }
}

fn refused(errors: Vec<ConfigError>) -> ExitCode {
    for error in errors {
        console::complain(&format!("throng: {error}"));
    }
    ExitCode::from(EXIT_CONFIG)
}

/// Resolves the command line and reads the certificates and keys; or prints all errors. Also returns warnings about
/// certificates that expire soon.
fn examined(typed: &config::Args) -> Result<(Effective, Vec<String>), ExitCode> {
    let (effective, mut errors) = config::examine(typed, &Variables::of_process());
    let (unusable, expiring) = node::check_certificates(&effective.config.tls);
    let left = effective.add_certificate_errors(&mut errors, unusable);
    if errors.is_empty() && left.is_empty() {
        return Ok((effective, expiring));
    }
    let code = refused(errors);
    for error in left {
        console::complain(&format!("throng: {error}"));
    }
    Err(code)
}

/// Prints errors and warnings; without any it prints nothing. With `needs_file`, a missing file is an error.
fn check(typed: &config::Args, needs_file: bool) -> ExitCode {
    let (effective, expiring) = match examined(typed) {
        Ok(examined) => examined,
        Err(code) => return code,
    };
    for warning in effective.warnings() {
        console::complain(&format!("throng: WARNING: {warning}"));
    }
    if needs_file && !effective.has_file() {
        return failed(&"config file not found: name one with -c");
    }
    for line in announce::warnings(&effective.config) {
        console::complain(&line);
    }
    for line in expiring {
        console::complain(&format!("throng: WARNING: {line}"));
    }
    ExitCode::SUCCESS
}

fn show(effective: &Effective, json: bool, secrets: bool) -> ExitCode {
    // The server raises its soft limit to the hard one, so the hard one applies.
    let descriptors = match net::sys::descriptor_limit() {
        Ok((_, hard)) => hard,
        Err(error) => return failed(&error),
    };
    let text = if json {
        format!("{:#}\n", effective.json(descriptors, secrets))
    } else {
        effective.toml(descriptors, secrets)
    };
    for warning in effective.warnings() {
        console::complain(&format!("throng: WARNING: {warning}"));
    }
    print(&text, "the configuration")
}

/// Prints a result; an error names it `what`.
fn print(text: &str, what: &str) -> ExitCode {
    match console::print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("cannot write {what}: {error}")),
    }
}

fn serve(effective: Effective, typed: &config::Args) -> ExitCode {
    let config = &effective.config;
    if let Err(error) = logs::init(&config.logs) {
        failed(&error);
        // The configuration is at fault, not the machine.
        return if config.logs.file.is_empty() { ExitCode::FAILURE } else { ExitCode::from(EXIT_CONFIG) };
    }
    logs::end_process_on_panic();
    let inherited = match net::Inherited::take() {
        Ok(inherited) => inherited,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    // Resolving the configuration has checked those in it.
    let addresses = inherited.addresses();
    if let Some(complaint) = effective.is_open_at(&addresses) {
        tracing::error!("an inherited socket: {complaint}");
        return ExitCode::from(EXIT_CONFIG);
    }
    warn(&effective, &inherited);
    settle_process(config);
    let started = Server::start_warned(config, inherited, |_| Echo::at(config.echo.as_deref()));
    let mut server = match started.and_then(|mut server| server.handle_signals().map(|()| server)) {
        Ok(server) => server,
        Err(error) => {
            tracing::error!("{error}");
            let is_typed = node::is_certificate_error(&error);
            return if is_typed { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE };
        }
    };
    let pid_file = match PidFile::write(&config.pid_file) {
        Ok(pid_file) => pid_file,
        Err(error) => {
            tracing::error!("pid_file = {:?}: cannot be written: {error}", config.pid_file);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let typed = typed.clone();
    server.reload_by(effective.clone(), move || read_again(&typed, &addresses));
    server.control_warning().iter().for_each(|line| announce::warning(config.logs.format, line));
    announce::ready(config.logs.format, &server.ready());
    notify::ready(&server.ready().to_string());
    let ended = server.wait();
    drop(pid_file);
    match ended {
        Ok(outcome) => {
            // Without a drain, shards may still run: the end of the process ends them.
            tracing::info!("{outcome}");
            ExitCode::from(outcome.exit_code())
        }
        Err(error) => {
            tracing::error!("the control thread failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the warnings for the operator.
fn warn(effective: &Effective, inherited: &net::Inherited) {
    let config = &effective.config;
    let say = |line: &str| announce::warning(config.logs.format, line);
    effective.warnings().iter().for_each(|warning| say(&format!("throng: WARNING: {warning}")));
    announce::warnings_at(config, inherited).iter().for_each(|line| say(line));
    announce::root(net::sys::is_root()).into_iter().for_each(say);
}

/// Drops privileges, hides keys in memory from other processes, and sets the allocator for the number of threads.
fn settle_process(config: &config::Config) {
    let hidden = if config.keeps_secrets() { net::sys::hide_memory() } else { Ok(()) };
    if let Err(error) = net::sys::gain_no_privileges().and(hidden) {
        tracing::warn!(%error, "the process could not disable privilege gains or hide its memory");
    }
    // One for each shard, one for the control thread, one for all others.
    net::sys::tune_allocator(config.shards + 2);
}

/// A file with the id of this process, removed at its end.
struct PidFile(Option<PathBuf>);

impl PidFile {
    fn write(path: &str) -> std::io::Result<Self> {
        if path.is_empty() {
            return Ok(Self(None));
        }
        std::fs::write(path, format!("{}\n", std::process::id()))?;
        Ok(Self(Some(path.into())))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!("{}: cannot be removed: {error}", path.display());
        }
    }
}

/// Reads the configuration again: the present file, with the flags and variables of the start.
fn read_again(typed: &config::Args, inherited: &[SocketAddr]) -> Result<Effective, Vec<ConfigError>> {
    let effective = config::resolve(typed, &Variables::of_process())?;
    if let Some(complaint) = effective.is_open_at(inherited) {
        let (key, said) = ("listen".to_owned(), "inherited".to_owned());
        return Err(vec![ConfigError { key, said, complaint, place: config::Place::Default }]);
    }
    if effective.config.keeps_secrets()
        && let Err(error) = net::sys::hide_memory()
    {
        tracing::warn!(%error, "the process could not hide its memory, which may hold new keys");
    }
    Ok(effective)
}

/// Prints an error before logs are set up.
fn failed(error: &dyn Display) -> ExitCode {
    console::complain(&format!("throng: {error}"));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_repeated() {
        for (typed, wanted) in [
            ("--client.insecure HUSH", Some("error: --client.insecure: word 2")),
            ("--http_api.key a HUSH", Some("error: --http_api.key: word 3")),
            ("--http-api-key a HUSH", Some("error: --http-api-key: word 3")),
            ("--http-api-key=a HUSH", Some("error: --http-api-key: word 2")),
            ("--http-api-key --HUSH", Some("error: --http-api-key: word 2")),
            ("serve --control-key --HUSH", Some("error: --control-key: word 3")),
            ("serve --pin HUSH", Some("error: --pin: word 3")),
            ("-p 1 HUSH", Some("error: -p: word 3")),
            ("-- HUSH", Some("error: --: word 2")),
            ("config --check HUSH", Some("error: --check: word 3")),
            ("config --json=HUSH", Some("error: --json: its value")),
            ("token --check a HUSH", Some("error: --check: word 4")),
            ("serve --nobody --knows", None),
            ("--htp-api-key=HUSH", None),
            ("--htp-api-key HUSH", None),
            (
                "srve",
                Some("error: word 1 of the command line is not a command; is serve meant?; it is not shown"),
            ),
            ("HUSH", Some("error: word 1 of the command line is not a command; it is not shown")),
            ("config HUSH", Some("error: word 2 of the command line is not expected")),
        ] {
            let words: Vec<OsString> = format!("throng {typed}").split(' ').map(OsString::from).collect();
            let error = Cli::try_parse_from(config::spell_flags(words.clone())).err().unwrap();
            let shown = stray::told(&error, &words, &commands()).unwrap_or_else(|| error.to_string());
            assert!(!shown.contains("HUSH"), "{typed}: {shown}");
            assert_eq!(
                stray::told(&error, &words, &commands()).is_some(),
                wanted.is_some(),
                "{typed}: {shown}"
            );
            assert!(shown.starts_with(wanted.unwrap_or_default()), "{typed}: {shown}");
        }
    }
}
