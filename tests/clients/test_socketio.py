"""python-socketio, by threads and by asyncio, against the example for test suites."""

import asyncio
import queue
import unittest

import socketio

from throng import Example

LIMIT_S = 15
VALUES = [1, "zwei €😀", {"drei": [True, None]}, bytes(range(256)) * 100]
TRANSPORTS = ["websocket", "polling"]
# It reads at most 16 packets of one poll (`engineio.payload.Payload.max_decode_packets`); of an event with binary data there
# are two.
BURST = 10


class Clients(unittest.TestCase):
    """The client by threads."""

    @classmethod
    def setUpClass(cls):
        cls.server = Example("socketio_conformance")
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def connected(self, transport, namespace="/", auth=None):
        client, told = socketio.Client(reconnection=False), queue.Queue()
        for name in ["auth", "message-back"]:
            client.on(name, lambda *args, name=name: told.put((name, *args)), namespace=namespace)
        client.connect(self.server.http, auth=auth, transports=[transport], namespaces=[namespace], wait_timeout=LIMIT_S)
        self.addCleanup(client.disconnect)
        self.assertEqual(told.get(timeout=LIMIT_S), ("auth", auth or {}))
        return client, told

    def test_events_come_back_and_are_answered(self):
        for transport in TRANSPORTS:
            with self.subTest(transport):
                client, told = self.connected(transport, "/custom", {"token": "abc"})
                self.assertEqual(client.transport(), transport)
                client.emit("message", tuple(VALUES), namespace="/custom")
                self.assertEqual(told.get(timeout=LIMIT_S), ("message-back", *VALUES))
                answer = client.call("message-with-ack", tuple(VALUES), namespace="/custom", timeout=LIMIT_S)
                self.assertEqual(answer, tuple(VALUES))

    def test_no_event_is_lost(self):
        for transport in TRANSPORTS:
            with self.subTest(transport):
                client, told = self.connected(transport)
                got = []
                for at in range(0, 300, BURST):
                    for number in range(at, at + BURST):
                        client.emit("message", (number, b"x" * 10) if number % 3 == 0 else number)
                    got += [told.get(timeout=LIMIT_S)[1] for _ in range(BURST)]
                # Its handlers are threads, whose order is not that of the events.
                self.assertEqual(sorted(got), list(range(300)))

    def test_an_unknown_namespace_is_refused(self):
        for transport in TRANSPORTS:
            with self.subTest(transport):
                client = socketio.Client(reconnection=False)
                self.addCleanup(client.disconnect)
                refused = queue.Queue()
                client.on("connect_error", refused.put, namespace="/unknown")
                with self.assertRaises(socketio.exceptions.ConnectionError):
                    client.connect(
                        self.server.http, transports=[transport], namespaces=["/unknown"], wait_timeout=LIMIT_S
                    )
                self.assertEqual(refused.get(timeout=LIMIT_S), {"message": "Invalid namespace"})


class AsyncClients(unittest.IsolatedAsyncioTestCase):
    """The client by asyncio."""

    @classmethod
    def setUpClass(cls):
        cls.server = Example("socketio_conformance")
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    async def test_events_come_back_and_are_answered(self):
        for transport in TRANSPORTS:
            with self.subTest(transport):
                client, told = socketio.AsyncClient(reconnection=False), asyncio.Queue()

                async def back(*args, told=told):
                    await told.put(args)

                client.on("message-back", back)
                await client.connect(self.server.http, transports=[transport], wait_timeout=LIMIT_S)
                try:
                    for number in range(BURST):
                        await client.emit("message", number)
                    got = [await asyncio.wait_for(told.get(), LIMIT_S) for _ in range(BURST)]
                    self.assertEqual(sorted(got), [(number,) for number in range(BURST)])
                    await client.emit("message", tuple(VALUES))
                    self.assertEqual(await asyncio.wait_for(told.get(), LIMIT_S), tuple(VALUES))
                    self.assertEqual(await client.call("message-with-ack", tuple(VALUES), timeout=LIMIT_S), tuple(VALUES))
                finally:
                    await client.disconnect()

    async def test_heartbeats_are_answered(self):
        for transport in TRANSPORTS:
            with self.subTest(transport):
                client = socketio.AsyncClient(reconnection=False)
                await client.connect(self.server.http, transports=[transport], wait_timeout=LIMIT_S)
                try:
                    # The interval is 300 ms.
                    await asyncio.sleep(1.5)
                    self.assertEqual(await client.call("message-with-ack", "here", timeout=LIMIT_S), "here")
                finally:
                    await client.disconnect()


if __name__ == "__main__":
    unittest.main()
