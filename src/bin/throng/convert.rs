//! `throng config --convert`: converts a configuration of Centrifugo 3 to 5.
//!
//! Invariants: no file is overwritten, only its owner can read a file with secrets, and a terminal shows none.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use throng::parts::config::Variables;
use throng::parts::config::convert::{Converted, Secrets, Version, convert_file, convert_variables};
use throng::parts::control::console;

use super::yaml;

/// Exit code for an invalid command line or file.
const EXIT_USAGE: u8 = 2;

/// The error about JSON in a file that is read in another form.
pub(crate) const JSON_ELSEWHERE: &str = "throng: --json: expected a file whose name ends in .json";

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Toml,
    Json,
    Yaml,
    Variables,
}

impl Form {
    /// The form in which the server reads a file of this name.
    pub(crate) fn of(path: &Path) -> Self {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        match ending.to_str() {
            Some("json") => Self::Json,
            Some("yaml" | "yml") => Self::Yaml,
            _ => Self::Toml,
        }
    }
}

/// Converts a file, or without one the variables of the environment, to a file or to standard output.
pub(crate) fn run(input: Option<&Path>, output: Option<&Path>, form: Form, version: Version) -> ExitCode {
    let converted = match input {
        Some(path) => match convert_file(path, version) {
            Ok(converted) => converted,
            Err(error) => return refused(&format!("throng: {error}")),
        },
        None if form == Form::Variables => match convert_variables(&Variables::of_process(), version) {
            Some(converted) => converted,
            None => {
                let none = "throng: the environment has no variable of Centrifugo 3 to 5: there is nothing to convert";
                console::complain(&none);
                return ExitCode::FAILURE;
            }
        },
        None => {
            return refused(
                "throng: --convert: expected a file, or --env for the variables of the environment",
            );
        }
    };
    let form = match output.map(Form::of) {
        Some(named) if form == Form::Toml => named,
        Some(named) if form == Form::Json && named != Form::Json => return refused(JSON_ELSEWHERE),
        _ => form,
    };
    let hides = output.is_none() && std::io::stdout().is_terminal();
    let text = text(&converted, form, if hides { Secrets::Hidden } else { Secrets::Shown });
    if matches!(form, Form::Json | Form::Yaml) {
        converted.remarks().iter().for_each(|remark| console::complain(&format!("throng: {remark}")));
    }
    if hides {
        console::complain(
            &"throng: a terminal is shown … for secrets, and for the users and queries of URLs; -o FILE writes them",
        );
    }
    match output {
        None => match console::print(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                console::complain(&format!("throng: cannot write the configuration: {error}"));
                ExitCode::FAILURE
            }
        },
        Some(path) => {
            let count = converted.remarks().len();
            let plural = if count == 1 { "" } else { "s" };
            let done = format!(
                "{} is written, with {count} remark{plural}; look through it before you use it",
                path.display()
            );
            write(path, &text, &done)
        }
    }
}

fn text(converted: &Converted, form: Form, secrets: Secrets) -> String {
    match form {
        Form::Toml => converted.toml(secrets),
        Form::Json => converted.json(secrets),
        Form::Yaml => yaml::text(&serde_json::from_str(&converted.json(secrets)).unwrap_or_default()),
        Form::Variables => converted.env(secrets),
    }
}

/// Creates the file, which must not exist yet, readable by its owner only, and reports it.
pub(crate) fn write(path: &Path, text: &str, done: &str) -> ExitCode {
    let file = File::options().write(true).create_new(true).mode(0o600).open(path);
    match file.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => {
            console::complain(&format!("throng: {done}"));
            ExitCode::SUCCESS
        }
        Err(error) => refused(&format!("throng: {} cannot be written: {error}", path.display())),
    }
}

/// Reports the error.
pub(crate) fn refused(complaint: &str) -> ExitCode {
    console::complain(&complaint);
    ExitCode::from(EXIT_USAGE)
}
