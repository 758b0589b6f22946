//! What a client's messages cost while they wait for an answer: bytes on the heap, for the ledger of memory.

use super::filter::{Filter, Test};
use super::message::{Connect, Request, Subscribe};
use crate::base::heap;

impl Connect {
    /// What it costs beside its place, in bytes.
    pub fn bytes(&self) -> usize {
        let Self { token, data, name, version, headers, subs } = self;
        let texts = [token.len(), data.len(), name.len(), version.len()].map(heap::piece);
        let header_bytes =
            |(name, value): &(String, String)| heap::piece(name.len()) + heap::piece(value.len());
        texts.iter().sum::<usize>()
            + heap::list::<(String, String)>(headers.len())
            + headers.iter().map(header_bytes).sum::<usize>()
            + heap::list::<Subscribe>(subs.len())
            + subs.iter().map(Subscribe::bytes).sum::<usize>()
    }
}

impl Subscribe {
    /// What it costs beside its place, in bytes.
    pub fn bytes(&self) -> usize {
        let Self { channel, token, data, epoch, delta, filter, .. } = self;
        let texts = [channel.len(), token.len(), data.len(), epoch.len(), delta.len()].map(heap::piece);
        texts.iter().sum::<usize>() + filter.as_ref().map_or(0, |filter| filter.bytes())
    }
}

impl Request<'_> {
    /// What it costs beside its place, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Connect(connect) => heap::piece(size_of::<Connect>()) + connect.bytes(),
            Self::Subscribe(ask) => heap::piece(size_of::<Subscribe>()) + ask.bytes(),
            Self::Unsubscribe { channel } | Self::Presence { channel } | Self::PresenceStats { channel } => {
                heap::piece(channel.len())
            }
            Self::Publish { channel, data } => {
                heap::piece(channel.len()) + heap::piece(data.as_ref().map_or(0, |data| data.len()))
            }
            Self::History(ask) => {
                heap::piece(ask.channel.len())
                    + heap::piece(ask.since.as_ref().map_or(0, |(_, epoch)| epoch.len()))
            }
            Self::Send { data } => heap::piece(data.len()),
            Self::Rpc { method, data } => heap::piece(method.len()) + heap::piece(data.len()),
            Self::Refresh { token } => heap::piece(token.len()),
            Self::SubRefresh { channel, token } => heap::piece(channel.len()) + heap::piece(token.len()),
            Self::Pong | Self::Ping | Self::Unknown | Self::Malformed => 0,
        }
    }
}

impl Filter {
    /// What it costs, with its box, in bytes.
    pub fn bytes(&self) -> usize {
        heap::piece(size_of::<Self>()) + self.owned_bytes()
    }

    fn owned_bytes(&self) -> usize {
        match self {
            Self::And(nodes) | Self::Or(nodes) => {
                heap::list::<Self>(nodes.capacity()) + nodes.iter().map(Self::owned_bytes).sum::<usize>()
            }
            Self::Not(node) => node.bytes(),
            Self::Compare { key, test } => heap::piece(key.len()) + test.owned_bytes(),
        }
    }
}

impl Test {
    fn owned_bytes(&self) -> usize {
        match self {
            Self::In(values) | Self::NotIn(values) => {
                heap::list::<Box<str>>(values.len())
                    + values.iter().map(|value| heap::piece(value.len())).sum::<usize>()
            }
            Self::Equal(value)
            | Self::NotEqual(value)
            | Self::StartsWith(value)
            | Self::EndsWith(value)
            | Self::Contains(value)
            | Self::Less(value)
            | Self::LessOrEqual(value)
            | Self::Greater(value)
            | Self::GreaterOrEqual(value) => heap::piece(value.len()),
            Self::Exists | Self::NotExists => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_holds_is_in_what_it_costs() {
        let text = || "x".repeat(100);
        let values = (0..10).map(|_| text().into_boxed_str()).collect();
        let test = Test::In(values);
        let one = Filter::Compare { key: text().into_boxed_str(), test };
        let filter = Filter::And(vec![one, Filter::Not(Box::new(Filter::Or(Vec::new())))]);
        assert!((1100..3000).contains(&filter.bytes()), "{}", filter.bytes());
        let ask = Subscribe {
            channel: text(),
            token: text(),
            filter: Some(Box::new(filter)),
            ..Subscribe::default()
        };
        assert!((1300..3500).contains(&ask.bytes()), "{}", ask.bytes());
        let headers = vec![(text(), text())];
        let connect = Connect { token: text(), headers, subs: vec![ask.clone(), ask], ..Connect::default() };
        assert!(connect.bytes() > 2900 && connect.bytes() < 8000, "{}", connect.bytes());
        let bytes = connect.bytes();
        assert!(Request::Connect(Box::new(connect)).bytes() > bytes);
        let data = vec![0; 1000].into();
        assert!(Request::Rpc { method: text().into(), data }.bytes() > 1100);
        assert_eq!(Request::Ping.bytes(), 0);
    }
}
