//! The assignment of the application's answers to a client's commands. They were matched by the command's id, which
//! the client chooses: of two with one id, the first got any answer that came first, so that a channel could be
//! entered with the answer for another one, and a command of another kind got no answer at all.

use serde_json::{Value, json};
use throng::parts::outside::mint;

use crate::support::application::{Application, Question, hook};
use crate::support::{Client, Server};

fn server(application: &Application) -> Server {
    application.server(|application| {
        json!({
            "client": {"token": {"hmac_secret_key": "between us"}, "concurrency": 8},
            "channel": {
                "proxy": {
                    "subscribe": hook(application, "subscribe"),
                    "publish": hook(application, "publish"),
                    "sub_refresh": hook(application, "sub_refresh"),
                },
                "without_namespace": {
                    "subscribe_proxy_enabled": true,
                    "publish_proxy_enabled": true,
                    "sub_refresh_proxy_enabled": true,
                    "allow_presence_for_subscriber": true,
                    "presence": true,
                },
            },
        })
    })
}

fn ann(server: &Server) -> Client {
    Client::with_token(server.address, &mint(b"between us", br#"{"sub":"ann"}"#))
}

fn allowed() -> Value {
    json!({"result": {}})
}

fn refused() -> Value {
    json!({"error": {"code": 403, "message": "no"}})
}

/// The next two questions, by their channels.
fn two(application: &Application, hooks: [&str; 2]) -> [Question; 2] {
    let mut questions = [application.any_question(), application.any_question()];
    questions.sort_by_key(|question| question.body["channel"].to_string());
    for (question, hook) in questions.iter().zip(hooks) {
        assert_eq!(question.path, format!("/{hook}"), "{}", question.body);
    }
    questions
}

fn is_in(client: &mut Client, channel: &str) -> bool {
    client.request(json!({"presence": {"channel": channel}}))["error"].is_null()
}

#[test]
fn of_two_channels_with_one_id_each_has_its_own_word() {
    let application = Application::start();
    let server = server(&application);
    let mut client = ann(&server);
    let subscribe = |channel| json!({"id": 50, "subscribe": {"channel": channel}});
    client.send(&format!("{}\n{}", subscribe("1-closed"), subscribe("2-open")));
    let [closed, open] = two(&application, ["subscribe", "subscribe"]);
    open.answer(allowed());
    assert!(client.reply(50)["error"].is_null());
    closed.answer(refused());
    assert_eq!(client.reply(50)["error"]["code"], json!(403));
    assert!(is_in(&mut client, "2-open"));
    assert!(!is_in(&mut client, "1-closed"));
}

#[test]
fn an_id_that_is_used_again_does_not_inherit_an_answer() {
    let application = Application::start();
    let server = server(&application);
    let mut client = ann(&server);
    client.send(r#"{"id":50,"subscribe":{"channel":"open"}}"#);
    let open = application.question("subscribe");
    assert_eq!(client.unsubscribe("open"), Ok(()));
    client.reply(50);
    client.send(r#"{"id":50,"subscribe":{"channel":"closed"}}"#);
    let closed = application.question("subscribe");
    open.answer(allowed());
    // The application's next question, and its answer, come behind that answer.
    client.send(r#"{"id":51,"subscribe":{"channel":"other"}}"#);
    application.answer("subscribe", allowed());
    client.reply(51);
    closed.answer(refused());
    assert_eq!(client.reply(50)["error"]["code"], json!(403));
    assert!(!is_in(&mut client, "closed"));
}

#[test]
fn commands_of_different_kinds_with_one_id_are_all_answered() {
    let application = Application::start();
    let server = server(&application);
    let mut client = ann(&server);
    client.send(
        "{\"id\":50,\"subscribe\":{\"channel\":\"1\"}}\n{\"id\":50,\"publish\":{\"channel\":\"2\",\"data\":1}}",
    );
    let [subscribe, publish] = two(&application, ["subscribe", "publish"]);
    publish.answer(allowed());
    assert!(client.reply(50)["publish"].is_object());
    subscribe.answer(allowed());
    assert!(client.reply(50)["subscribe"].is_object());
}

#[test]
fn a_clients_id_is_never_that_of_a_question_of_the_servers_own() {
    let application = Application::start();
    let server = server(&application);
    let mut client = ann(&server);
    client.send(r#"{"id":50,"subscribe":{"channel":"ends"}}"#);
    // It expires at once, so the application is asked to prolong it.
    let soon = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 1;
    application.answer("subscribe", json!({"result": {"expire_at": soon}}));
    client.reply(50);
    let goes_on = application.question("sub_refresh");
    // The server's own numbers begin at 0, so one of these would collide.
    let ids: Vec<u32> = (0..8).map(|number| u32::MAX - number).collect();
    for &id in &ids {
        client.send(&json!({"id": id, "subscribe": {"channel": format!("c{id}")}}).to_string());
        application.answer("subscribe", allowed());
        assert!(client.reply(id)["subscribe"].is_object());
    }
    goes_on.answer(json!({"result": {"expired": true}}));
    assert_eq!(client.push("unsubscribe")["channel"], "ends");
}
