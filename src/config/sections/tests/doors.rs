//! Sources beside a file: Centrifugo's variables and flags, and their effect on development mode.

use super::super::super::names;
use super::*;

/// All keys of Centrifugo that are variables, with their defaults.
const DEFAULTS: &str = include_str!("../../names/centrifugo.txt");

pub(super) fn resolved(flags: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Effective, Vec<String>> {
    let said = |(path, word): &(&str, &str)| Said {
        path: (*path).to_owned(),
        words: vec![(*word).to_owned()],
        place: Place::Flag(format!("--{path}")),
    };
    let args = Args { flags: flags.iter().map(said).collect(), ..Args::default() }.of_program();
    resolve(&args, &variables.iter().copied().collect())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// Reads a file like a standalone server.
pub(super) fn program(text: &str, variables: &[(&str, &str)]) -> Result<Effective, Vec<String>> {
    let id = std::thread::current().name().unwrap_or_default().replace("::", "-");
    let path = std::env::temp_dir().join(format!("throng-doors-{}-{id}.toml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let args = Args::of_file(Some(path.clone())).of_program();
    let loaded = resolve(&args, &variables.iter().copied().collect());
    std::fs::remove_file(&path).unwrap();
    loaded.map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn every_variable_of_centrifugo_is_taken_at_its_default() {
    let all: Vec<(String, String)> = DEFAULTS
        .lines()
        .map(|line| {
            let (path, default) = line.split_once('=').unwrap();
            (format!("CENTRIFUGO_{}", names::variable(path)), default.to_owned())
        })
        .collect();
    assert!(all.len() > 800, "{}", all.len());
    let pairs: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let effective = resolved(&[], &pairs).unwrap();
    assert_eq!(effective.warnings(), []);
    // One default of throng differs.
    assert_eq!(
        effective.config,
        program("compression_min_bytes = 0\n[shutdown]\ntimeout = \"30s\"\n[client]", &[]).unwrap().config
    );
}

#[test]
fn metrics_that_were_asked_for_are_open_where_they_are() {
    let (port, enabled) = (("http_server.internal_port", "9000"), ("prometheus.enabled", "true"));
    let address = ("http_server.internal_address", "127.0.0.1");
    for (flags, on_control, on_clients) in [
        (&[port, enabled][..], true, false),
        (&[port, address, enabled], true, false),
        (&[enabled], true, true),
        (&[port], false, false),
        (&[], false, false),
    ] {
        let paths = resolved(flags, &[]).unwrap().config.control_paths;
        assert_eq!(
            (paths.has_open_metrics, paths.clients_have_metrics),
            (on_control, on_clients),
            "{flags:?}"
        );
    }
}

#[test]
fn what_is_wrong_with_a_url_repeats_no_query_and_no_password() {
    for value in
        ["http://h/${CENTRIFUGO_VAR_NO}?key=HUSH", "ftp://u:12/HUSH@h/", "u:HUSH@h/", "grpc://h?key=HUSH"]
    {
        let set = [
            ("CENTRIFUGO_CLIENT_PROXY_CONNECT_ENABLED", "true"),
            ("CENTRIFUGO_CLIENT_PROXY_CONNECT_ENDPOINT", value),
        ];
        let said = resolved(&[], &set).unwrap_err();
        assert!(said[0].starts_with("CENTRIFUGO_CLIENT_PROXY_CONNECT_ENDPOINT="), "{said:?}");
        assert!(!said.concat().contains("HUSH"), "{said:?}");
    }
}

#[test]
fn the_nearer_source_wins_whatever_it_is_called() {
    let file = "[client]\nping_interval = '1s'\nchannel_limit = 1\n[channel]\nmax_length = 1\n[rates]\nconnects_max = 1\n";
    let set = [
        ("CENTRIFUGO_CLIENT_PING_INTERVAL", "2s"),
        ("CENTRIFUGO_CLIENT_CHANNEL_LIMIT", "2"),
        ("CENTRIFUGO_CHANNEL_MAX_LENGTH", "2"),
        ("THRONG_PING_INTERVAL_MS", "3000"),
        ("THRONG_CLIENT_CHANNEL_LIMIT", "3"),
    ];
    let config = program(file, &set).unwrap().config;
    let limits = &config.limits;
    assert_eq!(config.timeouts.ping_interval_ms, 3000);
    assert_eq!((limits.channels_per_connection_max, limits.channel_name_bytes_max), (3, 2));
    assert_eq!(config.rates.connects_max, 1);
    let flagged = resolved(&[("client.channel_limit", "4")], &set).unwrap().config;
    assert_eq!(flagged.limits.channels_per_connection_max, 4);
}

#[test]
fn one_thing_by_two_names_is_refused_within_a_source() {
    let twice = "duplicates client.ping_interval (THRONG_CLIENT_PING_INTERVAL); remove one of them";
    assert_eq!(
        resolved(&[], &[("THRONG_PING_INTERVAL_MS", "1000"), ("THRONG_CLIENT_PING_INTERVAL", "2s")])
            .unwrap_err(),
        [format!("THRONG_PING_INTERVAL_MS=1000: {twice}")]
    );
    let said = resolved(&[("listen", "127.0.0.1:1"), ("http_server.port", "2")], &[]).unwrap_err();
    assert_eq!(said, ["--http_server.port 2: duplicates listen (--listen); remove one of them"]);
}

#[test]
fn words_are_lists_numbers_switches_and_json() {
    let set = [
        ("CENTRIFUGO_CLIENT_ALLOWED_ORIGINS", "https://a.example https://b.example,https://c.example"),
        ("CENTRIFUGO_CLIENT_INSECURE", "1"),
        ("CENTRIFUGO_CLIENT_CONNECT_INCLUDE_SERVER_TIME", "T"),
        ("CENTRIFUGO_CLIENT_PROXY_CONNECT_ENABLED", "true"),
        ("CENTRIFUGO_CLIENT_PROXY_CONNECT_ENDPOINT", "http://localhost:1/${CENTRIFUGO_VAR_PATH}"),
        ("CENTRIFUGO_CLIENT_PROXY_CONNECT_HTTP_HEADERS", "X-A X-B,X-C"),
        (
            "CENTRIFUGO_CLIENT_PROXY_CONNECT_HTTP_STATIC_HEADERS",
            r#"{"A": "k ${THRONG_VAR_KEY}${CENTRIFUGO_VAR_NO} $x ${x}"}"#,
        ),
        ("CENTRIFUGO_VAR_PATH", "connect"),
        ("CENTRIFUGO_VAR_NO", ""),
        ("THRONG_VAR_KEY", "${CENTRIFUGO_VAR_PATH}"),
        ("CENTRIFUGO_WEBSOCKET_DISABLED", "true"),
        ("CENTRIFUGO_LOG_LEVEL", "none"),
        ("CENTRIFUGO_PROMETHEUS_ENABLED", "1"),
        ("CENTRIFUGO_HTTP_API_KEY", "k,1"),
    ];
    let config = resolved(&[], &set).unwrap().config;
    assert_eq!(
        config.client.allowed_origins,
        ["https://a.example", "https://b.example", "https://c.example"]
    );
    assert!(config.client.insecure && config.client.connect_include_server_time);
    assert_eq!((config.websocket_path, config.logs.level.as_str()), (None, "off"));
    assert_eq!(config.api.keys, ["k,1"]);
    let hook = config.outside.connect.clone().unwrap();
    assert_eq!(
        (hook.endpoint.as_str(), hook.http_headers.join(" ")),
        ("http://localhost:1/${CENTRIFUGO_VAR_PATH}", "x-a x-b x-c".into())
    );
    let filled = |text: &str| hook.variables.fill(text).unwrap();
    assert_eq!(filled(&hook.endpoint), "http://localhost:1/connect");
    let [(name, value)] = &hook.static_http_headers[..] else { panic!("{:?}", hook.static_http_headers) };
    assert_eq!((name.as_str(), filled(value).as_str()), ("A", "k ${CENTRIFUGO_VAR_PATH} $x ${x}"));
    let said = resolved(&[], &set[3..5]).unwrap_err();
    let wanted = "CENTRIFUGO_CLIENT_PROXY_CONNECT_ENDPOINT=http://localhost:1/${CENTRIFUGO_VAR_PATH}: the variable \
                  CENTRIFUGO_VAR_PATH is not set";
    assert_eq!(said[0], wanted, "{said:?}");
}

#[test]
fn namespaces_are_json_and_each_key_of_one_is_a_variable() {
    let list =
        r#"[{"name": "chat-a", "presence": true, "history_size": 1, "history_ttl": "5s"}, {"name": "b.c"}]"#;
    let file = "[[channel.namespaces]]\nname = 'old'\n";
    let set = [
        ("CENTRIFUGO_CHANNEL_NAMESPACES", list),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_CHAT_A_HISTORY_SIZE", "7"),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_CHAT_A_HISTORY_TTL", "1m"),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_B_C_JOIN_LEAVE", "true"),
        ("THRONG_CHANNEL_NAMESPACES_B_C_PRESENCE", "true"),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_OLD_PRESENCE", "true"),
    ];
    let effective = program(file, &set).unwrap();
    let named = &effective.config.namespaces.named;
    assert_eq!(named.len(), 2, "the nearer list takes the place of the other");
    let chat = &named["chat-a"];
    assert_eq!((chat.presence, chat.history_size, chat.history_ttl_ms), (true, 7, 60_000));
    assert!(named["b.c"].join_leave && named["b.c"].presence);
    let place = Place::Variable("CENTRIFUGO_CHANNEL_NAMESPACES_CHAT_A_HISTORY_SIZE".into());
    assert_eq!(effective.place("channel.namespaces.chat-a.history_size"), &place);
    assert_eq!(effective.warnings().len(), 1);
    let warned = effective.warnings()[0].to_string();
    assert!(
        warned.starts_with("CENTRIFUGO_CHANNEL_NAMESPACES_OLD_PRESENCE is an unknown variable"),
        "{warned}"
    );
    // A key in a nearer list has precedence over a variable for that key.
    let nearer =
        [("THRONG_CHANNEL_NAMESPACES", list), ("CENTRIFUGO_CHANNEL_NAMESPACES_CHAT_A_PRESENCE", "false")];
    assert!(program(file, &nearer).unwrap().config.namespaces.named["chat-a"].presence);
    let in_file = [("CENTRIFUGO_CHANNEL_NAMESPACES_OLD_PRESENCE", "true")];
    assert!(program(file, &in_file).unwrap().config.namespaces.named["old"].presence);
    let flagged = resolved(&[("channel.namespaces.b.c.presence", "true")], &set[..1]).unwrap();
    assert!(flagged.config.namespaces.named["b.c"].presence);
    let two = "[[channel.namespaces]]\nname = 'a-b'\n[[channel.namespaces]]\nname = 'a_b'\n";
    assert!(program(two, &[]).is_ok());
    assert_eq!(
        program(two, &[("CENTRIFUGO_CHANNEL_NAMESPACES_A_B_PRESENCE", "true")]).unwrap_err(),
        [
            "CENTRIFUGO_CHANNEL_NAMESPACES_A_B_PRESENCE is a key of a-b and of a_b: write it where they are listed"
        ]
    );
}

#[test]
fn a_list_of_names_is_a_list_of_tables() {
    let set = [
        ("CENTRIFUGO_CHANNEL_NAMESPACES", " chat  b.c "),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_CHAT_HISTORY_SIZE", "7"),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_CHAT_HISTORY_TTL", "1m"),
        ("CENTRIFUGO_CHANNEL_NAMESPACES_B_C_PRESENCE", "true"),
    ];
    let effective = resolved(&[], &set).unwrap();
    let named = &effective.config.namespaces.named;
    assert_eq!((named.len(), named["chat"].history_size, named["b.c"].presence), (2, 7, true));
    let none = resolved(&[], &[("CENTRIFUGO_CHANNEL_NAMESPACES", "")]).unwrap();
    assert!(none.config.namespaces.named.is_empty());
    for no_names in ["chat, news", "a", "[chat]", "chat;news"] {
        let said = resolved(&[], &[("CENTRIFUGO_CHANNEL_NAMESPACES", no_names)]).unwrap_err();
        assert!(said[0].starts_with("CENTRIFUGO_CHANNEL_NAMESPACES=…: not valid JSON"), "{said:?}");
    }
}

#[test]
fn what_is_not_supported_is_told_by_its_variable_or_flag() {
    let said = resolved(&[("grpc_api.enabled", "true")], &[("CENTRIFUGO_ENGINE_TYPE", "redis")]).unwrap_err();
    assert!(
        said[0].starts_with("CENTRIFUGO_ENGINE_TYPE is not supported as \"redis\", only as "),
        "{said:?}"
    );
    assert!(said[1].starts_with("--grpc_api.enabled: grpc_api is not supported"), "{said:?}");
    let said =
        resolved(&[], &[("CENTRIFUGO_CHANNEL_NAMESPACES", "[{\"name\": \"ab\", \"history_size\": \"x\"}]")]);
    let wanted = "CENTRIFUGO_CHANNEL_NAMESPACES: channel.namespaces.ab.history_size = x: expected a whole number from 0 to \
                  100000000";
    assert_eq!(said.unwrap_err(), [wanted]);
    let warned = resolved(&[], &[("CENTRIFUGO_NOBODY_KNOWS", "hush")]).unwrap();
    let wanted = "CENTRIFUGO_NOBODY_KNOWS is an unknown variable, ignored; `throng config --flags` lists the keys, from which \
                  variables are named";
    assert_eq!(warned.warnings()[0].to_string(), wanted);
    assert_eq!(
        resolved(&[("client.insecur", "hush")], &[]).unwrap_err(),
        ["--client.insecur …: unknown key; is --client.insecure meant?"]
    );
}

/// The addresses on which a standalone server listens.
fn listens(
    text: &str,
    flags: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> Result<(String, String), String> {
    let id = std::thread::current().name().unwrap_or_default().replace("::", "-");
    let path = std::env::temp_dir().join(format!("throng-listens-{}-{id}.toml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let flags = flags.iter().map(|(path, word)| Said::flag(path, word)).collect();
    let args = Args { flags, ..Args::of_file(Some(path.clone())) }.of_program();
    let loaded = resolve(&args, &variables.iter().copied().collect());
    std::fs::remove_file(&path).unwrap();
    let config = loaded.map_err(|errors| errors[0].to_string())?.config;
    let listen: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
    Ok((listen.join(" "), config.control.map_or_else(|| "off".to_owned(), |address| address.to_string())))
}

#[test]
fn addresses_and_ports_of_all_sources_are_where_it_listens() {
    let has_ipv6 = crate::net::has_ipv6();
    let all =
        |port: u16| if has_ipv6 { format!("0.0.0.0:{port} [::]:{port}") } else { format!("0.0.0.0:{port}") };
    let one = |port: u16| if has_ipv6 { format!("[::]:{port}") } else { format!("0.0.0.0:{port}") };
    let usual = "127.0.0.1:9000".to_owned();
    let port = ("CENTRIFUGO_HTTP_SERVER_PORT", "81");
    for (text, flags, variables, listen, control) in [
        ("shards = 1\n", &[][..], &[][..], "127.0.0.1:8000".to_owned(), usual.clone()),
        ("[client]\n", &[], &[], all(8000), usual.clone()),
        ("development = true\n[client]\n", &[], &[], "127.0.0.1:8000".into(), usual.clone()),
        ("[http_server]\nport = '80'\n", &[], &[], all(80), usual.clone()),
        ("[http_server]\nport = '80'\n", &[], &[port], all(81), usual.clone()),
        ("[http_server]\naddress = '127.0.0.2'\n", &[], &[port], "127.0.0.2:81".into(), usual.clone()),
        ("[http_server]\naddress = '::'\n", &[], &[], all(8000), usual.clone()),
        ("[http_server]\naddress = ''\n", &[], &[], all(8000), usual.clone()),
        ("listen = '127.0.0.1:80'\n", &[], &[port], "127.0.0.1:81".into(), usual.clone()),
        (
            "listen = ['127.0.0.1:80', 'unix:/a']\n[client]\n",
            &[],
            &[port],
            "127.0.0.1:81 unix:/a".into(),
            usual.clone(),
        ),
        ("[client]\n", &[("listen", "127.0.0.1:82")], &[port], "127.0.0.1:82".into(), usual.clone()),
        ("[http_server]\ninternal_port = '90'\n", &[], &[], all(8000), one(90)),
        (
            "[http_server]\ninternal_port = 90\naddress = '127.0.0.2'\n",
            &[],
            &[],
            "127.0.0.2:8000".into(),
            "127.0.0.2:90".into(),
        ),
        (
            "[http_server]\ninternal_port = 90\ninternal_address = '127.0.0.3'\n",
            &[],
            &[],
            all(8000),
            "127.0.0.3:90".into(),
        ),
        ("[http_server]\ninternal_port = '8000'\n", &[], &[], all(8000), usual.clone()),
        (
            "[http_server]\nport = 9\ninternal_port = '9'\naddress = '127.0.0.2'\n",
            &[],
            &[],
            "127.0.0.2:9".into(),
            usual.clone(),
        ),
        (
            "[http_server]\naddress = '127.0.0.2'\ninternal_address = '127.0.0.3'\n",
            &[],
            &[],
            "127.0.0.2:8000".into(),
            "127.0.0.3:8000".into(),
        ),
        (
            "control = '127.0.0.1:7'\n[client]\n",
            &[],
            &[("CENTRIFUGO_HTTP_SERVER_INTERNAL_PORT", "8")],
            all(8000),
            "127.0.0.1:8".into(),
        ),
        ("control = 'off'\n[client]\n", &[], &[], all(8000), "off".into()),
        ("[http_server]\nport = 9000\n", &[], &[], all(9000), "127.0.0.1:9001".into()),
    ] {
        assert_eq!(listens(text, flags, variables), Ok((listen, control)), "{text} {flags:?} {variables:?}");
    }
}

#[test]
fn the_control_listener_may_move_where_no_source_sets_it() {
    let internal = ("CENTRIFUGO_HTTP_SERVER_INTERNAL_PORT", "90");
    for (text, variables, may_move) in [
        ("[client]\n", &[][..], true),
        ("shards = 1\n", &[], true),
        ("[http_server]\ninternal_port = '8000'\n", &[], true),
        ("[http_server]\ninternal_port = '90'\n", &[], false),
        ("[client]\n", &[internal], false),
        ("[client]\n", &[("THRONG_CONTROL", "127.0.0.1:9000")], false),
        ("control = '127.0.0.1:9000'\n", &[], false),
    ] {
        let config = program(text, variables).unwrap().config;
        assert_eq!(config.control_may_move, may_move, "{text} {variables:?}");
    }
    assert!(!load("toml", "[client]", &[]).unwrap().config.control_may_move, "embedded");
}

#[test]
fn addresses_and_ports_that_cannot_be_are_refused() {
    for (text, said) in [
        (
            "[http_server]\nport = 80\ninternal_address = '127.0.0.1'\n",
            ": http_server.internal_address = \"127.0.0.1\": expected http_server.internal_port with it",
        ),
        ("[http_server]\nport = 65536\n", ": http_server.port = 65536: expected a port, 0 to 65535"),
        (
            "[http_server]\naddress = '127.0.0.1:80'\n",
            "expected an IP address or the name of a host; 0.0.0.0 stands for all of this machine",
        ),
    ] {
        let error = listens(text, &[], &[]).unwrap_err();
        assert!(error.ends_with(said), "{error}");
    }
}

#[test]
fn what_a_program_embeds_stays_on_loopback_and_reads_its_own_variables_alone() {
    let embedded =
        load("toml", "[client]", &[("CENTRIFUGO_HTTP_SERVER_PORT", "81"), ("CENTRIFUGO_NOBODY", "x")])
            .unwrap();
    assert_eq!(embedded.config.listen, Config::default().listen);
    assert_eq!(embedded.warnings(), []);
    let set = [("CENTRIFUGO_HTTP_SERVER_PORT", "81")].into_iter().collect();
    assert!(resolve(&Args::default(), &set).unwrap().is_development);
}

/// Whether the server would be open to all clients.
fn is_open(text: Option<&str>, flags: &[(&str, &str)], variables: &[(&str, &str)]) -> bool {
    let effective = match text {
        Some(text) => program(text, variables).unwrap(),
        None => resolved(flags, variables).unwrap(),
    };
    let Config { client, api, namespaces, first_page, .. } = &effective.config;
    let open =
        [client.insecure, api.insecure, namespaces.takes_unknown, *first_page, effective.is_development];
    assert!(open.iter().all(|one| *one == open[0]), "half open: {open:?}");
    open[0]
}

#[test]
fn every_door_of_centrifugo_ends_development_mode() {
    for path in names::names().paths() {
        let is_flat = crate::config::Key::named(path).is_some();
        let name = format!("CENTRIFUGO_{}", names::variable(path));
        // An empty variable has no other effect.
        assert!(!is_open(None, &[], &[(&name, "")]), "{name}");
        let own = format!("THRONG_{}", names::variable(path));
        assert!(is_open(None, &[], &[(&own, "")]), "{own} is absent");
        if !is_flat
            && let Some(default) = DEFAULTS.lines().find_map(|line| line.strip_prefix(&format!("{path}=")))
        {
            let default = if default.is_empty() { "0" } else { default };
            if resolved(&[(path, default)], &[]).is_ok() {
                assert!(!is_open(None, &[(path, default)], &[]), "--{path}");
                assert!(!is_open(None, &[], &[(&own, default)]) || own == "THRONG_LOG_LEVEL", "{own}");
            }
        }
    }
    for nothing in [
        &[][..],
        &[("THRONG_SHARDS", "2")],
        &[("CENTRIFUGO_VAR_KEY", "x")],
        &[("CENTRIFUGO_SERVICE_HOST", "10.0.0.1"), ("CENTRIFUGO_PORT", "tcp://10.0.0.1:80")],
    ] {
        assert!(is_open(None, &[], nothing), "{nothing:?}");
    }
    assert!(is_open(Some("shards = 2\n"), &[], &[]));
    assert!(is_open(Some("development = true\n[http_server]\nport = 80\n"), &[], &[]));
    for text in [
        "",
        "[http_api]\n",
        "[http_server]\nport = 80\n",
        "[health]\nenabled = false\n",
        "[node]\nname = 'a'\n",
    ] {
        assert!(!is_open(Some(text), &[], &[]), "{text}");
    }
}
