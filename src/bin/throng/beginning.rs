//! `throng config --new` and `--defaults`: a new configuration, and every key at its default.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;

use throng::parts::config::{self, Variables};
use throng::parts::control::console;
use throng::parts::net::sys;

use super::convert;

/// Random bytes in each new secret.
const SECRET_BYTES: usize = 32;

/// Writes a configuration with a secret for tokens and a key for the server API, both drawn at random, to a new
/// file: JSON if its name ends in `.json`, else TOML.
pub(crate) fn write_new(path: &Path) -> ExitCode {
    let (token, key) = match (secret(), secret()) {
        (Ok(token), Ok(key)) => (token, key),
        (Err(error), _) | (_, Err(error)) => {
            return convert::refused(&format!("throng: no random numbers: {error}"));
        }
    };
    let text = if convert::is_json(path) {
        format!(
            "{{\n  \"client\": {{\n    \"token\": {{\n      \"hmac_secret_key\": \"{token}\"\n    }},\n    \
             \"allowed_origins\": []\n  }},\n  \"http_api\": {{\n    \"key\": \"{key}\"\n  }}\n}}\n"
        )
    } else {
        format!(
            "[client]\nallowed_origins = []\n\n[client.token]\nhmac_secret_key = \"{token}\"\n\n[http_api]\nkey = \
             \"{key}\"\n"
        )
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
    let text = if json || output.is_some_and(convert::is_json) {
        format!("{:#}\n", effective.json(descriptors, true)["config"])
    } else {
        effective.toml(descriptors, true)
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
