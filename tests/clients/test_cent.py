"""`cent`, the official Python client of the server API, against throng: what it understands is what a backend gets."""

import asyncio
import json
import unittest

import cent
from cent import exceptions
from websockets.asyncio.client import connect

from throng import Server

KEY = "a key of ours"
NAMESPACES = """
[http_api]
key = "a key of ours"

[client]
insecure = true

[[channel.namespaces]]
name = "chat"
presence = true
history_size = 10
history_ttl = "1m"
force_recovery = true
"""


class Api(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(config=NAMESPACES)
        cls.server.__enter__()
        cls.client = cent.Client(cls.server.api, KEY, timeout=10)

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def code_of(self, call, request):
        with self.assertRaises(exceptions.CentApiResponseError) as failed:
            call(request)
        return failed.exception.code

    def test_publish_and_history(self):
        client, channel = self.client, "chat:history"
        for number in range(3):
            tags = {"n": str(number)}
            published = client.publish(cent.PublishRequest(channel=channel, data={"n": number}, tags=tags))
            self.assertEqual(published.offset, number + 1)
        history = client.history(cent.HistoryRequest(channel=channel, limit=2, reverse=True))
        self.assertEqual([(p.data, p.tags, p.offset) for p in history.publications],
                         [({"n": 2}, {"n": "2"}, 3), ({"n": 1}, {"n": "1"}, 2)])
        self.assertEqual((history.offset, history.epoch), (3, published.epoch))
        since = cent.StreamPosition(offset=1, epoch=history.epoch)
        self.assertEqual(len(client.history(cent.HistoryRequest(channel=channel, limit=-1, since=since)).publications), 2)
        client.history_remove(cent.HistoryRemoveRequest(channel=channel))
        self.assertEqual(client.history(cent.HistoryRequest(channel=channel, limit=-1)).publications, [])

    def test_an_idempotency_key_publishes_once(self):
        request = cent.PublishRequest(channel="chat:once", data=1, idempotency_key="k")
        self.assertEqual([self.client.publish(request).offset for _ in range(3)], [1, 1, 1])

    def test_broadcast_tells_each_outcome(self):
        request = cent.BroadcastRequest(channels=["chat:a", "", "chat:b"], data={"to": "all"})
        responses = self.client.broadcast(request).responses
        self.assertEqual([response.error.code if response.error else 0 for response in responses], [0, 107, 0])
        self.assertEqual(responses[0].result.offset, 1)

    def test_batch(self):
        requests = [cent.PublishRequest(channel="chat:batch", data=1),
                    cent.PresenceStatsRequest(channel="chat:batch"), cent.InfoRequest()]
        for parallel in [False, True]:
            replies = self.client.batch(cent.BatchRequest(requests=requests, parallel=parallel)).replies
            self.assertEqual(replies[0].offset, 1 + parallel)
            self.assertEqual(replies[1].num_clients, 0)
            self.assertEqual(len(replies[2].nodes), 1)

    def test_errors_are_what_the_client_knows(self):
        client = self.client
        self.assertEqual(self.code_of(client.publish, cent.PublishRequest(channel="no:such", data=1)), 102)
        self.assertEqual(self.code_of(client.publish, cent.PublishRequest(channel="", data=1)), 107)
        self.assertEqual(self.code_of(client.history, cent.HistoryRequest(channel="bare")), 108)
        self.assertEqual(self.code_of(client.presence, cent.PresenceRequest(channel="bare")), 108)
        lost = cent.StreamPosition(offset=1, epoch="another")
        self.assertEqual(self.code_of(client.history, cent.HistoryRequest(channel="chat:x", limit=1, since=lost)), 112)
        for key in ["", "another key"]:
            with self.assertRaises(exceptions.CentUnauthorizedError):
                cent.Client(self.server.api, key, timeout=10).info(cent.InfoRequest())

    async def test_connections_are_ordered_about(self):
        async with connect(self.server.channels) as peer:
            async def next_line(kind):
                while True:
                    for line in (await asyncio.wait_for(peer.recv(), 5)).splitlines():
                        push = json.loads(line)
                        if kind in push or kind in push.get("push", {}):
                            return push

            await peer.send(json.dumps({"id": 1, "connect": {}}))
            client = (await next_line("connect"))["connect"]["client"]
            api = cent.AsyncClient(self.server.api, KEY, timeout=10)
            override = cent.ChannelOptionsOverride(presence=cent.BoolValue(value=True))
            await api.subscribe(cent.SubscribeRequest(
                user="", client=client, channel="chat:ordered", info={"role": "guest"}, data={"by": "order"}, override=override))
            subscribed = (await next_line("subscribe"))["push"]
            self.assertEqual((subscribed["channel"], subscribed["subscribe"]["data"]), ("chat:ordered", {"by": "order"}))
            await api.publish(cent.PublishRequest(channel="chat:ordered", data="hello"))
            self.assertEqual((await next_line("pub"))["push"]["pub"]["data"], "hello")
            presence = (await api.presence(cent.PresenceRequest(channel="chat:ordered"))).presence
            self.assertEqual((list(presence), presence[client].chan_info), ([client], {"role": "guest"}))
            channels = (await api.channels(cent.ChannelsRequest(pattern="chat:ord*"))).channels
            self.assertEqual(channels["chat:ordered"].num_clients, 1)
            self.assertGreaterEqual((await api.info(cent.InfoRequest())).nodes[0].num_clients, 1)
            await api.unsubscribe(cent.UnsubscribeRequest(user="", client=client, channel="chat:ordered"))
            self.assertEqual((await next_line("unsubscribe"))["push"]["unsubscribe"]["code"], 2000)
            await api.refresh(cent.RefreshRequest(user="", client=client, expire_at=4_000_000_000))
            reason = cent.Disconnect(code=4444, reason="go")
            await api.disconnect(cent.DisconnectRequest(user="", client=client, disconnect=reason))
            await asyncio.wait_for(peer.wait_closed(), 5)
            self.assertEqual((peer.close_code, peer.close_reason), (4444, "go"))
            await api.close()


if __name__ == "__main__":
    unittest.main()
