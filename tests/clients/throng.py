"""A throng of the tests' own: started on free ports, ended by its process id whatever happened."""

import os
import random
import signal
import socket
import subprocess
import tempfile
import time


def free_port():
    """A port below the ephemeral range, so that no client's source port can take it before the server binds."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class Example:
    """One of the repository's examples, built beside the server, with its address and further arguments; a context manager."""

    def __init__(self, name, *arguments):
        self.port = free_port()
        self.http = f"http://127.0.0.1:{self.port}"
        program = os.path.join(os.path.dirname(os.environ["THRONG_BIN"]), "examples", name)
        self.log = tempfile.TemporaryFile("w+")
        command = [program, f"127.0.0.1:{self.port}", *arguments]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def __enter__(self):
        wait_until_reachable(self.process, [self.port], self.log)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()


def wait_until_reachable(process, ports, log):
    """Waits until a program accepts connections at these ports; raises with what it said if it does not."""
    end = time.monotonic() + 10
    while True:
        try:
            for port in ports:
                socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                log.seek(0)
                raise RuntimeError(f"the server did not start: {log.read()}") from None
            time.sleep(0.02)


class Server:
    """`throng serve` with two shards, an echo endpoint, further flags, and a configuration in TOML; a context manager."""

    def __init__(self, *flags, config=""):
        self.port, self.control = free_port(), free_port()
        control = self.control
        self.listeners = [self.port, control] if config else [self.port]
        self.api = f"http://127.0.0.1:{control}/api"
        self.echo = f"ws://127.0.0.1:{self.port}/echo"
        self.channels = f"ws://127.0.0.1:{self.port}/connection/websocket"
        listen = f"127.0.0.1:{self.port}"
        command = [os.environ["THRONG_BIN"], "serve", "--listen", listen]
        command += ["--control", f"127.0.0.1:{control}" if config else "off"]
        self.config = tempfile.NamedTemporaryFile("w", suffix=".toml")
        if config:
            self.config.write(config)
            self.config.flush()
            command += ["--config", self.config.name]
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([*command, "--shards", "2", "--echo", "/echo", *flags], stderr=self.log)

    def __enter__(self):
        wait_until_reachable(self.process, self.listeners, self.log)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()
        self.config.close()

    def drain(self):
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self):
        return self.process.wait(timeout=15)
