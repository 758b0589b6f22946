//! Results as JSON, written into the answer. Fields with default values are left out, as in Centrifugo.

use std::sync::Arc;

use super::calls::Wrong;
use crate::base::payload::Payload;
use crate::hub::{ClientInfo, DataKind, Position, Publication};
use crate::node::{Failure, History, Info, PresenceStats};
use crate::proto::centrifuge::json::{put_data, put_payload, put_string};
use crate::proto::centrifuge::message::Data;

/// Writes the fields of an object, with commas between them.
pub(super) struct Fields<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_first: true }
    }

    /// Begins a field; the caller writes its value to the returned buffer.
    pub(super) fn field(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        put_string(self.out, name);
        self.out.push(b':');
        self.out
    }

    pub(super) fn number(&mut self, name: &str, number: u64) {
        let out = self.field(name);
        put_number(out, number);
    }

    fn number_unless_0(&mut self, name: &str, number: u64) {
        if number != 0 {
            self.number(name, number);
        }
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        put_string(self.field(name), text);
    }

    pub(super) fn text_unless_empty(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.text(name, text);
        }
    }

    pub(super) fn payload_unless_empty(&mut self, name: &str, payload: &Payload) {
        if !payload.is_empty() {
            put_payload(self.field(name), payload.get());
        }
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(number.to_string().as_bytes());
}

/// Writes the items of an array, or of an object without its braces, separated by commas.
pub(super) fn put_each<T>(
    out: &mut Vec<u8>,
    all: impl IntoIterator<Item = T>,
    mut put: impl FnMut(&mut Vec<u8>, T),
) {
    for (at, one) in all.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        put(out, one);
    }
}

/// Writes an error object.
pub(super) fn put_error(out: &mut Vec<u8>, wrong: &Wrong) {
    let mut fields = Fields::begin(out);
    fields.number("code", wrong.error.code.into());
    fields.text("message", &wrong.error.message);
    fields.text_unless_empty("detail", &wrong.detail);
    fields.end();
}

/// Begins an answer with an error, without its last brace, so that fields can follow.
pub(super) fn begin_failed(out: &mut Vec<u8>, wrong: &Wrong) {
    out.push(b'{');
    put_error_field(out, wrong);
}

/// Begins a line that answers command `id`; 0 for no id. The field `result` or `error` must follow.
pub(super) fn begin_line(out: &mut Vec<u8>, id: u32) {
    out.push(b'{');
    if id != 0 {
        out.extend_from_slice(b"\"id\":");
        put_number(out, id.into());
        out.push(b',');
    }
}

/// Writes the field `error`.
pub(super) fn put_error_field(out: &mut Vec<u8>, wrong: &Wrong) {
    out.extend_from_slice(b"\"error\":");
    put_error(out, wrong);
}

/// Writes the names of ignored fields, after other fields, if there are any.
pub(super) fn put_warnings(out: &mut Vec<u8>, unknown: &[String]) {
    if unknown.is_empty() {
        return;
    }
    if !out.ends_with(b"{") {
        out.push(b',');
    }
    out.extend_from_slice(b"\"warnings\":[");
    put_each(out, unknown, |out, field| put_string(out, &format!("unknown field: {field}")));
    out.push(b']');
}

pub(super) fn put_nothing(out: &mut Vec<u8>) {
    out.extend_from_slice(b"{}");
}

pub(super) fn put_position(out: &mut Vec<u8>, position: &Position) {
    let mut fields = Fields::begin(out);
    put_position_fields(&mut fields, position);
    fields.end();
}

fn put_position_fields(fields: &mut Fields<'_>, position: &Position) {
    fields.number_unless_0("offset", position.offset);
    fields.text_unless_empty("epoch", &position.epoch);
}

pub(super) fn put_responses(out: &mut Vec<u8>, positions: &[Result<Position, Failure>]) {
    out.extend_from_slice(b"{\"responses\":[");
    put_each(out, positions, |out, position| match position {
        Ok(position) => {
            out.extend_from_slice(b"{\"result\":");
            put_position(out, position);
            out.push(b'}');
        }
        Err(failure) => {
            begin_failed(out, &(*failure).into());
            out.push(b'}');
        }
    });
    out.extend_from_slice(b"]}");
}

fn put_client(out: &mut Vec<u8>, client: &ClientInfo) {
    let mut fields = Fields::begin(out);
    fields.text("user", &client.user);
    fields.text("client", &client.client);
    fields.payload_unless_empty("conn_info", &client.conn_info);
    fields.payload_unless_empty("chan_info", &client.chan_info);
    fields.end();
}

pub(super) fn put_presence(out: &mut Vec<u8>, clients: &[Arc<ClientInfo>]) {
    out.extend_from_slice(b"{\"presence\":{");
    put_each(out, clients, |out, client| {
        put_string(out, &client.client);
        out.push(b':');
        put_client(out, client);
    });
    out.extend_from_slice(b"}}");
}

pub(super) fn put_presence_stats(out: &mut Vec<u8>, stats: PresenceStats) {
    let mut fields = Fields::begin(out);
    fields.number("num_clients", stats.client_count.into());
    fields.number("num_users", stats.user_count.into());
    fields.end();
}

fn put_publication(out: &mut Vec<u8>, publication: &Publication) {
    let mut fields = Fields::begin(out);
    let data = fields.field("data");
    match publication.kind {
        DataKind::Json => data.extend_from_slice(&publication.data),
        DataKind::Text => put_data(data, Data::Text(&publication.data)),
        DataKind::Binary => put_data(data, Data::Binary(&publication.data)),
    }
    if let Some(info) = &publication.info {
        put_client(fields.field("info"), info);
    }
    fields.number_unless_0("offset", publication.offset);
    if !publication.tags.is_empty() {
        let tags = fields.field("tags");
        tags.push(b'{');
        put_each(tags, &publication.tags, |out, (name, value)| {
            put_string(out, name);
            out.push(b':');
            put_string(out, value);
        });
        tags.push(b'}');
    }
    fields.end();
}

pub(super) fn put_history(out: &mut Vec<u8>, history: &History) {
    let mut fields = Fields::begin(out);
    let publications = fields.field("publications");
    publications.push(b'[');
    put_each(publications, &history.publications, |out, publication| put_publication(out, publication));
    publications.push(b']');
    // Always, as for clients: a reader that continues from a position needs one, also before the first publication.
    fields.number("offset", history.position.offset);
    fields.text("epoch", &history.position.epoch);
    fields.end();
}

pub(super) fn put_channels(out: &mut Vec<u8>, channels: &[(Arc<str>, usize)]) {
    out.extend_from_slice(b"{\"channels\":{");
    put_each(out, channels, |out, (name, count)| {
        put_string(out, name);
        out.extend_from_slice(b":{\"num_clients\":");
        put_number(out, *count as u64);
        out.push(b'}');
    });
    out.extend_from_slice(b"}}");
}

pub(super) fn put_info(out: &mut Vec<u8>, info: &Info, user_count: u64) {
    out.extend_from_slice(b"{\"nodes\":[");
    let mut fields = Fields::begin(out);
    fields.text("uid", &info.uid);
    fields.text("name", &info.name);
    fields.text("version", info.version);
    fields.number("num_clients", info.client_count);
    fields.number("num_users", user_count);
    fields.number("num_channels", info.channel_count);
    fields.number("num_subs", info.subscription_count);
    fields.number("uptime", info.uptime_s);
    fields.end();
    out.extend_from_slice(b"]}");
}

pub(super) fn put_called(out: &mut Vec<u8>, result: &Payload) {
    let mut fields = Fields::begin(out);
    fields.payload_unless_empty("data", result);
    fields.end();
}
