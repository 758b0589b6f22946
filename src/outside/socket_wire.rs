//! The connect hook of Socket.IO sockets: the part of its request that is theirs, and its answer.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::hook_wire::{Unusable, rejection, seconds};
use super::terms;
use crate::proto::json::{self, or_default, present};
use crate::proto::payload;
use crate::shard::outside::{
    Credentials, Hook, Rejected, SocketClaim, SocketRejected, SocketTerms, SocketVerdict,
};

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
}

impl SocketResult<'_> {
    fn terms(self) -> Result<SocketTerms, &'static str> {
        let credentials = Credentials {
            user: self.user.unwrap_or_default(),
            info: payload::read(self.info, self.b64info.as_deref())?,
            expire_at_s: seconds(self.expire_at),
            ..Credentials::default()
        };
        let state = self.state.map(terms::one_line).unwrap_or_default();
        Ok(SocketTerms { credentials, state, rooms: self.rooms.unwrap_or_default() })
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
        assert_eq!(terms.rooms, ["r", "s"]);
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
            b"",
        ] {
            assert!(verdict(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
