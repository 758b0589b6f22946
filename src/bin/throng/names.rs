//! Centrifugo's names for commands, which `throng config` and `throng token` carry out.

use std::ffi::OsString;

/// Replaces a command of Centrifugo's by one of ours. Unknown words stay, so that our command reports them.
pub(crate) fn translated(words: Vec<OsString>) -> Vec<OsString> {
    let name = words.get(1).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.as_str();
    let (ours, is_check) = match name {
        "checkconfig" => (&["config", "--check", "--needs-file"][..], false),
        "genconfig" => return beginning(words, "--new", Some("config.json")),
        "defaultconfig" => return beginning(words, "--defaults", None),
        "version" => (&["--version"][..], false),
        "gentoken" | "gensubtoken" => (&["token"][..], false),
        "checktoken" => (&["token", "--kind", "connection"][..], true),
        "checksubtoken" => (&["token", "--kind", "subscription"][..], true),
        _ => return words,
    };
    let is_subscription = name == "gensubtoken";
    let makes_token = name.starts_with("gen");
    let mut translated: Vec<OsString> = words.first().cloned().into_iter().collect();
    translated.extend(ours.iter().map(OsString::from));
    let mut rest = words.into_iter().skip(2);
    let mut expires = makes_token.then(|| "604800s".to_owned());
    // Without these two words our command would do something else: make a token of the other kind.
    let (mut has_channel, mut has_token) = (false, false);
    while let Some(word) = rest.next() {
        let said = word.to_string_lossy().into_owned();
        let (flag, value) =
            said.split_once('=').map_or((said.as_str(), None), |(flag, value)| (flag, Some(value)));
        let mut value = || value.map(OsString::from).or_else(|| rest.next());
        match flag {
            // Our check refuses everything that a strict one does.
            "-s" | "--strict" if name == "checkconfig" => {}
            "-q" | "--quiet" if makes_token => {}
            "-s" | "--channel" if is_subscription => {
                has_channel = true;
                translated.push("--channel".into());
                translated.extend(value());
            }
            "-t" | "--ttl" if makes_token => {
                let seconds = value().unwrap_or_default().to_string_lossy().into_owned();
                expires = Some(if seconds.starts_with('-') { "0".to_owned() } else { format!("{seconds}s") });
            }
            "-c" | "--config" | "-u" | "--user" => {
                let flag = if flag.ends_with('u') || flag == "--user" { "--user" } else { "--config" };
                translated.push(flag.into());
                translated.extend(value());
            }
            _ if is_check && !said.starts_with('-') => {
                has_token = true;
                translated.extend(["--check".into(), word]);
            }
            _ => translated.push(word),
        }
    }
    if is_subscription && !has_channel {
        translated.extend(["--channel".into(), "".into()]);
    }
    if is_check && !has_token {
        translated.extend(["--check".into(), "".into()]);
    }
    translated.extend(expires.into_iter().flat_map(|expires| ["--expires".into(), OsString::from(expires)]));
    translated
}

/// `genconfig` and `defaultconfig`: write the file of `-c`; without it, or with the dry run of the latter, no
/// file.
fn beginning(words: Vec<OsString>, ours: &str, default: Option<&str>) -> Vec<OsString> {
    let mut words = words.into_iter();
    let mut translated: Vec<OsString> = words.next().into_iter().collect();
    translated.extend(["config".into(), ours.into()]);
    let (mut file, mut left, mut is_dry) = (None, Vec::new(), false);
    words.next();
    while let Some(word) = words.next() {
        let said = word.to_string_lossy().into_owned();
        match said.split_once('=').map_or((said.as_str(), None), |(flag, value)| (flag, Some(value))) {
            ("-c" | "--config", Some(value)) => file = Some(OsString::from(value)),
            ("-c" | "--config", None) => file = words.next(),
            ("-d" | "--dry-run", None) if default.is_none() => is_dry = true,
            _ => left.push(word),
        }
    }
    match (default, file) {
        (Some(default), file) => translated.push(file.unwrap_or_else(|| default.into())),
        (None, Some(file)) if !is_dry => translated.extend(["-o".into(), file]),
        (None, _) => translated.push("--json".into()),
    }
    translated.extend(left);
    translated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_centrifugo_are_ours() {
        for (typed, ours) in [
            ("checkconfig -c a.json -s", "config --check --needs-file --config a.json"),
            ("checkconfig --config=a.json", "config --check --needs-file --config a.json"),
            ("gentoken -u 42", "token --user 42 --expires 604800s"),
            ("gentoken -u 42 -t 60 -q", "token --user 42 --expires 60s"),
            ("gentoken --ttl=-1", "token --expires 0"),
            ("gensubtoken -u 42 -s chat:1", "token --user 42 --channel chat:1 --expires 604800s"),
            ("checktoken -c a.json x.y.z", "token --kind connection --config a.json --check x.y.z"),
            ("checksubtoken x.y.z", "token --kind subscription --check x.y.z"),
            ("version", "--version"),
            ("genconfig", "config --new config.json"),
            ("genconfig -c a.toml", "config --new a.toml"),
            ("defaultconfig -d", "config --defaults --json"),
            ("defaultconfig --config=a.yaml", "config --defaults -o a.yaml"),
            ("defaultconfig -c a.json --base b.json", "config --defaults -o a.json --base b.json"),
            ("gentoken --zebra", "token --zebra --expires 604800s"),
            ("serve --listen 127.0.0.1:0", "serve --listen 127.0.0.1:0"),
            ("", ""),
        ] {
            let words = |text: &str| -> Vec<OsString> {
                std::iter::once("throng").chain(text.split_whitespace()).map(OsString::from).collect()
            };
            assert_eq!(translated(words(typed)), words(ours), "{typed}");
        }
        // What is left out stays empty, so that our command refuses it.
        for (typed, flag) in
            [("checktoken", "--check"), ("checksubtoken", "--check"), ("gensubtoken", "--channel")]
        {
            let ours = translated(["throng", typed, "-c", "a.json"].map(OsString::from).to_vec());
            assert!(ours.windows(2).any(|pair| pair[0] == flag && pair[1].is_empty()), "{typed}: {ours:?}");
        }
    }
}
