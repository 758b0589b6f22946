//! The configuration, as requests find it.

use crate::config::Config;
use crate::session::Endpoints;

/// The first page: connects, joins a channel, shows who is there, sends and receives.
const PAGE: &str = include_str!("page.html");

/// The endpoints of a configuration; `node` is this process's id.
pub fn endpoints(config: &Config, node: &str) -> Endpoints {
    let paths = &config.paths;
    let connect = config.outside.connect.as_ref();
    Endpoints {
        websocket: config.websocket_path.clone(),
        sse: paths.sse.clone(),
        http_stream: paths.http_stream.clone(),
        emulation: paths.emulation.clone(),
        uni_websocket: paths.uni_websocket.clone(),
        uni_sse: paths.uni_sse.clone(),
        uni_http_stream: paths.uni_http_stream.clone(),
        allowed_origins: config.client.allowed_origins.clone(),
        kept_headers: connect.map_or_else(Vec::new, |hook| hook.http_headers.clone()),
        token_cookie: config.client.token_cookie.clone(),
        page: config.page.or(config.first_page.then_some(PAGE)),
        node: node.to_owned(),
    }
}
