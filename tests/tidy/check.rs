//! The rules for every file. Rules of the compiler or clippy are not repeated here.

use std::collections::BTreeSet;
use std::fmt;

use crate::rules::{HIDDEN, LAYERS, Layer, WINGS};
use crate::source::{Path, Token, functions, lines_before_tests, paths, tokens};

/// Lines that a file may have before its test module.
pub(crate) const FILE_LINES_MAX: usize = 500;
/// Lines that a function may have, signature and closing brace included.
pub(crate) const FUNCTION_LINES_MAX: usize = 70;
/// The one file that may contain `unsafe`: the system calls.
const UNSAFE_FILE: &str = "src/net/sys.rs";
/// Hashers whose results differ between processes, or may differ between releases.
const PASSING_HASHERS: [&str; 2] = ["DefaultHasher", "RandomState"];
/// Files in which they do no harm: in temporary tables, and for a random delay.
const PASSING_HASHES: [&str; 2] = ["src/hub/presence.rs", "src/net/listeners.rs"];
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Addresses are values: they give no access to sockets.
const VALUES: &[&str] =
    &["net::IpAddr", "net::Ipv4Addr", "net::Ipv6Addr", "net::SocketAddr", "net::AddrParseError"];
/// One broken rule at one place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Names of the dependencies in a `Cargo.toml`, as they are written in Rust.
pub(crate) fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.split("\n[").find(|section| section.starts_with("dependencies]")).unwrap_or("");
    let lines = section.lines().skip(1).filter(|line| line.starts_with(char::is_alphabetic));
    lines.map(|line| line.split([' ', '=', '.']).next().unwrap_or("").replace('-', "_")).collect()
}

/// Everything that is wrong with one file. `path` is relative to the crate's root.
pub(crate) fn check(path: &str, text: &str, dependencies: &[String]) -> Vec<Finding> {
    let tokens = tokens(text);
    let mut found = head(text);
    found.extend(sizes(text, &tokens));
    found.extend(words(path, &tokens));
    found.extend(outside_package(path, text));
    if path == "src/session/mod.rs" {
        found.extend(crate::relay::passed_on(&tokens));
    }
    if let Some(module) = path.strip_prefix("src/") {
        found.extend(layer(module, &tokens, dependencies));
    }
    let place = |(line, what)| Finding { path: path.to_owned(), line, what };
    found.into_iter().map(place).collect()
}

type Found = Vec<(usize, String)>;

fn head(text: &str) -> Found {
    if text.starts_with("//!") {
        return Vec::new();
    }
    vec![(1, "a file opens with `//!`: what it owns and the invariant that matters".to_owned())]
}

fn sizes(text: &str, tokens: &[Token<'_>]) -> Found {
    let mut found = Vec::new();
    let line_count = lines_before_tests(text, tokens);
    if line_count > FILE_LINES_MAX {
        found.push((1, format!("{line_count} lines before the tests, at most {FILE_LINES_MAX}")));
    }
    let long = functions(tokens).into_iter().filter(|function| function.line_count > FUNCTION_LINES_MAX);
    found.extend(long.map(|function| {
        let what =
            format!("fn {} has {} lines, at most {FUNCTION_LINES_MAX}", function.name, function.line_count);
        (function.line, what)
    }));
    found
}

fn words(path: &str, tokens: &[Token<'_>]) -> Found {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let is_macro = tokens.get(at + 1).is_some_and(|next| next.text == "!");
        if token.text == "unsafe" && path != UNSAFE_FILE {
            found.push((token.line, format!("`unsafe` belongs in {UNSAFE_FILE} and nowhere else")));
        }
        let is_passing = PASSING_HASHERS.contains(&token.text) && path.starts_with("src/");
        if is_passing && !PASSING_HASHES.contains(&path) {
            found.push((token.line, format!("`{}`: names follow from a `base::seed::Seed`", token.text)));
        }
        if is_macro && UNFINISHED.contains(&token.text) {
            found.push((token.line, format!("`{}!` is unfinished work", token.text)));
        }
    }
    found
}

/// Files of the package of the fuzz targets, which this package does not hold, so that a packaged copy would not compile.
fn outside_package(path: &str, text: &str) -> Found {
    let names_file = |line: &str| {
        ["#[path = \"", "include_str!(\"", "include_bytes!(\"", "include!(\""]
            .iter()
            .any(|way| line.split_once(way).is_some_and(|(_, file)| file.contains("../fuzz/")))
    };
    let is_packaged = !path.starts_with("fuzz/");
    let lines = text.lines().enumerate().filter(|(_, line)| is_packaged && names_file(line));
    lines
        .map(|(at, _)| (at + 1, "the package does not hold `fuzz/`: its tests would not compile".to_owned()))
        .collect()
}

/// `net/sys.rs` is the module `net::sys`; `net/mod.rs` is `net`; the crate's root is empty.
pub(crate) fn module_path(file: &str) -> Vec<String> {
    let stem = file.trim_start_matches(BINARY).trim_end_matches(".rs").trim_end_matches("/mod");
    if matches!(stem, "lib" | "main") { Vec::new() } else { stem.split('/').map(str::to_owned).collect() }
}

/// Folder of the binary's own modules, a crate of its own over the library.
const BINARY: &str = "bin/throng/";

/// The layer of a file, by its path under `src/`; else the module that has none.
fn layer_of(file: &str) -> Result<&'static Layer, &str> {
    let own = file.trim_start_matches(BINARY);
    let top = &file[..file.len() - own.len() + own.find(['/', '.']).unwrap_or(own.len())];
    LAYERS.iter().find(|layer| layer.modules.contains(&top)).ok_or(top)
}

/// The paths of a file of this layer. The binary's root names its modules without `crate`.
fn paths_of(layer: &Layer, file: &str, tokens: &[Token<'_>]) -> Vec<Path> {
    let is_own = |name: &str| {
        LAYERS
            .iter()
            .any(|layer| layer.modules.iter().any(|module| module.strip_prefix(BINARY) == Some(name)))
    };
    let mut paths = paths(tokens, &module_path(file));
    if layer.name == "main" {
        for path in paths.iter_mut().filter(|path| is_own(&path.segments[0])) {
            path.segments.insert(0, "crate".to_owned());
        }
    }
    paths
}

fn layer(file: &str, tokens: &[Token<'_>], dependencies: &[String]) -> Found {
    let layer = match layer_of(file) {
        Ok(layer) => layer,
        Err(top) => {
            return vec![(1, format!("`{top}` belongs to no layer: give it a place in the table of layers"))];
        }
    };
    let mut found = Vec::new();
    for path in paths_of(layer, file, tokens) {
        let what = match path.segments[0].as_str() {
            "crate" => refuse_import(layer, &path)
                .or_else(|| refuse_hidden(layer, &path))
                .or_else(|| refuse_wing(file, &path)),
            "throng" => refuse_library(layer, &path),
            "std" | "core" if !path.in_tests && !file.ends_with("/tests.rs") => refuse_std(layer, &path),
            outside if dependencies.iter().any(|name| name == outside) => refuse_crate(layer, outside),
            _ => None,
        };
        found.extend(what.map(|what| (path.line, what)));
    }
    for token in tokens.iter().filter(|token| layer.never_words.contains(&token.text)) {
        found.push((token.line, format!("`{}` is no word of the layer {}", token.text, layer.name)));
    }
    found
}

/// Permissions in the table that files have used.
#[derive(Debug, Default)]
pub(crate) struct Used(BTreeSet<(&'static str, &'static str)>);

impl Used {
    /// Adds those of the file at `path`, relative to the crate's root.
    pub(crate) fn add(&mut self, path: &str, text: &str) {
        let Some(file) = path.strip_prefix("src/") else { return };
        let Ok(layer) = layer_of(file) else { return };
        for path in paths_of(layer, file, &tokens(text)) {
            let first = path.segments[0].as_str();
            let written = path.segments.join("::");
            let is_used = |name: &&&str| match first {
                "crate" => path.segments.get(1).is_some_and(|module| module == **name),
                "throng" => is_within(&written, name),
                _ => first == **name,
            };
            let used = layer.may_import.iter().chain(layer.crates).filter(is_used);
            self.0.extend(used.map(|name| (layer.name, *name)));
        }
    }

    /// Permissions of these layers that no file has used.
    pub(crate) fn needless(&self, layers: &[&'static Layer]) -> Vec<String> {
        let of = |layer: &&'static Layer| {
            let (name, permitted) = (layer.name, layer.may_import.iter().chain(layer.crates));
            permitted.map(move |permitted| (name, *permitted))
        };
        let all = layers.iter().flat_map(of);
        let needless = all.filter(|permission| !self.0.contains(permission));
        needless
            .map(|(layer, name)| format!("the layer {layer} does not use `{name}`, which it may use"))
            .collect()
    }
}

fn refuse_import(layer: &Layer, path: &Path) -> Option<String> {
    let target = path.segments.get(1)?.as_str();
    let is_own = |module: &&str| match module.trim_start_matches(BINARY) {
        // The binary's root holds its own tests, which see all of it.
        "main" => ["main", "*"].contains(&target),
        own => own == target,
    };
    let allowed = layer.modules.iter().any(is_own) || layer.may_import.contains(&target);
    (!allowed).then(|| format!("the layer {} must not import `{}`", layer.name, path.segments.join("::")))
}

/// Refuses also the module that contains a hidden part, because the part could be reached through it.
fn refuse_hidden(layer: &Layer, path: &Path) -> Option<String> {
    let segments = path.segments[1..].iter().filter(|segment| !["*", "self"].contains(&segment.as_str()));
    let written = segments.map(String::as_str).collect::<Vec<_>>().join("::");
    let is_it = |(name, part): &&(&str, &str)| {
        *name == layer.name && (is_within(&written, part) || is_within(part, &written))
    };
    let (_, part) = HIDDEN.iter().find(is_it)?;
    Some(format!("the layer {} must not name `{part}`", layer.name))
}

/// Refuses a wing's imports of the wings above it, of the shard that joins them, and of a module that contains them.
fn refuse_wing(file: &str, path: &Path) -> Option<String> {
    let own = WINGS.iter().position(|wing| file.starts_with(&format!("shard/{wing}/")))?;
    let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
    let ["crate", "shard", rest @ ..] = &segments[..] else { return None };
    if path.is_visibility {
        return None;
    }
    let name = rest.first().copied().unwrap_or("*");
    let is_above = ["*", "self", "Shard"].contains(&name) || WINGS[own + 1..].contains(&name);
    is_above.then(|| format!("the wing {} must not name `{}`", WINGS[own], segments.join("::")))
}

/// Refuses a tool's imports of other parts of the library.
fn refuse_library(layer: &Layer, path: &Path) -> Option<String> {
    let written = path.segments.join("::");
    let allowed = layer.may_import.iter().any(|name| is_within(&written, name));
    (!allowed).then(|| format!("the layer {} must not import `{written}`", layer.name))
}

fn refuse_crate(layer: &Layer, name: &str) -> Option<String> {
    (!layer.crates.contains(&name))
        .then(|| format!("the layer {} must not use the crate `{name}`", layer.name))
}

fn refuse_std(layer: &Layer, path: &Path) -> Option<String> {
    let written = path.segments[1..].join("::");
    let part = layer
        .never_std
        .iter()
        .find(|part| is_within(&written, part))
        .filter(|_| !VALUES.contains(&written.as_str()))?;
    Some(format!("the layer {} must not know `std::{part}`", layer.name))
}

/// Whether a path is this one, or leads on from it.
fn is_within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
