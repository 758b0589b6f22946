"""A conversation: steps, run against one server; its record is normalised so that two servers' records can be compared."""
import asyncio, base64, hashlib, hmac, json, re, time, urllib.parse
import jwt
import fossil
from wire import Client, request, head_of, body_of

SECRET = "known to both servers and to nobody else"
KEY = "k"


def token(claims, secret=SECRET, alg="HS256", header=None):
    return jwt.encode(claims, secret, algorithm=alg, headers=header)


class Server:
    def __init__(self, name, port, api):
        self.name, self.port, self.api = name, port, api


class Run:
    def __init__(self, server, conv, now, quiet):
        self.s, self.conv, self.now, self.quiet = server, conv, now, quiet
        self.clients, self.epochs, self.rec = {}, {}, []
        self.marks = {}

    # -- placeholders
    def sub(self, v):
        if isinstance(v, dict):
            if "$tok" in v:
                return token(self.sub(v["$tok"]), v.get("secret", SECRET), v.get("alg", "HS256"), v.get("header"))
            if "$now" in v:
                return self.now + v["$now"]
            if "$rep" in v:
                return self.sub(v["$rep"]) * v["n"]
            return {self.sub(k): self.sub(x) for k, x in v.items()}
        if isinstance(v, list):
            return [self.sub(x) for x in v]
        if isinstance(v, str) and "{" in v:
            v = re.sub(r"\{E:([^{}]+)\}", lambda m: self.epochs.get(m[1], "none"), v)
            v = re.sub(r"\{([CS]):([^{}]+)\}", lambda m: (getattr(self.clients.get(m[2]), "client" if m[1] == "C" else "session", None) or "none"), v)
            return v
        return v

    def learn(self, m):
        """epochs by channel, from anything"""
        def res(ch, r):
            if isinstance(r, dict) and r.get("epoch"):
                self.epochs[ch] = r["epoch"]
        if "push" in m:
            m = m["push"]
        if isinstance(m.get("subscribe"), dict) and "channel" in m:
            res(m["channel"], m["subscribe"])
        for k in ("connect",):
            if isinstance(m.get(k), dict):
                for ch, r in (m[k].get("subs") or {}).items():
                    res(ch, r)
        if m.get("id") and not ("channel" in m):
            ch = self.asked.get((self.cur, m["id"]))
            for k in ("subscribe", "history"):
                if ch and isinstance(m.get(k), dict):
                    res(ch, m[k])

    async def go(self):
        self.asked = {}
        try:
            for i, st in enumerate(self.conv["steps"]):
                marks = {c: len(x.events) for c, x in self.clients.items()}
                extra = await self.step(st, i)
                self.rec.append((marks, extra, {c: len(x.events) for c, x in self.clients.items()}))
            await asyncio.sleep(self.conv.get("tail", 0))
        finally:
            for c in self.clients.values():
                c.shut()
        return self.normal()

    async def step(self, st, i):
        op = st[0]
        if op == "open":
            c, o = st[1], self.sub(st[2] if len(st) > 2 else {})
            cl = Client(o.get("kind", self.conv.get("kind", "ws")), o, self.s.port)
            self.clients[c] = cl
            first = o.get("first")
            if cl.base in ("ws",) and first is None and "connect" in o:
                first = {"id": 1, "connect": o["connect"]}
            elif "connect" in o:
                first = o["connect"] if cl.uni else {"id": 1, "connect": o["connect"]}
                if cl.uni:
                    if cl.pb:
                        import wire; from definitions import pb
                        first = {"hex": wire.fill(pb.ConnectRequest(), o["connect"]).SerializeToString().hex()}
            self.note(c, first)
            await cl.open(first)
            wait = 1 if first is not None and cl.base != "ws" or "connect" in o else 0
            await self.settle({c: wait and ["any"]}, st)
            out = {}
            if cl.head:
                out["head"] = self.head(cl.head, o.get("heads"))
            return {c: out}
        if op == "send":
            c, cmds = st[1], self.sub(st[2])
            cl = self.clients[c]
            ids = self.note(c, cmds)
            status = await cl.send(cmds)
            await self.settle({c: ids}, st)
            return {c: {"status": status}} if status is not None else {}
        if op == "say":  # without waiting for the replies
            cmds = self.sub(st[2])
            self.note(st[1], cmds)
            await self.clients[st[1]].send(cmds)
            await self.settle({}, st)
            return {}
        if op == "sends":  # several frames at once, no waiting between
            c = st[1]
            ids = []
            for cmds in st[2]:
                cmds = self.sub(cmds)
                ids += self.note(c, cmds)
                await self.clients[c].send(cmds)
            await self.settle({c: ids}, st)
            return {}
        if op == "api":
            body = self.sub(st[2])
            r = await self.api(st[1], body, st[3] if len(st) > 3 else {})
            await self.settle({}, st)
            return {"api": r}
        if op == "http":
            o = self.sub(st[1])
            r = await self.http(o)
            await self.settle({}, st)
            return {"http": r}
        if op == "wait":
            await asyncio.sleep(st[1])
            return {}
        if op == "until":  # until client c is done, or t
            c, t = st[1], st[2]
            end = time.time() + t
            while time.time() < end and not self.clients[c].done:
                await asyncio.sleep(0.02)
            return {}
        if op == "close":
            self.clients[st[1]].shut()
            await asyncio.sleep(0.05)
            await self.settle({}, st)
            return {}
        if op == "wsclose":
            self.clients[st[1]].frame(8, bytes.fromhex(st[2]) if len(st) > 2 else b"")
            await self.settle({st[1]: ["end"]}, st)
            return {}
        raise ValueError(op)

    def note(self, c, cmds):
        ids = []
        if cmds is None:
            return ids
        for x in cmds if isinstance(cmds, list) else [cmds]:
            if isinstance(x, dict):
                if "raw" in x or "hex" in x or "wsframe" in x:
                    ids += x.get("ids", [])
                    continue
                if x.get("id") and not "send" in x:
                    ids.append(x["id"])
                    for v in x.values():
                        if isinstance(v, dict) and isinstance(v.get("channel"), str):
                            self.asked[(c, x["id"])] = v["channel"]
        return ids

    async def settle(self, want, st):
        loop = asyncio.get_event_loop()
        t0 = loop.time()
        limit = self.conv.get("limit", 1.2)
        starts = {c: len(x.events) for c, x in self.clients.items()}
        while True:
            now = loop.time()
            missing = False
            for c, ids in want.items():
                cl = self.clients[c]
                if cl.done or not ids:
                    continue
                if ids == ["any"]:
                    missing |= not any(e[0] != "ping" for e in cl.events)
                elif ids == ["end"]:
                    missing = True
                else:
                    got = {e[1].get("id") for e in cl.events if e[0] == "msg"}
                    missing |= any(i not in got for i in ids)
            last = max([x.last for x in self.clients.values()] + [t0])
            if not missing and now - last >= self.quiet or now - t0 > limit:
                break
            await asyncio.sleep(0.008)
        for c, x in self.clients.items():
            self.cur = c
            for e in x.events:
                if e[0] == "msg" and isinstance(e[1], dict):
                    try:
                        self.learn(e[1])
                    except (AttributeError, TypeError):
                        pass

    def head(self, h, names=None):
        keep = names or ["content-type", "sec-websocket-protocol", "sec-websocket-extensions"]
        return {"status": h.status, **{k: h.headers[k] for k in keep if k in h.headers}}

    async def api(self, method, body, o):
        h = {"X-API-Key": KEY, "Content-Type": "application/json"}
        h.update(o.get("headers", {}))
        b = body["raw"].encode() if isinstance(body, dict) and "raw" in body else json.dumps(body).encode()
        r, w = await request(self.s.api, o.get("verb", "POST"), o.get("path", "/api/" + method), h, b)
        try:
            hd = await head_of(r)
            t, _ = await body_of(r, hd, "POST")
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.TimeoutError) as e:
            return {"status": type(e).__name__}
        w.close()
        try:
            v = json.loads(t)
        except ValueError:
            v = {"$text": t.decode("utf8", "replace")} if not o.get("status_only") else None
        if isinstance(v, dict):
            q = [(body, v.get("result"))]
            if isinstance(body, dict) and isinstance(body.get("channel"), str) and isinstance(v.get("result"), dict) and v["result"].get("epoch"):
                self.epochs[body["channel"]] = v["result"]["epoch"]
        if hd.status != 200 and "error" not in (v or {}):
            v = None
        return {"status": hd.status, "body": v}

    async def http(self, o):
        h = dict(o.get("headers", {}))
        b = o.get("body", "")
        b = bytes.fromhex(o["hex"]) if "hex" in o else b.encode() if isinstance(b, str) else json.dumps(b).encode()
        port = self.s.api if o.get("control") else self.s.port
        try:
            r, w = await request(port, o.get("method", "GET"), o["path"], h, b)
            hd = await head_of(r)
            t, how = (b"", "") if hd.status == 101 else await body_of(r, hd, o.get("method", "GET"), o.get("t", 0.3))
            w.close()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.TimeoutError) as e:
            return {"status": type(e).__name__}
        keep = ["content-type", "cache-control", "allow", "vary", "access-control-allow-origin", "access-control-allow-credentials",
                "access-control-allow-headers", "access-control-allow-methods", "access-control-max-age", "sec-websocket-extensions",
                "sec-websocket-protocol", "x-accel-buffering", "sec-websocket-version", "upgrade"]
        out = {"status": hd.status, "headers": {k: hd.headers[k] for k in keep if k in hd.headers}}
        if o.get("nohead"):
            out.pop("headers")
        if o.get("text"):
            out["body"] = t.decode("utf8", "replace")
            out["how"] = how
        elif hd.status == 200:
            try:
                out["body"] = [json.loads(x[5:] if x.startswith("data:") else x) for x in t.decode().replace("\r", "").split("\n") if x.strip()]
            except ValueError:
                out["body"] = t.decode("utf8", "replace")
            out["how"] = how
        return out

    # -- deltas are undone, as a client would
    def undelta(self, c, cl):
        on, prev, num = {}, {}, {}

        def pub(ch, p):
            if not on.get(ch) or not isinstance(p, dict) or "data" not in p:
                return
            raw = p["data"] if isinstance(p["data"], bytes) else p["data"].encode() if isinstance(p["data"], str) else None
            if raw is None:
                p["$delta"] = "data of a delta subscription is no string"
                return
            if p.pop("delta", False):
                try:
                    raw = fossil.apply(prev.get(ch, b""), raw)
                except Exception as e:
                    p["$delta"] = f"cannot be applied: {e!r}"
                    return
            prev[ch] = raw
            p["data"] = raw

        def res(ch, r):
            if not isinstance(r, dict):
                return
            on[ch] = bool(r.get("delta"))
            prev.pop(ch, None)
            if r.get("id"):
                num[r.pop("id")] = ch  # channels by number: Centrifugo has none without PRO
            for p in r.get("publications", []):
                pub(ch, p)
        for e in cl.events:
            if e[0] != "msg" or not isinstance(e[1], dict):
                continue
            m = e[1]
            p = m.get("push") if "push" in m else m if cl.uni else None
            if isinstance(p, dict) and p.get("id") and "channel" not in p:
                p["channel"] = num.get(p.pop("id"), "?")
            if isinstance(p, dict) and ("pub" in p or "unsubscribe" in p or "subscribe" in p) and "channel" in p:
                ch = p["channel"]
                if "pub" in p:
                    pub(ch, p["pub"])
                elif "unsubscribe" in p:
                    on.pop(ch, None)
                continue
            if self.clients[c].kind.startswith("uni_ws") and isinstance(p, dict) and "disconnect" in p:
                p["$drop"] = True  # documented: the close frame tells the same
            for k in ("connect",):
                v = m.get(k) or (p or {}).get(k)
                if isinstance(v, dict):
                    for ch, r in (v.get("subs") or {}).items():
                        res(ch, r)
            ch = self.asked.get((c, m.get("id")))
            if ch and isinstance(m.get("subscribe"), dict) and p is None:
                res(ch, m["subscribe"])
            if ch and "unsubscribe" in m and p is None:
                on.pop(ch, None)

    # -- normal form
    def normal(self):
        for c, x in self.clients.items():
            self.undelta(c, x)
        names = {}
        for c, x in self.clients.items():
            if x.client:
                names[x.client] = f"<client {c}>"
            if x.session:
                names[x.session] = f"<session {c}>"
            if x.node:
                names[x.node] = "<node>"
        ep = {}
        for ch, e in self.epochs.items():
            ep.setdefault(e, f"<epoch {ch}>")
        names.update(ep)

        def n(v, key=None):
            if isinstance(v, dict):
                return {n(k, "*"): n(x, k) for k, x in v.items()}
            if isinstance(v, list):
                return [n(x, key) for x in v]
            if isinstance(v, bytes):
                try:
                    return n(json.loads(v.decode()))
                except ValueError:
                    try:
                        return {"$text": v.decode()}
                    except ValueError:
                        return {"$b": base64.b64encode(v).decode()}
            if isinstance(v, str):
                if v in names:
                    return names[v]
                if key == "epoch" and v:
                    return "<epoch ?>" if v not in ("x", "other", "bad") else v
                if key == "version" and (v.startswith("throng") or v.startswith("0.0.0")):
                    return "<version>"
                for a, b in names.items():
                    if len(a) > 8 and a in v:
                        v = v.replace(a, b)
                if key in ("client", "session", "node") and len(v) > 30 and "<" not in v:
                    return f"<{key} ?>"
                return v
            if key in ("client", "session", "node") and isinstance(v, str) and len(v) > 30:
                return f"<{key} ?>"
            if key == "time" and isinstance(v, int) and v > 10**9:
                return "<time>"
            if key == "ttl" and isinstance(v, int) and v > 15:
                return f"ttl~{round(v / 10) * 10}"
            if key == "id" and isinstance(v, int) and v > 2**31:
                return v
            return v

        out = []
        for i, (m0, extra, m1) in enumerate(self.rec):
            step = {}
            for c in m1:
                evs = self.clients[c].events[m0.get(c, 0):m1[c]]
                if i + 1 == len(self.rec):
                    evs = self.clients[c].events[m0.get(c, 0):]
                d = {"replies": [], "pushes": {}, "other": [], "order": []}
                for e in evs:
                    if e[0] == "ping":
                        if self.conv.get("pings"):
                            d["other"].append("ping")
                        continue
                    if e[0] == "msg" and isinstance(e[1], dict):
                        if e[1].get("$drop") or isinstance(e[1].get("push"), dict) and e[1]["push"].get("$drop"):
                            continue
                        m = n(e[1])
                        p = m["push"] if "push" in m and len(m) == 1 else m if self.clients[c].uni and "id" not in m else None
                        if isinstance(p, dict) and not ("id" in m and "error" in m):
                            k = p.get("channel", f"#{p.get('id')}" if "id" in p else "")
                            ty = [x for x in p if x not in ("channel", "id")]
                            d["pushes"].setdefault(k, []).append(m)
                            d["order"].append(f"push {k} {','.join(ty)}")
                        else:
                            d["replies"].append(m)
                            d["order"].append(f"reply {m.get('id')}")
                    else:
                        d["other"].append(n(list(e)))
                        d["order"].append(e[0])
                d = {k: v for k, v in d.items() if v}
                if d:
                    d.get("replies", []).sort(key=lambda r: r.get("id", 0) if isinstance(r, dict) else 0)
                    step[c] = d
            for k, v in extra.items():
                step.setdefault(k, {})
                if isinstance(v, dict):
                    step[k].update(n(v))
                else:
                    step[k]["value"] = n(v)
            out.append(step)
        return out


def ended(step):
    """Clients that a step ended, with code."""
    out = {}
    for c, d in step.items():
        for e in d.get("other", []) if isinstance(d, dict) else []:
            if isinstance(e, list) and e[0] == "close":
                out[c] = e[1]
        for m in d.get("pushes", {}).get("", []) if isinstance(d, dict) else []:
            p = m.get("push", m)
            if "disconnect" in p:
                out[c] = p["disconnect"].get("code", 0)
    return out


def compare(a, b):
    """-> list of (step, client, what, a, b); what: 'order' where only the order differs, 'lenient' where the first server
    ends a client with 3501 (malformed command) or 3508 (send without a handler) and the second answers it or passes it over:
    what comes behind that is not comparable."""
    out = []
    for i, (x, y) in enumerate(zip(a, b)):
        p, q = ended(x), ended(y)
        len_ = [c for c in p if p[c] in (3501, 3508) and c not in q]
        if len_:
            out.append((i, len_[0], "lenient", x.get(len_[0]), y.get(len_[0])))
            return out
        for c in sorted(set(x) | set(y)):
            p, q = x.get(c, {}), y.get(c, {})
            for k in sorted(set(p) | set(q)):
                if k == "order":
                    continue
                if p.get(k) != q.get(k):
                    out.append((i, c, k, p.get(k), q.get(k)))
            if p.get("order") != q.get("order") and sorted(p.get("order", [])) == sorted(q.get("order", [])):
                out.append((i, c, "order", p.get("order"), q.get("order")))
    return out
