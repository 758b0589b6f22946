"""A server under siege: started with limits that are known, watched while lives are led, compared afterwards."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import random
import re
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
SECRET, API_KEY = "siege-secret", "siege-api-key"
MIB = 1 << 20
# How long a server may take to be what it was: the longest deadline below, and lingering, several times over.
SETTLE_SECONDS = 25
# An innocent client on a box that is busy with the siege itself.
PATIENCE_SECONDS = 10
# An orchestrator that asks whether the server is alive: most of them wait for a second.
PROBE_SECONDS = 3
MEMORY_MAX_MIB = 96
# What the limits below let strangers hold, beside what one read of each connection brings (see `Stage.memory_max`).
QUEUED_MIB, HISTORY_MIB = 48, 32
# What resident memory may keep when everybody has gone: what the allocator holds back of all that came and went.
KEPT_MIB = 48

CONFIG = """
shards = 2
pin = false
echo = "/echo"
half_open_max = 1000
handshake_ms = 1500
connect_ms = 1500
message_ms = 2000
ping_interval_ms = 3000
pong_timeout_ms = 1000
linger_ms = 500
drain_ms = 500
queued_bytes_max = "{queued}MiB"
history_bytes_max = "{history}MiB"
log_level = "warn"

[client]
allow_anonymous_connect_without_token = true
[client.token]
hmac_secret_key = "{secret}"

[http_api]
key = "{key}"

[channel.without_namespace]
presence = true
join_leave = true
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
allow_presence_for_anonymous = true

[[channel.namespaces]]
name = "hist"
history_size = 300
history_ttl = "10m"
force_recovery = true
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_history_for_client = true
allow_history_for_anonymous = true

[socketio]
enabled = true
ping_interval = "1500ms"
ping_timeout = "1s"
connect_timeout = "1500ms"
recovery_ttl = "2s"

[[socketio.rules]]
event = "join"
do = "join"
room = "$0"
ack = true

[[socketio.rules]]
event = "publish"
do = "emit"
to = "$0"
ack = true

[sse]
enabled = true
[http_stream]
enabled = true
[uni_websocket]
enabled = true
[uni_sse]
enabled = true
[uni_http_stream]
enabled = true
"""

FLAT = {
    "tls": "tls_self_signed = true\n",
    "proxy": 'proxy_protocol = true\ntrusted_proxies = ["127.0.0.0/8"]\n',
    "memory": f'memory_max = "{MEMORY_MAX_MIB}MiB"\nchannels_per_connection_max = 60000\n',
}
# Gauges that tell of time, of memory, of the server itself, and of channels that live on in their history.
NOT_COMPARED = re.compile(r"seconds|bytes|memory|info|ratio|ready|turn|load|history|throng_streams|open_fds|channels|capacity|shards|presence_stats")
COMPARED_THOUGH = ("throng_outbox_bytes",)


class Broken(Exception):
    """What did not hold."""


def built():
    """The debug build; built if it is not there."""
    subprocess.run(["cargo", "build", "--locked", "--quiet", "--bin", "throng"], cwd=ROOT, check=True)
    metadata = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=ROOT, check=True, capture_output=True)
    return json.loads(metadata.stdout)["target_directory"] + "/debug/throng"


def free_port():
    """A port below the ephemeral range, so that no client's source port can take it before the server binds."""
    while True:
        port = random.randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            return port


def token(**claims):
    """A token, HS256."""
    encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    text = encode(b'{"alg":"HS256","typ":"JWT"}') + b"." + encode(json.dumps(claims).encode())
    return (text + b"." + encode(hmac.new(SECRET.encode(), text, hashlib.sha256).digest())).decode()


def upgrade(path, host="siege"):
    return (f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n").encode()


def frame(payload, opcode=1, fin=True):
    """A masked frame; the mask may be anything, and with zeros the payload stays as it is."""
    payload = payload.encode() if isinstance(payload, str) else payload
    head = bytes([opcode | 0x80 * fin])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += b"\xfe" + struct.pack(">H", len(payload))
    else:
        head += b"\xff" + struct.pack(">Q", len(payload))
    return head + bytes(4) + payload


def post(path, body, more=""):
    body = body.encode() if isinstance(body, str) else body
    return f"POST {path} HTTP/1.1\r\nHost: siege\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def trusting():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Stage:
    """One server."""

    def __init__(self, kind, binary, folder):
        self.kind, self.folder = kind, Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=folder))
        self.port, self.control = free_port(), free_port()
        self.unix = str(self.folder / "s.sock")
        config = CONFIG.format(queued=QUEUED_MIB, history=HISTORY_MIB, secret=SECRET, key=API_KEY)
        config = config.replace('"warn"', '"debug"') if kind.startswith("log") else config
        (self.folder / "throng.toml").write_text(FLAT.get(kind, "") + config)
        command = [binary, "serve", "--config", str(self.folder / "throng.toml"), "--listen", f"{HOST}:{self.port}",
                   "--control", f"{HOST}:{self.control}"]
        if kind == "plain":
            command += ["--listen", f"unix:{self.unix}"]
        # Variables of whoever leads the siege are no configuration of this server.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("THRONG_")}
        log, self.unread = self.open_log()
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        os.close(log)
        self.await_start()
        if kind == "log to nobody":
            self.close_unread()
        self.innocents = []
        # Once round, so that what is made at the first use is there; then nothing of it grows.
        self.visit()
        self.settle({"throng_connections": 0})
        self.base_mib = self.resident_mib()
        self.base_files = self.file_count()

    def open_log(self):
        """Where the server writes its lines, and where nobody reads them, if nobody does."""
        if self.kind in ("log unread", "log to nobody"):
            unread, log = os.pipe()
            return log, unread
        path = "/dev/full" if self.kind == "log to a full disk" else self.folder / "log"
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), None

    def close_unread(self):
        if self.unread is not None:
            os.close(self.unread)
            self.unread = None

    def log(self):
        with contextlib.suppress(OSError):
            return (self.folder / "log").read_text(errors="replace")[-4000:]
        return "not kept\n"

    def await_start(self):
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((HOST, self.control)).close()
                return socket.create_connection((HOST, self.port)).close()
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise Broken(f"it does not start: {self.log()}") from None
                time.sleep(0.05)

    # What lives are led with.

    def connect(self, room=None, timeout=5, is_sealed=None, hello=True):
        """A connection to the data plane as this server wants it: sealed, or introduced by a proxy."""
        raw = socket.socket()
        if room:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        raw.settimeout(timeout)
        raw.connect((HOST, self.port))
        if self.kind == "proxy" and hello:
            raw.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n")
        if self.kind == "tls" and is_sealed is not False:
            return trusting().wrap_socket(raw)
        return raw

    def connect_unix(self):
        raw = socket.socket(socket.AF_UNIX)
        raw.settimeout(5)
        raw.connect(self.unix)
        return raw

    def connect_control(self):
        raw = socket.socket()
        raw.settimeout(5)
        raw.connect((HOST, self.control))
        return raw

    def ask(self, path, timeout=PATIENCE_SECONDS):
        """A GET to the control listener."""
        connection = http.client.HTTPConnection(HOST, self.control, timeout=timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except OSError as error:
            raise Broken(f"{path} is not answered: {error!r}{self.death()}") from None
        finally:
            connection.close()

    def api(self, method, body):
        connection = http.client.HTTPConnection(HOST, self.control, timeout=PATIENCE_SECONDS)
        try:
            connection.request("POST", f"/api/{method}", json.dumps(body), {"X-API-Key": API_KEY})
            return json.load(connection.getresponse())
        except OSError as error:
            raise Broken(f"{method} is not answered: {error!r}{self.death()}") from None
        finally:
            connection.close()

    # What is known of it.

    def death(self):
        code = self.process.poll()
        return "" if code is None else f"; it has ended with {code}"

    def gauges(self):
        """The sum of each gauge over its labels."""
        _, body = self.ask("/metrics")
        text, sums = body.decode(), {}
        names = set(re.findall(r"^# TYPE (\S+) gauge$", text, re.MULTILINE))
        for name, value in re.findall(r"^(\w+)(?:\{[^}]*\})? (\S+)$", text, re.MULTILINE):
            if name in names and (name in COMPARED_THOUGH or not NOT_COMPARED.search(name)):
                sums[name] = sums.get(name, 0) + float(value)
        return sums

    def resident_mib(self):
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            raise Broken(f"it is gone{self.death()}") from None
        return pages * os.sysconf("SC_PAGE_SIZE") / MIB

    def file_count(self):
        """Descriptors in all tables: shards may have their own."""
        with contextlib.suppress(OSError):
            tasks = os.listdir(f"/proc/{self.process.pid}/task")
            return sum(len(os.listdir(f"/proc/{self.process.pid}/task/{task}/fd")) for task in tasks)
        raise Broken(f"it is gone{self.death()}")

    def memory_max(self, connections):
        """MiB that may be resident while so many connections are there: what the limits allow, and one read for each."""
        if self.kind == "memory":
            # The ladder looks ten times a second, and frees what lingers only when it is gone.
            return max(MEMORY_MAX_MIB, self.base_mib) * 1.35
        return self.base_mib + QUEUED_MIB + HISTORY_MIB + QUEUED_MIB / 4 + KEPT_MIB + connections * 0.2

    # Lives.

    def survive(self, life):
        """Leads a life, and says how it was; what did not hold is `Broken`."""
        before = self.gauges()
        watch = Watch(self)
        try:
            said = life()
        except OSError as error:
            # Whoever is sent away hears so in many ways; what matters is what becomes of the server.
            said = f"ended by {error!r}"
        finally:
            watch.stop()
        if code := self.death():
            raise Broken(f"the server is gone{code}")
        watch.check()
        self.visit()
        self.settle(before)
        self.check_kept()
        told = f"{said}; " if said else ""
        return f"ok: {told}innocents waited {watch.longest_ms():.0f} ms at most, {watch.peak_mib:.0f} MiB at most, {self.resident_mib():.0f} MiB kept"

    def settle(self, before):
        """Until every gauge is what it was."""
        end = time.monotonic() + SETTLE_SECONDS
        while True:
            gauges = self.gauges()
            wrong = [f"{name} {gauges[name]:g}, was {was:g}" for name, was in before.items() if gauges[name] != was]
            if not wrong:
                return
            if time.monotonic() > end:
                raise Broken(f"gauges do not come back: {', '.join(wrong)}")
            time.sleep(0.2)

    def check_kept(self):
        end = time.monotonic() + SETTLE_SECONDS
        allowed = self.base_mib + KEPT_MIB + (HISTORY_MIB if self.kind != "tls" else 0)
        while (kept := self.resident_mib()) > allowed or self.file_count() > self.base_files:
            if time.monotonic() > end:
                raise Broken(f"{kept:.0f} MiB kept, {allowed:.0f} are explained; {self.file_count()} descriptors, {self.base_files} before")
            time.sleep(0.5)

    def visit(self):
        """A newcomer is let in, says something and hears it; over each listener."""
        connects = [self.connect] + ([self.connect_unix] if self.kind == "plain" else [])
        for connect in connects:
            try:
                Innocent(connect).close()
            except (OSError, ValueError) as error:
                raise Broken(f"a newcomer is not served: {error!r}{self.death()}") from None

    def drain(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            raise Broken("the drain does not end") from None
        if code != 0:
            raise Broken(f"drained with exit code {code}")

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.close_unread()


class Innocent:
    """Connects, and pings; a client of the Centrifuge protocol over WebSocket."""

    def __init__(self, connect):
        self.socket = connect()
        self.socket.settimeout(PATIENCE_SECONDS)
        self.arrived = b""
        self.count = 1
        self.socket.sendall(upgrade("/connection/websocket"))
        self.await_word(b"\r\n\r\n", b"HTTP/1.1 101")
        self.socket.sendall(frame('{"id":1,"connect":{}}'))
        self.await_word(b'"connect":', b"")

    def await_word(self, word, start):
        while word not in self.arrived:
            more = self.socket.recv(65536)
            if not more:
                raise ValueError(f"sent away with {self.arrived[-200:]}")
            self.arrived += more
        if not self.arrived.startswith(start):
            raise ValueError(f"answered {self.arrived[:200]}")
        self.arrived = b""

    def ping(self):
        """Says something; how long it took to be answered, in seconds."""
        self.count += 1
        began = time.monotonic()
        self.socket.sendall(frame(f'{{"id":{self.count},"ping":{{}}}}'))
        self.await_word(f'"id":{self.count}'.encode(), b"")
        # Heartbeats of the server's are answered by the next word.
        self.socket.sendall(frame("{}"))
        return time.monotonic() - began

    def close(self):
        with contextlib.suppress(OSError):
            self.ping()
        self.socket.close()


class Watch:
    """While a life is led: an innocent client on each listener, resident memory, and the probes of an orchestrator."""

    def __init__(self, stage):
        self.stage = stage
        self.peak_mib = 0
        self.peak_connections = 0
        self.waits, self.probes = [], []
        self.wrong = []
        self.over = threading.Event()
        connects = [stage.connect] + ([stage.connect_unix] if stage.kind == "plain" else [])
        self.threads = [threading.Thread(target=self.guard, args=(self.be_innocent, connect)) for connect in connects]
        self.threads += [threading.Thread(target=self.guard, args=(job,)) for job in (self.weigh, self.probe)]
        for thread in self.threads:
            thread.start()

    def guard(self, job, *args):
        try:
            job(*args)
        except Broken as broken:
            self.wrong.append(str(broken))
        except (OSError, ValueError) as error:
            self.wrong.append(f"an innocent client: {error!r}{self.stage.death()}")

    def be_innocent(self, connect):
        innocent = Innocent(connect)
        while not self.over.wait(0.05):
            self.waits.append(innocent.ping())
        innocent.close()

    def weigh(self):
        """Ends a server that takes far more than it may, before the box suffers."""
        while not self.over.wait(0.05):
            self.peak_mib = max(self.peak_mib, self.stage.resident_mib())
            if self.peak_mib > 1500:
                self.stage.process.kill()
                raise Broken(f"{self.peak_mib:.0f} MiB resident: ended before the box suffers")

    def probe(self):
        while not self.over.wait(0.1):
            for path in ("/health", "/ready"):
                began = time.monotonic()
                status, _ = self.stage.ask(path)
                self.probes.append(time.monotonic() - began)
                if status != 200:
                    raise Broken(f"{path} says {status}")

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def longest_ms(self):
        return max(self.waits, default=0) * 1000

    def check(self):
        if self.wrong:
            raise Broken("; ".join(self.wrong))
        if (longest := max(self.probes, default=0)) > PROBE_SECONDS:
            raise Broken(f"a probe waited {longest:.1f} s for its answer")
        allowed = self.stage.memory_max(CONNECTIONS_MAX)
        if self.peak_mib > allowed:
            raise Broken(f"{self.peak_mib:.0f} MiB resident, where the limits explain {allowed:.0f}")


# At the same time, of one life.
CONNECTIONS_MAX = 400
