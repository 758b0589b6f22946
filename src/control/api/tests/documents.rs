//! The examples in `docs/SERVER_API.md` are accepted and have the documented answers; its tables name all fields.

use std::collections::BTreeSet;
use std::fs;

use super::*;

fn page() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/SERVER_API.md")).unwrap()
}

/// All texts between two marks.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open).skip(1).filter_map(move |rest| Some(rest.split_once(close)?.0))
}

#[test]
fn the_examples_are_answered_as_the_page_says() {
    let page = page();
    let mut shards = Shards::new(ApiOptions::default());
    let requests: Vec<_> = between(&page, "```sh\n", "```").collect();
    let answers: Vec<_> = between(&page, "```json\n", "```").collect();
    assert_eq!(requests.len(), answers.len());
    let mut untold: BTreeSet<_> = METHODS.into_iter().chain([BATCH]).collect();
    for (request, told) in requests.into_iter().zip(answers) {
        let method = between(request, "/api/", " ").next().unwrap();
        let body = between(request, "-d '", "'").next().unwrap();
        let mut told: Value = serde_json::from_str(told).unwrap_or_else(|error| panic!("{method}: {error}"));
        if method == "info" {
            told["result"]["nodes"][0]["version"] = env!("CARGO_PKG_VERSION").into();
        }
        let answer: Value = serde_json::from_str(&shards.ask(method, body).unwrap()).unwrap();
        assert_eq!(answer, told, "{method} {body}");
        untold.remove(method);
    }
    assert_eq!(untold, BTreeSet::new(), "methods without an example");
}

#[test]
fn the_tables_name_the_fields_that_there_are() {
    let page = page();
    let document: Value = serde_json::from_str(&openapi::text()).unwrap();
    for method in METHODS.into_iter().chain([BATCH]) {
        let title = format!("\n## {method}\n");
        let section = between(&page, &title, "\n## ").next().unwrap_or_else(|| panic!("{method}"));
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let cells = rows.filter_map(|row| row.split('|').nth(1));
        let told: BTreeSet<_> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        let path = format!("/paths/~1api~1{method}/post/requestBody/content/application~1json/schema/$ref");
        let schema = document.pointer(&path).unwrap().as_str().unwrap().trim_start_matches('#');
        let properties = &document.pointer(schema).unwrap()["properties"];
        let fields: BTreeSet<_> = properties.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(told, fields, "{method}");
    }
}
