"""HAProxy and nginx in front of throng, with the configurations in `tuning/` as they stand but for ports and, where a test
is about them, timeouts. Clients come from 127.0.0.2, which is not trusted, and the connect hook says whether that is the
address that throng saw."""

import asyncio
import contextlib
import http.client
import http.server
import json
import pathlib
import re
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from throng import Server, free_port

TUNING = pathlib.Path(__file__).resolve().parents[2] / "tuning"
CLIENT = ("127.0.0.2", 0)
# Heartbeats that a connection must outlive: at 400 ms each, three times as long as proxies wait in these tests.
PING_MS, PATIENCE_S, PINGS = 400, 2, 15


class Hook:
    """An application that lets everybody in and notes from where each came; a context manager."""

    def __init__(self):
        self.seen = seen = []

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                seen.append(self.headers.get_all("X-Forwarded-For"))
                body = json.dumps({"result": {"user": "u"}}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def config(self):
        return f"""
            [client.proxy.connect]
            enabled = true
            endpoint = "http://127.0.0.1:{self.server.server_address[1]}/"
            http_headers = ["x-forwarded-for"]
            [sse]
            enabled = true
            [channel.without_namespace]
            allow_subscribe_for_client = true
            allow_publish_for_client = true
        """


def shipped(name, *changes):
    """A configuration of `tuning/`; each change must find its place."""
    text = (TUNING / name).read_text()
    for old, new in changes:
        assert old in text, f"{name} has no {old}"
        text = text.replace(old, new)
    return text


class Proxy:
    """A proxy with this configuration, on this port, ended by its process id; a context manager."""

    def __init__(self, command, config, port):
        self.port, self.command = port, command
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name) / "config"
        self.path.write_text(config)
        self.log = tempfile.TemporaryFile("w+")

    def __enter__(self):
        command = [part.replace("CONFIG", str(self.path)) for part in self.command]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        end = time.monotonic() + 10
        while True:
            try:
                # Answered by the proxy or, through it, by throng: then both are there.
                if self.ask("GET", "/nothing").status == 404:
                    return self
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                self.log.seek(0)
                raise RuntimeError(f"the proxy does not serve: {self.log.read()}")
            time.sleep(0.02)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()

    def ask(self, method, path, body=None):
        """A request by a client of its own; only the head of the answer has been read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10, source_address=CLIENT)
        connection.request(method, path, body)
        return connection.getresponse()

    def websocket(self):
        url = f"ws://127.0.0.1:{self.port}/connection/websocket"
        return connect(url, local_addr=CLIENT, ping_interval=None, additional_headers={"X-Forwarded-For": "6.6.6.6"})


def haproxy(server, *changes):
    port = free_port()
    config = shipped(
        "haproxy.cfg",
        ("bind 127.0.0.1:8080", f"bind 127.0.0.1:{port}"),
        ("127.0.0.1:8000 send-proxy-v2 check port 9000", f"127.0.0.1:{server.port} send-proxy-v2 check port {server.control}"),
        # A test's descriptors are few.
        ("maxconn 100000", "maxconn 500"),
        *changes,
    )
    return Proxy(["haproxy", "-db", "-f", "CONFIG"], config, port)


def nginx(server, *changes):
    port = free_port()
    config = shipped(
        "nginx.conf",
        ("listen 127.0.0.1:8080;", f"listen 127.0.0.1:{port};"),
        ("server 127.0.0.1:8000;", f"server 127.0.0.1:{server.port};"),
        ("worker_rlimit_nofile 200000;", ""),
        ("worker_connections 100000;", "worker_connections 500;"),
        *changes,
    )
    return Proxy(["nginx", "-e", "stderr", "-c", "CONFIG", "-g", "daemon off; pid CONFIG.pid;"], config, port)


def quick(*flags, ping_ms=PING_MS):
    """Flags of a server whose heartbeats are quick."""
    return ("--ping-interval-ms", str(ping_ms), "--trusted-proxies", "127.0.0.1", *flags)


def commands(text):
    return [json.loads(line) for line in text.splitlines() if line.strip()]


async def use_websocket(proxy):
    """Connects, is heard by itself, and stays as long as many heartbeats take."""
    async with proxy.websocket() as peer:
        async def until(wanted):
            while True:
                for line in commands(await asyncio.wait_for(peer.recv(), 10)):
                    if line == {}:
                        await peer.send("{}")
                    if wanted(line):
                        return line

        await peer.send('{"id": 1, "connect": {}}')
        hello = await until(lambda line: line.get("id") == 1)
        assert "connect" in hello, hello
        await peer.send('{"id": 2, "subscribe": {"channel": "a"}}\n{"id": 3, "publish": {"channel": "a", "data": 7}}')
        await until(lambda line: line.get("push", {}).get("pub", {}).get("data") == 7)
        for _ in range(PINGS):
            await until(lambda line: line == {})


def use_events(proxy):
    """The same over server-sent events and posted commands."""
    first = urllib.parse.quote(json.dumps({"id": 1, "connect": {}}))
    events = proxy.ask("GET", f"/connection/sse?cf_connect={first}")
    assert events.status == 200, events.status

    def until(wanted):
        while True:
            line = events.readline().decode()
            assert line, "the stream has ended"
            if line.startswith("data: ") and wanted(said := json.loads(line[6:])):
                return said

    def post(command):
        ids = {"session": hello["session"], "node": hello["node"]}
        answer = proxy.ask("POST", "/emulation", json.dumps({**ids, "data": json.dumps(command)}))
        assert answer.status == 204, answer.status

    hello = until(lambda line: line.get("id") == 1)["connect"]
    post({"id": 2, "subscribe": {"channel": "b"}})
    until(lambda line: line.get("id") == 2)
    post({"id": 3, "publish": {"channel": "b", "data": 8}})
    until(lambda line: line.get("push", {}).get("pub", {}).get("data") == 8)
    for _ in range(PINGS):
        until(lambda line: line == {})
        # Over these transports a pong is a posted command.
        post({})
    events.close()


class Proxies(unittest.TestCase):
    def through(self, proxy, hook):
        asyncio.run(use_websocket(proxy))
        use_events(proxy)
        self.assertEqual(hook.seen, [["127.0.0.2"]] * 2)

    def test_haproxy_tells_the_address_ahead_of_the_connection(self):
        impatient = [("timeout tunnel 90s", f"timeout tunnel {PATIENCE_S}s"), ("timeout server 90s", f"timeout server {PATIENCE_S}s")]
        impatient.append(("timeout client 30s", f"timeout client {PATIENCE_S}s"))
        with Hook() as hook, Server(*quick("--proxy-protocol"), config=hook.config()) as server:
            with haproxy(server, *impatient) as proxy:
                self.through(proxy, hook)

    def test_nginx_tells_the_address_in_each_request(self):
        impatient = [(f"proxy_{way}_timeout 90s;", f"proxy_{way}_timeout {PATIENCE_S}s;") for way in ("read", "send")]
        with Hook() as hook, Server(*quick(), config=hook.config()) as server:
            with nginx(server, *impatient) as proxy:
                self.through(proxy, hook)

    def test_nginx_by_a_unix_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder).chmod(0o755)
            path = f"unix:{folder}/throng.sock"
            flags = quick("--listen", path, "--unix-mode", "0666")
            with Hook() as hook, Server(*flags, config=hook.config()) as server:
                with nginx(server, (f"server 127.0.0.1:{server.port};", f"server {path};")) as proxy:
                    self.through(proxy, hook)

    def test_without_heartbeats_these_proxies_would_give_up(self):
        """What the tests above show is due to heartbeats."""
        async def silent(proxy):
            async with proxy.websocket() as peer:
                with self.assertRaises(ConnectionClosed):
                    await asyncio.wait_for(peer.recv(), 10 * PATIENCE_S)

        flags = ("--ping-interval-ms", "0", "--connect-ms", "60000", "--trusted-proxies", "127.0.0.1")
        with Hook() as hook, Server(*flags, config=hook.config()) as server:
            with nginx(server, ("proxy_read_timeout 90s;", f"proxy_read_timeout {PATIENCE_S}s;")) as proxy:
                asyncio.run(silent(proxy))
        with Hook() as hook, Server(*flags, "--proxy-protocol", config=hook.config()) as server:
            with haproxy(server, ("timeout tunnel 90s", f"timeout tunnel {PATIENCE_S}s")) as proxy:
                asyncio.run(silent(proxy))

    def test_a_drain_sends_newcomers_elsewhere_and_keeps_those_inside(self):
        async def answers(peer):
            await peer.send('{"id": 2, "ping": {}}')
            return '"id":2' in await asyncio.wait_for(peer.recv(), 5)

        async def drain(server, proxy):
            async with contextlib.AsyncExitStack() as stack:
                peers = [await stack.enter_async_context(proxy.websocket()) for _ in range(40)]
                for peer in peers:
                    await peer.send('{"id": 1, "connect": {}}')
                    await peer.recv()
                server.drain()
                end = time.monotonic() + 10
                while (answer := proxy.ask("GET", "/nothing")).status != 503 or answer.getheader("Retry-After"):
                    self.assertLess(time.monotonic(), end, "the proxy does not notice")
                    await asyncio.sleep(0.05)
                # The first of each of the two shards goes at once, another in every second.
                outcomes = await asyncio.gather(*(answers(peer) for peer in peers), return_exceptions=True)
                closed = [outcome for outcome in outcomes if isinstance(outcome, ConnectionClosed)]
                self.assertIn(len(closed), range(1, len(peers) // 2), outcomes)
                self.assertEqual(outcomes.count(True), len(peers) - len(closed), outcomes)

        flags = quick("--proxy-protocol", "--drain-ms", "60000", "--drain-closes-per-second-min", "1", ping_ms=0)
        with Hook() as hook, Server(*flags, config=hook.config()) as server, haproxy(server) as proxy:
            asyncio.run(drain(server, proxy))

    def test_timeouts_as_shipped_are_above_the_heartbeat(self):
        seconds = lambda name, key: {int(value) for value in re.findall(rf"^\s*{key} (\d+)s;?$", shipped(name), re.M)}
        longest = 25 + 8  # ping_interval_ms and pong_timeout_ms, as they are when nobody types them
        for name, key in [
            ("haproxy.cfg", "timeout tunnel"),
            ("nginx.conf", "proxy_read_timeout"),
            ("nginx.conf", "proxy_send_timeout"),
        ]:
            self.assertTrue(all(value > 2 * longest for value in seconds(name, key)), key)
            self.assertTrue(seconds(name, key), key)
        self.assertIn(90, seconds("haproxy.cfg", "timeout server"))


if __name__ == "__main__":
    unittest.main()
