//! Check of messages against the channel's `publication_data_format`.

use crate::hub::DataKind;
use crate::hub::options::DataFormat;
use crate::proto::json;

/// Whether a message of this kind may be published in a channel of this format (else error 107).
pub(crate) fn fits(format: DataFormat, kind: DataKind, data: &[u8]) -> bool {
    let is_json = || kind == DataKind::Json || json::is_value(data);
    match format {
        DataFormat::Any | DataFormat::Binary => true,
        DataFormat::Json => is_json(),
        DataFormat::JsonObject => data.trim_ascii_start().starts_with(b"{") && is_json(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_take_what_they_say() {
        use DataFormat::{Any, Binary, Json, JsonObject};
        for (data, taken) in [
            (&b""[..], &[Any, Binary][..]),
            (b"hello", &[Any, Binary]),
            (b"{", &[Any, Binary]),
            (b"\"\xff\"", &[Any, Binary]),
            (b"5", &[Any, Json, Binary]),
            (b" [1]", &[Any, Json, Binary]),
            (b" {\"a\": 1} ", &[Any, Json, JsonObject, Binary]),
        ] {
            for format in [Any, Json, JsonObject, Binary] {
                assert_eq!(
                    fits(format, DataKind::Binary, data),
                    taken.contains(&format),
                    "{format:?} {data:?}"
                );
            }
        }
        assert!(fits(Json, DataKind::Json, b"1") && !fits(JsonObject, DataKind::Json, b"[]"));
    }
}
