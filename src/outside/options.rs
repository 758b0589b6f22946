//! What the configuration says of tokens and hooks.

use crate::hub::options::NamePattern;

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
}

/// How one of the application's hooks is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookOptions {
    /// URL of the hook: http or https.
    pub endpoint: String,
    /// How long an answer may take. Default 1,000.
    pub timeout_ms: u64,
    /// Headers of the client's HTTP request that the hook is sent, by names in lower case.
    pub http_headers: Vec<String>,
    /// Headers that the hook is sent as the client's connect command says them, by names in lower case: the client's own word. One that
    /// is in `http_headers`, too, is the request's, if the request has it.
    pub emulated_headers: Vec<String>,
    /// Headers that every request to the hook carries.
    pub static_http_headers: Vec<(String, String)>,
    /// Whether the payload is sent as base64 (`b64data`) in place of JSON.
    pub binary_encoding: bool,
    /// Whether the hook is sent what connect hooks said to remember.
    pub include_connection_meta: bool,
}

impl Default for HookOptions {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            timeout_ms: 1000,
            http_headers: Vec::new(),
            emulated_headers: Vec::new(),
            static_http_headers: Vec::new(),
            binary_encoding: false,
            include_connection_meta: false,
        }
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
    /// Threads that verify tokens, 1 to 64. Default 2.
    pub worker_count: usize,
    /// Questions that may wait for the workers, or be out at hooks, each; beyond it, error 111 (temporary). Default 20,000.
    pub questions_max: usize,
    /// Requests to hooks at a time. Default 512.
    pub hook_requests_max: usize,
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
            worker_count: 2,
            questions_max: 20_000,
            hook_requests_max: 512,
        }
    }
}
