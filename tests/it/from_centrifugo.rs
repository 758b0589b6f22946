//! The page for users who switch: every command in it is executed, in its order, with its files.
//!
//! The control listener stays at its default, port 9000, since naming it would remove the API from the clients' port:
//! the one test here that needs a fixed port.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs, process};

use super::support::Server;

const PAGE: &str = include_str!("../../docs/FROM_CENTRIFUGO.md");
/// The port in the page, of which a test cannot know that it is free.
const PORT: &str = "8000";

/// The texts between two marks.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open).skip(1).filter_map(move |rest| Some(rest.split_once(close)?.0))
}

/// In place of the page's placeholders, which no server takes.
const SECRET: &str = "27ae41e4649b934ca495991b7852b855";

/// A folder with the page's files and the program, and a shell in it.
struct Desk {
    folder: PathBuf,
    port: String,
}

impl Desk {
    fn new() -> Self {
        let folder = env::temp_dir().join(format!("throng-switch-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let desk = Self { folder, port: free.port().to_string() };
        for file in between(PAGE, "<!-- file: ", "\n```\n") {
            let (name, text) = file.split_once(" -->\n```json\n").unwrap();
            fs::write(desk.folder.join(name), text.replace(PORT, &desk.port).replace("replace it", SECRET))
                .unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_throng"), desk.folder.join("centrifugo")).unwrap();
        desk
    }

    fn shell(&self, line: &str) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_throng")).parent().unwrap();
        // The folder has the program's second name.
        let path = format!("{}:{}:{}", programs.display(), self.folder.display(), env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.args(["-c", &line.replace(PORT, &self.port)]).current_dir(&self.folder).stdin(Stdio::null());
        command.env("PATH", path).env("API_KEY", SECRET);
        command
    }

    fn run(&self, line: &str) -> Output {
        let output = self.shell(line).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        output
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

#[test]
fn every_command_of_the_page_for_those_who_switch_works() {
    let desk = Desk::new();
    let commands: Vec<&str> = between(PAGE, "```sh\n", "\n```").flat_map(str::lines).collect();
    assert!(commands.len() >= 6, "{commands:?}");
    let mut server = None;
    let mut answers = String::new();
    for line in commands {
        if line.starts_with("throng -c") {
            server = Some(Server::spawn_inheriting(&mut desk.shell(&format!("exec {line}"))));
        } else {
            answers += &String::from_utf8(desk.run(line).stdout).unwrap();
        }
    }
    let said = server.take().unwrap().said.join("\n");
    assert!(said.contains("config.json") && said.contains("admin"), "it warns of what it lacks: {said}");
    assert!(!said.contains("development mode"), "Centrifugo would let no strangers in: {said}");
    assert!(answers.contains("{\"result\":{\"offset\":1,"), "the publication was taken: {answers}");
    // As in a container: by its second name, with the file of the working directory, and the health check of the page.
    let check = between(PAGE, "test: [\"CMD\", ", "]").next().unwrap().replace([',', '"'], "");
    for line in ["centrifugo", "centrifugo -c config.json"] {
        let server = Server::spawn_inheriting(&mut desk.shell(&format!("exec {line}")));
        assert!(server.said.iter().all(|said| !said.contains("development mode")), "{:?}", server.said);
        desk.run(&check);
    }
}
