"""Python's `websockets` against throng: another reading of RFC 6455, and of the Centrifuge protocol as plain JSON."""

import asyncio
import json
import logging
import random
import unittest

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import CloseCode

from throng import Server

logging.getLogger("asyncio").setLevel(logging.ERROR)  # unittest turns on its debugging, which reports slow callbacks


class Echo(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--message-bytes-max", "1MiB", "--frame-bytes-max", "1MiB")
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    async def test_text_and_binary_come_back_as_they_were(self):
        async with connect(self.server.echo, max_size=None) as peer:
            for message in ["", "a", "Grüße 🌍" * 20, b"", bytes(range(256)) * 100, "x" * (1 << 20), b"y" * (1 << 20)]:
                await peer.send(message)
                self.assertEqual(await peer.recv(), message)

    async def test_fragments_are_put_together(self):
        async with connect(self.server.echo) as peer:
            await peer.send(["one ", "", "two ", "drei: ", "é" * 1000])
            self.assertEqual(await peer.recv(), "one two drei: " + "é" * 1000)

    async def test_a_ping_is_answered_between_fragments(self):
        async with connect(self.server.echo, ping_interval=None) as peer:
            async def slowly():
                yield b"first "
                answer = await peer.ping(b"in between")
                await asyncio.wait_for(answer, 5)
                yield b"last"

            await peer.send(slowly())
            self.assertEqual(await peer.recv(), b"first last")

    async def test_many_messages_in_flight_keep_their_order(self):
        rng = random.Random(7)
        sent = [rng.randbytes(rng.choice([0, 1, 125, 126, 127, 4000, 65535, 65536])) for _ in range(500)]
        async with connect(self.server.echo, max_queue=None) as peer:
            async def send_all():
                for message in sent:
                    await peer.send(message)

            sending = asyncio.create_task(send_all())
            self.assertEqual([await peer.recv() for _ in sent], sent)
            await sending

    async def test_many_connections_at_once(self):
        async def one(number):
            async with connect(self.server.echo) as peer:
                for turn in range(20):
                    message = f"{number}:{turn}"
                    await peer.send(message)
                    self.assertEqual(await peer.recv(), message)

        await asyncio.gather(*(one(number) for number in range(200)))

    async def test_a_close_is_answered_with_its_code(self):
        for code in [1000, 1001, 3000, 4999]:
            peer = await connect(self.server.echo)
            await peer.close(code, "done")
            self.assertEqual(peer.close_code, code)

    async def test_a_message_beyond_the_limit_is_refused(self):
        async with connect(self.server.echo) as peer:
            with self.assertRaises(ConnectionClosed) as closed:
                await peer.send([b"z" * 600_000, b"z" * 600_000])
                await peer.recv()
            self.assertEqual(closed.exception.rcvd.code, CloseCode.MESSAGE_TOO_BIG)

    async def test_an_extension_that_is_offered_is_not_assumed(self):
        async with connect(self.server.echo, compression="deflate") as peer:
            await peer.send("x" * 10_000)
            self.assertEqual(await peer.recv(), "x" * 10_000)

    async def test_what_is_compressed_comes_back_as_it_was(self):
        with Server("--compression") as server:
            for offer in [{}, {"server_max_window_bits": 10}, {"client_max_window_bits": 9, "client_no_context_takeover": True}]:
                factory = ClientPerMessageDeflateFactory(compress_settings={"memLevel": 5}, **offer)
                async with connect(server.echo, compression=None, extensions=[factory]) as peer:
                    self.assertIn("permessage-deflate", peer.response.headers["Sec-WebSocket-Extensions"])
                    for message in ["", "short", "und so weiter 🌍 " * 2000, bytes(range(256)) * 200]:
                        await peer.send(message)
                        self.assertEqual(await peer.recv(), message)
                    fragments = ["in ", "several ", "parts " * 500]
                    await peer.send(fragments)
                    self.assertEqual(await peer.recv(), "".join(fragments))

    async def test_an_unknown_path_is_refused_with_404(self):
        with self.assertRaises(InvalidStatus) as refused:
            await connect(self.server.echo + "/nothing/here")
        self.assertEqual(refused.exception.response.status_code, 404)


class Channels(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    @staticmethod
    async def command(peer, *commands):
        """Sends commands in one frame; returns as many replies with an id, in the order of arrival."""
        await peer.send("\n".join(json.dumps(command) for command in commands))
        replies = []
        while len(replies) < len(commands):
            lines = [json.loads(line) for line in (await asyncio.wait_for(peer.recv(), 5)).splitlines()]
            replies += [line for line in lines if line.get("id")]
        return replies

    async def test_several_commands_in_one_frame(self):
        async with connect(self.server.channels) as peer:
            connect_reply, subscribe_reply, publish_reply = await self.command(
                peer,
                {"id": 1, "connect": {"name": "python"}},
                {"id": 2, "subscribe": {"channel": "several"}},
                {"id": 3, "publish": {"channel": "several", "data": {"n": 1}}},
            )
            self.assertEqual([connect_reply["id"], subscribe_reply["id"], publish_reply["id"]], [1, 2, 3])
            self.assertTrue(connect_reply["connect"]["client"])
            self.assertIn("subscribe", subscribe_reply)
            self.assertIn("publish", publish_reply)

    async def test_a_command_before_connect_is_a_bad_request(self):
        async with connect(self.server.channels) as peer:
            await peer.send(json.dumps({"id": 1, "subscribe": {"channel": "early"}}))
            with self.assertRaises(ConnectionClosed) as closed:
                await peer.recv()
            self.assertEqual(closed.exception.rcvd.code, 3501)

    async def test_what_is_no_json_is_a_bad_request(self):
        for nonsense in ["{", "nothing", '{"id": "one"}']:
            async with connect(self.server.channels) as peer:
                await peer.send(nonsense)
                with self.assertRaises(ConnectionClosed) as closed:
                    await peer.recv()
                self.assertEqual(closed.exception.rcvd.code, 3501, nonsense)


class Drain(unittest.IsolatedAsyncioTestCase):
    async def test_a_drain_says_goodbye_to_everyone_and_exits_with_0(self):
        with Server("--drain-ms", "500") as server:
            peers = [await connect(server.echo) for _ in range(20)]
            channels = [await connect(server.channels) for _ in range(20)]
            server.drain()
            await asyncio.wait_for(asyncio.gather(*(peer.wait_closed() for peer in peers + channels)), 10)
            self.assertEqual({peer.close_code for peer in channels}, {3001})
            self.assertEqual({peer.close_code for peer in peers}, {CloseCode.SERVICE_RESTART})
            self.assertEqual(await asyncio.to_thread(server.exit_code), 0)


if __name__ == "__main__":
    unittest.main()
