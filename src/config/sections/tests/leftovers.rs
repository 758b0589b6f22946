//! Variables that only Centrifugo 3 to 5 read, and files with keys of several versions.

use super::doors::{program, resolved};
use crate::config::names::names;

#[test]
fn a_variable_that_is_the_only_place_of_a_meaning_is_refused_with_today_s_name() {
    for (older, value, today) in [
        ("TOKEN_HMAC_SECRET_KEY", "hush", "CLIENT_TOKEN_HMAC_SECRET_KEY"),
        ("API_KEY", "hush", "HTTP_API_KEY"),
        ("ALLOWED_ORIGINS", "hush", "CLIENT_ALLOWED_ORIGINS"),
        ("NAMESPACES", "hush", "CHANNEL_NAMESPACES"),
        ("PROXY_CONNECT_ENDPOINT", "hush", "CLIENT_PROXY_CONNECT_ENDPOINT"),
        ("PROXY_HTTP_HEADERS", "hush", "CLIENT_PROXY_CONNECT_HTTP_HEADERS"),
        ("PORT", "8001", "HTTP_SERVER_PORT"),
        ("ADDRESS", "127.0.0.1", "HTTP_SERVER_ADDRESS"),
        ("HEALTH", "true", "HEALTH_ENABLED"),
        ("ENGINE", "redis", "ENGINE_TYPE"),
        ("CLIENT_INSECURE", "true", ""),
    ] {
        let name = format!("CENTRIFUGO_{older}");
        if today.is_empty() {
            assert!(
                resolved(&[], &[(&name, value)]).unwrap().warnings().is_empty(),
                "{name} is of today, too"
            );
            continue;
        }
        let wanted = format!("{name}=…: is of Centrifugo 5 or older; today it is CENTRIFUGO_{today}");
        assert_eq!(resolved(&[], &[(&name, value)]).unwrap_err(), [wanted]);
    }
    let named = resolved(&[], &[("CENTRIFUGO_CONNECT_PROXY_NAME", "hush")]).unwrap_err();
    assert_eq!(
        named,
        ["CENTRIFUGO_CONNECT_PROXY_NAME=…: is of Centrifugo 5 or older; there is nothing in its place"]
    );
    let own = resolved(&[], &[("THRONG_API_KEY", "hush")]).unwrap_err();
    assert_eq!(own, ["THRONG_API_KEY=…: unknown variable; is THRONG_HTTP_API_KEY meant?"]);
}

/// A `.env` file with variables of version 5 works with Centrifugo 6, which ignores them.
#[test]
fn a_variable_that_loses_nothing_is_ignored_with_a_warning() {
    const FILE: &str = "[http_api]\nkey = 'kept'\n[client]\nallowed_origins = ['https://a.example']\n\
                        [client.token]\nhmac_secret_key = 'kept too'\n[http_server]\nport = 8001\n";
    for (file, set, why) in [
        (FILE, &[("API_KEY", "hush")][..], "http_api.key is set"),
        (FILE, &[("SECRET", "hush")], "client.token.hmac_secret_key is set"),
        (FILE, &[("ALLOWED_ORIGINS", "https://b.example")], "client.allowed_origins is set"),
        (FILE, &[("PORT", "9001")], "http_server.port is set"),
        ("listen = '127.0.0.1:8001'\n[client]\n", &[("PORT", "9001")], "http_server.port is set"),
        ("[client]\n", &[("API_KEY", "hush"), ("HTTP_API_KEY", "kept")], "http_api.key is set"),
        ("[client]\n", &[("PORT", "8000")], "http_server.port, which replaced it, has this value by default"),
        ("[client]\n", &[("HEALTH", "0")], "health.enabled, which replaced it, has this value by default"),
        ("[client]\n", &[("PORT", "http")], "http_server.port, which replaced it, could not have this value"),
        (
            "[client]\n",
            &[("ADDRESS", "http://centrifugo:8000")],
            "http_server.address, which replaced it, could not have this value",
        ),
        ("[client]\n", &[("ADMIN", "true")], "admin.enabled, which replaced it, would have no effect"),
        (
            "[client]\n",
            &[("REDIS_ADDRESS", "hush")],
            "engine.redis.address, which replaced it, would have no effect",
        ),
        ("[client]\n", &[("PROTECTED", "true")], "clients may do today what an allow_… key says"),
        (
            "[client]\n",
            &[("SOCKJS", "true")],
            "it has no counterpart: clients use http_stream or sse where there is no WebSocket",
        ),
        (
            "[rpc.proxy]\nhttp_headers = ['Cookie']\n",
            &[("PROXY_HTTP_HEADERS", "hush")],
            "rpc.proxy.http_headers is set",
        ),
    ] {
        let all: Vec<_> = set.iter().map(|(name, value)| (format!("CENTRIFUGO_{name}"), *value)).collect();
        let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let effective = program(file, &all).unwrap_or_else(|errors| panic!("{set:?}: {errors:?}"));
        let said: Vec<_> = effective.warnings().iter().map(ToString::to_string).collect();
        let wanted = format!("{} is of Centrifugo 5 or older, ignored: {why}", all[0].0);
        assert!(said.contains(&wanted), "{set:?}: {said:?}");
        assert!(!said.join("").contains("hush"), "{said:?}");
        assert!(!effective.config.keeps_secrets() || effective.config.api.keys != ["hush"], "{set:?}");
    }
}

#[test]
fn a_section_or_a_key_without_a_value_is_none() {
    let mut paths: Vec<String> = Vec::new();
    for path in names().paths().filter(|path| path.contains('.')) {
        let ends = path.match_indices('.').map(|(end, _)| end).chain([path.len()]);
        paths.extend(ends.map(|end| path[..end].to_owned()));
    }
    paths.extend(crate::config::older::all().map(str::to_owned));
    paths.sort();
    paths.dedup();
    assert!(paths.len() > 1000, "{}", paths.len());
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for path in &paths {
        // A flat key of throng, for which null is a value.
        if crate::config::Key::named(path).is_some() {
            continue;
        }
        let inner =
            path.rsplit('.').fold("null".to_owned(), |inner, name| format!("{{\"{name}\": {inner}}}"));
        let table = crate::config::file::parse(std::path::Path::new("t.json"), &inner).unwrap();
        let (layer, wrong) = crate::config::file::walk(&table, &[]);
        errors.extend(wrong.iter().map(ToString::to_string));
        warnings.extend(layer.warnings.iter().map(ToString::to_string));
    }
    assert_eq!((errors, warnings), (Vec::new(), Vec::new()));
}
