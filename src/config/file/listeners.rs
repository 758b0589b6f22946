//! Centrifugo's listeners: an address and a port apart, where we have both in one key.

use super::super::value::Value;
use std::net::{IpAddr, SocketAddr};

/// One listener, as far as it is typed.
#[derive(Debug, Default)]
pub(super) struct Halves {
    /// The keys as they are written, each with its line and value.
    pub(super) address: Option<(String, usize, Value)>,
    pub(super) port: Option<(String, usize, Value)>,
}

/// What one half lacks.
pub(super) struct Wrong {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Value,
    pub(super) complaint: &'static str,
}

impl Halves {
    /// The listener, `otherwise` where a half is not typed.
    pub(super) fn join(&self, otherwise: SocketAddr) -> Result<SocketAddr, Wrong> {
        let mut whole = otherwise;
        if let Some((key, line, value)) = &self.address {
            let wrong = |complaint| Wrong { key: key.clone(), line: *line, value: value.clone(), complaint };
            let text = value.text().filter(|text| !text.is_empty());
            let ip = text.and_then(|text| text.parse::<IpAddr>().ok());
            whole.set_ip(
                ip.ok_or_else(|| wrong("expected an IP address; 0.0.0.0 stands for all of this machine"))?,
            );
        }
        if let Some((key, line, value)) = &self.port {
            let wrong = |complaint| Wrong { key: key.clone(), line: *line, value: value.clone(), complaint };
            let typed = value.text().and_then(|text| text.parse().ok());
            let port = value.integer().and_then(|port| u16::try_from(port).ok()).or(typed);
            whole.set_port(port.ok_or_else(|| wrong("expected a port, 0 to 65535"))?);
        }
        Ok(whole)
    }

    /// The half that stands first, for errors.
    pub(super) fn first(&self) -> Option<&(String, usize, Value)> {
        match (&self.address, &self.port) {
            (Some(a), Some(b)) => Some(if a.1 <= b.1 { a } else { b }),
            (a, b) => a.as_ref().or(b.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_make_a_listener() {
        let otherwise = SocketAddr::from(([127, 0, 0, 1], 8000));
        let text = |text: &str| Some(("http_server.x".to_owned(), 3, Value::Text(text.to_owned())));
        let number = |n| Some(("http_server.x".to_owned(), 4, Value::Integer(n)));
        for (address, port, wanted) in [
            (None, number(9), Some("127.0.0.1:9")),
            (text("0.0.0.0"), None, Some("0.0.0.0:8000")),
            (text("::1"), text("81"), Some("[::1]:81")),
            (text(""), number(9), None),
            (text("localhost"), None, None),
            (None, number(65_536), None),
            (None, number(-1), None),
            (number(1), None, None),
        ] {
            let halves = Halves { address, port };
            assert_eq!(halves.join(otherwise).ok().map(|a| a.to_string()).as_deref(), wanted, "{halves:?}");
        }
    }
}
