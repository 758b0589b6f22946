//! What the configuration says of tokens and hooks.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub use super::named::NamedVariables;
use crate::hub::codes::CodeRule;
use crate::hub::options::{NamePattern, Namespaces};
use crate::shard::outside::{CallRoute, Hook};

/// Which tokens are taken. Empty strings are things that are not configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenOptions {
    /// For HS256, HS384 and HS512.
    pub hmac_secret_key: String,
    /// The key that `hmac_secret_key` takes the place of: tokens that were signed with it are taken, too.
    pub hmac_previous_secret_key: String,
    /// Until when they are, in seconds since 1970. Default 0: without end.
    pub hmac_previous_secret_key_valid_until_s: u64,
    /// For RS256, RS384 and RS512: a public key in PEM.
    pub rsa_public_key: String,
    /// For ES256 and ES384: a public key in PEM.
    pub ecdsa_public_key: String,
    /// For EdDSA (Ed25519): a public key in PEM.
    pub eddsa_public_key: String,
    /// URL of a JSON Web Key Set (RFC 7517), asked for keys by their id.
    pub jwks_public_endpoint: String,
    /// What the claim `aud` must hold.
    pub audience: String,
    /// What the claim `aud` must match somewhere, or one of its several values must.
    pub audience_regex: NamePattern,
    /// What the claim `iss` must be.
    pub issuer: String,
    /// What the claim `iss` must match somewhere.
    pub issuer_regex: NamePattern,
    /// The claim that names the user; `sub` when empty.
    pub user_id_claim: String,
    /// Whether a group that `jwks_public_endpoint` names may match anything, not only values that its pattern lists: then
    /// a token says, before it is verified, which URL is asked for keys. Default false.
    pub insecure_skip_jwks_endpoint_safety_check: bool,
}

/// How one of the application's hooks is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookOptions {
    /// URL of the hook: http or https. It may name [`HookOptions::variables`], as may the values of `static_http_headers`.
    pub endpoint: String,
    /// Variables that stand in texts as `${THRONG_VAR_NAME}`: what is shown of a hook has their names only.
    pub variables: NamedVariables,
    /// How long an answer may take. Default 1,000.
    pub timeout_ms: u64,
    /// Headers of the client's HTTP request that the hook is sent, by names in lower case.
    pub http_headers: Vec<String>,
    /// Headers that the hook is sent as the client's connect command says them, by names in lower case: the client's own word. One that
    /// is in `http_headers`, too, is the request's, if the request has it.
    pub emulated_headers: Vec<String>,
    /// Headers that every request to the hook carries.
    pub static_http_headers: Vec<(String, String)>,
    /// How an https endpoint is trusted.
    pub tls: HookTls,
    /// What clients are told for statuses other than 200; without a rule, error 100.
    pub status_rules: Vec<CodeRule>,
    /// Whether the payload is sent as base64 (`b64data`) in place of JSON.
    pub binary_encoding: bool,
    /// Whether the hook is sent what connect hooks said to remember.
    pub include_connection_meta: bool,
}

impl HookOptions {
    /// Whether it holds what nobody else may see.
    pub fn keeps_secrets(&self) -> bool {
        let Self { tls, static_http_headers, variables, .. } = self;
        !tls.key_pem.is_empty() || !static_http_headers.is_empty() || !variables.is_empty()
    }

    /// The text with the values of the variables that it names.
    ///
    /// # Errors
    /// That one of them is not set.
    pub(super) fn fill(&self, text: &str) -> Result<String, String> {
        self.variables.fill(text).map_err(|name| format!("the variable {name} is not set"))
    }
}

/// How an https endpoint is trusted. Certificates and keys are PEM texts, base64 of such, or paths.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HookTls {
    /// Whether the rest counts.
    pub enabled: bool,
    /// Authorities that sign the endpoint's certificate; empty for those that browsers trust.
    pub server_ca_pem: String,
    /// The client's certificate; empty for none.
    pub cert_pem: String,
    /// Its key.
    pub key_pem: String,
    /// The name that the endpoint's certificate must have; empty for the host of the URL.
    pub server_name: String,
    /// Whether any certificate is taken.
    pub insecure_skip_verify: bool,
}

/// Without the key.
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
        }
    }
}

/// Who answers which calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Between the namespace of a method and the rest of its name; empty for none.
    pub boundary: String,
    /// The hook of methods without a namespace, if one is asked: its name, empty for the one that has none.
    pub without_namespace: Option<String>,
    /// The same by the names of namespaces.
    pub named: Vec<(String, Option<String>)>,
    /// The method that the server itself answers.
    pub ping: Option<String>,
}

impl Calls {
    /// The names of the hooks that are asked.
    fn hooks(&self) -> impl Iterator<Item = &str> {
        let all = std::iter::once(&self.without_namespace).chain(self.named.iter().map(|(_, hook)| hook));
        all.flatten().map(String::as_str)
    }

    /// Who answers calls of this method: the hook, by its name; `Err` where nobody does.
    pub(super) fn route(&self, method: &str) -> Result<&str, CallRoute> {
        if self.ping.as_deref() == Some(method) {
            return Err(CallRoute::Ping);
        }
        let namespace = match self.boundary.as_str() {
            "" => None,
            boundary => method.split_once(boundary).map(|(namespace, _)| namespace),
        };
        let hook = match namespace {
            // Without any hook there are no calls at all, but for the server's own.
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

/// All that is asked outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Tokens of connections.
    pub token: TokenOptions,
    /// Tokens of subscriptions; `None`: as those of connections.
    pub subscription_token: Option<TokenOptions>,
    /// Asked about connections without a token.
    pub connect: Option<HookOptions>,
    /// Asked about connections about to expire.
    pub refresh: Option<HookOptions>,
    /// Asked about calls.
    pub rpc: Option<HookOptions>,
    /// Asked about subscriptions.
    pub subscribe: Option<HookOptions>,
    /// Asked about publications.
    pub publish: Option<HookOptions>,
    /// Asked about subscriptions about to expire.
    pub sub_refresh: Option<HookOptions>,
    /// Told of channels that get their first subscriber and lose their last.
    pub state: Option<HookOptions>,
    /// Hooks with names, which namespaces name.
    pub proxies: Vec<(String, HookOptions)>,
    /// Which hooks are asked about which channels.
    pub namespaces: Arc<Namespaces>,
    /// Who answers which calls; `None`: the hook for calls answers all, if there is one.
    pub calls: Option<Calls>,
    /// Whether tokens are taken whatever their signature: for development.
    pub skips_signatures: bool,
    /// A file with certificates of authorities in PEM that are trusted beside those that browsers trust; empty for none.
    pub ca_file: String,
    /// Threads that verify tokens, 1 to 64. Default 2.
    pub worker_count: usize,
    /// Questions that may wait for the workers, or be out at hooks, each; beyond it, error 111 (temporary). Default 20,000.
    pub questions_max: usize,
    /// Requests to hooks at a time. Default 512.
    pub hook_requests_max: usize,
}

impl Options {
    /// The names of the hooks of a kind that are asked; the empty one is of the hook without a name.
    pub(super) fn names(&self, hook: Hook) -> BTreeSet<&str> {
        let Namespaces { without_namespace, named, .. } = &*self.namespaces;
        let channels = || std::iter::once(without_namespace).chain(named.values());
        match hook {
            Hook::Connect | Hook::Refresh => BTreeSet::new(),
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
            refresh: None,
            rpc: None,
            subscribe: None,
            publish: None,
            sub_refresh: None,
            state: None,
            proxies: Vec::new(),
            namespaces: Arc::default(),
            calls: None,
            skips_signatures: false,
            ca_file: String::new(),
            worker_count: 2,
            questions_max: 20_000,
            hook_requests_max: 512,
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
