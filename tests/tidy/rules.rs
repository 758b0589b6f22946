//! The table of layers in ARCHITECTURE, and the rules within a layer.
//!
//! The table is authoritative: a module that is not in it fails the test until it is added, and so does a permission
//! that no file uses until it is removed.

/// The permissions of one layer. Everything else is refused.
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    /// Folders and files directly under `src/`, and those of the binary by their path from there.
    pub(crate) modules: &'static [&'static str],
    /// Modules of other layers that it may import. For the binary: its own modules, and names of the library with all
    /// below them.
    pub(crate) may_import: &'static [&'static str],
    /// Outside crates that it may use.
    pub(crate) crates: &'static [&'static str],
    /// Parts of std that would let the world in: sockets, clocks, threads.
    pub(crate) never_std: &'static [&'static str],
    /// Words of other layers that must not appear at all.
    pub(crate) never_words: &'static [&'static str],
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
const CLOCK: &[&str] = &["fs", "env", "process", "time::Instant", "time::SystemTime"];

pub(crate) const LAYERS: &[Layer] = &[
    Layer {
        name: "base",
        modules: &["base"],
        may_import: &[],
        crates: &["slab", "smallvec", "ipnet", "serde", "serde_json", "siphasher"],
        never_std: WORLD,
        // The lists of counts once stood in base.
        never_words: &[
            "channel",
            "channels",
            "namespace",
            "publication",
            "publications",
            "subscription",
            "subscriptions",
        ],
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
        may_import: &[],
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
        crates: &["serde", "serde_json", "smallvec", "subtle"],
        never_std: WORLD,
        never_words: &[],
    },
    Layer {
        name: "net",
        modules: &["net"],
        may_import: &[],
        crates: &["mio", "rustix", "socket2", "libc", "sd_notify"],
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
        crates: &["rcgen", "rustls", "serde", "serde_json", "simdutf8", "tokio", "tracing", "zeroize"],
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
        crates: &["clap", "rcgen", "rustls", "serde", "serde_json", "webpki_roots"],
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
        may_import: &[
            "beginning",
            "bench",
            "convert",
            "doctor",
            "names",
            "stray",
            "token",
            "throng::parts::config",
            "throng::parts::control::announce",
            "throng::parts::control::console",
            "throng::parts::control::logs",
            "throng::parts::control::notify",
            "throng::parts::net",
            "throng::parts::node",
            "throng::parts::server::Server",
            "throng::parts::session::raw::Echo",
        ],
        crates: &["clap", "tracing"],
        never_std: &[],
        never_words: &[],
    },
];

/// Parts of a layer that another one must not name although it may import the layer. A shard uses the
/// protocol-independent words, and no protocol; a session uses those, and not the lists of subscribers.
pub(crate) const HIDDEN: [(&str, &str); 3] =
    [("shard", "proto::centrifuge"), ("shard", "session::centrifuge"), ("session", "hub::local")];

/// The wings of a shard, the lowest first. A wing may call those below it, and none above.
pub(crate) const WINGS: [&str; 4] = ["carry", "channels", "clients", "door"];
