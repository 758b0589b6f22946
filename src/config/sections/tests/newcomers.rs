//! Values of Centrifugo beyond plain ones: consumers, host names, patterns that match anything.

use super::doors::{program, resolved};

/// As in a file: enabled features that are not supported are refused, and values that Centrifugo ignores cause
/// warnings.
#[test]
fn consumers_are_refused_by_variables_as_in_a_file() {
    const REFUSED: &str = "is not supported: let your application read the queue and call the server API";
    let file = "[client]\n[[consumers]]\nname = 'pg-1'\nenabled = false\ntype = 'postgresql'\n";
    let on = ("CENTRIFUGO_CONSUMERS_PG_1_ENABLED", "true");
    for (file, set, refused) in [
        (file, &[][..], false),
        (file, &[on], true),
        (file, &[("CENTRIFUGO_CONSUMERS_PG_1_ENABLED", "false")], false),
        (file, &[("CENTRIFUGO_CONSUMERS_PG_1_POSTGRESQL_DSN", "postgresql://u:HUSH@h/d")], false),
        ("[client]\n", &[("CENTRIFUGO_CONSUMERS", "pg-1"), on], true),
        ("[client]\n", &[("CENTRIFUGO_CONSUMERS", "pg-1")], false),
        ("[client]\n", &[("CENTRIFUGO_CONSUMERS", r#"[{"name": "pg-1", "enabled": true}]"#)], true),
        ("[client]\n", &[("CENTRIFUGO_CONSUMERS", r#"[{"name": "pg-1"}]"#), on], true),
    ] {
        let said = program(file, set).map(|effective| effective.warnings().to_vec());
        match said {
            Ok(warnings) => assert!(!refused && warnings.is_empty(), "{set:?}: {warnings:?}"),
            Err(errors) => {
                assert!(refused && errors.len() == 1 && errors[0].ends_with(REFUSED), "{set:?}: {errors:?}");
            }
        }
    }
    // No consumer has this name, so Centrifugo does not read it either.
    let effective = program("[client]\n", &[on]).unwrap();
    let [warning] = effective.warnings() else { panic!("{:?}", effective.warnings()) };
    let wanted = "CENTRIFUGO_CONSUMERS_PG_1_ENABLED is an unknown variable, ignored; no namespace, hook or consumer has \
                  this name";
    assert_eq!(warning.to_string(), wanted);
}

#[test]
fn an_address_may_be_the_name_of_a_host() {
    for (name, wanted) in [
        ("localhost", Ok("127.0.0.1:8000")),
        ("LocalHost", Ok("127.0.0.1:8000")),
        ("[::1]", Ok("[::1]:8000")),
        (
            "127.0.0.300",
            Err("expected an IP address or the name of a host; 0.0.0.0 stands for all of this machine"),
        ),
        (
            "no host",
            Err("expected an IP address or the name of a host; 0.0.0.0 stands for all of this machine"),
        ),
        // Longer than a label can be, so no name server is asked.
        (&"a".repeat(64), Err("this host is not found")),
    ] {
        let listen = resolved(&[("http_server.address", name)], &[]).map(|effective| effective.config.listen);
        match (listen, wanted) {
            (Ok(listen), Ok(wanted)) => assert_eq!(listen, [wanted.parse().unwrap()], "{name}"),
            (Err(said), Err(wanted)) => assert!(said[0].contains(wanted), "{name}: {said:?}"),
            (listen, _) => panic!("{name}: {listen:?}"),
        }
    }
    let internal = [("http_server.internal_port", "9001"), ("http_server.internal_address", "localhost")];
    let control = resolved(&internal, &[]).unwrap().config.control;
    assert_eq!(control, Some("127.0.0.1:9001".parse().unwrap()));
}

#[test]
fn a_group_that_may_match_anything_is_taken_where_that_is_asked_for() {
    let table = "[client.token]\nissuer_regex = '^https://(?P<tenant>[a-z]+)$'\n\
                 jwks_public_endpoint = 'https://a.example/{{tenant}}/keys'\n";
    let said = program(table, &[]).unwrap_err();
    assert!(said[0].contains("issuer_regex") && said[0].contains("one by one"), "{said:?}");
    let skip = ("CENTRIFUGO_CLIENT_TOKEN_INSECURE_SKIP_JWKS_ENDPOINT_SAFETY_CHECK", "true");
    let effective = program(table, &[skip]).unwrap();
    let [warning] = effective.warnings() else { panic!("{:?}", effective.warnings()) };
    assert!(warning.to_string().starts_with(&format!("{} is insecure: a token says", skip.0)), "{warning}");
    let plain = "[client.token]\njwks_public_endpoint = 'https://a.example/keys'\n";
    assert_eq!(program(plain, &[skip]).unwrap().warnings(), [], "without a group there is nothing to skip");
}
