//! A server of the tests' own: the built binary, started on ports that the kernel chooses, and ended by its process
//! id in any case.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use super::peer::{PATIENCE, Peer, Response};

/// A running `throng serve`.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    /// Its log lines until it was ready.
    pub(crate) said: Vec<String>,
    pub(crate) address: SocketAddr,
    pub(crate) control: SocketAddr,
}

impl Server {
    /// Starts with these flags; by default with two shards and without heartbeats.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::spawn(quiet(&mut Command::new(env!("CARGO_BIN_EXE_throng"))).arg("serve").args(flags))
    }

    /// Starts with a configuration file of this text, and these flags.
    pub(crate) fn configured(toml: &str, flags: &[&str]) -> Self {
        static FILES: AtomicUsize = AtomicUsize::new(0);
        let name = format!("throng-it-{}-{}.toml", process::id(), FILES.fetch_add(1, Relaxed));
        let path = env::temp_dir().join(name);
        fs::write(&path, toml).unwrap();
        let server = Self::start(&[&["--config", path.to_str().unwrap()], flags].concat());
        fs::remove_file(path).unwrap();
        server
    }

    /// With one shard, in a process that may open `descriptors` descriptors and holds `taken` of them already.
    pub(crate) fn start_with_descriptors(descriptors: u32, taken: u32, flags: &[&str]) -> Self {
        let script = r#"ulimit -n "$1"; for ((at = 0; at < $2; at++)); do exec {held}</dev/null; done
            shift 2; exec "$0" serve --shards 1 "$@""#;
        let mut command = Command::new("bash");
        command.args(["-c", script, env!("CARGO_BIN_EXE_throng")]);
        Self::spawn(quiet(&mut command).args([descriptors.to_string(), taken.to_string()]).args(flags))
    }

    /// With a control listener that is not only on loopback, and these flags.
    pub(crate) fn everywhere(flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
        quiet(&mut command).arg("serve").args(flags);
        let mut server = Self::spawn_with_control(&mut command, "0.0.0.0:0");
        server.control = SocketAddr::from(([127, 0, 0, 1], server.control.port()));
        server
    }

    /// Starts any command that becomes a server. Its addresses are in the ready line.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::spawn_with_control(command, "127.0.0.1:0")
    }

    fn spawn_with_control(command: &mut Command, control: &str) -> Self {
        Self::spawn_inheriting(
            command.args(["--listen", "127.0.0.1:0", "--control", control]).stdin(Stdio::null()),
        )
    }

    /// Starts any command that becomes a server and inherits its sockets.
    pub(crate) fn spawn_inheriting(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut said = Vec::new();
        let (address, control) = loop {
            let Ok(line) = lines.recv_timeout(PATIENCE) else {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("no ready line: {said:#?}");
            };
            said.push(line);
            if let Some(addresses) = said.last().and_then(|line| addresses(line)) {
                break addresses;
            }
        };
        Self { child, lines, said, address, control }
    }

    /// Starts with these flags, and these streams for its output. Its addresses are reported to a service manager:
    /// its output is not read.
    pub(crate) fn start_unheard(stdout: Stdio, stderr: Stdio, flags: &[&str]) -> Self {
        static SOCKETS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("throng-it-{}-{}.sock", process::id(), SOCKETS.fetch_add(1, Relaxed));
        let path = env::temp_dir().join(name);
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
        quiet(&mut command).arg("serve").args(["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]);
        command.args(flags).env("NOTIFY_SOCKET", &path);
        let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().unwrap();
        let mut state = [0; 4096];
        let told = manager.recv(&mut state);
        fs::remove_file(path).unwrap();
        let Ok(length) = told else {
            child.kill().unwrap();
            panic!("it is not ready: {:?}", child.wait().unwrap());
        };
        let state = String::from_utf8_lossy(&state[..length]);
        let (address, control) = state.lines().find_map(addresses).unwrap();
        let (_, lines) = mpsc::channel();
        Self { child, lines, said: Vec::new(), address, control }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, by its name: `TERM`, `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end of the process; returns its exit code and its output since it was ready.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status = until("the end of the process", || self.child.try_wait().unwrap());
        let said: Vec<String> = self.lines.iter().collect();
        (status.code(), said.join("\n"))
    }

    /// Asks the control listener.
    pub(crate) fn ask(&self, path: &str) -> Response {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        Peer::request(self.control, request.as_bytes())
    }

    /// A metric, summed over its labels. `labels` is a further part of its line, or empty.
    pub(crate) fn metric_with(&self, name: &str, labels: &str) -> u64 {
        let text = String::from_utf8(self.ask("/metrics").body).unwrap();
        let samples: Vec<f64> = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter(|line| line.contains(labels))
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert!(!samples.is_empty(), "no metric {name} {labels} in {text}");
        #[expect(clippy::cast_possible_truncation, reason = "counts")]
        #[expect(clippy::cast_sign_loss, reason = "counts")]
        let sum = samples.iter().sum::<f64>() as u64;
        sum
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        self.metric_with(name, "")
    }

    /// Waits until a metric has this value.
    pub(crate) fn await_metric(&self, name: &str, wanted: u64) {
        self.await_metric_with(name, "", wanted);
    }

    /// Waits until the samples with these labels reach this value.
    pub(crate) fn await_metric_with(&self, name: &str, labels: &str, wanted: u64) {
        let mut seen = 0;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            seen = self.metric_with(name, labels);
            if seen == wanted {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("{name} {labels} is {seen}, not {wanted}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already after `end`.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Defaults for tests, as variables: any flag takes precedence.
fn quiet(command: &mut Command) -> &mut Command {
    command.env("THRONG_SHARDS", "2").env("THRONG_PING_INTERVAL_MS", "0")
}

/// Asks again and again until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "never happened: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Addresses of the data and the control listener, from the ready line.
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let rest = line.split_once(" ready: ws")?.1.trim_start_matches("s").strip_prefix("://")?;
    let address = rest.split('/').next()?.parse().ok()?;
    let control = rest.split_once("control http://")?.1.parse().ok()?;
    Some((address, control))
}
