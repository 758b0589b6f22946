//! What carries connections of the Centrifuge protocol: one table, which configuration, endpoints, hooks and metrics go by.

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// WebSocket, both ways.
    WebSocket,
    /// Server-sent events; commands come by POST.
    Sse,
    /// A response without an end; commands come by POST.
    HttpStream,
    /// WebSocket without commands.
    UniWebSocket,
    /// Server-sent events without commands.
    UniSse,
    /// A response without an end, and without commands.
    UniHttpStream,
}

/// What stands around messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A WebSocket frame around those that go together.
    WebSocket,
    /// An event (`data:` lines and an empty one) around those that go together.
    Events,
    /// Nothing: in JSON each is a line, in Protobuf each has its length.
    Stream,
}

/// What is known of a transport.
struct Row {
    transport: Transport,
    /// Its name for hooks and metrics, and its section in a configuration.
    name: &'static str,
    path: &'static str,
    framing: Framing,
    is_uni: bool,
    /// Methods that open it.
    methods: &'static [&'static str],
}

/// In the order of the variants.
const TABLE: [Row; Transport::COUNT] = [
    Row {
        transport: Transport::WebSocket,
        name: "websocket",
        path: "/connection/websocket",
        framing: Framing::WebSocket,
        is_uni: false,
        methods: &["GET"],
    },
    Row {
        transport: Transport::Sse,
        name: "sse",
        path: "/connection/sse",
        framing: Framing::Events,
        is_uni: false,
        methods: &["GET", "POST"],
    },
    Row {
        transport: Transport::HttpStream,
        name: "http_stream",
        path: "/connection/http_stream",
        framing: Framing::Stream,
        is_uni: false,
        methods: &["POST"],
    },
    Row {
        transport: Transport::UniWebSocket,
        name: "uni_websocket",
        path: "/connection/uni_websocket",
        framing: Framing::WebSocket,
        is_uni: true,
        methods: &["GET"],
    },
    Row {
        transport: Transport::UniSse,
        name: "uni_sse",
        path: "/connection/uni_sse",
        framing: Framing::Events,
        is_uni: true,
        methods: &["GET", "POST"],
    },
    Row {
        transport: Transport::UniHttpStream,
        name: "uni_http_stream",
        path: "/connection/uni_http_stream",
        framing: Framing::Stream,
        is_uni: true,
        methods: &["POST"],
    },
];

impl Transport {
    /// How many there are.
    pub const COUNT: usize = 6;
    /// All of them, each at the place of its [`Transport::index`].
    pub const ALL: [Self; Self::COUNT] = {
        let mut all = [Self::WebSocket; Self::COUNT];
        let mut at = 0;
        while at < Self::COUNT {
            all[at] = TABLE[at].transport;
            at += 1;
        }
        all
    };

    /// Its place in [`Transport::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    const fn row(self) -> &'static Row {
        const ROWS: &[Row; Transport::COUNT] = &TABLE;
        &ROWS[self.index()]
    }

    /// Its name for hooks and metrics, and its section in a configuration.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The path at which clients expect it.
    pub const fn usual_path(self) -> &'static str {
        self.row().path
    }

    /// Whether the client sends nothing but its first message.
    pub const fn is_uni(self) -> bool {
        self.row().is_uni
    }

    /// What stands around messages.
    pub const fn framing(self) -> Framing {
        self.row().framing
    }

    /// Whether its clients post their commands (to [`super::Serves::Emulation`]).
    pub fn is_emulated(self) -> bool {
        !self.is_uni() && self.framing() != Framing::WebSocket
    }

    /// Methods of requests that open it.
    pub(super) const fn methods(self) -> &'static [&'static str] {
        self.row().methods
    }
}

/// The number by which sessions are counted: the transport's, and the next one for raw endpoints, which have none.
pub const fn kind_of(transport: Option<Transport>) -> usize {
    match transport {
        Some(transport) => transport.index(),
        None => Transport::COUNT,
    }
}

/// Every number of [`kind_of`] with its name in metrics.
pub fn kinds() -> impl Iterator<Item = (usize, &'static str)> {
    let transports = Transport::ALL.into_iter().map(|transport| (transport.index(), transport.name()));
    transports.chain([(kind_of(None), "raw")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_transport_has_the_row_that_is_its_own() {
        for (at, transport) in Transport::ALL.into_iter().enumerate() {
            assert_eq!((transport.index(), transport.row().transport), (at, transport));
            assert_eq!(transport.usual_path(), format!("/connection/{}", transport.name()));
            assert_eq!(transport.is_uni(), transport.name().starts_with("uni_"));
        }
    }
}
