//! Connection rates: token buckets for the whole process, for addresses and for networks.
//!
//! Invariant: the table of addresses is bounded, and so is the cost of its upkeep: it is swept at most once per
//! `SWEEP_MS`, however many new addresses arrive. Each shard has its own table; the kernel spreads the connections of
//! one address over all shards.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::base::bucket::Bucket;
use crate::base::heap;

/// Limit of addresses in the table, per shard and rate; when it is full, addresses without recent connections are
/// removed.
const ADDRESSES_MAX: usize = 65_536;
/// Table size below which no sweep is worthwhile.
const HANDFUL: usize = 1024;
/// Minimum time between two sweeps.
const SWEEP_MS: u64 = 250;

/// Token buckets of recently connected addresses.
#[derive(Debug, Default)]
pub(crate) struct ByAddress {
    buckets: HashMap<IpAddr, Bucket>,
    swept_ms: u64,
}

impl ByAddress {
    /// Takes one token of the address's `rate_per_s`; returns false when there is none. Addresses that do not fit the
    /// full table are admitted: then only the rate of the whole process limits them.
    pub(crate) fn take(&mut self, now_ms: u64, address: IpAddr, rate_per_s: u32) -> bool {
        if rate_per_s == 0 {
            return true;
        }
        if self.buckets.len() >= ADDRESSES_MAX && now_ms >= self.swept_ms + SWEEP_MS {
            self.swept_ms = now_ms;
            // After a second without connections a bucket is full again, like that of a new address.
            self.buckets.retain(|_, bucket| !bucket.is_full(now_ms, rate_per_s));
            heap::ease_table(&mut self.buckets);
        }
        if self.buckets.len() >= ADDRESSES_MAX && !self.buckets.contains_key(&address) {
            return true;
        }
        self.buckets.entry(address).or_default().take(now_ms, rate_per_s, rate_per_s)
    }

    /// Removes addresses without recent connections, if the table is larger than `HANDFUL`, and frees the room of a
    /// crowd.
    pub(crate) fn ease(&mut self, now_ms: u64, rate_per_s: u32) {
        if self.buckets.len() > HANDFUL {
            self.buckets.retain(|_, bucket| !bucket.is_full(now_ms, rate_per_s));
            heap::ease_table(&mut self.buckets);
        }
    }
}

/// The network of an address: the first 24 bits of IPv4, 64 of IPv6; usually one customer has all of it.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_a_rate_of_its_own() {
        let mut rates = ByAddress::default();
        let (a, b) = (address("10.0.0.1"), address("10.0.0.2"));
        assert!((0..3).all(|_| rates.take(1000, a, 3)));
        assert!(!rates.take(1000, a, 3) && rates.take(1000, b, 3));
        assert!(rates.take(1400, a, 3), "a third of a second returns one token");
        assert!((0..100).all(|_| rates.take(1000, a, 0)), "0 means no limit");
    }

    #[test]
    fn networks_are_what_one_customer_has() {
        for (address_of, network) in [
            ("10.1.2.3", "10.1.2.0"),
            ("::ffff:10.1.2.3", "10.1.2.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(network_of(address(address_of)), address(network));
        }
    }

    /// The table stays bounded for any number of new addresses, and not every one of them causes a sweep.
    #[test]
    fn strangers_without_number_cost_no_memory_without_bound() {
        let mut rates = ByAddress::default();
        let stranger = |n: u32| IpAddr::from(Ipv4Addr::from_bits(n));
        for n in 0..70_000 {
            assert!(rates.take(1000, stranger(n), 1), "{n}");
        }
        assert_eq!(rates.buckets.len(), ADDRESSES_MAX);
        assert!(!rates.take(1100, stranger(5), 1), "an address in the table stays limited");
        assert!(rates.take(1200, stranger(70_001), 1), "an address beyond the table is admitted");
        assert_eq!(rates.swept_ms, 1000);
        assert!(rates.take(3000, stranger(70_002), 1));
        assert_eq!((rates.buckets.len(), rates.swept_ms), (1, 3000));
        assert!(rates.buckets.capacity() < 1000, "the room of the others is freed");
    }

    #[test]
    fn a_crowd_is_forgotten_when_it_has_been_quiet() {
        let mut rates = ByAddress::default();
        for n in 0..5000 {
            rates.take(1000, IpAddr::from(Ipv4Addr::from_bits(n)), 1);
        }
        rates.ease(1500, 1);
        assert_eq!(rates.buckets.len(), 5000, "half a second is too short to be removed");
        rates.ease(2000, 1);
        assert_eq!(rates.buckets.len(), 0);
        assert!(rates.buckets.capacity() < 1000);
    }
}
