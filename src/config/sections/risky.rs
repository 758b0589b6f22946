//! Values that are applied, but do something else than their author may expect: they give clients more permissions,
//! let no page in, or tell a hook the address of a proxy.

use super::super::error::without_userinfo;
use super::rules::ORIGINS;
use super::{List, Sections, origin};
use crate::shard::outside::ADDRESS_HEADERS;

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

/// Patterns that match the origin of no page, as they match none in Centrifugo. The other patterns of the list work,
/// and nobody is let in by mistake.
pub(in super::super) fn unmatched(sections: &Sections) -> impl Iterator<Item = (String, String)> {
    let patterns = sections.client.allowed_origins.iter();
    let unmatched = patterns.filter(|pattern| !origin::has_other_wildcards(pattern));
    unmatched.filter_map(|pattern| {
        let complaint = origin::check(pattern).err()?;
        let complaint = without_userinfo(&complaint);
        Some((ORIGINS.to_owned(), format!("has an entry that no page's origin matches: {complaint}")))
    })
}

/// Hooks that are told addresses by headers, which name the peer of the connection unless proxies are trusted.
pub(in super::super) fn of_peers(sections: &Sections) -> impl Iterator<Item = (String, String)> {
    let unnamed = sections.hooks().into_iter().map(|(path, hook)| (path.to_owned(), hook));
    let named = sections.proxies.iter();
    let named = named.map(|proxy| (format!("{}.{}", List::Proxies.path(), proxy.name), &proxy.options));
    unnamed.chain(named).filter(|(_, hook)| !hook.endpoint.is_empty()).filter_map(|(path, hook)| {
        let is_of_address = |name: &&String| ADDRESS_HEADERS.iter().any(|known| name.eq_ignore_ascii_case(known));
        let name = hook.http_headers.iter().find(is_of_address)?;
        let text = format!(
            "has {name}: behind a proxy, the hook gets the proxy's own address in it until trusted_proxies names the proxy"
        );
        Some((format!("{path}.http_headers"), text))
    })
}
