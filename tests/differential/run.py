#!/usr/bin/env python3
"""Differential test: Centrifugo against throng, as scripts/differential runs it."""
import argparse, asyncio, hashlib, importlib, json, os, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import configs
import warnings
warnings.filterwarnings("ignore")
import logging
logging.getLogger("asyncio").setLevel(logging.ERROR)
from servers import Pair, WORK
from talk import Run, compare
from masks import mask


def short(v, n=700):
    s = json.dumps(v, ensure_ascii=False, sort_keys=True)
    return s if len(s) <= n else s[:n] + f"…({len(s)})"


async def one(pair, conv, quiet):
    now = int(time.time())
    return await asyncio.gather(Run(pair.cf, conv, now, quiet).go(), Run(pair.th, conv, now, quiet).go())


def again(conv, k):
    """The same with names of its own, so that a second try meets no traces of the first."""
    h = "".join(c if c.isdigit() else c for c in hashlib.sha1(conv["name"].encode()).hexdigest()[:8])
    return json.loads(json.dumps(conv).replace("~", f"{h}x{k}"))


async def judge(pair, conv, sem, opts):
    async with sem:
        tries = []
        for k in range(3 if not opts.once else 1):
            try:
                a, b = await one(pair, again(conv, f"t{k}"), opts.quiet * (1, 2.5, 4)[k])
            except Exception as e:
                if not all(pair.alive()):
                    return conv, [("-", "-", "server died", str(pair.alive()), None)], None
                tries.append([("-", "-", "harness", repr(e), None)])
                if opts.trace:
                    raise
                continue
            h = again({"name": conv["name"], "x": "~"}, f"t{k}")["x"]
            a, b = (json.loads(json.dumps(x).replace(h, "~")) for x in (a, b))
            if not opts.nomask:
                a, b = mask(a, conv), mask(b, conv)
            d = compare(a, b)
            if opts.show:
                print(json.dumps({"cf": a, "th": b}, indent=1, ensure_ascii=False))
            if not d:
                return conv, [], None
            tries.append(d)
        return conv, tries[-1], tries


async def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--only", default="", help="conversations whose name holds this")
    ap.add_argument("--set", default="directed,more,random", help="modules conv_*: directed,random")
    ap.add_argument("--count", type=int, default=400)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--jobs", type=int, default=8)
    ap.add_argument("--quiet", type=float, default=0.06)
    ap.add_argument("--once", action="store_true")
    ap.add_argument("--trace", action="store_true")
    ap.add_argument("--show", action="store_true")
    ap.add_argument("--nomask", action="store_true", help="tell what masks.py takes out, too")
    ap.add_argument("--short", action="store_true", help="one conversation in 25, and no random ones")
    ap.add_argument("--order", action="store_true", help="tell differences of order alone, too")
    ap.add_argument("--out", default=os.path.join(WORK, "diffs.json"))
    opts = ap.parse_args()
    convs = []
    for m in opts.set.split(","):
        convs += importlib.import_module("conv_" + m).make(opts)
    names = set()
    for c in convs:
        assert c["name"] not in names, c["name"]
        names.add(c["name"])
    convs = [c for c in convs if opts.only in c["name"]]
    if opts.short:
        convs = [c for c in convs if not c["name"].startswith("random/")][::25]
    import backend
    hook = await backend.start(configs.HOOK)
    by = {}
    for c in convs:
        by.setdefault(c["config"], []).append(c)
    results, orders, lenient = [], [], []
    total, died = 0, []
    for cfg, cs in by.items():
        pair = Pair(cfg, configs.CONFIGS[cfg])
        try:
            pair.start()
            sem = asyncio.Semaphore(opts.jobs)
            serial = [c for c in cs if c.get("alone")]
            many = [c for c in cs if not c.get("alone")]
            done = list(await asyncio.gather(*(judge(pair, c, sem, opts) for c in many)))
            for c in serial:
                done.append(await judge(pair, c, asyncio.Semaphore(1), opts))
            if not all(pair.alive()):
                print("!!! A SERVER DIED under", cfg, "alive (Centrifugo, throng):", pair.alive())
                died.append(cfg)
        finally:
            pair.stop()
        for conv, d, tries in done:
            total += 1
            hard = [x for x in d if x[2] not in ("order", "lenient")]
            if hard:
                results.append((conv, hard))
            elif d and d[-1][2] == "lenient":
                lenient.append((conv, d))
            elif d:
                orders.append((conv, d))
    from known import known
    unknown = [c for c, d in results if not c['name'].startswith('random/') and not known(c['name'])]
    for conv, d in results:
        print(f"\n=== {conv['name']} [{conv['config']}]" + (f"  {known(conv['name'])}" if known(conv["name"]) else "  NEW"))
        last = None
        for i, c, k, x, y in d[:6]:
            st = conv["steps"][i] if isinstance(i, int) and i < len(conv["steps"]) else None
            if i != last:
                print(f"  step {i}: {short(st, 500)}")
                last = i
            print(f"    {c} {k}\n      cf: {short(x)}\n      th: {short(y)}")
        if len(d) > 6:
            print(f"    … {len(d) - 6} more")
    if opts.order:
        for conv, d in orders + lenient:
            print(f"\n--- {d[-1][2]} only: {conv['name']}")
            for i, c, k, x, y in d[:2]:
                print(f"  step {i}: {short(conv['steps'][i], 300)}\n    {c}\n      cf: {short(x, 400)}\n      th: {short(y, 400)}")
    verdicts = {}
    for c, d in results:
        v = "random" if c["name"].startswith("random/") else (known(c["name"]) or "NEW")
        verdicts[v] = verdicts.get(v, 0) + 1
    print()
    for v, n in sorted(verdicts.items()):
        print(f"{n:5}  {v}")
    json.dump([(c, d) for c, d in results], open(opts.out, "w"), indent=1, ensure_ascii=False)
    print(f"\n{total} conversations: {total - len(results)} equal ({len(orders)} of them but for order, {len(lenient)} up to where only Centrifugo ends the client), {len(results)} differ, {len(unknown)} directed ones of them new")
    return 1 if unknown or died else 0

sys.exit(asyncio.run(main()))
