# SPDX-License-Identifier: Apache-2.0
"""The control API under /_/: what others do to the cluster, faults, switches, and what was asked of it.

JSON in and out; `{"ok": false, "error": …}` with status 400 when the wish makes no sense. README.md in this folder
lists the calls. It is served on a port of its own too, which stays when the API's port refuses connections."""

import asyncio
import secrets
from pathlib import Path

from . import seed
from .access import service_user
from .kinds import CONFIG_MAP, DEPLOYMENT, STATEFUL_SET, named
from .patch import clone, merge
from .status import Failure, answer, dumps

CORS = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Headers", "*"),
        ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"), ("Cache-Control", "no-store"))
WRONG = (ValueError, TypeError, KeyError, Failure)


def said(data, status=200):
    return answer(status, dumps(data), "application/json; charset=utf-8", CORS)


class Control:
    def __init__(self, standin):
        self.s = standin
        self.calls = {name[3:]: getattr(self, name) for name in dir(self) if name.startswith("do_")}

    def handle(self, req, name):
        if req.method == "OPTIONS":
            return said({"ok": True})
        call = self.calls.get(name)
        if call is None:
            return said({"ok": False, "error": f"no such control call: {name}"}, 404)
        try:
            args = req.args() if req.method == "GET" else req.json()
            if type(args) is not dict:
                raise ValueError("the body must be a JSON object")
            out = call(**args)
        except WRONG as e:
            return said({"ok": False, "error": f"{type(e).__name__}: {e}"}, 400)
        if hasattr(out, "__await__"):
            return self.later(out)
        return said({"ok": True, **(out or {})})

    @staticmethod
    async def later(out):
        try:
            return said({"ok": True, **((await out) or {})})
        except WRONG as e:
            return said({"ok": False, "error": f"{type(e).__name__}: {e}"}, 400)

    # Looking

    def do_objects(self, kinds=None):
        """A short view for the page; with `kinds` (a list, or names joined by commas) the whole objects."""
        store = self.s.store
        if kinds:
            names = kinds.split(",") if type(kinds) is str else kinds
            return {"items": [o for k in names for o in store.objects(named(k))]}
        items = []
        for kind in (DEPLOYMENT, STATEFUL_SET):
            for o in store.objects(kind):
                items.append({"kind": o["kind"], "metadata": short(o), "spec": {"replicas": o["spec"]["replicas"]},
                              "status": {"readyReplicas": (o.get("status") or {}).get("readyReplicas", 0)}})
        for o in store.objects(CONFIG_MAP):
            items.append({"kind": "ConfigMap", "metadata": short(o), "data": o.get("data") or {}})
        return {"items": items}

    def do_object(self, kind, name, ns=""):
        return {"object": self.s.store.item(named(kind), ns, name).obj}

    def do_requests(self, since=0, limit=500, counts=False, **match):
        """Recorded requests after number `since`; other arguments must equal the record's."""
        found = [r for r in self.s.requests if r["n"] > int(since) and all(r.get(k) == v for k, v in match.items())]
        out = {"requests": found[-int(limit):], "total": self.s.number}
        if counts:
            out["counts"] = {f"{v} {r}": n for (v, r), n in sorted(self.s.counts.items())}
        return out

    def do_stats(self):
        return {"counts": {f"{v} {r}": n for (v, r), n in sorted(self.s.counts.items())},
                "watches": len(self.s.open_watches), "faults": self.s.faults.struck, "version": self.s.store.rv,
                "healed": self.s.behave.owners.healed, "connections": len(self.s.conns)}

    async def do_wait(self, timeout=60, **rules):
        """Until an object is so (`kind, ns, name, want`: a part it must contain, or `gone`), a request was made
        (`request`: what it must equal, `since`, `count`) or `watches` are open; found is null when the time is up."""
        loop = asyncio.get_running_loop()
        end, event = loop.time() + float(timeout), asyncio.Event()
        self.s.waiters.add(event)
        try:
            while True:
                found = self.look(rules)
                left = end - loop.time()
                if found or left <= 0:
                    return {"found": found}
                event.clear()
                try:
                    await asyncio.wait_for(event.wait(), min(left, 0.05) if "watches" in rules else left)
                except asyncio.TimeoutError:
                    pass
        finally:
            self.s.waiters.discard(event)

    def look(self, rules):
        if "request" in rules:
            want = rules["request"]
            found = [r for r in self.s.requests if r["n"] > rules.get("since", 0) and contains(r, want)]
            return found if len(found) >= rules.get("count", 1) else None
        if "watches" in rules:
            n = len(self.s.open_watches)
            return {"watches": n} if n == rules["watches"] else None
        obj = self.s.store.peek(named(rules["kind"]), rules.get("ns", ""), rules["name"])
        if rules.get("gone"):
            return {"gone": True} if obj is None else None
        return obj if obj is not None and contains(obj, rules.get("want") or {}) else None

    # What others do

    def do_set(self, kind, name, ns="", patch=None, replicas=None, data=None, manager="somebody", status=None):
        """Change an object as somebody else: a merge patch, or `replicas`, `data` for short."""
        kind = named(kind)
        item = self.s.store.item(kind, ns, name)
        change = clone(patch or {})
        if replicas is not None:
            change = merge(change, {"spec": {"replicas": replicas}})
        if data is not None:
            change = merge(change, {"data": data})
        obj = item.obj
        if change:
            new = clone(merge(obj, change))
            obj = self.s.store.update(kind, new, obj, manager).obj
        if status is not None:
            obj = self.s.store.set_status(kind, obj, merge(obj.get("status") or {}, status))
        return {"object": obj}

    def do_create(self, object, manager="somebody", settled=True):
        if settled:
            return {"object": seed.add(self.s, object, manager)}
        kind = named(object["kind"])
        return {"object": self.s.store.create(kind, object, object["metadata"].get("namespace", ""), manager).obj}

    def do_delete(self, kind, name, ns=""):
        kind = named(kind)
        obj = self.s.store.item(kind, ns, name).obj
        self.s.store.delete(kind, obj)
        self.s.behave.collect(obj["metadata"]["uid"], ns, "Background")

    def do_obstacle(self, what, **args):
        """Argo CD, an autoscaler, a quota …: OBSTACLES in seed.py."""
        if what not in seed.OBSTACLES:
            raise ValueError(f"no obstacle {what!r}; known: {', '.join(sorted(seed.OBSTACLES))}")
        seed.OBSTACLES[what](self.s, **args)

    def do_stuck(self, name, ns="ads", kind="Deployment", reason="ImagePullBackOff", message="", off=False):
        """New pods of a workload (or a job) never become ready; `off` lets them."""
        if off:
            self.s.stuck.pop((ns, name), None)
        else:
            self.s.stuck[ns, name] = {"reason": reason, "message": message}
        kind = named(kind)
        if kind.key in self.s.behave.steps:
            self.s.behave.touch(kind, ns, name)

    def do_job(self, name="", outcome="complete", **rule):
        """How jobs whose name matches a regular expression end: complete, fail, hang; `lines`, `run_ms`."""
        if outcome not in ("complete", "fail", "hang"):
            raise ValueError("outcome is complete, fail or hang")
        self.s.behave.jobs.rules.insert(0, {"name": name, "outcome": outcome, **rule})

    def do_log(self, ns, pod, container, line):
        self.s.logs.book(ns, pod, container).write(line)

    def do_admission(self, deny=None, mutate=None, kind=None, ns=None, clear=False):
        """`deny`: every write is refused with this sentence; `mutate`: a merge patch that admission adds."""
        if clear:
            self.s.policies.clear()
            self.s.mutations.clear()
        if deny:
            self.s.policies.append({"kind": kind, "ns": ns, "message": deny})
        if mutate:
            self.s.mutations.append({"kind": kind, "ns": ns, "patch": mutate})

    # Breaking things

    def do_fault(self, **wish):
        return {"fault": self.s.faults.add(**wish).state()}

    def do_clear(self, mode=None):
        self.s.faults.clear(mode)

    def do_faults(self):
        return {"active": [f.state() for f in self.s.faults.active], "struck": self.s.faults.struck,
                "log": list(self.s.faults.log)}

    async def do_listen(self, on=True):
        """Off: connections are refused and open ones cut."""
        if on:
            await self.s.listen()
        else:
            self.s.refuse()

    def do_settings(self, **wishes):
        self.s.change_settings(wishes)
        return {"settings": self.s.settings}

    def do_token(self, revoke=True, file=None, token=None):
        """A new token; the old ones are no longer accepted unless `revoke` is false. Written to `file` by a rename,
        as a kubelet does it."""
        token = token or "sandbox-kube-" + secrets.token_hex(8)
        if revoke:
            for old in [t for t, u in self.s.access.tokens.items() if not u.everything]:
                del self.s.access.tokens[old]
        self.s.access.tokens[token] = service_user()
        self.s.token = token
        if file:
            fresh = Path(file + ".new")
            fresh.write_text(token + "\n", encoding="ascii")
            fresh.rename(file)
        return {"token": token}

    def do_rbac(self, **change):
        """`deny`, `allow`: lists of {group, resource, verb, namespace}; `reset`."""
        self.s.access.change(**change)

    def do_without(self, kinds):
        """This cluster has no such kinds (a CRD that is not installed)."""
        self.s.removed = {named(k).key for k in kinds}
        self.s.paths.clear()

    def do_watches(self, do="close"):
        """Open watches: close, abort, gone (410 inside the 200); `expire` also forgets old versions."""
        if do == "expire":
            self.s.store.forget_history()
        for watch in list(self.s.open_watches):
            if do in ("gone", "expire"):
                watch.gone("too old resource version: 1 (2)")
            else:
                getattr(watch, {"close": "close", "abort": "abort", "bookmark": "bookmark"}[do])()

    async def do_reset(self):
        self.s.access.change(reset=True)
        self.s.fill()
        self.s.paths.clear()
        await self.s.listen()


def short(obj):
    meta = obj["metadata"]
    return {"namespace": meta.get("namespace", ""), "name": meta["name"], "resourceVersion": meta["resourceVersion"]}


def contains(have, want):
    """Whether `have` holds all of `want`; a dict is looked into, a list must be equal."""
    if type(want) is dict:
        return type(have) is dict and all(k in have and contains(have[k], v) if v is not None else have.get(k) is None
                                          for k, v in want.items())
    return have == want

