//! The part of the request that opened a session which is kept as long as the session: its clients connect later, and
//! each of them may need it.

use crate::proto::http::Request;
use crate::session::Endpoints;

/// Parameters of the query that belong to Engine.IO; the others are the application's.
const OWN_PARAMETERS: [&str; 6] = ["EIO", "transport", "sid", "t", "b64", "j"];

/// The kept part of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::session) struct EngineOpening {
    /// The application's part of the query, as it was written.
    pub(in crate::session) query: Box<str>,
    /// The token of the cookie; empty for none.
    pub(in crate::session) token: Box<str>,
    /// The kept headers: names in lower case, and values.
    pub(in crate::session) headers: Box<[(String, String)]>,
}

impl EngineOpening {
    /// The kept part of this request; `None` if nothing of it is kept, as with most.
    pub(in crate::session) fn of(request: &Request<'_>, endpoints: &Endpoints) -> Option<Box<Self>> {
        let (headers, token) = endpoints.kept(request);
        let query = of_application(request.query.unwrap_or_default());
        let opening = Self { query, token: token.into(), headers: headers.into() };
        (opening != Self::default()).then(|| Box::new(opening))
    }
}

/// The parameters of the query that are not Engine.IO's, as they were written.
fn of_application(query: &str) -> Box<str> {
    let is_own = |pair: &str| OWN_PARAMETERS.contains(&pair.split('=').next().unwrap_or_default());
    let others = query.split('&').filter(|pair| !pair.is_empty() && !is_own(pair));
    others.collect::<Vec<_>>().join("&").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_application_gets_its_own_parameters() {
        for (query, left) in [
            ("EIO=4&transport=websocket&t=Oxy", ""),
            ("token=a%20b&EIO=4&transport=websocket&&room=1", "token=a%20b&room=1"),
            ("", ""),
        ] {
            assert_eq!(&*of_application(query), left);
        }
    }

    #[test]
    fn only_what_is_needed_later_is_kept() {
        let head =
            b"GET /socket.io/?EIO=4&a=1 HTTP/1.1\r\nHost: h\r\nCookie: t=abc; u=x\r\nX-User: ann\r\n\r\n";
        let (request, _) = Request::parse(head, 1000).unwrap().unwrap();
        let opening = EngineOpening::of(&request, &Endpoints::default()).unwrap();
        assert_eq!((&*opening.query, &*opening.token, opening.headers.len()), ("a=1", "", 0));
        let endpoints = Endpoints {
            token_cookie: "t".to_owned(),
            kept_headers: vec!["x-user".to_owned()],
            ..Endpoints::default()
        };
        let opening = EngineOpening::of(&request, &endpoints).unwrap();
        assert_eq!((&*opening.token, opening.headers[0].1.as_str()), ("abc", "ann"));
        let (request, _) = Request::parse(b"GET /?EIO=4 HTTP/1.1\r\nHost: h\r\n\r\n", 1000).unwrap().unwrap();
        assert_eq!(EngineOpening::of(&request, &endpoints), None);
    }
}
