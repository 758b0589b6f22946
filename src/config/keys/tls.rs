//! The flat keys of TLS.

use super::super::{Config, Slot};
use super::{Group, Key};

const fn tls(name: &'static str, help: &'static str, slot: fn(&mut Config) -> Slot<'_>) -> Key {
    Key { name, group: Group::Tls, help, otherwise: None, slot }
}

pub(super) const CERT: Key = tls(
    "tls_cert",
    "Certificate chain in PEM; connections then use TLS. May be repeated: the client's server name (SNI) selects \
    one, the first is the default. Reloaded when the file changes and on SIGHUP",
    |c| Slot::Files(&mut c.tls.cert),
)
.otherwise("none");

pub(super) const KEY: Key =
    tls("tls_key", "Private key of a certificate in PEM; one for each tls_cert, in the same order", |c| {
        Slot::Files(&mut c.tls.key)
    })
    .otherwise("none");

pub(super) const SELF_SIGNED: Key = tls(
    "tls_self_signed",
    "Generate a certificate for localhost and the addresses of listen at start, for development",
    |c| Slot::Switch(&mut c.tls.self_signed),
);

pub(super) const CLIENT_CA: Key = tls(
    "tls_client_ca",
    "Certificate authorities in PEM: clients are asked for a certificate that one of them issued (mTLS); may be \
    repeated",
    |c| Slot::Files(&mut c.tls.client_ca),
)
.otherwise("none");

pub(super) const CLIENT_CERT: Key =
    tls("tls_client_cert", "Whether a client without such a certificate is refused", |c| {
        Slot::Either(&mut c.tls.requires_client_cert, ["optional", "required"])
    });

pub(super) const MIN_VERSION: Key = tls("tls_min_version", "Oldest TLS version that is accepted", |c| {
    Slot::Either(&mut c.tls.only_tls13, ["1.2", "1.3"])
});

pub(super) const TICKET_ROTATION: Key = tls(
    "tls_ticket_rotation_ms",
    "Time for which one key seals session tickets; a ticket is valid for at most twice as long",
    |c| Slot::Milliseconds(&mut c.tls.ticket_rotation_ms, 60_000..=crate::tls::ROTATION_S_MAX as u64 * 1000),
);
