//! The flat keys of TLS.

use super::super::{Config, Slot};
use super::{Group, Key};

const fn tls(name: &'static str, help: &'static str, slot: fn(&mut Config) -> Slot<'_>) -> Key {
    Key { name, group: Group::Tls, help, otherwise: None, slot }
}

pub(super) const CERT: Key = tls(
    "tls_cert",
    "File with a certificate and its issuers' in PEM: connections are TLS; may be repeated, clients choose by name (SNI), \
    the first is for all others. Read anew when it changes, and on SIGHUP",
    |c| Slot::Files(&mut c.tls.cert),
)
.otherwise("none");

pub(super) const KEY: Key = tls(
    "tls_key",
    "File with the key of a certificate in PEM; as many as tls_cert, in the same order",
    |c| Slot::Files(&mut c.tls.key),
)
.otherwise("none");

pub(super) const SELF_SIGNED: Key = tls(
    "tls_self_signed",
    "Make a certificate for localhost and the addresses of listen at the start, for development",
    |c| Slot::Switch(&mut c.tls.self_signed),
);

pub(super) const CLIENT_CA: Key = tls(
    "tls_client_ca",
    "File with authorities in PEM: clients are asked for certificates of theirs; may be repeated",
    |c| Slot::Files(&mut c.tls.client_ca),
)
.otherwise("none");

pub(super) const CLIENT_CERT: Key =
    tls("tls_client_cert", "Whether a client without such a certificate is refused", |c| {
        Slot::Either(&mut c.tls.requires_client_cert, ["optional", "required"])
    });

pub(super) const MIN_VERSION: Key = tls("tls_min_version", "The oldest version of TLS that is spoken", |c| {
    Slot::Either(&mut c.tls.only_tls13, ["1.2", "1.3"])
});

pub(super) const TICKET_ROTATION: Key = tls(
    "tls_ticket_rotation_ms",
    "How long session tickets are sealed with one key; a ticket is good for at most twice as long",
    |c| Slot::Milliseconds(&mut c.tls.ticket_rotation_ms, 60_000..=crate::tls::ROTATION_S_MAX as u64 * 1000),
);
