"""The official Centrifuge client for Python against throng, in JSON and in Protobuf."""

import asyncio
import json
import unittest

import cent
from centrifuge import (
    Client,
    ClientEventHandler,
    DeltaType,
    Filter,
    ReplyError,
    StreamPosition,
    SubscriptionEventHandler,
)

from throng import Server

NAMESPACE = """
history_size = 1000
history_ttl = "60s"
force_recovery = true
presence = true
join_leave = true
force_push_join_leave = true
allowed_delta_types = ["fossil"]
delta_publish = true
allow_tags_filter = true
"""
CONFIG = f"""
client.insecure = true
http_api.key = "key"

[[channel.namespaces]]
name = "stream"
{NAMESPACE}

[[channel.namespaces]]
name = "numbered"
allow_channel_compaction = true
{NAMESPACE}
"""


class Heard(SubscriptionEventHandler):
    """What a subscription was told; `changed` is notified of each."""

    def __init__(self, decode):
        self.decode = decode
        self.publications, self.subscribed, self.joined, self.left, self.ended = [], [], [], [], []
        self.changed = asyncio.Condition()

    async def note(self, where, what):
        async with self.changed:
            where.append(what)
            self.changed.notify_all()

    async def until(self, condition):
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(condition), 10)

    @property
    def data(self):
        return [self.decode(publication.data) for publication in self.publications]

    @property
    def offsets(self):
        return [publication.offset for publication in self.publications]

    async def on_publication(self, ctx):
        await self.note(self.publications, ctx.pub)

    async def on_subscribed(self, ctx):
        await self.note(self.subscribed, ctx)

    async def on_unsubscribed(self, ctx):
        await self.note(self.ended, ctx)

    async def on_join(self, ctx):
        await self.note(self.joined, ctx.info.client)

    async def on_leave(self, ctx):
        await self.note(self.left, ctx.info.client)


class Who(ClientEventHandler):
    """Remembers the id that the server gave, and every connection that was lost."""

    def __init__(self):
        self.client, self.lost, self.connected = "", [], asyncio.Condition()
        self.count = 0

    async def on_connected(self, ctx):
        async with self.connected:
            self.client = ctx.client
            self.count += 1
            self.connected.notify_all()

    async def on_connecting(self, ctx):
        self.lost.append(ctx.code)

    async def times(self, count):
        async with self.connected:
            await asyncio.wait_for(self.connected.wait_for(lambda: self.count >= count), 10)


class Scenarios:
    """What holds in both encodings."""

    is_protobuf = False

    @classmethod
    def setUpClass(cls):
        cls.server = Server(config=CONFIG)
        cls.server.__enter__()
        cls.api = cent.Client(cls.server.api, "key")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def encode(self, value):
        return json.dumps(value).encode() if self.is_protobuf else value

    def decode(self, data):
        return json.loads(data) if self.is_protobuf else data

    async def client(self):
        who = Who()
        made = Client(self.server.channels, events=who, use_protobuf=self.is_protobuf, min_reconnect_delay=0.02)
        made.who = who
        self.addAsyncCleanup(made.disconnect)
        await made.connect()
        await who.times(1)
        return made

    async def subscribe(self, client, channel, **options):
        heard = Heard(self.decode)
        subscription = client.new_subscription(channel, heard, **options)
        await subscription.subscribe()
        await heard.until(lambda: heard.subscribed)
        return subscription, heard

    async def publish(self, channel, data, **more):
        request = cent.PublishRequest(channel=channel, data=data, **more)
        return await asyncio.to_thread(self.api.publish, request)

    def channel(self, namespace="stream"):
        return f"{namespace}:{self.id().split('.')[-1]}"

    async def test_publications_arrive_unchanged_and_in_order(self):
        one, two = await self.client(), await self.client()
        _, here = await self.subscribe(one, self.channel())
        _, there = await self.subscribe(two, self.channel())
        values = [{"text": "Grüße, 世界 🌍", "nested": [1, 2.5, None, True]}, "a string", 17, [], False, "x" * 20_000]
        for value in values:
            await one.publish(self.channel(), self.encode(value))
        for heard in [here, there]:
            await heard.until(lambda: len(heard.data) >= len(values))
            self.assertEqual(heard.data, values)
            self.assertEqual(heard.offsets, list(range(1, len(values) + 1)))
            self.assertEqual({publication.info.client for publication in heard.publications}, {one.who.client})

    async def test_presence_joins_and_leaves(self):
        one, two = await self.client(), await self.client()
        first, heard = await self.subscribe(one, self.channel())
        second, _ = await self.subscribe(two, self.channel())
        ids = {one.who.client, two.who.client}
        self.assertEqual(set((await first.presence()).clients), ids)
        self.assertEqual((await first.presence_stats()).num_clients, 2)
        await heard.until(lambda: two.who.client in heard.joined)
        await second.unsubscribe()
        await heard.until(lambda: heard.left == [two.who.client])

    async def test_history(self):
        one = await self.client()
        subscription, _ = await self.subscribe(one, self.channel())
        for n in range(1, 11):
            await subscription.publish(self.encode(n))
        position = await subscription.history()
        self.assertEqual((position.offset, position.publications), (10, []))

        async def values(**filter):
            return [self.decode(one.data) for one in (await subscription.history(**filter)).publications]

        self.assertEqual(await values(limit=-1), list(range(1, 11)))
        since = StreamPosition(offset=4, epoch=position.epoch)
        self.assertEqual(await values(limit=3, since=since), [5, 6, 7])
        self.assertEqual(await values(limit=3, since=since, reverse=True), [3, 2, 1])
        with self.assertRaises(ReplyError) as refused:
            await values(limit=1, since=StreamPosition(offset=4, epoch="another"))
        self.assertEqual(refused.exception.code, 112)

    async def test_an_rpc_comes_back(self):
        one = await self.client()
        answer = await one.rpc("anything", self.encode({"ask": ["ü"]}))
        self.assertEqual(self.decode(answer.data), {"ask": ["ü"]})

    async def test_errors(self):
        one = await self.client()
        for asked, code in [(one.publish("x" * 256, self.encode(1)), 107), (one.presence("plain"), 108)]:
            with self.assertRaises(ReplyError) as refused:
                await asked
            self.assertEqual(refused.exception.code, code)
        heard = Heard(self.decode)
        await one.new_subscription("nowhere:channel", heard).subscribe()
        await heard.until(lambda: heard.ended)
        self.assertEqual(heard.ended[0].code, 102)

    async def test_filters_and_deltas(self):
        one = await self.client()
        filter = Filter.all(Filter.eq("kind", "even"), Filter.gte("n", "10"))
        _, even = await self.subscribe(await self.client(), self.channel(), tags_filter=filter)
        _, deltas = await self.subscribe(one, self.channel(), delta=DeltaType.FOSSIL)
        values = [{"n": n, "always": "Grüße, " * 50} for n in range(1, 21)]
        for value in values:
            tags = {"kind": "odd" if value["n"] % 2 else "even", "n": str(value["n"])}
            await self.publish(self.channel(), value, tags=tags)
        await deltas.until(lambda: len(deltas.data) >= 20)
        self.assertEqual(deltas.data, values)
        self.assertEqual([publication.delta for publication in deltas.publications], [False] + [True] * 19)
        await even.until(lambda: len(even.data) >= 6)
        self.assertEqual([value["n"] for value in even.data], [10, 12, 14, 16, 18, 20])

    async def test_channels_by_numbers(self):
        one = await self.client()
        channels = [f"{self.channel('numbered')}-{n}" for n in range(3)]
        heard = [(await self.subscribe(one, channel))[1] for channel in channels]
        for n, channel in enumerate(channels):
            await self.publish(channel, n)
        for n, one in enumerate(heard):
            await one.until(lambda: one.data)
            self.assertEqual(one.data, [n])

    async def test_a_broken_connection_loses_nothing(self):
        one = await self.client()
        _, heard = await self.subscribe(one, self.channel())
        for n in range(1, 101):
            await self.publish(self.channel(), n)
            if n % 20 == 0:
                words = cent.Disconnect(code=3001, reason="again")
                request = cent.DisconnectRequest(user="", client=one.who.client, disconnect=words)
                await asyncio.to_thread(self.api.disconnect, request)
        await heard.until(lambda: len(heard.data) >= 100)
        self.assertEqual(heard.offsets, list(range(1, 101)))
        self.assertGreater(len(heard.subscribed), 1)
        self.assertTrue(all(ctx.was_recovering and ctx.recovered for ctx in heard.subscribed[1:]))


class Json(Scenarios, unittest.IsolatedAsyncioTestCase):
    pass


class Protobuf(Scenarios, unittest.IsolatedAsyncioTestCase):
    is_protobuf = True


if __name__ == "__main__":
    unittest.main()
