//! Finds the configuration file of the working directory, which Centrifugo reads when no file is named.
//!
//! Invariant: a file that someone else left there neither opens nor changes the server. A file is used only if it is
//! for this server. One of another user is refused in a folder where all users may create files, such as /tmp: there
//! it may be anybody's, and with a log file or a pid file of its choice the server would write where only its own user
//! may. In any other folder the file was put there by the folder's owner, or as root, and whoever starts the server
//! chose the folder, as `--config` chooses a file: an owner or a mode that lets others change the file is a warning.
//! Containers need that: a file mounted from a host keeps the user id and the mode that it has there, and so does
//! Centrifugo's behaviour, which checks neither. Centrifugo reads `config.json` only; here the other three formats
//! follow, in this order.

use super::super::older;
use super::super::value::Table;
use super::super::{ConfigError, ConfigWarning, Place};
use super::{BYTE_ORDER_MARK, parse, text_of, whole};
use crate::net::sys;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const NAMES: [&str; 4] = ["config.json", "config.toml", "config.yaml", "config.yml"];

/// Sections that show that a file is for this server.
const SECTIONS: [&str; 5] = ["client", "channel", "http_api", "http_server", "engine"];

/// The write permission of all users.
const OTHERS_WRITE: u32 = 0o002;

/// The result of the search.
#[derive(Default)]
pub(in super::super) struct Found {
    /// The file in use, and its content.
    pub(in super::super) read: Option<(PathBuf, Result<Table, ConfigError>)>,
    /// Warnings about files that were ignored.
    pub(in super::super) warnings: Vec<ConfigWarning>,
    /// Whether an ignored file could be meant for Centrifugo, which would have read it: this rules out development
    /// mode.
    pub(in super::super) is_closed: bool,
}

/// The kind of a file.
enum Looked {
    /// A file for this server, and a warning if others may change it.
    Ours(Table, Option<String>),
    /// A file without sections for this server, which Centrifugo would have read, or failed on.
    Alike,
    /// A file of another program.
    Other,
}

/// Looks for a file in a folder.
pub(in super::super) fn find(folder: &Path) -> Found {
    let mut found = Found::default();
    for name in NAMES {
        let path = folder.join(name);
        // Checked before the file is opened: opening a pipe would block.
        let is_file = match std::fs::metadata(&path) {
            // A link to a missing file may be meant to name ours; it is refused like an unreadable file.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !path.is_symlink() => continue,
            about => about.map_or(true, |about| about.is_file()),
        };
        let pass = |why: &str| told(&path, format!("is ignored: {why}"));
        if !is_file {
            found.is_closed = true;
            found.warnings.push(pass("it is not a regular file"));
        } else if let Some((first, _)) = &found.read {
            found.warnings.push(pass(&format!("{} is read", first.display())));
        } else {
            // The purpose of a file that cannot be read is unknown: this is an error, as for a file that cannot be
            // parsed.
            let file = File::open(&path).map_err(|error| {
                let is_dangling = error.kind() == std::io::ErrorKind::NotFound;
                let why =
                    if is_dangling { "it is a link to a missing file".to_owned() } else { error.to_string() };
                whole(&path, 0, format!("cannot be read: {why}"))
            });
            match file.and_then(|file| looked_at(&path, file)) {
                Ok(Looked::Ours(table, doubt)) => {
                    found.warnings.extend(doubt.map(|text| told(&path, text)));
                    found.read = Some((path, Ok(table)));
                }
                Ok(looked @ (Looked::Alike | Looked::Other)) => {
                    let is_alike = matches!(looked, Looked::Alike);
                    found.is_closed |= is_alike;
                    let mode =
                        if is_alike { ", but may be Centrifugo's: this is no development mode" } else { "" };
                    let sections = SECTIONS.join(", ");
                    found.warnings.push(pass(&format!(
                        "it has no section {sections}{mode}; --config names a file that is to be read"
                    )));
                }
                Err(error) => found.read = Some((path, Err(error))),
            }
        }
    }
    found
}

/// A warning about a file as a whole.
fn told(path: &Path, text: String) -> ConfigWarning {
    ConfigWarning { key: String::new(), text, place: Place::File { path: path.to_owned(), line: 0 } }
}

/// Determines the kind of an open file.
fn looked_at(path: &Path, file: File) -> Result<Looked, ConfigError> {
    let about = file.metadata().map_err(|error| whole(path, 0, format!("cannot be read: {error}")))?;
    let text = text_of(path, file)?;
    let table = match parse(path, &text) {
        Ok(table) => table,
        // A broken file that mentions clients is more likely ours: ignoring it would open the server.
        Err(error) if is_ours_by_word(&text) => return Err(error),
        Err(_) => return Ok(Looked::Alike),
    };
    if !table.0.iter().any(|entry| is_ours(&entry.name)) {
        // Centrifugo fails on a byte order mark.
        let is_alike = text.starts_with(BYTE_ORDER_MARK)
            || table.0.is_empty()
            || table.0.iter().any(|entry| older::is_of_any(&entry.name));
        return Ok(if is_alike { Looked::Alike } else { Looked::Other });
    }
    let is_of_others = about.uid() != 0 && about.uid() != sys::user_id();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_open = std::fs::metadata(folder).map_or(true, |folder| folder.mode() & OTHERS_WRITE != 0);
    if is_of_others && is_open {
        let complaint =
            "belongs to another user, in a folder that all users may write: chown it, or name it by --config";
        return Err(whole(path, 0, complaint.to_owned()));
    }
    let doubt = match (about.mode() & OTHERS_WRITE != 0, is_of_others) {
        (true, _) => Some("is writable by all users, so any of them can change the server: chmod o-w"),
        (false, true) => {
            Some("belongs to another user, who can change the server: chown it, or name it by --config")
        }
        (false, false) => None,
    };
    Ok(Looked::Ours(table, doubt.map(str::to_owned)))
}

/// Whether a key at the top shows that a file is for this server, or for an older Centrifugo, which leads to an error
/// with the remedy.
fn is_ours(name: &str) -> bool {
    SECTIONS.contains(&name) || older::is_telling(name)
}

/// Like [`is_ours`], for a text that cannot be parsed.
fn is_ours_by_word(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| SECTIONS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    /// Searches a folder with these files: returns the name of the file in use, its error, and the warnings.
    fn found(test: &str, files: &[(&str, &str)]) -> (Option<String>, Option<String>, Vec<String>) {
        let folder = std::env::temp_dir().join(format!("throng-find-{}-{test}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            match *text {
                "directory" => fs::create_dir(folder.join(name)).unwrap(),
                text => fs::write(folder.join(name), text).unwrap(),
            }
        }
        let Found { read, warnings, .. } = find(&folder);
        fs::remove_dir_all(&folder).unwrap();
        let plain = |text: String| text.replace(&format!("{}/", folder.display()), "");
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let (path, error) = read.map_or((None, None), |(path, read)| (Some(name(&path)), read.err()));
        let error = error.map(|error| plain(error.to_string()));
        (path, error, warnings.into_iter().map(|warning| plain(warning.to_string())).collect())
    }

    #[test]
    fn a_link_to_a_missing_file_is_refused() {
        let folder = std::env::temp_dir().join(format!("throng-find-{}-dangling", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink(folder.join("missing"), folder.join("config.json")).unwrap();
        let found = find(&folder);
        fs::remove_dir_all(&folder).unwrap();
        let (_, read) = found.read.unwrap();
        let error = read.unwrap_err().to_string();
        assert!(error.ends_with("config.json: cannot be read: it is a link to a missing file"), "{error}");
    }

    const OURS: &str = "{\"client\": {}}";

    #[test]
    fn the_first_that_is_ours_is_read_and_the_others_are_told() {
        assert_eq!(found("none", &[]), (None, None, Vec::new()));
        for (name, text) in [
            ("config.json", OURS),
            ("config.json", "{\"token_hmac_secret_key\": \"k\"}"),
            ("config.json", "{\"Client\": {}, \"HTTP_API\": {\"key\": \"k\"}}"),
            ("config.toml", "[http_api]\n"),
            ("config.yaml", "engine: {}"),
            ("config.yml", "channel:"),
        ] {
            let (read, error, warnings) = found(name, &[(name, text)]);
            assert_eq!((read.as_deref(), error, warnings.len()), (Some(name), None, 0), "{name}");
        }
        let (read, _, warnings) = found("two", &[("config.json", OURS), ("config.yaml", "client: {}")]);
        assert_eq!(read.as_deref(), Some("config.json"));
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].starts_with("config.yaml: is ignored: "), "{warnings:?}");
    }

    #[test]
    fn what_is_of_another_program_is_passed_over() {
        for text in ["{\"compilerOptions\": {}}", "[]", "{// a comment\n}", "directory"] {
            let (read, error, warnings) =
                found("other", &[("config.json", text), ("config.toml", "[client]\n")]);
            assert_eq!((read.as_deref(), error), (Some("config.toml"), None), "{text}");
            assert_eq!(warnings.len(), 1, "{text}");
        }
    }

    #[test]
    fn what_centrifugo_would_have_read_closes_the_server() {
        for (text, is_closed) in [
            ("{}", true),
            ("{\"log\": {\"level\": \"info\"}, \"sse\": {\"enabled\": true}}", true),
            ("{\"log\": {}, \"compilerOptions\": {}}", true),
            ("[]", true),
            ("{\"CLIENT.Insecure\":false}", true),
            ("{\"token_hmac_secret_key\":\"s\",\"allowed_origins\":[\"*\"],}", true),
            ("{\"admin\":{\"enabled\":true},}", true),
            ("{\"secret\":\"x\",\"anonymous\":false,\"admin\":true}", true),
            ("{\"port\":8000,\"publish\":false,\"health\":true}", true),
            ("{\"Websocket_Compression\":true}", true),
            ("{\"sockjs\":true}", true),
            ("", true),
            ("\u{feff}{\"x\":1}", true),
            ("\u{feff}{\"admin\":{}}", true),
            ("{\"log\":{\"level\":\"info\"},\"proxies\":[],\"$schema\":\"x\"}", true),
            ("directory", true),
            ("{\"compilerOptions\":{},\"$schema\":\"x\"}", false),
        ] {
            let folder = std::env::temp_dir().join(format!("throng-find-{}-alike", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            match text {
                "directory" => fs::create_dir(folder.join("config.json")).unwrap(),
                text => fs::write(folder.join("config.json"), text).unwrap(),
            }
            let found = find(&folder);
            fs::remove_dir_all(&folder).unwrap();
            assert!(found.read.is_none() && found.warnings.len() == 1, "{text}");
            assert_eq!(found.is_closed, is_closed, "{text}");
        }
    }

    #[test]
    fn what_is_ours_and_broken_is_refused() {
        let (read, error, _) = found("broken", &[("config.json", "{\"client\": {},}")]);
        assert_eq!(read.as_deref(), Some("config.json"));
        assert_eq!(error.as_deref(), Some("config.json:1: not valid JSON: trailing comma"));
    }

    #[test]
    fn a_file_that_others_may_change_is_told_and_one_that_anybody_may_have_left_is_refused() {
        let folder = std::env::temp_dir().join(format!("throng-find-{}-writable", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("config.json");
        fs::write(&path, OURS).unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let told = || {
            let Found { read, warnings, .. } = find(&folder);
            let error = read.unwrap().1.err().map(|error| error.to_string()).unwrap_or_default();
            let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
            (error, warnings.join("\n"))
        };
        set(&folder, 0o755);
        for (mode, warning) in
            [(0o644, ""), (0o664, ""), (0o646, "writable by all users"), (0o777, "writable by all users")]
        {
            set(&path, mode);
            let (error, warnings) = told();
            assert!(
                error.is_empty() && warnings.is_empty() == warning.is_empty(),
                "{mode:o}: {error} {warnings}"
            );
            assert!(warnings.contains(warning), "{mode:o}: {warnings}");
        }
        set(&path, 0o644);
        set(&folder, 0o777);
        assert_eq!(told(), (String::new(), String::new()), "its own file");
        // Only root can change the owner of a file.
        if sys::is_root() {
            std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
            for (mode, is_refused) in [(0o777, true), (0o1777, true), (0o775, false), (0o755, false)] {
                set(&folder, mode);
                let (error, warnings) = told();
                let (wanted, other) = if is_refused { (&error, &warnings) } else { (&warnings, &error) };
                assert!(
                    wanted.contains("belongs to another user") && other.is_empty(),
                    "{mode:o}: {error} {warnings}"
                );
            }
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
