//! Options of tokens and hooks.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub use super::named::NamedVariables;
use crate::hub::codes::CodeRule;
use crate::hub::options::{NamePattern, Namespaces};
use crate::shard::outside::{CallRoute, Hook};

/// Rules by which tokens are accepted. An empty string means that the option is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenOptions {
    /// Secret for HS256, HS384 and HS512.
    pub hmac_secret_key: String,
    /// The previous value of `hmac_secret_key`: tokens signed with it are still accepted.
    pub hmac_previous_secret_key: String,
    /// End of the period in which tokens signed with the previous key are accepted, in seconds since 1970. Default 0:
    /// no end.
    pub hmac_previous_secret_key_valid_until_s: u64,
    /// Public key in PEM for RS256, RS384 and RS512.
    pub rsa_public_key: String,
    /// Public key in PEM for ES256 and ES384.
    pub ecdsa_public_key: String,
    /// Public key in PEM for EdDSA (Ed25519).
    pub eddsa_public_key: String,
    /// URL of a JSON Web Key Set (RFC 7517), in which keys are looked up by their id.
    pub jwks_public_endpoint: String,
    /// Value that the claim `aud` must contain.
    pub audience: String,
    /// Pattern that a part of the claim `aud` must match; one of several values is enough.
    pub audience_regex: NamePattern,
    /// Value that the claim `iss` must have.
    pub issuer: String,
    /// Pattern that a part of the claim `iss` must match.
    pub issuer_regex: NamePattern,
    /// The claim with the user id; `sub` when empty.
    pub user_id_claim: String,
    /// Whether a group that `jwks_public_endpoint` names may match any value, not only values listed in its pattern:
    /// then a token that is not verified yet determines the URL from which keys are fetched. Default false.
    pub insecure_skip_jwks_endpoint_safety_check: bool,
}

impl TokenOptions {
    /// Whether there is a key by which a token could be verified.
    pub fn has_keys(&self) -> bool {
        let Self { hmac_secret_key, hmac_previous_secret_key, rsa_public_key, .. } = self;
        let Self { ecdsa_public_key, eddsa_public_key, jwks_public_endpoint, .. } = self;
        let keys = [
            hmac_secret_key,
            hmac_previous_secret_key,
            rsa_public_key,
            ecdsa_public_key,
            eddsa_public_key,
            jwks_public_endpoint,
        ];
        keys.into_iter().any(|key| !key.is_empty())
    }
}

/// Options of one of the application's hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookOptions {
    /// URL of the hook: http or https. It may name [`HookOptions::variables`], and so may the values of
    /// `static_http_headers`.
    pub endpoint: String,
    /// Variables that appear in texts as `${THRONG_VAR_NAME}`; printed options show their names only.
    pub variables: NamedVariables,
    /// Timeout of an answer. Default 1,000.
    pub timeout_ms: u64,
    /// Headers of the client's HTTP request that are passed to the hook; lower case.
    pub http_headers: Vec<String>,
    /// Headers from the connect command that are passed to the hook, set by the client and not verified; lower case.
    /// If a header is also in `http_headers` and in the request, the value of the request is passed.
    pub emulated_headers: Vec<String>,
    /// Headers that every request to the hook carries.
    pub static_http_headers: Vec<(String, String)>,
    /// TLS options for an https endpoint.
    pub tls: HookTls,
    /// Replies to clients for statuses other than 200; without a matching rule, error 100.
    pub status_rules: Vec<CodeRule>,
    /// Whether the payload is sent as base64 (`b64data`) in place of JSON.
    pub binary_encoding: bool,
    /// Whether the hook receives the metadata that connect hooks have attached to the connection.
    pub include_connection_meta: bool,
    /// Secret that signs requests: `X-Throng-Signature` has `sha256=` and the HMAC-SHA256 of the body in hexadecimal digits
    /// (RFC 2104). Empty: they are not signed.
    pub signature_secret: String,
}

impl HookOptions {
    /// Whether the options contain secrets.
    pub fn keeps_secrets(&self) -> bool {
        let Self { tls, static_http_headers, variables, signature_secret, .. } = self;
        let has_secret = !tls.key_pem.is_empty() || !signature_secret.is_empty();
        has_secret || !static_http_headers.is_empty() || !variables.is_empty()
    }

    /// The text with the values of its variables.
    ///
    /// # Errors
    /// The name of a variable that is not set.
    pub(super) fn fill(&self, text: &str) -> Result<String, String> {
        self.variables.fill(text).map_err(|name| format!("the variable {name} is not set"))
    }
}

/// TLS options for an https endpoint. Certificates and keys are PEM texts, their base64, or paths.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HookTls {
    /// Enables the other fields.
    pub enabled: bool,
    /// Certificate authorities for the endpoint's certificate; empty for those that browsers trust.
    pub server_ca_pem: String,
    /// The client's certificate; empty for none.
    pub cert_pem: String,
    /// The client's private key.
    pub key_pem: String,
    /// The name that the endpoint's certificate must contain; empty for the host of the URL.
    pub server_name: String,
    /// Whether any certificate is accepted.
    pub insecure_skip_verify: bool,
}

/// Does not print the private key.
impl fmt::Debug for HookTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { enabled, server_ca_pem, cert_pem, key_pem, server_name, insecure_skip_verify } = self;
        f.debug_struct("HookTls")
            .field("enabled", enabled)
            .field("server_ca_pem", server_ca_pem)
            .field("cert_pem", cert_pem)
            .field("key_pem", if key_pem.is_empty() { &"" } else { &"…" })
            .field("server_name", server_name)
            .field("insecure_skip_verify", insecure_skip_verify)
            .finish()
    }
}

impl Default for HookOptions {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            variables: NamedVariables::default(),
            timeout_ms: 1000,
            http_headers: Vec::new(),
            emulated_headers: Vec::new(),
            static_http_headers: Vec::new(),
            tls: HookTls::default(),
            status_rules: Vec::new(),
            binary_encoding: false,
            include_connection_meta: false,
            signature_secret: String::new(),
        }
    }
}

/// Destinations of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Separator between the namespace of a method and the rest of its name; empty for none.
    pub boundary: String,
    /// Name of the hook for methods without a namespace, empty for the unnamed hook; `None` for no hook.
    pub without_namespace: Option<String>,
    /// Hooks of namespaces: the name of the namespace, and the hook as in `without_namespace`.
    pub named: Vec<(String, Option<String>)>,
    /// The method that the server itself answers, if any.
    pub ping: Option<String>,
}

impl Calls {
    /// The names of the hooks in use.
    fn hooks(&self) -> impl Iterator<Item = &str> {
        let all = std::iter::once(&self.without_namespace).chain(self.named.iter().map(|(_, hook)| hook));
        all.flatten().map(String::as_str)
    }

    /// The name of the hook for calls of this method; `Err` for calls that go to no hook.
    pub(super) fn route(&self, method: &str) -> Result<&str, CallRoute> {
        if self.ping.as_deref() == Some(method) {
            return Err(CallRoute::Ping);
        }
        let namespace = match self.boundary.as_str() {
            "" => None,
            boundary => method.split_once(boundary).map(|(namespace, _)| namespace),
        };
        let hook = match namespace {
            // Without any hook there are no calls, except for the server's own.
            _ if self.hooks().next().is_none() => {
                return Err(if self.ping.is_some() { CallRoute::NotFound } else { CallRoute::NotAvailable });
            }
            None | Some("") => &self.without_namespace,
            Some(name) => {
                let named = self.named.iter().find(|(known, _)| known == name);
                &named.ok_or(CallRoute::NotFound)?.1
            }
        };
        hook.as_deref().ok_or(CallRoute::NotAvailable)
    }
}

/// Options of everything that shards ask outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Tokens of connections.
    pub token: TokenOptions,
    /// Tokens of subscriptions; `None` for the options of connection tokens.
    pub subscription_token: Option<TokenOptions>,
    /// Hook for connections without a token.
    pub connect: Option<HookOptions>,
    /// Hook for Socket.IO sockets without a token.
    pub socket_connect: Option<HookOptions>,
    /// Hook for connections that are about to expire.
    pub refresh: Option<HookOptions>,
    /// Hook for calls.
    pub rpc: Option<HookOptions>,
    /// Hook for subscriptions.
    pub subscribe: Option<HookOptions>,
    /// Hook for publications.
    pub publish: Option<HookOptions>,
    /// Hook for subscriptions that are about to expire.
    pub sub_refresh: Option<HookOptions>,
    /// Hook for events of Socket.IO sockets.
    pub socket_event: Option<HookOptions>,
    /// Hook that is told of Socket.IO sockets that have ended.
    pub socket_end: Option<HookOptions>,
    /// Hook that receives an event when a channel gets its first subscriber or loses its last.
    pub state: Option<HookOptions>,
    /// Named hooks, to which namespaces refer.
    pub proxies: Vec<(String, HookOptions)>,
    /// Selects the hook for a channel.
    pub namespaces: Arc<Namespaces>,
    /// Destinations of calls; `None`: the hook for calls, if there is one, answers all.
    pub calls: Option<Calls>,
    /// Whether tokens are accepted with any signature: for development.
    pub skips_signatures: bool,
    /// PEM file with certificate authorities that are trusted in addition to those of browsers; empty for none.
    pub ca_file: String,
    /// Number of threads that verify tokens, 1 to 64. Default 2.
    pub worker_count: usize,
    /// Maximum number of open questions, for workers and for hooks each; beyond it, error 111 (temporary). Default
    /// 20,000.
    pub questions_max: usize,
    /// Maximum number of concurrent requests to hooks; further ones wait, at most for the hook's timeout. Default
    /// 2,048.
    pub hook_requests_max: usize,
}

impl Options {
    /// The names of the hooks of a kind in use; empty for the unnamed hook.
    pub(super) fn names(&self, hook: Hook) -> BTreeSet<&str> {
        let Namespaces { without_namespace, named, .. } = &*self.namespaces;
        let channels = || std::iter::once(without_namespace).chain(named.values());
        match hook {
            Hook::Connect | Hook::SocketConnect | Hook::SocketEvent | Hook::Refresh => BTreeSet::new(),
            Hook::Rpc => self.calls.iter().flat_map(Calls::hooks).collect(),
            Hook::Subscribe => {
                channels().filter(|c| c.subscribe_proxy_enabled).map(|c| &*c.subscribe_proxy_name).collect()
            }
            Hook::Publish => {
                channels().filter(|c| c.publish_proxy_enabled).map(|c| &*c.publish_proxy_name).collect()
            }
            Hook::SubRefresh => channels()
                .filter(|c| c.sub_refresh_proxy_enabled)
                .map(|c| &*c.sub_refresh_proxy_name)
                .collect(),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            token: TokenOptions::default(),
            subscription_token: None,
            connect: None,
            socket_connect: None,
            refresh: None,
            rpc: None,
            subscribe: None,
            publish: None,
            sub_refresh: None,
            socket_event: None,
            socket_end: None,
            state: None,
            proxies: Vec::new(),
            namespaces: Arc::default(),
            calls: None,
            skips_signatures: false,
            ca_file: String::new(),
            worker_count: 2,
            questions_max: 20_000,
            hook_requests_max: 2048,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_go_by_their_namespaces() {
        let hook = |name: &str| Some(name.to_owned());
        let calls = Calls {
            boundary: ":".to_owned(),
            without_namespace: None,
            named: vec![
                ("one".to_owned(), hook("x")),
                ("two".to_owned(), hook("")),
                ("off".to_owned(), None),
            ],
            ping: hook("ping"),
        };
        for (method, route) in [
            ("one:m", Ok("x")),
            ("one:m:n", Ok("x")),
            ("two:m", Ok("")),
            ("off:m", Err(CallRoute::NotAvailable)),
            ("m", Err(CallRoute::NotAvailable)),
            (":m", Err(CallRoute::NotAvailable)),
            ("none:m", Err(CallRoute::NotFound)),
            ("ping", Err(CallRoute::Ping)),
        ] {
            assert_eq!(calls.route(method), route, "{method}");
        }
        let whole = Calls { boundary: String::new(), without_namespace: hook(""), ..calls };
        assert_eq!(whole.route("none:m"), Ok(""), "no namespaces");
        let none = Calls { without_namespace: None, named: Vec::new(), ..whole };
        assert_eq!(none.route("m"), Err(CallRoute::NotFound), "but for the server's own method");
        assert_eq!(Calls { ping: None, ..none }.route("m"), Err(CallRoute::NotAvailable));
    }
}
