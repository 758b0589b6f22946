//! The connect hook of Socket.IO sockets: the part of its request that is theirs, and its answer.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::hook_wire::{Unusable, rejection, seconds};
use super::terms;
use crate::proto::json::{self, or_default, present};
use crate::proto::payload;
use crate::proto::socketio::effects::{self, STATE_BYTES_MAX};
use crate::shard::outside::{
    Credentials, Hook, Rejected, SocketClaim, SocketRejected, SocketTerms, SocketVerdict,
};
use crate::tls::Identity;

/// The fields of a request that describe a socket.
#[derive(Debug, Serialize)]
pub(super) struct ToldSocket<'a> {
    namespace: &'a str,
    sid: &'a str,
    query: &'a str,
    recovered: bool,
}

impl<'a> ToldSocket<'a> {
    pub(super) fn new(claim: &'a SocketClaim) -> Self {
        // A socket that is recovered is not asked about again.
        Self { namespace: &claim.namespace, sid: &claim.id, query: &claim.query, recovered: false }
    }
}

/// A client's verified certificate; not part of Centrifugo's protocol. It is in the body, where no client can forge
/// it.
#[derive(Debug, Serialize)]
pub(super) struct ToldCertificate<'a> {
    name: &'a str,
    sha256: String,
}

impl<'a> ToldCertificate<'a> {
    pub(super) fn new(identity: &'a Identity) -> Self {
        Self { name: &identity.name, sha256: HEXLOWER.encode(&identity.sha256) }
    }
}

#[derive(Debug, Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Option<SocketResult<'a>>,
    #[serde(borrow)]
    error: Option<ToldError<'a>>,
    disconnect: Option<super::hook_wire::ToldDisconnect>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ToldError<'a> {
    #[serde(deserialize_with = "or_default")]
    code: u32,
    #[serde(deserialize_with = "or_default")]
    message: String,
    #[serde(deserialize_with = "or_default")]
    temporary: bool,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct SocketResult<'a> {
    user: Option<String>,
    expire_at: Option<i64>,
    #[serde(borrow, default, deserialize_with = "present")]
    info: Option<&'a RawValue>,
    b64info: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    state: Option<&'a RawValue>,
    rooms: Option<Vec<String>>,
    #[serde(rename = "do", borrow)]
    effects: Option<&'a RawValue>,
}

impl SocketResult<'_> {
    fn terms(self) -> Result<SocketTerms, Unusable> {
        let credentials = Credentials {
            user: self.user.unwrap_or_default(),
            info: payload::read(self.info, self.b64info.as_deref())?,
            expire_at_s: seconds(self.expire_at),
            ..Credentials::default()
        };
        let state = self.state.map(terms::one_line).unwrap_or_default();
        if state.len() > STATE_BYTES_MAX {
            return Err(Unusable::Answer(format!("result: state: more than {STATE_BYTES_MAX} bytes")));
        }
        let effects = self.effects.map_or("", RawValue::get);
        if !effects.is_empty() {
            effects::read_list(effects).map_err(|why| Unusable::Answer(format!("result: {why}")))?;
        }
        let effects = effects.to_owned();
        Ok(SocketTerms { credentials, state, rooms: self.rooms.unwrap_or_default(), effects })
    }
}

/// The verdict of an answer.
///
/// # Errors
/// The defect of the answer.
pub(super) fn verdict(answer: &[u8]) -> Result<SocketVerdict, Unusable> {
    let answer: Option<Answer<'_>> =
        json::from_slice(answer).map_err(|error| Unusable::Answer(error.to_string()))?;
    let refused = |rejected, data| Ok(Err(SocketRejected { rejected, data }));
    let Some(Answer { result, error, disconnect }) = answer else {
        return refused(Rejected::NoCredentials, Vec::new());
    };
    if let Some(disconnect) = disconnect {
        return refused(disconnect.rejected().map_err(Unusable::Answer)?, Vec::new());
    }
    if let Some(ToldError { code, message, temporary, data }) = error {
        let rejected =
            rejection(Hook::SocketConnect, (code, message, temporary)).map_err(Unusable::Answer)?;
        return refused(rejected, data.map(terms::one_line).unwrap_or_default());
    }
    match result {
        Some(result) => Ok(Ok(Box::new(result.terms()?))),
        None => refused(Rejected::NoCredentials, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::words::Denied;

    #[test]
    fn answers_say_who_it_is_or_why_not() {
        let terms = verdict(
            br#"{"result":{"user":"ann","info":{"n": 1},"expire_at":9,"state":{"a":1},"rooms":["r","s"],"other":1}}"#,
        );
        let terms = terms.unwrap().unwrap();
        assert_eq!((&*terms.credentials.user, &*terms.credentials.info), ("ann", &br#"{"n": 1}"#[..]));
        assert_eq!((terms.credentials.expire_at_s, &*terms.state), (9, &br#"{"a":1}"#[..]));
        assert_eq!((terms.rooms, &*terms.effects), (vec!["r".to_owned(), "s".to_owned()], ""));
        let does = verdict(br#"{"result":{"do":[{"join":{"rooms":"r"}}]}}"#).unwrap().unwrap();
        assert_eq!(does.effects, r#"[{"join":{"rooms":"r"}}]"#);
        let refused = |answer: &[u8]| verdict(answer).unwrap().unwrap_err();
        for nothing in [&b"null"[..], b"{}", br#"{"result":null}"#] {
            assert_eq!(refused(nothing).rejected, Rejected::NoCredentials);
        }
        let told = refused(br#"{"error":{"code":1000,"message":"no","data":{"why":[1]}}}"#);
        assert_eq!(told.data, br#"{"why":[1]}"#);
        let custom = Denied::Custom { code: 1000, message: "no".into(), temporary: false };
        assert_eq!(told.rejected, Rejected::Denied(custom));
        assert_eq!(refused(br#"{"error":{"code":109}}"#).rejected, Rejected::TokenExpired);
        let told = refused(br#"{"disconnect":{"code":4500,"reason":"go"}}"#);
        assert_eq!(told.rejected, Rejected::Disconnect { code: 4500, reason: "go".to_owned() });
        for wrong in [
            &br#"{"error":{"code":3}}"#[..],
            br#"{"disconnect":{"code":3500}}"#,
            br#"{"result":{"rooms":"r"}}"#,
            br#"{"result":{"b64info":"?"}}"#,
            br#"{"result":{"do":[{"ack":{}}]}}"#,
            br#"{"result":{"do":[{"emit":{"event":"connect"}}]}}"#,
            b"",
        ] {
            assert!(verdict(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
        let with_state = |bytes| format!("{{\"result\":{{\"state\":\"{}\"}}}}", "x".repeat(bytes));
        assert!(verdict(with_state(STATE_BYTES_MAX - 2).as_bytes()).is_ok());
        let why = verdict(with_state(STATE_BYTES_MAX - 1).as_bytes()).unwrap_err().to_string();
        assert!(why.contains("state: more than 65536 bytes"), "{why}");
    }
}
