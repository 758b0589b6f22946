//! Assembles the packets of one client from its messages: a packet with attachments takes several.
//!
//! Invariant: between two packets an assembler is a null pointer, and it never holds more than its limits.

use super::attachments::{AttachmentLimits, AttachmentStore};
use super::read::read;
use super::{Packet, SocketError, SocketProtocol};

/// Collects the attachments of a packet.
#[derive(Debug, Default)]
pub struct Assembler(Option<Box<Pending>>);

#[derive(Debug)]
struct Pending {
    whole: Assembled,
    wanted: usize,
}

/// A packet with all its attachments.
#[derive(Debug)]
pub struct Assembled {
    protocol: SocketProtocol,
    text: Box<str>,
    attachments: AttachmentStore,
}

impl Assembler {
    /// Takes a message of text. Returns the packet, or `None` when attachments follow.
    ///
    /// # Errors
    /// When it is malformed, or an attachment is expected. After an error the connection must be closed.
    pub fn text<'a>(
        &mut self,
        protocol: SocketProtocol,
        limits: AttachmentLimits,
        text: &'a str,
    ) -> Result<Option<Packet<'a>>, SocketError> {
        if self.0.is_some() {
            return Err(SocketError::TextForAttachment);
        }
        let (packet, wanted) = read(protocol, text, limits.count_max)?;
        if wanted == 0 {
            return Ok(Some(packet));
        }
        if text.len() > limits.bytes_max {
            return Err(SocketError::AttachmentBytes);
        }
        let whole = Assembled { protocol, text: text.into(), attachments: AttachmentStore::default() };
        self.0 = Some(Box::new(Pending { whole, wanted }));
        Ok(None)
    }

    /// Takes a binary message. Returns the packet when it was its last attachment.
    ///
    /// # Errors
    /// When no attachment is expected, or the limit of bytes is exceeded. After an error the connection must be closed.
    pub fn binary(
        &mut self,
        limits: AttachmentLimits,
        data: &[u8],
    ) -> Result<Option<Assembled>, SocketError> {
        let mut pending = self.0.take().ok_or(SocketError::StrayBinary)?;
        let whole = &mut pending.whole;
        let bytes = whole.text.len().saturating_add(whole.attachments.bytes()).saturating_add(data.len());
        if bytes > limits.bytes_max {
            return Err(SocketError::AttachmentBytes);
        }
        whole.attachments.push(data);
        if whole.attachments.get().count() == pending.wanted {
            return Ok(Some(pending.whole));
        }
        self.0 = Some(pending);
        Ok(None)
    }

    /// Whether an attachment is expected next.
    pub fn is_collecting(&self) -> bool {
        self.0.is_some()
    }

    /// Bytes that it holds beside its own size.
    pub fn held_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |pending| {
            size_of::<Pending>() + pending.whole.text.len() + pending.whole.attachments.held_bytes()
        })
    }
}

impl Assembled {
    /// The packet.
    ///
    /// # Errors
    /// None: the text was read without an error before.
    pub fn packet(&self) -> Result<Packet<'_>, SocketError> {
        let (packet, _) = read(self.protocol, &self.text, usize::MAX)?;
        Ok(Packet { attachments: self.attachments.get(), ..packet })
    }
}
