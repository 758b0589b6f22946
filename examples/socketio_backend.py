"""A chat with rooms and answers: the backend of throng for Socket.IO clients, with Python's standard library alone.

SECRET=s3cret python3 examples/socketio_backend.py 127.0.0.1:3001
throng --config FILE with [socketio.proxy.event] and [socketio.proxy.disconnect], see docs/SOCKETIO.md
"""
import collections, hashlib, hmac, http.server, json, os, sys  # noqa: E401

SECRET = os.environ.get("SECRET", "")
# The names of those in each room. The state of a socket travels with its events; this is for all of them.
ROOMS = collections.defaultdict(dict)

def emit(event, *args, **more):
    return {"emit": {"event": event, "args": args, **more}}

def leave_room(sid, state):
    ROOMS[state["room"]].pop(sid, None)
    return [{"leave": {"rooms": state["room"]}}, emit("went", state["name"], to=state["room"])]

def answer(asked):
    name, args, sid, state = asked["event"], asked["args"], asked["sid"], asked.get("state")
    if name == "join" and len(args) == 2 and all(isinstance(arg, str) for arg in args):
        room, who = args
        left = leave_room(sid, state) if state else []
        ROOMS[room][sid] = who
        do = [*left, {"join": {"rooms": room}}, emit("came", who, to=room, **{"except": sid})]
        return {"ack": [{"members": list(ROOMS[room].values())}], "state": {"room": room, "name": who}, "do": do}
    if name == "chat message" and state:
        return {"ack": ["ok"], "do": [emit("chat message", state["name"], *args[:1], to=state["room"])]}
    if name == "leave":
        return {"ack": ["ok"], "state": None, "do": leave_room(sid, state) if state else []}
    if name == "bye":
        return {"do": [{"disconnect": {}}]}
    return {"ack": [{"error": "join a room first" if name == "chat message" else f"unknown event {name}"}]}

class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", 1 << 16  # an answer leaves in one piece

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sign = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        if SECRET and not hmac.compare_digest(sign, self.headers.get("X-Throng-Signature", "")):
            return self.reply(403, b"")
        asked = json.loads(body)
        if self.path == "/event":
            return self.reply(200, json.dumps({"result": answer(asked)}).encode())
        ROOMS[(asked.get("state") or {}).get("room")].pop(asked["sid"], None)  # /disconnect
        return self.reply(200, b"{}")

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

host, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:3001").split(":")
http.server.ThreadingHTTPServer((host, int(port)), Backend).serve_forever()
