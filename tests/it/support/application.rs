//! An application with hooks: passes the hooks' requests to the test, and sends the test's answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::{env, fs, process};

use serde_json::{Value, json};

use super::Server;
use super::peer::PATIENCE;

/// A backend on a port of its own, and its received requests.
pub(crate) struct Application {
    address: SocketAddr,
    asked: Receiver<Question>,
}

/// A hook request that waits for an answer.
pub(crate) struct Question {
    pub(crate) path: String,
    /// Names in lower case, and values.
    headers: Vec<(String, String)>,
    pub(crate) body: Value,
    reply: Sender<String>,
}

impl Question {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    pub(crate) fn answer(self, answer: Value) {
        self.answer_text(&answer.to_string());
    }

    /// Answers with text that is not JSON.
    pub(crate) fn answer_text(self, answer: &str) {
        self.reply.send(answer.to_owned()).unwrap();
    }
}

/// The options of a hook that calls the application, with a long timeout.
pub(crate) fn hook(application: &Application, name: &str) -> Value {
    json!({"endpoint": format!("http://{}/{name}", application.address), "timeout": "20s"})
}

impl Application {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let tell = tell.clone();
                thread::spawn(move || converse(stream.unwrap(), &tell));
            }
        });
        Self { address, asked }
    }

    /// The next question, whichever hook's.
    pub(crate) fn any_question(&self) -> Question {
        self.asked.recv_timeout(PATIENCE).expect("a question")
    }

    /// The next question must be this hook's.
    pub(crate) fn question(&self, hook: &str) -> Question {
        let question = self.any_question();
        assert_eq!(question.path, format!("/{hook}"), "{}", question.body);
        question
    }

    /// The next question must be this hook's; it is answered so. Returns the question.
    pub(crate) fn answer(&self, hook: &str, answer: Value) -> Value {
        let mut question = self.question(hook);
        let body = question.body.take();
        question.answer(answer);
        body
    }

    /// A server with this configuration.
    pub(crate) fn server(&self, config: impl Fn(&Self) -> Value) -> Server {
        let path =
            env::temp_dir().join(format!("throng-hooks-{}-{}.json", process::id(), self.address.port()));
        fs::write(&path, config(self).to_string()).unwrap();
        let server = Server::start(&["--config", path.to_str().unwrap()]);
        fs::remove_file(path).unwrap();
        server
    }
}

/// Serves one connection of the server, for any number of requests.
fn converse(stream: TcpStream, tell: &Sender<Question>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let path = request.split(' ').nth(1).unwrap().to_owned();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        let (reply, replies) = mpsc::channel();
        let body = serde_json::from_slice(&body).unwrap();
        if tell.send(Question { path, headers, body, reply }).is_err() {
            return;
        }
        let Ok(answer) = replies.recv() else { return };
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        )
        .unwrap();
    }
}
