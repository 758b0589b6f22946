//! Orders to the sockets of a namespace, and what comes of them: plain values, the same in every process.
//!
//! An order goes to the namespace's home, which gives it its place among the events for rooms, and on to all shards. Each
//! carries it out for its own sockets and answers with its part; the home puts the parts together ([`Gathered::add`]).
//! Left out: the way (the shard's), and packets (the session's).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::DataKind;
use super::selector::Rooms;
use super::terms::Member;
use crate::base::payload::Payload;

/// Maximum of bytes of all that is gathered for one order.
pub(crate) const GATHERED_BYTES_MAX: usize = 16 << 20;

/// An order to sockets.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketOrder {
    /// The namespace, with its slash.
    pub(crate) namespace: Arc<str>,
    /// The rooms whose sockets it is for, and those whose sockets it is not for.
    pub(crate) rooms: Rooms,
    /// The one connection that it is not for.
    pub(crate) not_to: Option<Member>,
    /// The action.
    pub(crate) deed: SocketDeed,
}

/// The action of an order to sockets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SocketDeed {
    /// Enter these rooms.
    Join(Box<[Arc<str>]>),
    /// Leave these rooms.
    Leave(Box<[Arc<str>]>),
    /// End.
    Disconnect {
        /// Whether their connections end as well.
        close: bool,
    },
    /// Describe themselves.
    Fetch,
    /// Of all namespaces: be counted, and some describe themselves.
    Survey {
        /// Maximum of sockets of one shard that describe themselves.
        sockets_max: usize,
    },
    /// Send an event to their clients, and gather the answers.
    Ask(SocketQuestion),
}

/// An event that clients are to answer.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketQuestion {
    /// Text, or a packet with attachments.
    pub kind: DataKind,
    /// The packet, without an id.
    pub data: Vec<u8>,
    /// Time for the answers, in milliseconds.
    pub timeout_ms: u64,
    /// Whether connections that have unsent bytes do not receive it.
    pub is_volatile: bool,
}

/// A socket, as an order finds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SocketFacts {
    /// Its id.
    pub id: Box<str>,
    /// Its namespace, with the slash.
    pub namespace: Box<str>,
    /// Its rooms, sorted, without that of its id.
    pub rooms: Vec<Box<str>>,
    /// The id of its connection.
    pub client: Box<str>,
    /// The user of its client; empty when anonymous.
    pub user: Box<str>,
    /// Information of its client for others; empty for none.
    pub info: Payload,
    /// The address of its client; empty where there is none.
    pub address: Box<str>,
    /// The application's part of the query of the request that opened its connection.
    pub query: Box<str>,
    /// Unix time in milliseconds at which the connection was opened, exact to a second.
    pub issued_ms: u64,
    /// Whether it is on polling.
    pub is_polled: bool,
    /// Data of the application, JSON; empty for none.
    pub data: Box<str>,
}

/// A client's answer to an event for several sockets.
#[derive(Clone, Debug, PartialEq)]
pub struct SocketAnswer {
    /// The id of the socket.
    pub id: Box<str>,
    /// The first argument of the answer, JSON; `null` for an answer without arguments. Binary data in it is a placeholder
    /// with the number of its attachment.
    pub data: Box<str>,
    /// The binary data to which placeholders refer.
    pub attachments: Vec<Box<[u8]>>,
}

/// The result of an order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gathered {
    /// Number of sockets that it was for.
    pub count: u64,
    /// To [`SocketDeed::Fetch`]: the sockets.
    pub sockets: Vec<SocketFacts>,
    /// To [`SocketDeed::Ask`]: the answers.
    pub answers: Vec<SocketAnswer>,
    /// To [`SocketDeed::Ask`]: the ids of the sockets without an answer.
    pub missing: Vec<Box<str>>,
    /// To [`SocketDeed::Survey`]: the numbers of sockets by namespace.
    pub namespaces: BTreeMap<Box<str>, u64>,
    /// To [`SocketDeed::Survey`]: the number of connections with Socket.IO.
    pub clients: u64,
    /// To [`SocketDeed::Survey`]: the number of those on polling.
    pub polling: u64,
    /// Whether something was left out, since it was too much.
    pub is_cut: bool,
    /// Bytes of all this.
    bytes: usize,
}

impl SocketOrder {
    /// Bytes that it takes on its way.
    pub(crate) fn bytes(&self) -> usize {
        let Rooms { to, except } = &self.rooms;
        let names = |list: &[Arc<str>]| list.iter().map(|name| size_of::<Arc<str>>() + name.len()).sum();
        let deed: usize = match &self.deed {
            SocketDeed::Join(rooms) | SocketDeed::Leave(rooms) => names(rooms),
            SocketDeed::Disconnect { .. } | SocketDeed::Fetch | SocketDeed::Survey { .. } => 0,
            SocketDeed::Ask(question) => question.data.len(),
        };
        let rooms: usize = names(to);
        let except: usize = names(except);
        size_of::<Self>() + rooms + except + deed
    }
}

impl Gathered {
    /// The part of so many sockets.
    pub(crate) fn of(count: usize) -> Self {
        Self { count: count as u64, ..Self::default() }
    }

    /// The count alone: the rest is left out.
    pub(crate) fn cut(self) -> Self {
        Self { count: self.count, is_cut: true, ..Self::default() }
    }

    /// Adds a socket, unless there is too much already.
    pub(crate) fn add_socket(&mut self, facts: SocketFacts) {
        if self.has_room(facts.bytes()) {
            self.sockets.push(facts);
        }
    }

    /// Counts sockets of a namespace.
    pub(crate) fn count_sockets(&mut self, namespace: &str, count: u64) {
        if let Some(counted) = self.namespaces.get_mut(namespace) {
            *counted += count;
        } else if self.has_room(2 * size_of::<Box<str>>() + namespace.len()) {
            self.namespaces.insert(namespace.into(), count);
        }
    }

    /// Adds a client's answer, or the id of a socket without one, unless there is too much already.
    pub(crate) fn add_answer(&mut self, answer: Result<SocketAnswer, Box<str>>) {
        match answer {
            Ok(answer) if self.has_room(answer.bytes()) => self.answers.push(answer),
            Err(id) if !id.is_empty() && self.has_room(size_of::<Box<str>>() + id.len()) => {
                self.missing.push(id)
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Adds another part, as far as there is room.
    pub(crate) fn add(&mut self, part: Self) {
        let Self { count, sockets, answers, missing, namespaces, clients, polling, is_cut, bytes: _ } = part;
        self.count += count;
        self.clients += clients;
        self.polling += polling;
        for (name, count) in namespaces {
            self.count_sockets(&name, count);
        }
        self.is_cut |= is_cut;
        sockets.into_iter().for_each(|facts| self.add_socket(facts));
        answers.into_iter().for_each(|answer| self.add_answer(Ok(answer)));
        missing.into_iter().for_each(|id| self.add_answer(Err(id)));
    }

    /// Bytes of what was gathered.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn has_room(&mut self, more: usize) -> bool {
        let fits = self.bytes + more <= GATHERED_BYTES_MAX;
        if fits {
            self.bytes += more;
        } else {
            self.is_cut = true;
        }
        fits
    }
}

impl SocketFacts {
    /// Bytes of all this.
    pub(crate) fn bytes(&self) -> usize {
        let Self { id, namespace, rooms, client, user, info, address, query, data, .. } = self;
        let texts = [id, namespace, client, user, address, query, data];
        let rooms: usize = rooms.iter().map(|room| size_of::<Box<str>>() + room.len()).sum();
        size_of::<Self>() + texts.iter().map(|text| text.len()).sum::<usize>() + info.len() + rooms
    }
}

impl SocketAnswer {
    fn bytes(&self) -> usize {
        let attachments: usize = self.attachments.iter().map(|one| size_of::<Box<[u8]>>() + one.len()).sum();
        size_of::<Self>() + self.id.len() + self.data.len() + attachments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: usize) -> SocketAnswer {
        SocketAnswer { id: "a".into(), data: "x".repeat(bytes).into(), attachments: Vec::new() }
    }

    #[test]
    fn parts_add_up_and_what_is_too_much_is_left_out_and_told() {
        let (mut sum, mut part) = (Gathered::of(1), Gathered::of(2));
        sum.add_answer(Ok(answer(10)));
        part.add_answer(Err("b".into()));
        part.add_socket(SocketFacts { id: "c".into(), ..SocketFacts::default() });
        sum.add(part);
        assert_eq!((sum.count, sum.answers.len(), sum.missing.len(), sum.sockets.len()), (3, 1, 1, 1));
        assert!(!sum.is_cut && sum.bytes() > 10);
        let mut large = Gathered::of(2);
        large.add_answer(Ok(answer(GATHERED_BYTES_MAX - 1000)));
        large.add_answer(Ok(answer(1000)));
        assert!(large.is_cut && large.answers.len() == 1);
        sum.add(large);
        assert_eq!((sum.count, sum.answers.len(), sum.is_cut), (5, 2, true));
        // A small one may still fit.
        sum.add_answer(Ok(answer(1)));
        assert_eq!(sum.answers.len(), 3);
    }
}
