"""OpenSSL against throng, by Python's ssl, by `openssl s_client` and by curl: another reading of RFC 8446 and RFC 5246."""

import asyncio
import json
import pathlib
import random
import shutil
import socket
import ssl
import subprocess
import tempfile
import unittest

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from throng import Server

PAGE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
TLS13_CIPHERS = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
TLS12_CIPHERS = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"]


class Tls(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(cls.folder.name)
        cls.cert, key = folder / "cert.pem", folder / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", key, "-out", cls.cert],
            check=True, capture_output=True)
        cls.server = Server("--tls-cert", cls.cert, "--tls-key", key, "--first-page", "--message-bytes-max", "1MiB")
        cls.server.__enter__()
        cls.echo = cls.server.echo.replace("ws://127.0.0.1", "wss://localhost")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()
        cls.folder.cleanup()

    def context(self, version=None):
        context = ssl.create_default_context(cafile=self.cert)
        if version:
            context.minimum_version = context.maximum_version = version
        return context

    def dial(self, context, session=None):
        raw = socket.create_connection(("127.0.0.1", self.server.port), timeout=10)
        # A peer that ends without saying so is an error here.
        return context.wrap_socket(raw, server_hostname="localhost", session=session, suppress_ragged_eofs=False)

    async def test_messages_of_any_size_come_back_in_both_versions(self):
        rng = random.Random(3)
        sizes = [0, 1, 125, 126, 16_383, 16_384, 16_385, 65_536, 300_000, 1 << 20]
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            async with connect(self.echo, ssl=self.context(version), max_size=None) as peer:
                for size in sizes:
                    message = rng.randbytes(size)
                    await peer.send(message)
                    self.assertEqual(await peer.recv(), message)

    async def test_many_in_flight_keep_their_order(self):
        rng = random.Random(5)
        sent = [rng.randbytes(rng.choice([0, 100, 5000, 40_000])) for _ in range(300)]
        async with connect(self.echo, ssl=self.context(), max_queue=None) as peer:
            async def send_all():
                for message in sent:
                    await peer.send(message)

            sending = asyncio.create_task(send_all())
            self.assertEqual([await peer.recv() for _ in sent], sent)
            await sending

    def test_every_cipher_of_tls12(self):
        for name in TLS12_CIPHERS:
            context = self.context(ssl.TLSVersion.TLSv1_2)
            context.set_ciphers(name)
            with self.dial(context) as peer:
                self.assertEqual(peer.cipher()[0], name)
                peer.sendall(PAGE)
                self.assertIn(b"200 OK", peer.recv(4096))

    def test_every_cipher_of_tls13_and_keys_that_change(self):
        # s_client takes a line of one `K` as the order to change both sides' keys, `k` its own.
        for name in TLS13_CIPHERS:
            answers = self.s_client(["-tls1_3", "-ciphersuites", name], ["K", "k", "K"])
            self.assertEqual(answers, 4, name)

    def s_client(self, flags, orders):
        """How many of the pages asked for, one before the orders and one after each, are answered."""
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{self.server.port}", "-servername", "localhost",
                   "-CAfile", self.cert, "-verify_return_error", *flags]
        peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            count = 0
            for order in ["", *orders]:
                if order:
                    # An order is one only when nothing else is in the same read.
                    peer.stdin.write(f"{order}\n".encode())
                    peer.stdin.flush()
                    while b"KEYUPDATE" not in peer.stdout.readline():
                        pass
                peer.stdin.write(PAGE)
                peer.stdin.flush()
                while (line := peer.stdout.readline()) and not line.startswith(b"HTTP/1.1"):
                    pass
                count += b"200 OK" in line
                while (line := peer.stdout.readline()) and b"</html>" not in line:
                    pass
            return count
        finally:
            peer.kill()
            peer.communicate()

    def test_a_session_is_resumed(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.context(version)
            with self.dial(context) as first:
                first.sendall(PAGE)
                first.recv(4096)  # The ticket of TLS 1.3 came before it.
                session, was_reused = first.session, first.session_reused
            self.assertFalse(was_reused)
            with self.dial(context, session) as second:
                self.assertTrue(second.session_reused, version)
                second.sendall(PAGE)
                self.assertIn(b"200 OK", second.recv(4096))

    def test_both_sides_say_goodbye(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.dial(self.context(version)) as peer:
                peer.sendall(b"nonsense\r\n\r\n")
                answer = b""
                while part := peer.recv(4096):  # Ends with a close_notify, or raises.
                    answer += part
                self.assertIn(b"400 Bad Request", answer)
            peer = self.dial(self.context(version))
            peer.settimeout(10)
            peer.unwrap().close()  # Sends ours, waits for the other.

    def test_what_is_old_or_weak_is_refused(self):
        context = ssl.create_default_context(cafile=self.cert)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaises((ssl.SSLError, OSError)):
            self.dial(context)
        context = self.context(ssl.TLSVersion.TLSv1_2)
        context.set_ciphers("ECDHE-ECDSA-AES128-SHA256:AES128-GCM-SHA256:@SECLEVEL=0")
        with self.assertRaises((ssl.SSLError, OSError)):
            self.dial(context)

    def test_who_does_not_encrypt_gets_an_alert(self):
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as peer:
            peer.sendall(PAGE)
            self.assertEqual(peer.recv(100), bytes([21, 3, 3, 0, 2, 2, 10]))
            self.assertEqual(peer.recv(100), b"")

    def test_renegotiation_ends_the_connection_and_no_other(self):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{self.server.port}", "-tls1_2", "-CAfile", self.cert]
        done = subprocess.run(command, input=b"R\n", capture_output=True, timeout=20)
        self.assertIn(b"RENEGOTIATING", done.stdout + done.stderr)
        self.assertIn(b"alert", (done.stdout + done.stderr).lower())
        with self.dial(self.context()) as peer:
            peer.sendall(PAGE)
            self.assertIn(b"200 OK", peer.recv(4096))

    def test_curl_fetches_the_page(self):
        if not shutil.which("curl"):
            self.skipTest("curl is not installed")
        for version in ("--tls-max=1.2", "--tlsv1.3"):
            flags = version.split("=")
            url = f"https://localhost:{self.server.port}/"
            done = subprocess.run(["curl", "-sS", "--cacert", self.cert, *flags, url], capture_output=True, timeout=20)
            self.assertEqual((done.returncode, b"</html>" in done.stdout), (0, True), done.stderr)

    async def test_a_client_of_the_protocol_works(self):
        url = self.server.channels.replace("ws://127.0.0.1", "wss://localhost")
        async with connect(url, ssl=self.context()) as peer:
            await peer.send('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"news"}}')
            replies = "\n".join([await peer.recv(), await peer.recv()]).splitlines()
            self.assertEqual([json.loads(reply)["id"] for reply in replies], [1, 2])

    async def test_a_drain_closes_with_its_code(self):
        with Server("--tls-self-signed", "--drain-ms", "0") as server:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            async with connect(server.echo.replace("ws://", "wss://"), ssl=context) as peer:
                server.drain()
                with self.assertRaises(ConnectionClosed) as closed:
                    await asyncio.wait_for(peer.recv(), 10)
                self.assertEqual(closed.exception.rcvd.code, 1012)
            self.assertEqual(server.exit_code(), 0)
