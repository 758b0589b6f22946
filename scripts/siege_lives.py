"""The lives that `scripts/siege` leads: each a function of a stage and a random source, for one kind of server.

A life takes a second or two, holds at most `CONNECTIONS_MAX` connections at a time, and lets go of all of them. What it says
at its end is printed. It judges nothing but what only it can know: the stage compares the server with what it was before.
"""

import contextlib
import json
import re
import socket
import struct
import time

from siege_stage import CONNECTIONS_MAX, Broken, frame, post, token, trusting, upgrade
import ssl

LIVES = []
WS, ECHO = "/connection/websocket", "/echo"
SECONDS = 1.2


def life(*kinds):
    """Registers a life for servers of these kinds."""
    def register(function):
        LIVES.extend((kind, function) for kind in kinds)
        return function
    return register


def until(seconds=SECONDS):
    """Counts, for so many seconds."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        yield count
        count += 1


def few(stage, count):
    """So many connections, or a few of them where each costs a handshake."""
    return count // 4 if stage.kind == "tls" else count


def say(connection, *parts):
    """Sends; false when the server has had enough."""
    try:
        connection.sendall(b"".join(parts))
        return True
    except OSError:
        return False


def hear(connection, seconds=2.0, bytes_max=1 << 20, enough=None):
    """All that comes until the end, or for so long, or until these bytes have come."""
    heard, end = b"", time.monotonic() + seconds
    with contextlib.suppress(OSError):
        while len(heard) < bytes_max and not (enough and enough in heard) and (left := end - time.monotonic()) > 0:
            connection.settimeout(left)
            if not (more := connection.recv(65536)):
                break
            heard += more
    return heard


def reset(connection):
    """Lets go without a word."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def all_gone(connections):
    for connection in connections:
        reset(connection)


def lines(*commands):
    return "\n".join(command if isinstance(command, str) else json.dumps(command) for command in commands)


def members(stage, count, *commands, room=4096, path=WS):
    """Clients that are let in and read nothing afterwards."""
    found = []
    for _ in range(count):
        connection = stage.connect(room=room)
        say(connection, upgrade(path), frame(lines({"id": 1, "connect": {}}, *commands)))
        found.append(connection)
    return found


ENDS = [
    frame(struct.pack(">H", 1000), 8), frame(b"\x00", 8), frame(b"", 3), b"\x81\x02hi", frame(b"\xff\xfe"),
    frame("not json"), frame(b"", 9, fin=False), frame('{"id":1,"publish":{"channel":"c","data":1}}'),
    b"\x81\xff" + struct.pack(">Q", 1 << 40) + bytes(4),
]


@life("plain", "tls", "proxy")
def ends_in_one_segment(stage, rng):
    """The request and the connection's end in one read, more often than there are places for half-open ones."""
    count = 0
    for count in until(1.5):
        connection = stage.connect()
        say(connection, upgrade(rng.choice([WS, ECHO, "/connection/uni_websocket"])), rng.choice(ENDS))
        if rng.random() < 0.1:
            hear(connection, 0.05)
        rng.choice([reset, lambda gone: gone.close()])(connection)
    wait_for_places(stage)
    return f"{count} ends"


def wait_for_places(stage):
    """Every place of a half-open connection is given back, once their deadlines have passed."""
    end = time.monotonic() + 10
    while stage.gauges().get("throng_half_open", 0) > 0:
        if time.monotonic() > end:
            raise Broken(f"{stage.gauges()['throng_half_open']:g} places of half-open connections are not given back")
        time.sleep(0.1)


def refused_connects():
    """Connect commands that are refused in every way, but not always with an end."""
    expired = token(sub="ann", exp=1_000_000_000)
    nowhere = token(sub="ann", exp=4_000_000_000, channels=["nowhere:x"])
    return [{"token": expired}, {"token": nowhere}, {"token": "no.such.token"}, {"token": 5}, {"token": expired[:-3]},
            {"subs": {"nowhere:x": {}}}, {"subs": {f"c{n}": {"recover": True} for n in range(300)}}]


def commands(rng, at, channel):
    """One command of any sort."""
    named = {"channel": channel}
    return {"id": at} | rng.choice([
        {"ping": {}}, {"subscribe": named}, {"subscribe": named | {"recover": True, "epoch": "x", "offset": 1}},
        {"unsubscribe": named}, {"publish": named | {"data": {}}}, {"presence": named}, {"presence_stats": named},
        {"history": named | {"limit": -1}}, {"rpc": {"method": "m", "data": {}}}, {"refresh": {"token": "x"}},
        {"sub_refresh": named | {"token": "x"}}, {"send": {"data": 1}}, {"connect": {}}, {}, {"what": {}},
    ])


@life("plain", "tls")
def commands_behind_refusals(stage, rng):
    """Any command behind a connect that is refused, in one frame and in the next, over every transport."""
    count = 0
    for count in until():
        first = {"id": 1, "connect": rng.choice(refused_connects())}
        more = [commands(rng, n + 2, rng.choice(["c", "hist:x", "nowhere:x"])) for n in range(rng.randint(1, 80))]
        connection = stage.connect()
        way = rng.randint(0, 4)
        if way == 0:
            say(connection, upgrade(WS), frame(lines(first, *more)))
        elif way == 1:
            say(connection, upgrade(WS), frame(lines(first)), *(frame(lines(one)) for one in more))
        elif way == 2:
            say(connection, post("/connection/http_stream", lines(first, *more)))
        else:
            query = "".join(f"%{byte:02X}" for byte in lines(first, *more[:2]).encode())
            path = rng.choice(["/connection/sse", "/connection/uni_sse"])
            say(connection, f"GET {path}?cf_connect={query} HTTP/1.1\r\nHost: siege\r\n\r\n".encode())
        hear(connection, 0.1)
        reset(connection)
    return f"{count} refused"


def fill(stage, channel, bytes_each=60_000, count=300):
    """A channel with as much history as it keeps."""
    batch = [{"publish": {"channel": channel, "data": "x" * bytes_each}}] * 10
    for _ in range(count // len(batch)):
        stage.api("batch", {"commands": batch})


def floods(rng):
    """Commands that ask for much with little."""
    history = '{"id":%d,"history":{"channel":"hist:full","limit":-1}}'
    recover = '{"id":%d,"subscribe":{"channel":"hist:full","recover":true,"epoch":"","offset":0}}'
    presence = '{"id":%d,"presence":{"channel":"crowd"}}'
    leave = '{"id":%d,"unsubscribe":{"channel":"hist:full"}}'
    return [[history] * 900, [presence] * 1200, [recover, leave] * 400, [history, presence] * 500]


@life("plain", "tls")
def asks_for_much_and_reads_nothing(stage, rng):
    """One frame of hundreds of commands, each of which is answered with megabytes."""
    fill(stage, "hist:full")
    crowd = members(stage, few(stage, 100), {"id": 2, "subscribe": {"channel": "crowd"}})
    floods_now = [lines(*(command % (at + 2) for at, command in enumerate(one))) for one in floods(rng)]
    askers = members(stage, 8)
    for at, asker in enumerate(askers):
        asker.settimeout(0.5)
        say(asker, frame(floods_now[at % len(floods_now)][:65_000].rsplit("\n", 1)[0]))
    time.sleep(SECONDS)
    subs = {"hist:full": {"recover": True, "epoch": "", "offset": 0}}
    more = [stage.connect(room=4096) for _ in range(20)]
    for connection in more:
        say(connection, upgrade(WS), frame(lines({"id": 1, "connect": {"subs": subs}})))
    time.sleep(SECONDS / 2)
    # Some of them read a little.
    for asker in askers[::2]:
        hear(asker, 0.1)
    all_gone(crowd + askers + more)
    return f"{len(floods_now)} floods"


@life("plain")
def posts_that_ask_for_much(stage, rng):
    """The same by /emulation, for streams that are not read."""
    fill(stage, "hist:full", count=100)
    held = []
    for path in ("/connection/http_stream",) * 6:
        stream = stage.connect(room=4096)
        say(stream, post(path, lines({"id": 1, "connect": {}})))
        heard = b""
        while b'"session"' not in heard or b'"node"' not in heard:
            heard += stream.recv(4096)
        body = json.loads(heard[heard.index(b'{"id":1'):].split(b"\n")[0])["connect"]
        data = lines(*({"id": n + 2, "history": {"channel": "hist:full", "limit": -1}} for n in range(500)))
        poster = stage.connect()
        say(poster, post("/emulation", json.dumps({"session": body["session"], "node": body["node"], "data": data})))
        hear(poster, 0.2)
        held += [stream, poster]
    time.sleep(SECONDS)
    all_gone(held)
    return f"{len(held)} connections"


@life("plain", "tls")
def speaks_and_reads_nothing(stage, rng):
    """Echoes and pings that nobody takes."""
    speakers = []
    for _ in range(few(stage, 60)):
        connection = stage.connect(room=4096)
        say(connection, upgrade(ECHO))
        connection.settimeout(0.02)
        speakers.append(connection)
    big, pings = frame(b"x" * 60_000, 2), frame(b"ping", 9) * 5000
    count = 0
    for count in until():
        say(rng.choice(speakers), rng.choice([big, pings]))
    all_gone(speakers)
    return f"{count} writes"


@life("plain", "tls", "proxy")
def half_requests(stage, rng):
    """Heads and bodies that never end, some of them byte by byte."""
    whole = [upgrade(WS), post("/connection/http_stream", "{}" * 1000), post("/emulation", "{}" * 1000),
             b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 7000]
    held = []
    for _ in range(few(stage, 300)):
        connection = stage.connect(timeout=1)
        request = rng.choice(whole)
        say(connection, request[:rng.randint(0, len(request) - 3)])
        held.append(connection)
    for count in until():
        say(rng.choice(held), b"x")
        time.sleep(0.001)
    all_gone(held[::2])
    # The others are told to go.
    for connection in held[1::2]:
        hear(connection, 4)
        connection.close()
    return f"{len(held)} held"


POLL = "/socket.io/?EIO=4&transport=polling"
# Bodies of posts, whole and spoilt.
BODIES = ["40", "3", "6", "1", "2", "5", "42[\"a\"]", "9", "", "40\x1e40/a,\x1e41", "b!!!!", "451-[{\"_placeholder\":true,\"num\":0}]",
          "4" * 70_000]


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: siege\r\n\r\n".encode()


def polled_session(stage, held):
    """The path of a session of Socket.IO that a poll has opened; None when the server has had enough of them."""
    connection = stage.connect()
    held.append(connection)
    say(connection, get(POLL))
    answer, end = b"", time.monotonic() + 2
    while b'"sid":"' not in answer and time.monotonic() < end:
        connection.settimeout(2)
        try:
            more = connection.recv(4096)
        except OSError:
            return None
        if not more:
            return None
        answer += more
    return f"{POLL}&sid=" + answer.split(b'"sid":"')[1].split(b'"')[0].decode()


@life("plain", "tls", "proxy")
def sessions_on_polling(stage, rng):
    """Sessions of Socket.IO that nobody polls, two polls at once, posts of all sorts, and upgrades that end at any point."""
    held, count, refused = [], 0, 0
    for count in until(1.5):
        path = polled_session(stage, held)
        if path is None:
            refused += 1
            continue
        for _ in range(rng.randint(0, 3)):
            connection = stage.connect()
            held.append(connection)
            whole = rng.choice([get(path), get(path) * 2, post(path, rng.choice(BODIES)), get(POLL + "&sid=" + "0" * 56),
                                upgrade(path.replace("polling", "websocket")) + frame("2probe") + frame("5") + frame("40")])
            say(connection, whole[:rng.choice([len(whole), rng.randint(0, len(whole))])])
            if rng.random() < 0.3:
                hear(connection, 0.05)
            if rng.random() < 0.3:
                reset(connection)
        while len(held) > few(stage, 200):
            reset(held.pop(rng.randrange(len(held))))
    all_gone(held)
    return f"{count} sessions, {refused} refused"


SOCKET = "/socket.io/?EIO=4&transport=websocket"
EVENTS = ['42["join","a"]', '421["join","b"]', '42["publish","a","x"]', '422["publish","b","y"]', '423["nobody"]', "3",
          '451-["publish","a",{"_placeholder":true,"num":0}]']


@life("plain", "tls", "proxy")
def sockets_that_come_back(stage, rng):
    """Sockets that enter rooms and are cut at any point, and come back over either transport: while their old connection is
    open or not, twice at the same time, too late, with the offset of another, or with a spoilt claim."""
    held, claims, count, returned = [], [], 0, 0
    for count in until(1.5):
        pid, sid = rng.choice(claims[-10:]) if claims and rng.random() < 0.8 else (None, None)
        spoilt = pid and rng.random() < 0.2
        claim = {"pid": pid[:-1] + rng.choice("ab") if spoilt else pid, "offset": rng.choice([None] * 12 + ["x", "e.1", "-1", 7])}
        hello = "40" + (json.dumps({name: value for name, value in claim.items() if value or spoilt}) if pid else "")
        events = rng.choices(EVENTS, k=rng.randint(0, 4))
        connection = stage.connect()
        if rng.random() < 0.5:
            path = polled_session(stage, held)
            if path is None:
                reset(connection)
                continue
            say(connection, post(path, hello), get(path), post(path, "\x1e".join(events)), get(path))
        else:
            say(connection, upgrade(SOCKET), frame(hello), *map(frame, events))
        held.append(connection)
        answer = re.search(rb'40\{"sid":"([^"]+)","pid":"([^"]+)"', hear(connection, 0.2, enough=b'"pid":'))
        if answer:
            returned += answer[1].decode() == sid
            claims.append((answer[2].decode(), answer[1].decode()))
        while len(held) > few(stage, 60):
            reset(held.pop(rng.randrange(len(held))))
    all_gone(held)
    if len(claims) > 20 and not returned:
        raise Broken(f"{len(claims)} sockets, and none could come back")
    return f"{count} connections, {returned} of them came back to their sockets"


@life("plain", "tls")
def half_messages(stage, rng):
    """Frames and messages that are never whole."""
    held = members(stage, few(stage, 150))
    for connection in held:
        connection.settimeout(0.2)
        whole = rng.choice([frame(b"x" * 60_000), frame(b"x" * 30_000, fin=False) + frame(b"x" * 20_000, 0, fin=False)])
        say(connection, whole[:rng.randint(1, len(whole))])
    time.sleep(SECONDS)
    all_gone(held)
    return f"{len(held)} held"


@life("plain", "tls", "proxy")
def comes_and_goes(stage, rng):
    """Connections that are opened, and reset or closed at any point."""
    count = 0
    for count in until():
        connection = stage.connect()
        said = upgrade(WS) + frame('{"id":1,"connect":{}}') + frame('{"id":2,"subscribe":{"channel":"hist:x"}}')
        say(connection, said[:rng.randint(0, len(said))])
        if rng.random() < 0.2:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            hear(connection, 0.3)
        rng.choice([reset, lambda gone: gone.close()])(connection)
    return f"{count} connections"


@life("plain", "tls")
def any_commands(stage, rng):
    """Commands of all sorts, some of them spoilt, many in a frame, many frames in a read, to the end of the connection."""
    count = 0
    for _ in until():
        connection = stage.connect()
        connection.settimeout(0.3)
        out = [upgrade(WS), frame('{"id":1,"connect":{}}')]
        for _ in range(rng.randint(1, 30)):
            some = [commands(rng, n + 2, rng.choice(["c", "hist:x", "hist:y", "nowhere:x", "$p", "u#ann", "\ud83d"])) for n in range(rng.randint(1, 5))]
            payload = bytearray(lines(*some).encode())
            if rng.random() < 0.3:
                payload[rng.randrange(len(payload))] = rng.randrange(256)
            out.append(frame(bytes(payload), rng.choice([1, 1, 1, 2])))
            count += len(some)
        if rng.random() < 0.5:
            out.append(rng.choice(ENDS))
        say(connection, *out)
        hear(connection, 0.05)
        reset(connection)
    return f"{count} commands"


@life("control")
def streams_that_nobody_reads(stage, rng):
    """SSE, HTTP streaming and the transports without commands, subscribed to a channel that speaks all the time."""
    subs = {"noise": {}}
    connect = json.dumps({"subs": subs})
    query = "".join(f"%{byte:02X}" for byte in connect.encode())
    both = lines({"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": "noise"}})
    escaped = "".join(f"%{byte:02X}" for byte in both.encode())
    asks = [post("/connection/http_stream", both), post("/connection/uni_http_stream", connect),
            f"GET /connection/sse?cf_connect={escaped} HTTP/1.1\r\nHost: siege\r\n\r\n".encode(),
            f"GET /connection/uni_sse?cf_connect={query} HTTP/1.1\r\nHost: siege\r\n\r\n".encode(),
            upgrade(f"/connection/uni_websocket?cf_connect={query}")]
    held = []
    for at in range(100):
        connection = stage.connect(room=4096)
        say(connection, asks[at % len(asks)])
        held.append(connection)
    batch = [{"publish": {"channel": "noise", "data": "x" * 20_000}}] * 20
    for count in until():
        stage.api("batch", {"commands": batch})
    all_gone(held)
    return f"{len(held)} streams, {20 * count + 20} publications"


@life("plain", "proxy")
def requests_that_are_none(stage, rng):
    """Garbage, heads without end, requests by the thousand in one segment, answers that nobody reads."""
    good = b"GET / HTTP/1.1\r\nHost: siege\r\n\r\n"
    nothing = post("/emulation", '{"session":"x","node":"y","data":"z"}')
    count = 0
    for count in until():
        connection = stage.connect(room=4096)
        connection.settimeout(0.2)
        say(connection, rng.choice([
            rng.randbytes(rng.randint(1, 3000)), good * 2000, nothing * 300, b"GET " + b"/" * 20_000,
            good.replace(b"\r\n\r\n", b"\r\nContent-Length: 99999999999999999999\r\n\r\n"),
            post("/connection/http_stream", "{}", "Transfer-Encoding: chunked\r\n"), b"\x16\x03\x01" + rng.randbytes(200),
            post("/connection/http_stream", "{}", "Expect: 100-continue\r\n")[:-2], b"\r\n" * 4000,
        ]))
        if rng.random() < 0.3:
            hear(connection, 0.1)
        reset(connection)
    return f"{count} requests"


@life("control")
def orders_in_between(stage, rng):
    """The server's own orders while clients come, ask and go."""
    held, count = [], 0
    who = token(sub="ann", exp=4_000_000_000)
    for count in until():
        connection = stage.connect()
        out = [upgrade(WS), frame(lines({"id": 1, "connect": {"token": who}}))]
        out += [frame(lines(commands(rng, n + 2, rng.choice(["c", "hist:x"])))) for n in range(rng.randint(0, 10))]
        say(connection, *out)
        held.append(connection)
        method, body = rng.choice([
            ("disconnect", {"user": "ann"}), ("unsubscribe", {"user": "ann", "channel": "hist:x"}), ("refresh", {"user": "ann", "expired": True}),
            ("subscribe", {"user": "ann", "channel": "hist:x"}), ("publish", {"channel": "hist:x", "data": {}}), ("history_remove", {"channel": "hist:x"}),
            ("refresh", {"user": "ann", "expire_at": 1 << 61}),
        ])
        stage.api(method, body)
        if len(held) > 50:
            all_gone(held)
            held = []
    all_gone(held)
    return f"{count} orders"


@life("plain")
def over_a_unix_socket(stage, rng):
    """Ends in one segment, refused connects and floods, where there is no address."""
    count = 0
    for count in until():
        connection = stage.connect_unix()
        connection.settimeout(0.2)
        first = lines({"id": 1, "connect": rng.choice(refused_connects())}, {"id": 2, "ping": {}})
        say(connection, upgrade(rng.choice([WS, ECHO])), rng.choice([*ENDS, frame(first), frame(b"x" * 60_000) * 20]))
        reset(connection)
    return f"{count} connections"


@life("control")
def silent_control_connections(stage, rng):
    """More control connections than there are seats, silent or slow, while probes must be answered."""
    held = []
    request = b"POST /api/publish HTTP/1.1\r\nHost: siege\r\nX-API-Key: siege-api-key\r\nContent-Length: 100000\r\n\r\n"
    for at in range(350):
        with contextlib.suppress(OSError):
            connection = stage.connect_control()
            connection.settimeout(0.5)
            say(connection, rng.choice([b"", b"GET /heal", request, b"GET /metrics HTTP/1.1\r\nHost: siege\r\n\r\n" * 50]))
            held.append(connection)
    for _ in until(2 * SECONDS):
        say(rng.choice(held), b"x")
        time.sleep(0.002)
    # The watch asks for /health and /ready all the while; so does who comes now.
    stage.ask("/ready")
    all_gone(held)
    return f"{len(held)} held"


@life("control")
def garbage_for_the_api(stage, rng):
    """Bodies that are none, wrong keys, batches of nonsense."""
    count = 0
    for count in until():
        connection = stage.connect_control()
        body = rng.choice([b"{", b"null", b"[]", rng.randbytes(50), b'{"channel":"\\ud83d","data":1}', b'{"commands":[{}]}' * 10,
                           b"[" * 5000, json.dumps({"commands": [{"publish": {"channel": "c", "data": 1}}] * 1000}).encode()])
        key = rng.choice(["X-API-Key: siege-api-key\r\n", "X-API-Key: no\r\n", ""])
        path = rng.choice(["/api/publish", "/api/batch", "/api/nothing", "/api/disconnect", "/metrics", "/debug/memory", "/"])
        whole = post(path, body, key)
        say(connection, whole[:rng.choice([len(whole), len(whole) // 2])])
        hear(connection, 0.02)
        reset(connection)
    return f"{count} requests"


@life("log unread", "log to nobody", "log to a full disk")
def causes_lines_that_cannot_be_written(stage, rng):
    """Each of these connections makes the server write a line, at its most talkative: more than a pipe holds."""
    count = 0
    for count in until(2 * SECONDS):
        connection = stage.connect()
        say(connection, upgrade(WS), frame(lines({"id": 1, "connect": {"token": "no.such.token" + "x" * 200}})))
        hear(connection, 0.2, 300)
        reset(connection)
    return f"{count} connections"


@life("memory")
def subscriptions_without_number(stage, rng):
    """As many subscriptions, with long names, as connections are allowed."""
    held, count = [], 0
    for at in until(3 * SECONDS):
        connection = stage.connect()
        connection.settimeout(1)
        if not say(connection, upgrade(WS), frame('{"id":1,"connect":{}}')):
            break
        held.append(connection)
        for part in range(8):
            names = (f"{at}-{part}-{n}-" + "x" * rng.choice([1, 100]) for n in range(250))
            some = lines(*({"id": n + 2, "subscribe": {"channel": name}} for n, name in enumerate(names)))
            if not say(connection, frame(some)):
                break
            count += 250
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.recv(1 << 20)
        if len(held) >= CONNECTIONS_MAX:
            break
    time.sleep(SECONDS)
    all_gone(held)
    return f"{count} subscriptions asked for"


@life("memory")
def histories_without_number(stage, rng):
    """Publications to more channels than anybody reads."""
    count = 0
    for count in until():
        batch = [{"publish": {"channel": f"hist:{count}-{n}", "data": "x" * rng.choice([10, 10_000])}} for n in range(40)]
        stage.api("batch", {"commands": batch})
    return f"{40 * count} channels"


@life("proxy")
def bad_proxy_headers(stage, rng):
    """Headers that are wrong, half or missing, before what would be right."""
    signature = b"\r\n\r\n\x00\r\nQUIT\n"
    address = bytes([10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 0, 80])
    good = signature + b"\x21\x11\x00\x0c" + address
    count = 0
    for count in until():
        connection = stage.connect(hello=False)
        header = rng.choice([
            b"PROXY TCP4 1.2.3 4.5.6.7 1 2\r\n", b"PROXY " + b"x" * 200, b"PROXY UNKNOWN\r\n", b"PROXY TCP4", b"", signature,
            signature + b"\x20\x00\x00\x00", signature + b"\x20\x11\x00\x00", signature + b"\x21\x11\xff\xff" + bytes(3000),
            signature + b"\x31\x11\x00\x0c" + address, good, good[:rng.randint(1, len(good))], good + good, rng.randbytes(40),
        ])
        say(connection, header, upgrade(rng.choice([WS, ECHO])), rng.choice(ENDS))
        if rng.random() < 0.3:
            hear(connection, 0.1)
        reset(connection)
    wait_for_places(stage)
    return f"{count} headers"


def client_hello():
    """The first flight of a client, and what reads its answer."""
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    hidden = trusting().wrap_bio(inward, outward, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        hidden.do_handshake()
    return hidden, inward, outward


@life("tls")
def handshakes_that_end_early(stage, rng):
    """Garbage, half a hello, a whole one and nothing more, garbage behind the handshake, the end in one segment with the request."""
    held, count = [], 0
    for count in until(2 * SECONDS):
        connection = stage.connect(is_sealed=False)
        connection.settimeout(0.5)
        hidden, inward, outward = client_hello()
        hello = outward.read()
        way = rng.randint(0, 5)
        if way == 0:
            say(connection, rng.choice([rng.randbytes(300), b"\x16\x03\x01\xff\xff" + rng.randbytes(1000), b"\x15\x03\x03\x00\x02\x02\x28"]))
        elif way == 1:
            say(connection, hello[:rng.randint(1, len(hello) - 1)])
        elif way == 2:
            say(connection, hello)
        else:
            say(connection, hello)
            with contextlib.suppress(OSError, ssl.SSLError):
                finish_handshake(connection, hidden, inward, outward)
                hidden.write(upgrade(rng.choice([WS, ECHO])) + rng.choice(ENDS))
                records = outward.read()
                if way == 4:
                    records = records[:-1] + bytes([records[-1] ^ 1])
                if way == 5:
                    records += b"\x17\x03\x03\x00\x20" + rng.randbytes(32)
                say(connection, records)
        held.append(connection)
        if len(held) >= CONNECTIONS_MAX // 2:
            all_gone(held)
            held = []
    all_gone(held)
    wait_for_places(stage)
    return f"{count} handshakes"


def finish_handshake(connection, hidden, inward, outward):
    while True:
        try:
            hidden.do_handshake()
            return connection.sendall(outward.read())
        except ssl.SSLWantReadError:
            if out := outward.read():
                connection.sendall(out)
            inward.write(connection.recv(65536))
