//! Transports of the Centrifuge protocol: one table for configuration, endpoints, hooks and metrics.

/// The transport of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// WebSocket, in both directions.
    WebSocket,
    /// Server-sent events; commands come by POST.
    Sse,
    /// A streaming response; commands come by POST.
    HttpStream,
    /// WebSocket without commands.
    UniWebSocket,
    /// Server-sent events without commands.
    UniSse,
    /// A streaming response without commands.
    UniHttpStream,
}

/// The framing of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A WebSocket frame around a group of messages.
    WebSocket,
    /// An event (`data:` lines and an empty one) around a group of messages.
    Events,
    /// None: in JSON each message is a line, in Protobuf each has its length.
    Stream,
}

/// The properties of a transport.
struct Row {
    transport: Transport,
    /// Name for hooks and metrics, and section of a configuration.
    name: &'static str,
    path: &'static str,
    framing: Framing,
    is_uni: bool,
    /// Request methods that open it.
    methods: &'static [&'static str],
}

/// The transports, in the order of the variants.
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
    /// Number of transports.
    pub const COUNT: usize = 6;
    /// All transports, each at its [`Transport::index`].
    pub const ALL: [Self; Self::COUNT] = {
        let mut all = [Self::WebSocket; Self::COUNT];
        let mut at = 0;
        while at < Self::COUNT {
            all[at] = TABLE[at].transport;
            at += 1;
        }
        all
    };

    /// Index in [`Transport::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    const fn row(self) -> &'static Row {
        const ROWS: &[Row; Transport::COUNT] = &TABLE;
        &ROWS[self.index()]
    }

    /// Name for hooks and metrics, and section of a configuration.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The default path.
    pub const fn usual_path(self) -> &'static str {
        self.row().path
    }

    /// Whether the client sends only its first message.
    pub const fn is_uni(self) -> bool {
        self.row().is_uni
    }

    /// The framing of messages.
    pub const fn framing(self) -> Framing {
        self.row().framing
    }

    /// Whether its clients post their commands (to [`super::Serves::Emulation`]).
    pub fn is_emulated(self) -> bool {
        !self.is_uni() && self.framing() != Framing::WebSocket
    }

    /// Request methods that open it.
    pub(super) const fn methods(self) -> &'static [&'static str] {
        self.row().methods
    }
}

/// The kind of an open session in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionKind {
    /// The Centrifuge protocol over this transport.
    Centrifuge(Transport),
    /// An embedder's endpoint.
    Raw,
    /// Socket.IO over WebSocket.
    SocketIo,
    /// Socket.IO over HTTP long-polling.
    SocketIoPolling,
}

impl SessionKind {
    /// Its number in counters.
    pub(crate) const fn number(self) -> usize {
        match self {
            Self::Centrifuge(transport) => transport.index(),
            Self::Raw => Transport::COUNT,
            Self::SocketIo => Transport::COUNT + 1,
            Self::SocketIoPolling => Transport::COUNT + 2,
        }
    }

    /// Its name in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Centrifuge(transport) => transport.name(),
            Self::Raw => "raw",
            Self::SocketIo => "socketio",
            Self::SocketIoPolling => "socketio_polling",
        }
    }

    /// Whether its clients connect by a command that names their program.
    pub(crate) const fn is_named(self) -> bool {
        matches!(self, Self::Centrifuge(_))
    }
}

/// All kinds.
pub(crate) fn kinds() -> impl Iterator<Item = SessionKind> {
    let transports = Transport::ALL.into_iter().map(SessionKind::Centrifuge);
    transports.chain([SessionKind::Raw, SessionKind::SocketIo, SessionKind::SocketIoPolling])
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
