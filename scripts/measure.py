"""What the load scripts share: building, starting and stopping servers, running `throng bench`.

A server is stopped with SIGTERM and must exit 0 (a bare program knows no SIGTERM and is simply ended). System
settings are changed only as root, only for the time of the run, and put back.
"""

import contextlib
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
RESERVED = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
AUTOGROUP = Path("/proc/sys/kernel/sched_autogroup_enabled")
CENTRIFUGE = "/connection/websocket"
ECHO = "/echo"
API = "/api/"
# Descriptors of a shard that are not connections: listener, poller, waker, standard streams, and some skew of
# SO_REUSEPORT's hash, which never spreads evenly.
SPARE_DESCRIPTORS = 1000


def build(*targets):
    """Builds release executables and returns their paths by name: `--bin throng`, `--bench bare`."""
    command = ["cargo", "build", "--release", "--message-format=json-render-diagnostics", *targets]
    output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
    artifacts = (json.loads(line) for line in output.splitlines() if line.startswith("{"))
    return {a["target"]["name"]: a["executable"] for a in artifacts if a.get("executable")}


def shards_for(connections):
    """How many descriptor tables, one per shard, hold so many connections under this limit."""
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_DESCRIPTORS
    if room <= 0:
        raise SystemExit("the limit of open files is too low to measure anything (ulimit -n)")
    return max(1, -(-connections // room))


@contextlib.contextmanager
def setting(file, change):
    """Changes a setting of the system for a while, where this process may: `change` says what it becomes from what it is."""
    if os.geteuid() != 0 or not file.exists():
        yield
        return
    before = file.read_text().strip()
    file.write_text(change(before) + "\n")
    try:
        yield
    finally:
        file.write_text(before + "\n")


def reserved_ports(*ports):
    """Keeps the kernel from giving a listening port to a client."""
    return setting(RESERVED, lambda before: ",".join(filter(None, [before, *map(str, ports)])))


def niceness_of_threads():
    """Has the kernel weigh threads by their own niceness. Otherwise it first weighs the sessions that they belong to
    (autogroup), and a thread of the load generator that should give way to the server gives way to nobody but its like."""
    return setting(AUTOGROUP, lambda _: "0")


def busy():
    """How much of the box's time all processes used so far, and how much there was, in clock ticks."""
    ticks = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def wait_quiet(seconds=60, limit=0.1):
    """Waits until the box has little else to do; says so when it does not happen."""
    deadline = time.monotonic() + seconds
    while True:
        used, total = busy()
        time.sleep(0.3)
        share = (busy()[0] - used) / max(1, busy()[1] - total)
        if share < limit:
            return
        if time.monotonic() > deadline:
            print(f"note: the box is {share:.0%} busy with something else", file=sys.stderr)
            return


def start(command, **options):
    """Starts a program that is measured. As root it goes before whatever else the box does."""
    root = os.geteuid() == 0
    command = [*(["nice", "-n", "-15"] if root else []), *map(str, command)]
    # Where the kernel groups by session (autogroup), a process is only nice, or not, to its own session.
    process = subprocess.Popen(command, start_new_session=root, **options)
    if root:
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/autogroup").write_text("-15\n")
    return process


class Server:
    """A running server; use as a context manager. `cores` pins it with taskset."""

    def __init__(self, command, port, cores=None, graceful=False, tls=False):
        self.name = Path(command[0]).name.split("-")[0]
        self.port = port
        self.graceful = graceful
        self.scheme = "wss" if tls else "ws"
        self.log = tempfile.TemporaryFile("w+")
        pinned = ["taskset", "-c", str(cores)] if cores is not None else []
        # nice and taskset become the program, so this is its process id.
        self.process = start([*pinned, *command], stdout=self.log, stderr=self.log)
        self.pid = self.process.pid
        self._wait_ready()

    def _wait_ready(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended at once:\n{self.output()}")
            # Its own words: another server may answer on the same port.
            if any(words in self.output() for words in (" ready: ", "ready on ", "serving websocket")):
                return
            time.sleep(0.05)
        self.process.kill()
        raise SystemExit(f"{self.name} was not ready in 30 s:\n{self.output()}")

    def output(self):
        self.log.seek(0)
        return self.log.read()

    def url(self, path=CENTRIFUGE):
        # The control listener has the next port, and is plain.
        if path.startswith(API):
            return f"ws://{HOST}:{self.port + 1}{path}"
        return f"{self.scheme}://{HOST}:{self.port}{path}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if not self.graceful:
            self.process.kill()
            self.process.wait()
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit(f"{self.name} did not end within 60 s of SIGTERM:\n{self.output()}") from None
        if code != 0 and kind is None:
            raise SystemExit(f"{self.name} exited with {code} after SIGTERM:\n{self.output()}")


def free_port(first=18000):
    """A port, away from those that people use, that is free and has a free neighbour."""
    for port in range(first, first + 1000, 10):
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind((HOST, port))
            other.bind((HOST, port + 1))
            return port
    raise SystemExit(f"no free port from {first} on")


class Certificate:
    """Files of a self-signed certificate of this host, P-256, and of its key."""

    def __init__(self, directory, name="server"):
        self.chain, self.key = directory / f"{name}.pem", directory / f"{name}-key.pem"
        self.renew()

    def renew(self):
        """Makes another, with another key, in the same files."""
        made = [file.with_suffix(".new") for file in (self.chain, self.key)]
        # No authority: it vouches for itself alone, and clients that are given it as one they trust accept it.
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "30", "-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST},DNS:localhost",
                        "-addext", "basicConstraints=critical,CA:FALSE", "-out", made[0], "-keyout", made[1]],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for new, file in zip(made, (self.chain, self.key)):
            new.replace(file)


def throng(binary, shards, port, cores=None, *more, tls=None):
    """`throng serve` with an echo endpoint, over TLS where there is a certificate; the control listener has the next port."""
    control = f"{HOST}:{port + 1}"
    command = [binary, "serve", "--listen", f"{HOST}:{port}", "--control", control]
    command += ["--shards", shards, "--echo", ECHO, *more]
    command += ["--tls-cert", tls.chain, "--tls-key", tls.key] if tls else []
    return Server(command, port, cores, graceful=True, tls=tls is not None)


def bare(binary, program, port, cores=None, *more):
    """One of the bare programs."""
    return Server([binary, program, f"{HOST}:{port}", *more], port, cores, tls=program.startswith("tls"))


def bench(binary, scenario, server, path=CENTRIFUGE, tries=False, **flags):
    """Runs `throng bench` and returns its JSON object; stops the script when something failed. With `tries`, a rate that
    was not held is an answer, and no failure."""
    command = [binary, "bench", scenario, "--json", "--url", server.url(path), "--pid", server.pid]
    for name, value in flags.items():
        if value is not None and value is not False:  # 0 is a value
            command += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
    process = start(command, stdout=subprocess.PIPE, text=True)
    try:
        output, _ = process.communicate()
    except BaseException:
        process.kill()
        raise
    if process.returncode != 0 and not (tries and process.returncode == 1 and only_late(output)):
        print(output, file=sys.stderr)
        raise SystemExit(f"failed with {process.returncode}: {process.args}\n{server.output()[-2000:]}")
    return json.loads(output)


def only_late(output):
    """Whether nothing is wrong in a report but that its rate was not held."""
    result = json.loads(output) if output else {}
    wrong = ["failures", "lost", "gaps", "out_of_order", "missing"]
    return result.get("held") is False and not any(result.get(key) for key in wrong)


# Publications per second that are tried with very many subscribers, until the box keeps up.
RATES = [10, 8, 6, 5, 4, 3, 2, 1, 0.5]


def keeps_up(result):
    """Whether a publication is nearly everywhere before the next is due, from first to last. Beyond that rate a server
    that joins publications still delivers all of them, but each later than it need be."""
    return result["held"] and result["latency"]["p99_us"] < 1e6 / result["rate"]


class Row:
    """One line of a table: said when it is known, and kept for the end."""

    HEAD = "| what | throng | beside | goal | met |\n|---|---|---|---|---|"

    def __init__(self, what, figure, beside="–", goal="–", met=None):
        self.cells = [what, figure, beside, goal, "–" if met is None else "yes" if met else "**no**"]
        print(" | ".join(self.cells), file=sys.stderr, flush=True)

    def __str__(self):
        return "| " + " | ".join(self.cells) + " |"


def spread(values, digits=2):
    """Median, least and most, as text."""
    show = lambda value: f"{value:,.{digits}f}"
    middle = show(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({show(min(values))}–{show(max(values))})"


def box():
    """One line about this machine."""
    memory = int(next(l for l in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in l).split()[1])
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    cores = len(os.sched_getaffinity(0))
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return (f"{cores} cores, {memory / 2**20:.0f} GiB, Linux {os.uname().release}, loopback, TCP {congestion}, "
            f"{files} open files")


def table(rows):
    """Prints (label, value) pairs, aligned."""
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        print(f"  {label:<{width}}  {value}")
    print(flush=True)
