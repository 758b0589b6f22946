//! The forms of text values, checked when the text is read.

use jsonwebtoken::DecodingKey;

use crate::proto::socketio::is_reserved;

/// The form of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any text.
    Any,
    /// The path of an endpoint.
    Path,
    /// An http or https URL, or empty.
    Url,
    /// The URL of a hook: http or https, or empty.
    HookUrl,
    /// The URL of a key set, which may contain names in double braces, or empty.
    KeySetUrl,
    /// The name of a header, or empty.
    HeaderName,
    /// A public RSA key in PEM, or empty.
    RsaPem,
    /// A public key on a NIST curve in PEM, or empty.
    EcPem,
    /// A public Ed25519 key in PEM, or empty.
    EdPem,
    /// The name of a token's claim, or empty.
    Claim,
    /// The name of a namespace.
    Namespace,
    /// The name of a cookie, or empty.
    Cookie,
    /// One or more characters that separate parts of a channel's name.
    Boundary,
    /// The name of a Socket.IO namespace, with its slash, or empty.
    SocketNamespace,
    /// The name of a Socket.IO event.
    SocketEvent,
}

impl Form {
    /// Whether the text is a URL.
    pub(super) fn is_url(self) -> bool {
        matches!(self, Self::Url | Self::HookUrl | Self::KeySetUrl)
    }

    pub(in super::super) fn takes(self, text: &str) -> bool {
        let nothing = text.is_empty();
        let key = text.as_bytes();
        match self {
            Self::Any => true,
            Self::Path => as_path(text).is_some(),
            Self::Url | Self::HookUrl => nothing || is_url(text),
            Self::KeySetUrl => nothing || is_url(&text.replace("{{", "x").replace("}}", "x")),
            Self::HeaderName => text.bytes().all(is_token_byte),
            Self::RsaPem => nothing || DecodingKey::from_rsa_pem(key).is_ok(),
            Self::EcPem => nothing || DecodingKey::from_ec_pem(key).is_ok(),
            Self::EdPem => nothing || DecodingKey::from_ed_pem(key).is_ok(),
            Self::Claim => text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_'),
            Self::Namespace => text.len() >= 2 && text.bytes().all(is_name_byte),
            Self::Cookie => {
                text.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b))
            }
            Self::Boundary => !nothing && !text.chars().any(char::is_whitespace),
            Self::SocketNamespace => {
                nothing
                    || text.starts_with('/')
                        && !text.contains([',', '?'])
                        && !text.chars().any(char::is_control)
            }
            Self::SocketEvent => !nothing && !is_reserved(text),
        }
    }

    pub(in super::super) fn expected(self) -> &'static str {
        match self {
            Self::Any => "a text",
            Self::Path => "a path that starts with / and has no ?, # or blank",
            Self::Url | Self::HookUrl => "an http:// or https:// URL",
            Self::KeySetUrl => "an http:// or https:// URL, perhaps with {{name}} for a group of a pattern",
            Self::HeaderName => "the name of a header",
            Self::RsaPem => "a public RSA key in PEM",
            Self::EcPem => "a public P-256 or P-384 key in PEM",
            Self::EdPem => "a public Ed25519 key in PEM",
            Self::Claim => "the name of a claim: letters and _",
            Self::Namespace => "two or more letters, digits, -, _ and .",
            Self::Cookie => "the name of a cookie",
            Self::Boundary => "at least one character, no blanks",
            Self::SocketNamespace => {
                "a Socket.IO namespace: a name that starts with / and has no comma and no ?"
            }
            Self::SocketEvent => "the name of an event that Socket.IO does not reserve",
        }
    }
}

/// Whether this byte may be in a token (RFC 9110, 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// The text as the path of an endpoint, if it can be one: without a `/` at its end; empty for `/`.
pub(super) fn as_path(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'"' | b'\\');
    let is_path = text.is_empty() || text.starts_with('/') && text.bytes().all(plain);
    let path = text.trim_end_matches('/');
    is_path.then(|| if path.is_empty() { "/".to_owned() } else { path.to_owned() })
}

fn is_url(text: &str) -> bool {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    host.is_some_and(|host| host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '['))
        && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_take_what_they_say() {
        for (form, text, takes) in [
            (Form::Path, "/", true),
            (Form::Path, "/a/b", true),
            (Form::Path, "a", false),
            (Form::Path, "", true),
            (Form::Path, "/a?b", false),
            (Form::Path, "/a b", false),
            (Form::Url, "", true),
            (Form::Url, "http://localhost:3000/hook", true),
            (Form::Url, "https://[::1]/x", true),
            (Form::Url, "grpc://localhost:3000", false),
            (Form::Url, "localhost:3000", false),
            (Form::Url, "http://", false),
            (Form::Url, "http://a b", false),
            (Form::HookUrl, "http://a", true),
            (Form::HookUrl, "grpc://a", false),
            (Form::KeySetUrl, "https://{{zone}}.a/{{tenant}}/keys", true),
            (Form::KeySetUrl, "https://a b", false),
            (Form::HeaderName, "X-User-Id", true),
            (Form::HeaderName, "", true),
            (Form::HeaderName, "X User", false),
            (Form::RsaPem, "-----BEGIN PUBLIC KEY-----", false),
            (Form::EcPem, "x", false),
            (Form::EdPem, "", true),
            (Form::Claim, "user_id", true),
            (Form::Claim, "user.id", false),
            (Form::Namespace, "chat-2.x", true),
            (Form::Namespace, "c", false),
            (Form::Namespace, "c:d", false),
            (Form::Cookie, "token", true),
            (Form::Cookie, "to ken", false),
            (Form::Cookie, "a=b", false),
            (Form::Boundary, "::", true),
            (Form::Boundary, "", false),
            (Form::SocketNamespace, "/", true),
            (Form::SocketNamespace, "/chat", true),
            (Form::SocketNamespace, "", true),
            (Form::SocketNamespace, "chat", false),
            (Form::SocketNamespace, "/a,b", false),
            (Form::SocketNamespace, "/a?b", false),
            (Form::SocketEvent, "chat message", true),
            (Form::SocketEvent, "", false),
            (Form::SocketEvent, "disconnect", false),
        ] {
            assert_eq!(form.takes(text), takes, "{form:?} {text:?}");
        }
    }
}
