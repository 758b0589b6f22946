//! Orders to the socket that a connection has in a namespace, and the facts about it.

use super::{Action, CloseReason, Context, Handler, Session, SocketReply};
use crate::hub::socket_order::{SocketFacts, SocketQuestion};

impl<S> Session<S> {
    /// Carries out an order to end the connection's socket in this namespace; with `close`, all of them and the connection.
    ///
    /// # Errors
    /// The reason for which the session ends.
    pub fn disconnect_socket<H: Handler<State = S>>(
        &mut self,
        namespace: &str,
        close: bool,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        match self {
            Self::SocketIo(session) => session.disconnect_socket(namespace, close, handler, cx),
            Self::Head(_)
            | Self::Raw(_)
            | Self::Engine(_)
            | Self::Centrifuge(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Ended => Ok(()),
        }
    }

    /// Sends the event of an order to the connection's socket in this namespace, unless it is to be dropped. The answer,
    /// or that there is none, is told by [`Action::SocketAnswered`], with the number.
    ///
    /// # Errors
    /// The reason for which the session ends.
    pub fn ask_socket(
        &mut self,
        namespace: &str,
        question: &SocketQuestion,
        (number, is_dropped): (u32, bool),
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        match self {
            Self::SocketIo(session) => session.ask_socket(namespace, question, (number, is_dropped), cx),
            Self::Head(_)
            | Self::Raw(_)
            | Self::Engine(_)
            | Self::Centrifuge(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Ended => {
                let reply = SocketReply { question: number, answer: Err(Box::default()) };
                cx.actions.push(Action::SocketAnswered(Box::new(reply)));
                Ok(())
            }
        }
    }

    /// The connection's socket in this namespace, as far as the session knows it.
    pub fn socket_facts<H: Handler<State = S>>(
        &mut self,
        namespace: &str,
        unix_ms: u64,
        handler: &mut H,
        cx: &mut Context<'_>,
    ) -> Option<SocketFacts> {
        match self {
            Self::SocketIo(session) => session.socket_facts(namespace, unix_ms, handler, cx),
            Self::Head(_)
            | Self::Raw(_)
            | Self::Engine(_)
            | Self::Centrifuge(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Ended => None,
        }
    }

    /// Visits the namespaces of the connection's sockets. Returns whether it may have any by its protocol.
    pub fn each_namespace(&self, visit: impl FnMut(&str)) -> bool {
        match self {
            Self::SocketIo(session) => {
                session.each_namespace(visit);
                true
            }
            Self::Head(_)
            | Self::Raw(_)
            | Self::Engine(_)
            | Self::Centrifuge(_)
            | Self::Away(_)
            | Self::Probe(_)
            | Self::Ended => false,
        }
    }
}
