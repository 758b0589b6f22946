//! `throng token`: creates tokens for development with the configured secret, and inspects tokens.
//!
//! Invariant: a server with the same configuration accepts the token, which is verified before it is printed. Left
//! out: algorithms other than HS256, and keys that are not configured. In production a backend signs.

#![expect(clippy::disallowed_methods, reason = "a token tells when it was made, in the time of day")]

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use throng::parts::config;
use throng::parts::control::console;
use throng::parts::outside::mint;
use throng::parts::outside::options::{Options, TokenOptions};
use throng::parts::outside::refusal;
use throng::parts::shard::outside::Token;

/// Exit code for an unsuitable configuration or command line.
const EXIT_USAGE: u8 = 2;

/// The kind of a token.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connection,
    Subscription,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "a connection token",
            Self::Subscription => "a subscription token",
        })
    }
}

/// The flags of `throng token`.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Args {
    /// User id; without it, the token is for an anonymous user
    #[arg(short, long, value_name = "NAME", conflicts_with = "check")]
    user: Option<String>,
    /// Create a subscription token for this channel instead of a connection token
    #[arg(long, value_name = "NAME", conflicts_with_all = ["check", "channels"])]
    channel: Option<String>,
    /// Lifetime, such as 30m or 24h; 0: does not expire
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    expires: String,
    /// Client information that other clients see, as JSON
    #[arg(long, value_name = "JSON", conflicts_with = "check")]
    info: Option<String>,
    /// Channels of server-side subscriptions
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', conflicts_with = "check")]
    channels: Vec<String>,
    /// Additional claims, as a JSON object; they take precedence over the other flags
    #[arg(long, value_name = "JSON", conflicts_with = "check")]
    claims: Option<String>,
    /// Print the contents of this token and whether it is valid; exit code 1 if it is not
    #[arg(long, value_name = "TOKEN")]
    check: Option<String>,
    /// With --check: a token of the other kind is not valid
    #[arg(long, value_name = "KIND", requires = "check")]
    kind: Option<Kind>,
    /// Configuration file with the secret, TOML, JSON or YAML; default: that of the working directory, THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY
    #[arg(long, short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Args {
    /// The configuration with which tokens are created and verified.
    pub(crate) fn configuration(&self) -> config::Args {
        config::Args::of_file(self.config.clone()).of_program()
    }
}

/// Prints a new token, or the contents of the given one.
pub(crate) fn run(args: &Args, options: &Options) -> ExitCode {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if let Some(token) = &args.check {
        return look_into(token.trim(), args.kind, options, now_s);
    }
    // An empty variable of a script, or a command that makes subscription tokens only.
    if args.channel.as_deref().is_some_and(|channel| channel.trim().is_empty()) {
        console::complain(&"throng: channel is required (-s)");
        return ExitCode::FAILURE;
    }
    match make(args, options, now_s) {
        Ok(token) => print(&token, ExitCode::SUCCESS),
        Err(complaint) => {
            console::complain(&format!("throng: {complaint}"));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// The keys that verify a token, and their section.
fn keys(options: &Options, is_subscription: bool) -> (&TokenOptions, &'static str) {
    match &options.subscription_token {
        Some(own) if is_subscription => (own, "client.subscription_token"),
        _ => (&options.token, "client.token"),
    }
}

fn make(args: &Args, options: &Options, now_s: u64) -> Result<String, String> {
    let (keys, section) = keys(options, args.channel.is_some());
    if !keys.jwks_public_endpoint.is_empty() {
        return Err(format!(
            "{section}.jwks_public_endpoint is configured: only tokens signed with its keys are accepted"
        ));
    }
    if keys.hmac_secret_key.is_empty() {
        let variable = format!("THRONG_{}_HMAC_SECRET_KEY", section.replace('.', "_").to_uppercase());
        return Err(format!(
            "there is no {section}.hmac_secret_key to sign with: name a file that has it (--config), or set {variable}"
        ));
    }
    let token = mint(keys.hmac_secret_key.as_bytes(), claims(args, keys, now_s)?.to_string().as_bytes());
    match refusal(keys, &typed(&token, args.channel.is_some()), now_s)? {
        None => Ok(token),
        Some(why) => Err(format!("the server would refuse this token: {why}")),
    }
}

fn claims(args: &Args, keys: &TokenOptions, now_s: u64) -> Result<Value, String> {
    let mut claims = Map::new();
    let user = args.user.clone().unwrap_or_default();
    let user_claim = if keys.user_id_claim.is_empty() { "sub" } else { &keys.user_id_claim };
    claims.insert(user_claim.to_owned(), user.into());
    claims.insert("iat".to_owned(), now_s.into());
    let expires = config::duration_ms(&args.expires);
    let ms = expires
        .ok_or_else(|| format!("--expires {}: expected a duration, such as 30m or 24h", args.expires))?;
    if ms > 0 {
        // Fractions of a second are rounded up, so that a token does not expire at once.
        claims.insert("exp".to_owned(), (now_s + ms.div_ceil(1000)).into());
    }
    if let Some(info) = &args.info {
        let info: Value =
            serde_json::from_str(info).map_err(|error| format!("--info {info}: not JSON: {error}"))?;
        claims.insert("info".to_owned(), info);
    }
    if let Some(channel) = &args.channel {
        claims.insert("channel".to_owned(), channel.as_str().into());
    }
    if !args.channels.is_empty() {
        claims.insert("channels".to_owned(), args.channels.as_slice().into());
    }
    for (claim, wanted) in [("aud", &keys.audience), ("iss", &keys.issuer)] {
        if !wanted.is_empty() {
            claims.insert(claim.to_owned(), wanted.as_str().into());
        }
    }
    if let Some(more) = &args.claims {
        let more: Map<String, Value> = serde_json::from_str(more)
            .map_err(|error| format!("--claims {more}: no JSON object: {error}"))?;
        claims.extend(more);
    }
    Ok(claims.into())
}

fn typed(token: &str, is_subscription: bool) -> Token<'_> {
    if is_subscription { Token::Subscription(token) } else { Token::Connection(token) }
}

fn look_into(token: &str, wanted: Option<Kind>, options: &Options, now_s: u64) -> ExitCode {
    if token.is_empty() {
        console::complain(&"throng: a token is needed");
        return ExitCode::FAILURE;
    }
    let Some(seen) = Seen::of(token, now_s) else {
        console::complain(&"throng: not a token: expected three parts in base64url, separated by dots");
        return ExitCode::FAILURE;
    };
    let (keys, section) = keys(options, seen.is_subscription);
    let judged = match (wanted, seen.kind()) {
        (Some(wanted), kind) if wanted != kind => Err(format!("not valid   it is {kind}, not {wanted}")),
        _ => Ok(refusal(keys, &typed(token, seen.is_subscription), now_s)),
    };
    let (judgement, code) = match judged {
        Err(other_kind) => (other_kind, ExitCode::FAILURE),
        Ok(Ok(None)) => (format!("valid       by {section}"), ExitCode::SUCCESS),
        Ok(Ok(Some(why))) => (format!("not valid   {why} (by {section})"), ExitCode::FAILURE),
        Ok(Err(why)) => (format!("unknown     whether it is valid: {why}"), ExitCode::FAILURE),
    };
    print(&format!("{seen}\n{judgement}"), code)
}

/// Prints a result; returns `code`, if it can be printed.
fn print(result: &str, code: ExitCode) -> ExitCode {
    match console::print(&format!("{result}\n")) {
        Ok(()) => code,
        Err(error) => {
            console::complain(&format!("throng token: cannot write the result: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The contents of a token, valid or not.
#[derive(Debug, PartialEq)]
struct Seen {
    algorithm: String,
    claims: Map<String, Value>,
    is_subscription: bool,
    now_s: u64,
}

impl Seen {
    fn of(token: &str, now_s: u64) -> Option<Self> {
        let mut parts = token.split('.');
        let (head, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let object = |part: &str| -> Option<Map<String, Value>> {
            serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).ok()?).ok()
        };
        let (head, claims) = (object(head)?, object(claims)?);
        let algorithm = head.get("alg").and_then(Value::as_str).unwrap_or("none").to_owned();
        let is_subscription = claims.contains_key("channel");
        Some(Self { algorithm, claims, is_subscription, now_s })
    }

    fn kind(&self) -> Kind {
        if self.is_subscription { Kind::Subscription } else { Kind::Connection }
    }

    /// Its expiry, relative to now.
    fn end(&self) -> String {
        let Some(exp) = self.claims.get("exp") else { return "never".to_owned() };
        let Some(at_s) = exp.as_u64() else { return format!("at {exp}, which is no whole second") };
        let about = config::duration_text(at_s.abs_diff(self.now_s).saturating_mul(1000));
        if at_s > self.now_s { format!("in {about}") } else { format!("{about} ago") }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_subscription { "a subscription" } else { "a connection" };
        writeln!(f, "for         {kind}")?;
        writeln!(f, "algorithm   {}", self.algorithm)?;
        writeln!(f, "expires     {}", self.end())?;
        for (i, (name, value)) in self.claims.iter().enumerate() {
            let (word, end) =
                (if i == 0 { "claims" } else { "" }, if i + 1 < self.claims.len() { "\n" } else { "" });
            write!(f, "{word:12}{name} = {value}{end}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_700_000_000;

    fn options() -> Options {
        let token = TokenOptions { hmac_secret_key: "secret".to_owned(), ..TokenOptions::default() };
        Options { token, ..Options::default() }
    }

    fn args(user: &str) -> Args {
        Args { user: Some(user.to_owned()), expires: "1h".to_owned(), ..Args::default() }
    }

    #[test]
    fn what_is_made_holds_what_was_typed() {
        let args = Args {
            info: Some(r#"{"name": "Ann"}"#.to_owned()),
            channels: vec!["a".to_owned(), "b".to_owned()],
            ..args("42")
        };
        let seen = Seen::of(&make(&args, &options(), NOW_S).unwrap(), NOW_S).unwrap();
        assert_eq!(seen.algorithm, "HS256");
        let claims =
            r#"{"channels":["a","b"],"exp":1700003600,"iat":1700000000,"info":{"name":"Ann"},"sub":"42"}"#;
        assert_eq!(serde_json::to_string(&seen.claims).unwrap(), claims);
        assert_eq!(seen.end(), "in 1h");
        let forever = make(&Args { expires: "0".to_owned(), ..args }, &options(), NOW_S).unwrap();
        assert_eq!(Seen::of(&forever, NOW_S).unwrap().end(), "never");
    }

    #[test]
    fn what_the_configuration_asks_for_is_in_it() {
        let mut options = options();
        options.token.audience = "them".to_owned();
        options.token.issuer = "us".to_owned();
        options.token.user_id_claim = "user".to_owned();
        let own = TokenOptions { hmac_secret_key: "other".to_owned(), ..TokenOptions::default() };
        options.subscription_token = Some(own.clone());
        let connection = make(&args("42"), &options, NOW_S).unwrap();
        let claims = Seen::of(&connection, NOW_S).unwrap().claims;
        assert_eq!(
            (&claims["aud"], &claims["iss"], &claims["user"]),
            (&"them".into(), &"us".into(), &"42".into())
        );
        let subscription = Args { channel: Some("$chat:a".to_owned()), ..args("42") };
        let subscription = make(&subscription, &options, NOW_S).unwrap();
        assert!(Seen::of(&subscription, NOW_S).unwrap().is_subscription);
        assert_eq!(refusal(&own, &Token::Subscription(&subscription), NOW_S), Ok(None));
        assert_eq!(refusal(&own, &Token::Connection(&connection), NOW_S), Ok(Some("signature")));
    }

    #[test]
    fn what_cannot_be_made_is_told() {
        let mut options = options();
        for (args, said) in [
            (Args { expires: "1 hour".to_owned(), ..args("42") }, "--expires 1 hour: expected a duration"),
            (Args { claims: Some("[]".to_owned()), ..args("42") }, "--claims []: no JSON object: "),
            (
                Args { claims: Some(r#"{"exp": 1}"#.to_owned()), ..args("42") },
                "the server would refuse this token: expired",
            ),
            (Args { info: Some("{".to_owned()), ..args("42") }, "--info {: not JSON: "),
        ] {
            let complaint = make(&args, &options, NOW_S).unwrap_err();
            assert!(complaint.starts_with(said), "{complaint}");
        }
        options.token.hmac_secret_key.clear();
        let complaint = make(&args("42"), &options, NOW_S).unwrap_err();
        assert!(complaint.ends_with("or set THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY"), "{complaint}");
        options.token.jwks_public_endpoint = "https://a/b".to_owned();
        let complaint = make(&args("42"), &options, NOW_S).unwrap_err();
        assert!(complaint.starts_with("client.token.jwks_public_endpoint is configured"), "{complaint}");
    }

    #[test]
    fn an_end_is_told_from_now() {
        let token = make(&args("42"), &options(), NOW_S).unwrap();
        let seen = Seen::of(&token, NOW_S + 3600 + 90).unwrap();
        assert_eq!(seen.end(), "1m30s ago");
        let expired = refusal(&options().token, &Token::Connection(&token), NOW_S + 3600 + 90);
        assert_eq!(expired, Ok(Some("expired, or not valid yet")));
        for nonsense in ["", "a.b", "a.b.c", "a.b.c.d"] {
            assert_eq!(Seen::of(nonsense, NOW_S), None, "{nonsense}");
        }
    }
}
