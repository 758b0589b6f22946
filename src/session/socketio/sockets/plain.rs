//! Arguments of either parser, as the application reads them.

use crate::proto::socketio::{
    Args, AttachmentStore, Attachments, JsonArgs, MsgPackArgs, SocketError, msgpack,
};
use crate::session::CloseReason;
use crate::session::socketio::malformed;

/// Arguments in msgpack, as JSON and attachments; empty for arguments that are JSON.
#[derive(Default)]
pub(in crate::session::socketio) struct Plain {
    list: String,
    attachments: AttachmentStore,
}

impl Plain {
    pub(in crate::session::socketio) fn of(args: Args<'_>) -> Result<Self, CloseReason> {
        match args {
            Args::Json(_) => Ok(Self::default()),
            Args::MsgPack(args) => Self::unpacked(args).map_err(malformed),
        }
    }

    fn unpacked(args: MsgPackArgs<'_>) -> Result<Self, SocketError> {
        let (mut list, mut attachments) = (b"[".to_vec(), AttachmentStore::default());
        msgpack::args_to_json(args, &mut list, &mut attachments)?;
        list.push(b']');
        let list = String::from_utf8(list).map_err(|_| SocketError::MsgPack)?;
        Ok(Self { list, attachments })
    }

    pub(in crate::session::socketio) fn read<'p>(
        &'p self,
        args: Args<'p>,
        attachments: Attachments<'p>,
    ) -> Result<(JsonArgs<'p>, Attachments<'p>), CloseReason> {
        match args {
            Args::Json(args) => Ok((args, attachments)),
            Args::MsgPack(_) => {
                let args = JsonArgs::of_list(&self.list).map_err(malformed)?;
                Ok((args, self.attachments.get()))
            }
        }
    }
}
