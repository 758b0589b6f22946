//! Headers for hooks: which headers of a request and of a connect command are kept, and their sources.
//!
//! Headers of a request and headers that a client sets in its connect command are kept apart: a proxy can set or
//! remove headers of a request, but not those of a command. Each hook's configuration selects from both. Addresses
//! come from neither: see `tell_address` in [`crate::shard::carry::layers`].

use super::Clients;
use crate::base::slots::Key;
use crate::shard::World;
use crate::shard::outside::Headers;

impl<W: World> Clients<W> {
    /// The headers for the connect hook: those of the request, and those of the command that hooks are configured to
    /// receive.
    pub(in crate::shard) fn headers_of(
        &mut self,
        key: Key,
        mut request: Vec<(String, String)>,
        said: &[(String, String)],
    ) -> Headers {
        let carry = &mut self.channels.carry;
        if !carry.settings.endpoints.kept_headers.is_empty() {
            carry.tell_address(key, &mut request);
        }
        let mut emulated: Vec<(String, String)> = Vec::new();
        for (name, value) in said {
            let name = name.to_ascii_lowercase();
            if !self.channels.carry.settings.endpoints.emulated_headers.contains(&name) {
                self.note_unused(&name);
                continue;
            }
            // The last value of a name counts, as in JSON.
            match emulated.iter_mut().find(|(had, _)| *had == name) {
                Some((_, had)) => had.clone_from(value),
                None => emulated.push((name, value.clone())),
            }
        }
        Headers { request, emulated }
    }

    /// Logs, once, that a client's header is not passed on although its name is in some hook's `http_headers`.
    fn note_unused(&mut self, name: &String) {
        if !self.has_told_unused_header && self.channels.carry.settings.endpoints.kept_headers.contains(name)
        {
            self.has_told_unused_header = true;
            tracing::info!(
                header = name,
                "a client's connect command has a header that is forwarded only from HTTP requests (http_headers); \
                 it is not forwarded (emulated_headers would forward it)"
            );
        }
    }

    /// Keeps the headers for later hooks.
    pub(in crate::shard) fn keep_headers(&mut self, key: Key, headers: &Headers) {
        let carry = &mut self.channels.carry;
        let endpoints = &carry.settings.endpoints;
        let lasting = |headers: &[(String, String)], names: &[String]| {
            headers.iter().filter(|(name, _)| names.contains(name)).cloned().collect::<Vec<_>>()
        };
        let request = lasting(&headers.request, &endpoints.lasting_headers);
        let emulated = lasting(&headers.emulated, &endpoints.lasting_emulated_headers);
        if request.is_empty() && emulated.is_empty() {
            // An earlier connect command that was refused may have had some.
            if let Some(client) = carry.client_mut(key) {
                client.headers = None;
            }
        } else if let Some(client) = carry.client_or_new(key) {
            client.headers = Some(Box::new(Headers { request, emulated }));
        }
    }
}
