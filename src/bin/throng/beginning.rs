//! `throng config --new` and `--defaults`: a new configuration, and every key at its default.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;

use throng::parts::config::{self, Variables};
use throng::parts::control::console;
use throng::parts::net::sys;

use super::convert::{self, Form};
use super::yaml;

/// Random bytes in each new secret.
const SECRET_BYTES: usize = 32;

/// Writes a configuration with a secret for tokens and a key for the server API, both drawn at random, to a new
/// file, in the form that its name says.
pub(crate) fn write_new(path: &Path) -> ExitCode {
    let (token, key) = match (secret(), secret()) {
        (Ok(token), Ok(key)) => (token, key),
        (Err(error), _) | (_, Err(error)) => {
            return convert::refused(&format!("throng: no random numbers: {error}"));
        }
    };
    let whole = serde_json::json!({
        "client": {"token": {"hmac_secret_key": token}, "allowed_origins": []},
        "http_api": {"key": key},
    });
    let text = match Form::of(path) {
        Form::Json => format!("{whole:#}\n"),
        Form::Yaml => yaml::text(&whole),
        Form::Toml | Form::Variables => format!(
            "[client]\nallowed_origins = []\n\n[client.token]\nhmac_secret_key = \"{token}\"\n\n[http_api]\nkey = \
             \"{key}\"\n"
        ),
    };
    convert::write(path, &text, &format!("{} is written, with secrets of its own", path.display()))
}

/// Writes the defaults outside development mode to a new file or to standard output.
pub(crate) fn defaults(output: Option<&Path>, json: bool) -> ExitCode {
    let closed = [("THRONG_DEVELOPMENT", "false")];
    let effective = match config::resolve(&config::Args::default(), &Variables::from_iter(closed)) {
        Ok(effective) => effective,
        Err(errors) => {
            let lines: Vec<_> = errors.iter().map(|error| format!("throng: {error}")).collect();
            return convert::refused(&lines.join("\n"));
        }
    };
    let descriptors = match sys::descriptor_limit() {
        Ok((_, hard)) => hard,
        Err(error) => return convert::refused(&format!("throng: {error}")),
    };
    let form = match output.map(Form::of) {
        None if json => Form::Json,
        None => Form::Toml,
        Some(named) if json && named != Form::Json => return convert::refused(convert::JSON_ELSEWHERE),
        Some(named) => named,
    };
    let mut whole = effective.json(descriptors, true)["config"].take();
    // Centrifugo has one key here, and refuses a list.
    whole["http_api"]["key"] = "".into();
    let text = match form {
        Form::Json => format!("{whole:#}\n"),
        Form::Yaml => yaml::text(&whole),
        Form::Toml | Form::Variables => effective.toml(descriptors, true).replacen(
            "\n[http_api]\nkey = []",
            "\n[http_api]\nkey = \"\"",
            1,
        ),
    };
    match output {
        Some(path) => convert::write(path, &text, &format!("{} is written", path.display())),
        None => match console::print(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => convert::refused(&format!("throng: cannot write the configuration: {error}")),
        },
    }
}

/// A random text of letters and digits.
fn secret() -> io::Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
