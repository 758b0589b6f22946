//! A list of networks of IP, as they are typed: `10.0.0.0/8`, `2001:db8::/32`, or one address.
//!
//! An IPv4 address that was mapped into IPv6 counts as what it is, in a network and in a question.

use std::fmt;
use std::net::{AddrParseError, IpAddr};
use std::str::FromStr;

use ipnet::IpNet;

/// See the module documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether an address is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each as it would be typed, by its first address.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(ToString::to_string)
    }

    /// Those of a list, in its order.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, NoNetwork> {
        texts.into_iter().map(network).collect::<Result<_, _>>().map(Self)
    }
}

/// What was typed is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoNetwork;

impl fmt::Display for NoNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither an IP address nor a network such as 10.0.0.0/8")
    }
}

impl std::error::Error for NoNetwork {}

fn network(text: &str) -> Result<IpNet, NoNetwork> {
    let one: Result<IpAddr, AddrParseError> = text.parse();
    match one {
        Ok(address) => Ok(address.to_canonical().into()),
        Err(_) => IpNet::from_str(text).map(|network| network.trunc()).map_err(|_| NoNetwork),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_end_where_their_mask_says() {
        let networks = Networks::parse(["10.1.2.3/8", "192.0.2.1", "2001:db8::/33"]).unwrap();
        for (address, is_in) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("::ffff:192.0.2.1", true),
            ("::ffff:192.0.2.2", false),
            ("2001:db8:7fff::1", true),
            ("2001:db8:8000::1", false),
            ("::1", false),
        ] {
            assert_eq!(networks.contains(address.parse().unwrap()), is_in, "{address}");
        }
        assert_eq!(networks.texts().collect::<Vec<_>>(), ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/33"]);
        assert!(!Networks::default().contains("127.0.0.1".parse().unwrap()));
        assert!(Networks::parse(["0.0.0.0/0"]).unwrap().contains("1.2.3.4".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "localhost", "10.0.0.0/", "10.0.0.1:80", "::/129"] {
            assert_eq!(Networks::parse([text]), Err(NoNetwork), "{text}");
        }
    }
}
