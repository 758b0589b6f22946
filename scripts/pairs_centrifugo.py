"""Rows of scripts/bench-pairs that measure throng beside Centrifugo 6.9.1, both with the same configuration.

Each server runs on one core (Centrifugo with GOMAXPROCS=1), each pair in turn, and `throng bench` is the client of both.
They need Go, with which `scripts/centrifugo` installs Centrifugo.
"""

import contextlib
import json
import os
import subprocess
import tempfile
from pathlib import Path

import measure
from measure import CENTRIFUGE

API_KEY = "bench-key"
KEPT = {"history_size": 100, "history_ttl": "10m", "force_positioning": True, "force_recovery": True}
CONFIG = {
    "client": {"insecure": True},
    "http_api": {"key": API_KEY},
    "channel": {"namespaces": [{"name": "history", **KEPT}]},
}


class Peers:
    """Both servers, and the file that configures them."""

    def __init__(self, run, directory):
        self.run = run
        self.file = Path(directory) / "both.json"
        self.file.write_text(json.dumps(CONFIG), encoding="utf-8")
        found = subprocess.run([measure.ROOT / "scripts/centrifugo"], stdout=subprocess.PIPE, text=True, check=False)
        if found.returncode != 0:
            raise SystemExit("these rows need Go, which installs Centrifugo")
        self.centrifugo_binary = found.stdout.strip()

    def throng(self):
        return measure.throng(self.run.binary, 1, self.run.port, self.run.args.server_core, "--config", self.file)

    def centrifugo(self):
        # Go would start as many threads as the box has cores, and let them take turns on the one that it is pinned to.
        os.environ["GOMAXPROCS"] = "1"
        command = [self.centrifugo_binary, "-c", self.file, "-a", measure.HOST, "-p", self.run.bare_port]
        return measure.Server(command, self.run.bare_port, self.run.args.server_core)


@contextlib.contextmanager
def peers(run):
    with tempfile.TemporaryDirectory() as directory:
        yield Peers(run, directory)


def rounds(run, key, scenario, fresh=False, **flags):
    """Rounds of (throng, Centrifugo) of one figure; with `fresh`, each from a server that has just started."""
    pairs = []
    with peers(run) as both, contextlib.ExitStack() as stack:
        servers = None if fresh else [stack.enter_context(both.throng()), stack.enter_context(both.centrifugo())]
        for number in range(run.args.rounds):
            pair = []
            for index, start in enumerate((both.throng, both.centrifugo)):
                more = {name: value(number) if callable(value) else value for name, value in flags.items()}
                with start() if fresh else contextlib.nullcontext(servers[index]) as server:
                    pair.append(run.bench(scenario, server, CENTRIFUGE, **more)[key])
            pairs.append(tuple(pair))
    return pairs


def memory(run):
    pairs = rounds(run, "server_rss_per_connection_bytes", "idle", fresh=True, connections=15_000, subscribe="bench", hold=1)
    yield run.paired_row("process memory per idle connection, subscribed, 15,000 connections", pairs, " B", "≤ 0.0041", 0.0041,
              digits=0, ratio_digits=4)


def fanout(run):
    flags = {"connections": 10_000, "seconds": run.args.seconds}
    for channel, words in (("bench", "fan-out to 10,000, 100 B"), ("history:bench", "the same with history and positions")):
        pairs = rounds(run, "server_cpu_us_per_delivery", "fanout", channel=channel, in_flight=1, **flags)
        yield run.paired_row(f"{words}, 1 in flight: server CPU per delivery", pairs, " µs", "≤ 0.59", 0.59)
        for in_flight, least in ((4, 4.6), (64, 38)):
            pairs = rounds(run, "delivery_per_core_second", "fanout", channel=channel, in_flight=in_flight, **flags)
            yield run.paired_row(f"{words}, {in_flight} in flight: deliveries per second of server CPU", pairs, "", f"≥ {least}",
                      least, most=False, digits=0)


def handshakes(run):
    pairs = rounds(run, "server_cpu_us_per_handshake", "handshakes", seconds=run.args.seconds)
    yield run.paired_row("handshake and close: server CPU", pairs, " µs", "≤ 0.69", 0.69, digits=1)


def recovery(run):
    flags = {"connections": 8_000, "missed": 20, "channel": lambda number: f"history:{number}"}
    for key, what, unit, limit in (("server_cpu_us_per_recovery", "server CPU per connection", " µs", 0.7),
                                   ("recover_seconds", "until the last has all", " s", 0.25)):
        pairs = rounds(run, key, "recover", **flags)
        yield run.paired_row(f"8,000 connections back at once, each missed 20 publications: {what}", pairs, unit,
                  f"≤ {limit}", limit)


def publishing(run):
    """The API of each where it is by default: the control listener, and the port of the clients."""
    key = "server_cpu_us_per_message"
    for clients in (1, 64):
        flags = {"connections": clients, "seconds": run.args.seconds, "channel": "nobody", "api": True, "api_key": API_KEY}
        pairs = []
        with peers(run) as both, both.throng() as ours, both.centrifugo() as theirs:
            for _ in range(run.args.rounds):
                a = run.bench("publish", ours, f"{measure.API}publish", **flags)
                b = run.bench("publish", Here(theirs), f"{measure.API}publish", **flags)
                pairs.append((a[key], b[key]))
        yield run.paired_row(f"publish by the server API, keep-alive, {clients} in flight: server CPU", pairs, " µs", "≤ 1.0", 1.0)


class Here:
    """A server whose API is on the port of its clients."""

    def __init__(self, server):
        self.server, self.pid = server, server.pid

    def url(self, path):
        return f"ws://{measure.HOST}:{self.server.port}{path}"

    def output(self):
        return self.server.output()


ROWS = {f"centrifugo-{f.__name__}": f for f in (memory, fanout, handshakes, recovery, publishing)}
