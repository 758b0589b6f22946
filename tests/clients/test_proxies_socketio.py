"""Socket.IO through HAProxy and nginx, with the configurations in `tuning/` as they stand but for ports, timeouts, and the
lines for several servers: over WebSocket and HTTP long-polling, and sticky sessions of polling clients."""

import asyncio
import contextlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import unittest

from websockets.asyncio.client import connect

from test_proxies import CLIENT, PATIENCE_S, haproxy, nginx, shipped
from throng import free_port

# Heartbeats that a connection must outlive: three times as long as the proxies wait here.
PING_MS, PINGS = 400, 15
SEPARATOR = "\x1e"


class Application:
    """The example for `throng bench`, built beside the server, with quick heartbeats; a context manager."""

    def __init__(self, ping_ms=PING_MS):
        self.port = self.control = free_port()
        program = pathlib.Path(os.environ["THRONG_BIN"]).parent / "examples" / "socketio_bench"
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([program, f"127.0.0.1:{self.port}", "2", str(ping_ms)], stdout=self.log, stderr=self.log)

    def __enter__(self):
        end = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError):
                http.client.HTTPConnection("127.0.0.1", self.port, timeout=5).connect()
                return self
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                self.log.seek(0)
                raise RuntimeError(f"the example did not start: {self.log.read()}")
            time.sleep(0.02)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.log.close()


class Polling:
    """A polling client; each request takes a connection of its own, and `address` is where it comes from."""

    def __init__(self, proxy, address=CLIENT):
        self.proxy, self.address, self.sid, self.cookie = proxy, address, None, None

    def ask(self, method, body=None):
        query = f"&sid={self.sid}" if self.sid else ""
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=10, source_address=self.address)
        connection.request(method, f"/socket.io/?EIO=4&transport=polling{query}", body, {"Cookie": self.cookie} if self.cookie else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status == 200, f"{answer.status} {text}"
        if given := answer.getheader("Set-Cookie"):
            self.cookie = given.split(";")[0]
        connection.close()
        return text

    def poll(self):
        """The next packets that are no pings; pings are answered and counted."""
        while True:
            packets = self.ask("GET").split(SEPARATOR)
            others = [packet for packet in packets if packet != "2"]
            if len(others) < len(packets):
                self.pings += 1
                self.ask("POST", "3")
            if others or self.pings >= self.enough:
                return others

    def open(self):
        self.pings, self.enough = 0, float("inf")
        self.sid = json.loads(self.ask("GET")[1:])["sid"]
        assert self.ask("POST", "40") == "ok"
        assert self.poll()[0].startswith("40{")

    def event(self, data):
        text = json.dumps(data)
        assert self.ask("POST", f"427[\"echo\",{text}]") == "ok"
        assert self.poll() == [f"437[{text}]"]

    def outlive(self, pings):
        self.enough = self.pings + pings
        assert self.poll() == []


async def use_websocket(proxy):
    """Connects, has an event acknowledged, and stays as long as many heartbeats take."""
    url = f"ws://127.0.0.1:{proxy.port}/socket.io/?EIO=4&transport=websocket"
    async with connect(url, local_addr=CLIENT, ping_interval=None) as peer:
        async def until(wanted, pings=0):
            while True:
                text = await asyncio.wait_for(peer.recv(), 10)
                if text == "2":
                    pings -= 1
                    await peer.send("3")
                if text.startswith(wanted) and pings <= 0:
                    return

        await until("0{")
        await peer.send("40")
        await until("40{")
        await peer.send("427[\"echo\",1]")
        await until("437[1]")
        await until("2", PINGS)


def impatient_haproxy(server, *changes):
    # The example reads no PROXY header, and has no control listener to check.
    old = "server throng 127.0.0.1:{port} send-proxy-v2 check port {port}".format(port=server.port)
    timeouts = [("timeout tunnel 90s", f"timeout tunnel {PATIENCE_S}s"), ("timeout server 90s", f"timeout server {PATIENCE_S}s"),
                ("timeout client 30s", f"timeout client {PATIENCE_S}s")]
    return haproxy(server, (old, f"server throng 127.0.0.1:{server.port}"), *timeouts, *changes)


def impatient_nginx(server, *changes):
    return nginx(server, *((f"proxy_{way}_timeout 90s;", f"proxy_{way}_timeout {PATIENCE_S}s;") for way in ("read", "send")), *changes)


def doctor(port):
    """What `throng doctor` says of the endpoint, by check."""
    command = [os.environ["THRONG_BIN"], "doctor", "--json", "--socketio", f"http://127.0.0.1:{port}/socket.io/"]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=False).stdout)
    return {line["name"]: line["status"] for line in report["lines"] if line["section"] == "Socket.IO"}


SOUND = dict.fromkeys(["polling", "one server", "WebSocket", "idle WebSocket", "idle poll"], "ok")


class SocketIo(unittest.TestCase):
    def test_the_doctor_finds_what_a_proxy_breaks(self):
        with Application() as server:
            self.assertEqual(doctor(server.port), SOUND)
            for proxied in (impatient_haproxy, impatient_nginx):
                with proxied(server) as proxy:
                    self.assertEqual(doctor(proxy.port), SOUND, proxied.__name__)
            with impatient_nginx(server, ("proxy_set_header Upgrade $http_upgrade;", "")) as proxy:
                found = {name: status for name, status in SOUND.items() if name != "idle WebSocket"}
                self.assertEqual(doctor(proxy.port), found | {"WebSocket": "short"})
            with Application() as other:
                server_line = f"server 127.0.0.1:{server.port};"
                with nginx(server, (server_line, f"{server_line} server 127.0.0.1:{other.port};")) as proxy:
                    self.assertEqual(doctor(proxy.port)["one server"], "short")
            self.assertEqual(doctor(free_port()), {"polling": "short", "WebSocket": "short"})
        # Heartbeats come more seldom than these proxies wait.
        with Application(ping_ms=3 * PATIENCE_S * 1000) as server:
            for proxied in (impatient_haproxy, impatient_nginx):
                with proxied(server) as proxy:
                    expected = SOUND | {"idle WebSocket": "short", "idle poll": "short"}
                    self.assertEqual(doctor(proxy.port), expected, proxied.__name__)

    def test_both_transports_outlive_the_patience_of_both_proxies(self):
        for proxied in (impatient_haproxy, impatient_nginx):
            with self.subTest(proxied.__name__), Application() as server, proxied(server) as proxy:
                asyncio.run(use_websocket(proxy))
                client = Polling(proxy)
                client.open()
                client.event({"a": [1, "\u00fc"]})
                client.outlive(PINGS)

    def test_timeouts_as_shipped_are_above_the_heartbeat_and_the_time_for_its_answer(self):
        longest = 25 + 20  # ping_interval and ping_timeout, as they are when nobody types them
        keys = {"haproxy.cfg": ["timeout tunnel", "timeout server"], "nginx.conf": ["proxy_read_timeout", "proxy_send_timeout"]}
        for name, words in keys.items():
            for key in words:
                # The last one counts for the backend.
                self.assertGreater(int(re.findall(rf"^\s*{key} (\d+)s;?$", shipped(name), re.M)[-1]), longest, key)
        self.assertIn("proxy_buffering off;", shipped("nginx.conf"))

    def several(self, proxied, make_clients):
        """Clients of two servers: each has all its requests answered by the server that has its session."""
        with Application() as one, Application() as other, proxied(one, other) as proxy:
            clients = make_clients(proxy)
            for client in clients:
                client.open()
            for number, client in enumerate(clients):
                client.event(number)
            # Both servers have some of them: a request without a cookie, or to the other server, is refused.
            return clients

    def test_haproxy_keeps_a_client_on_its_server_by_a_cookie(self):
        def proxied(one, other):
            old = f"server throng 127.0.0.1:{one.port} send-proxy-v2 check port {one.port}"
            new = ["cookie throng insert indirect nocache httponly"]
            new += [f"server {name} 127.0.0.1:{server.port} cookie {name}" for name, server in (("a", one), ("b", other))]
            return haproxy(one, (old, "\n    ".join(new)))

        clients = self.several(proxied, lambda proxy: [Polling(proxy) for _ in range(6)])
        self.assertEqual({client.cookie for client in clients}, {"throng=a", "throng=b"})

    def test_haproxy_keeps_a_client_on_its_server_by_its_address(self):
        def proxied(one, other):
            old = f"server throng 127.0.0.1:{one.port} send-proxy-v2 check port {one.port}"
            new = ["balance source", "hash-type consistent"]
            new += [f"server {name} 127.0.0.1:{server.port}" for name, server in (("a", one), ("b", other))]
            return haproxy(one, (old, "\n    ".join(new)))

        self.several(proxied, lambda proxy: [Polling(proxy, (f"127.0.3.{n}", 0)) for n in range(1, 9)])

    def test_nginx_keeps_a_client_on_its_server_by_its_address(self):
        def proxied(one, other):
            server = f"server 127.0.0.1:{one.port};"
            new = f"hash $remote_addr consistent; {server} server 127.0.0.1:{other.port};"
            return nginx(one, (server, new))

        self.several(proxied, lambda proxy: [Polling(proxy, (f"127.0.3.{n}", 0)) for n in range(1, 9)])

    def test_without_such_a_rule_a_session_is_not_found(self):
        """The tests above show something: two servers know nothing of each other's sessions."""
        def proxied(one, other):
            server = f"server 127.0.0.1:{one.port};"
            return nginx(one, (server, f"{server} server 127.0.0.1:{other.port};"))

        with self.assertRaisesRegex(AssertionError, "Session ID unknown"):
            self.several(proxied, lambda proxy: [Polling(proxy) for _ in range(6)])


if __name__ == "__main__":
    unittest.main()
