//! A list of IP networks in their usual notation: `10.0.0.0/8`, `2001:db8::/32`, or one address.
//!
//! An IPv4 address mapped into IPv6 (`::ffff:192.0.2.1`, RFC 4291 §2.5.5.2) counts as the IPv4 address, and a mapped
//! network as the IPv4 network, in the list and in a lookup.

use std::fmt;
use std::net::{AddrParseError, IpAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// Bits of an IPv6 address before a mapped IPv4 address.
const MAPPED_PREFIX_BITS: u8 = 96;

/// A list of IP networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether an address is in one of the networks.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The networks in their usual notation, by their first address.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(ToString::to_string)
    }

    /// Parses a list of networks, in its order.
    ///
    /// # Errors
    /// When one of them is not a network.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, NoNetwork> {
        texts.into_iter().map(network).collect::<Result<_, _>>().map(Self)
    }
}

/// The text is not a network, or is a mapped network that reaches beyond IPv4 addresses.
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
        Err(_) => {
            IpNet::from_str(text).map_err(|_| NoNetwork).and_then(canonical).map(|network| network.trunc())
        }
    }
}

/// Converts a network of mapped addresses to its IPv4 network: addresses are compared in their IPv4 form, so a mapped
/// network would never contain any.
fn canonical(network: IpNet) -> Result<IpNet, NoNetwork> {
    let IpNet::V6(mapped) = network else { return Ok(network) };
    let Some(address) = mapped.addr().to_ipv4_mapped() else { return Ok(network) };
    let bits = mapped.prefix_len().checked_sub(MAPPED_PREFIX_BITS).ok_or(NoNetwork)?;
    Ipv4Net::new(address, bits).map(IpNet::V4).map_err(|_| NoNetwork)
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
    fn mapped_networks_are_those_of_ipv4() {
        for (text, shown, inside, outside) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8", "::ffff:10.0.0.1", "::ffff:11.0.0.1"),
            ("::ffff:a00:0/120", "10.0.0.0/24", "10.0.0.255", "10.0.1.0"),
            ("::ffff:192.0.2.1", "192.0.2.1/32", "192.0.2.1", "192.0.2.2"),
            ("::ffff:192.0.2.1/128", "192.0.2.1/32", "192.0.2.1", "192.0.2.2"),
            ("::ffff:0:0/96", "0.0.0.0/0", "192.0.2.1", "2001:db8::1"),
        ] {
            let networks = Networks::parse([text]).unwrap();
            assert_eq!(networks.texts().collect::<Vec<_>>(), [shown], "{text}");
            assert!(networks.contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(!networks.contains(outside.parse().unwrap()), "{text} {outside}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "localhost",
            "10.0.0.0/",
            "10.0.0.1:80",
            "::/129",
            // Beyond the mapped addresses there is no IPv4.
            "::ffff:10.0.0.0/95",
            "::ffff:10.0.0.0/8",
        ] {
            assert_eq!(Networks::parse([text]), Err(NoNetwork), "{text}");
        }
    }
}
