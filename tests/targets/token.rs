//! Tokens, as anyone may send them and as whoever has the secret may sign them.

use std::sync::LazyLock;

use throng::parts::outside::mint;
use throng::parts::outside::options::TokenOptions;
use throng::parts::outside::verify;
use throng::parts::shard::outside::{Credentials, Grant, Rejected, Token, Verdict};

const SECRET: &[u8] = b"secret";
const NOW_UNIX_S: u64 = 1_800_000_000;

/// A secret, and the public key that RFC 8410 shows (10.1).
static OPTIONS: LazyLock<TokenOptions> = LazyLock::new(|| TokenOptions {
    hmac_secret_key: String::from_utf8_lossy(SECRET).into_owned(),
    eddsa_public_key:
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                       -----END PUBLIC KEY-----\n"
            .to_owned(),
    ..TokenOptions::default()
});

/// The input is a token, and then the claims of one that is signed.
///
/// # Panics
/// When something does not hold that must.
pub fn token(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    judged(Token::Connection(&text));
    judged(Token::Subscription(&text));
    let minted = mint(SECRET, data);
    let connection = judged(Token::Connection(&minted));
    let subscription = judged(Token::Subscription(&minted));
    assert!(!(connection && subscription), "a token is of one kind");
    // Whoever changes a signed claim or its signature has no token any more.
    let start = minted.find('.').map_or(0, |dot| dot + 1);
    let at = start + data.iter().map(|&byte| usize::from(byte)).sum::<usize>() % (minted.len() - start);
    let mut spoilt = minted.into_bytes();
    spoilt[at] = if spoilt[at] == b'A' { b'B' } else { b'A' };
    let spoilt = String::from_utf8(spoilt).expect("was text before");
    assert!(!judged(Token::Connection(&spoilt)) && !judged(Token::Subscription(&spoilt)), "{spoilt}");
}

/// Whether the token is taken, having checked what is said of it.
fn judged(token: Token<'_>) -> bool {
    let rejected = match verify(&OPTIONS, &token, NOW_UNIX_S).expect("the options make sense") {
        Verdict::Connection(Ok(credentials)) => {
            assert!(matches!(token, Token::Connection(_)));
            check_credentials(&credentials);
            return true;
        }
        Verdict::Subscription(Ok(grant)) => {
            assert!(matches!(token, Token::Subscription(_)) && !grant.channel.is_empty());
            check_grant(&grant);
            return true;
        }
        Verdict::Connection(Err(rejected)) | Verdict::Subscription(Err(rejected)) => rejected,
        other @ (Verdict::Socket(_) | Verdict::Publish(_) | Verdict::Rpc(_) | Verdict::SocketEvents(_)) => {
            panic!("no answer to a token: {other:?}")
        }
    };
    match rejected {
        Rejected::TokenExpired | Rejected::TokenInvalid => {}
        Rejected::Denied(_) | Rejected::NoCredentials | Rejected::Disconnect { .. } => {
            panic!("nobody else was asked")
        }
    }
    false
}

fn check_credentials(credentials: &Credentials) {
    check_time(credentials.expire_at_s);
    for (channel, grant) in &credentials.channels {
        assert!(grant.channel == *channel && grant.user == credentials.user);
        check_grant(grant);
    }
    assert!(credentials.meta.is_empty() || is_json_line(&credentials.meta));
}

fn check_grant(grant: &Grant) {
    check_time(grant.expire_at_s);
}

fn check_time(expire_at_s: u64) {
    assert!(expire_at_s.checked_mul(1_000_000).is_some(), "no reckoning with it overflows");
}

fn is_json_line(bytes: &[u8]) -> bool {
    !bytes.contains(&b'\n') && serde_json::from_slice::<serde_json::Value>(bytes).is_ok()
}
