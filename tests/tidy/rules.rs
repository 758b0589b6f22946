//! The rules for every file, and the table of layers in ARCHITECTURE.
//!
//! The table is authoritative: a module that is not in it fails the test until it is added. Rules of the compiler or
//! clippy are not repeated here.

use std::fmt;

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

/// The permissions of one layer. Everything else is refused.
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    /// Folders and files directly under `src/`, and those of the binary by their path from there.
    pub(crate) modules: &'static [&'static str],
    /// Modules of other layers that it may import; `*` for all. For the binary: names of the library, with all below
    /// them.
    may_import: &'static [&'static str],
    /// Outside crates that it may use; `*` for all.
    crates: &'static [&'static str],
    /// Parts of std that would let the world in: sockets, clocks, threads.
    never_std: &'static [&'static str],
    /// Words of other layers that must not appear at all.
    never_words: &'static [&'static str],
}

/// No I/O, no clock: bytes in, values out, time as an argument.
const WORLD: &[&str] = &[
    "net",
    "fs",
    "os",
    "env",
    "process",
    "thread",
    "time::Instant",
    "time::SystemTime",
    "io::stdout",
    "io::stderr",
];
/// Addresses are values: they give no access to sockets.
const VALUES: &[&str] =
    &["net::IpAddr", "net::Ipv4Addr", "net::Ipv6Addr", "net::SocketAddr", "net::AddrParseError"];
const CLOCK: &[&str] = &["fs", "env", "process", "time::Instant", "time::SystemTime"];

pub(crate) const LAYERS: &[Layer] = &[
    Layer {
        name: "base",
        modules: &["base"],
        may_import: &[],
        crates: &["slab", "smallvec", "bytes", "ipnet", "serde", "serde_json", "siphasher"],
        never_std: WORLD,
        never_words: &[],
    },
    Layer {
        name: "proto",
        modules: &["proto"],
        may_import: &["base"],
        crates: &[
            "data_encoding",
            "tungstenite",
            "form_urlencoded",
            "httparse",
            "memchr",
            "serde",
            "serde_json",
            "prost",
            "proxy_header",
            "rmp",
            "flate2",
            "simdutf8",
            "smallvec",
        ],
        never_std: WORLD,
        never_words: &["ConnId", "TcpStream"],
    },
    Layer {
        name: "tls",
        modules: &["tls"],
        may_import: &["base"],
        // rcgen makes the certificates of the tests.
        crates: &["data_encoding", "rcgen", "ring", "rustls", "x509_parser", "zeroize"],
        never_std: WORLD,
        never_words: &["TcpStream"],
    },
    Layer {
        name: "hub",
        modules: &["hub"],
        may_import: &["base"],
        crates: &["smallvec", "regex"],
        never_std: WORLD,
        never_words: &[],
    },
    Layer {
        name: "session",
        modules: &["session"],
        may_import: &["base", "proto", "hub"],
        crates: &["smallvec", "subtle"],
        never_std: WORLD,
        never_words: &[],
    },
    Layer {
        name: "net",
        modules: &["net"],
        may_import: &["base"],
        crates: &["mio", "socket2", "libc", "sd_notify"],
        never_std: &[],
        never_words: &[],
    },
    Layer {
        name: "shard",
        modules: &["shard"],
        may_import: &["base", "proto", "tls", "hub", "session", "net"],
        crates: &["rustls", "smallvec", "tracing"],
        never_std: CLOCK,
        never_words: &[],
    },
    // Answers shards from threads of its own. The backplane is to come.
    Layer {
        name: "outside",
        modules: &["outside", "backplane"],
        may_import: &["base", "proto", "tls", "hub", "net", "shard"],
        crates: &[
            "data_encoding",
            "flate2",
            "http_body_util",
            "httparse",
            "hyper",
            "hyper_rustls",
            "hyper_util",
            "jsonwebtoken",
            "rcgen",
            "ring",
            "rustls",
            "serde",
            "serde_json",
            "tokio",
            "tower_service",
            "tracing",
            "webpki_roots",
        ],
        never_std: &[],
        never_words: &[],
    },
    Layer {
        name: "config",
        modules: &["config"],
        may_import: &["base", "proto", "tls", "hub", "session", "net", "shard", "outside"],
        crates: &[
            "clap",
            "jsonwebtoken",
            "saphyr_parser",
            "serde",
            "serde_json",
            "toml",
            "tracing_subscriber",
        ],
        never_std: &[],
        never_words: &[],
    },
    Layer {
        name: "node",
        modules: &["node"],
        may_import: &["base", "proto", "tls", "hub", "net", "shard", "outside", "config"],
        crates: &["rcgen", "rustls", "serde_json", "simdutf8", "tokio", "tracing", "zeroize"],
        never_std: &[],
        never_words: &[],
    },
    Layer {
        name: "control",
        modules: &["control"],
        may_import: &["base", "proto", "tls", "hub", "session", "net", "shard", "outside", "config", "node"],
        crates: &[
            "axum",
            "hyper",
            "hyper_util",
            "sd_notify",
            "serde",
            "serde_ignored",
            "serde_json",
            "serde_path_to_error",
            "simdutf8",
            "subtle",
            "tokio",
            "tower_service",
            "tracing",
            "tracing_subscriber",
        ],
        never_std: &[],
        never_words: &[],
    },
    Layer {
        name: "server",
        modules: &["server"],
        may_import: &["base", "session", "net", "shard", "outside", "config", "node", "control"],
        crates: &["ring", "rustls", "tracing"],
        never_std: &[],
        never_words: &[],
    },
    // The root lists the modules and their public names. None of them imports from it.
    Layer {
        name: "lib",
        modules: &["lib"],
        may_import: &[
            "base", "proto", "tls", "hub", "session", "net", "shard", "outside", "config", "node", "control",
            "server",
        ],
        crates: &[],
        never_std: &[],
        never_words: &[],
    },
    // The binary: tools over the library, which may use the listed parts of it and none of each other.
    Layer {
        name: "bench",
        modules: &["bin/throng/bench"],
        may_import: &[
            "throng::parts::base::counters",
            "throng::parts::base::figures",
            "throng::parts::control::console",
            "throng::parts::net::sys",
            // Its tests judge the tokens that it makes as the server does.
            "throng::parts::outside",
            "throng::parts::shard::outside",
        ],
        crates: &[
            "clap",
            "data_encoding",
            "flate2",
            "hdrhistogram",
            "httparse",
            "libc",
            "mio",
            "rcgen",
            "ring",
            "rustls",
            "serde",
            "serde_json",
            "socket2",
            "tungstenite",
            "webpki_roots",
        ],
        never_std: &[],
        never_words: &[],
    },
    Layer {
        name: "doctor",
        modules: &["bin/throng/doctor"],
        may_import: &[
            "throng::parts::base::figures",
            "throng::parts::config",
            "throng::parts::control::console",
            "throng::parts::net::Listen",
            "throng::parts::net::sys",
            "throng::parts::node",
            "throng::parts::tls",
        ],
        crates: &["clap", "rcgen", "serde", "serde_json"],
        never_std: &[],
        never_words: &[],
    },
    Layer {
        name: "names",
        modules: &["bin/throng/names"],
        may_import: &[],
        crates: &[],
        never_std: &[],
        never_words: &[],
    },
    Layer {
        name: "stray",
        modules: &["bin/throng/stray"],
        may_import: &[],
        crates: &["clap"],
        never_std: &[],
        never_words: &[],
    },
    Layer {
        name: "convert",
        modules: &["bin/throng/beginning", "bin/throng/convert", "bin/throng/yaml"],
        may_import: &["throng::parts::config", "throng::parts::control::console", "throng::parts::net::sys"],
        crates: &["serde_json"],
        never_std: &[],
        never_words: &[],
    },
    Layer {
        name: "token",
        modules: &["bin/throng/token"],
        may_import: &[
            "throng::parts::config",
            "throng::parts::control::console",
            "throng::parts::outside",
            "throng::parts::shard::outside",
        ],
        crates: &["clap", "data_encoding", "serde_json"],
        never_std: &[],
        never_words: &[],
    },
    Layer {
        name: "main",
        modules: &["bin/throng/main"],
        may_import: &["*"],
        crates: &["clap", "tracing"],
        never_std: &[],
        never_words: &[],
    },
];

/// Parts of a layer that another one must not name although it may import the layer. A shard uses the
/// protocol-independent words, and no protocol; a session uses those, and not the lists of subscribers.
const HIDDEN: [(&str, &str); 3] =
    [("shard", "proto::centrifuge"), ("shard", "session::centrifuge"), ("session", "hub::local")];

/// The wings of a shard, the lowest first. A wing may call those below it, and none above.
const WINGS: [&str; 4] = ["carry", "channels", "clients", "door"];

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

/// `net/sys.rs` is the module `net::sys`; `net/mod.rs` is `net`; the crate's root is empty.
pub(crate) fn module_path(file: &str) -> Vec<String> {
    let stem = file.trim_start_matches(BINARY).trim_end_matches(".rs").trim_end_matches("/mod");
    if matches!(stem, "lib" | "main") { Vec::new() } else { stem.split('/').map(str::to_owned).collect() }
}

/// Folder of the binary's own modules, a crate of its own over the library.
const BINARY: &str = "bin/throng/";

fn layer(file: &str, tokens: &[Token<'_>], dependencies: &[String]) -> Found {
    let own = file.trim_start_matches(BINARY);
    let top = &file[..file.len() - own.len() + own.find(['/', '.']).unwrap_or(own.len())];
    let Some(layer) = LAYERS.iter().find(|layer| layer.modules.contains(&top)) else {
        return vec![(1, format!("`{top}` belongs to no layer: give it a place in the table of layers"))];
    };
    let mut found = Vec::new();
    for path in paths(tokens, &module_path(file)) {
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

fn refuse_import(layer: &Layer, path: &Path) -> Option<String> {
    let target = path.segments.get(1)?.as_str();
    let is_own = |module: &&str| module.trim_start_matches(BINARY) == target;
    let allowed = layer.modules.iter().any(is_own) || lists(layer.may_import, target);
    (!allowed).then(|| format!("the layer {} must not import `{}`", layer.name, path.segments.join("::")))
}

/// Refuses also the module that contains a hidden part, because the part could be reached through it.
fn refuse_hidden(layer: &Layer, path: &Path) -> Option<String> {
    let segments = path.segments[1..].iter().filter(|segment| !["*", "self"].contains(&segment.as_str()));
    let written = segments.map(String::as_str).collect::<Vec<_>>().join("::");
    let holds = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let is_it = |(name, part): &&(&str, &str)| {
        *name == layer.name && (holds(part, &written) || holds(&written, part))
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
    let leads = |name: &str| {
        name == "*"
            || written.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let allowed = layer.may_import.iter().any(|name| leads(name));
    (!allowed).then(|| format!("the layer {} must not import `{written}`", layer.name))
}

fn refuse_crate(layer: &Layer, name: &str) -> Option<String> {
    let allowed = lists(layer.crates, name);
    (!allowed).then(|| format!("the layer {} must not use the crate `{name}`", layer.name))
}

fn refuse_std(layer: &Layer, path: &Path) -> Option<String> {
    let written = path.segments[1..].join("::");
    let starts = |part: &&&str| {
        written.strip_prefix(**part).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let part = layer.never_std.iter().find(starts).filter(|_| !VALUES.contains(&written.as_str()))?;
    Some(format!("the layer {} must not know `std::{part}`", layer.name))
}

fn lists(allowed: &[&str], name: &str) -> bool {
    allowed.contains(&"*") || allowed.contains(&name)
}
