//! Values that are applied, but may give clients more permissions than intended.

use super::Sections;

/// All such keys by path, each with its effect.
pub(in super::super) fn risky(sections: &Sections) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (path, options) in
        [("client.token", &sections.token), ("client.subscription_token", &sections.subscription_token)]
    {
        let names_groups = options.jwks_public_endpoint.contains("{{");
        if options.insecure_skip_jwks_endpoint_safety_check && names_groups {
            let text = "is insecure: a token says, before it is verified, which URL is asked for keys, so whoever answers at \
                        one that issuer_regex or audience_regex lets through can be any user; list the values, as in \
                        (?P<tenant>one|two)";
            found.push((format!("{path}.insecure_skip_jwks_endpoint_safety_check"), text.to_owned()));
        }
    }
    found
}
