//! The cookie with a session's id, for load balancers.
//!
//! Invariant: the header has the attributes of the reference's option `cookie`, in its order.

use std::fmt::Write as _;

/// The cookie that the first answer to a polling client sets, so that a load balancer can send all requests of a session to
/// one server. Its value is the session's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionCookie {
    /// Its name; empty for no cookie. Default empty.
    pub name: String,
    /// `Path`; empty for none. Default `/`.
    pub path: String,
    /// `Domain`; empty for none. Default empty.
    pub domain: String,
    /// Time until the browser drops it (`Max-Age`), in seconds; `None`: with the browser's session. Default `None`.
    pub max_age_s: Option<u64>,
    /// Whether scripts cannot read it (`HttpOnly`). Default true.
    pub is_http_only: bool,
    /// Whether it is sent over TLS only (`Secure`). Default false.
    pub is_secure: bool,
    /// Whether it is kept apart for each site that embeds the page (`Partitioned`). Default false.
    pub is_partitioned: bool,
    /// `SameSite`. Default `Lax`.
    pub same_site: SameSite,
}

/// The attribute `SameSite`: the pages whose requests have the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Those of the same site, and links to it.
    #[default]
    Lax,
    /// Those of the same site only.
    Strict,
    /// All; browsers want `Secure` with it.
    None,
}

impl SameSite {
    /// The values, and how they are written in a configuration and in the header.
    pub const NAMES: [(Self, &'static str, &'static str); 3] =
        [(Self::Lax, "lax", "Lax"), (Self::Strict, "strict", "Strict"), (Self::None, "none", "None")];
}

impl Default for SessionCookie {
    fn default() -> Self {
        Self {
            name: String::new(),
            path: "/".to_owned(),
            domain: String::new(),
            max_age_s: None,
            is_http_only: true,
            is_secure: false,
            is_partitioned: false,
            same_site: SameSite::default(),
        }
    }
}

impl SessionCookie {
    /// A cookie of this name, with the usual attributes.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// The header line for a session; `None` where there is no cookie.
    pub(crate) fn line(&self, sid: &str) -> Option<String> {
        if self.name.is_empty() {
            return None;
        }
        let mut line = format!("Set-Cookie: {}={sid}", self.name);
        if let Some(max_age_s) = self.max_age_s {
            write!(line, "; Max-Age={max_age_s}").ok()?;
        }
        for (attribute, value) in [("Domain", &self.domain), ("Path", &self.path)] {
            if !value.is_empty() {
                write!(line, "; {attribute}={value}").ok()?;
            }
        }
        for (attribute, is_on) in [
            ("HttpOnly", self.is_http_only),
            ("Secure", self.is_secure),
            ("Partitioned", self.is_partitioned),
        ] {
            if is_on {
                write!(line, "; {attribute}").ok()?;
            }
        }
        let (.., same_site) = SameSite::NAMES.into_iter().find(|(value, ..)| *value == self.same_site)?;
        write!(line, "; SameSite={same_site}\r\n").ok()?;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the reference server (4.8) writes it for the same options.
    #[test]
    fn the_header_has_the_attributes_in_the_order_of_the_reference() {
        assert_eq!(SessionCookie::default().line("x"), None);
        let usual = SessionCookie::named("io");
        assert_eq!(usual.line("x").unwrap(), "Set-Cookie: io=x; Path=/; HttpOnly; SameSite=Lax\r\n");
        let full = SessionCookie {
            path: "/chat".to_owned(),
            domain: "example.com".to_owned(),
            max_age_s: Some(86_400),
            is_secure: true,
            is_partitioned: true,
            same_site: SameSite::None,
            ..usual
        };
        assert_eq!(
            full.line("x").unwrap(),
            "Set-Cookie: io=x; Max-Age=86400; Domain=example.com; Path=/chat; HttpOnly; Secure; Partitioned; \
             SameSite=None\r\n"
        );
        let bare = SessionCookie { path: String::new(), is_http_only: false, ..SessionCookie::named("a") };
        assert_eq!(bare.line("x").unwrap(), "Set-Cookie: a=x; SameSite=Lax\r\n");
    }
}
