# SPDX-License-Identifier: Apache-2.0
"""The platform's API. Strict: a bearer token always, JSON bodies with their content type, known query arguments only.

    GET  /datasets?owner=&status=&name=&limit=&cursor=      {"items": […], "next": cursor or null}
    GET  /datasets/{name}
    POST /tasks    {"kind": …, "dataset": …, "params": {…}}    202 {"id", "state", …}; Idempotency-Key is honoured
    GET  /tasks/{id}      state queued, running, then succeeded or failed
    POST /tasks/{id}/cancel
"""

import asyncio
import base64
import hashlib
import json
import re
import time
from collections import Counter, deque
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

from ..slack.wire import Conn
from .data import datasets

TOKEN = "sandbox-platform-token"
KINDS = ("refresh", "backfill", "compact", "validate", "export")
STATES = ("ready", "stale", "building", "failed")
FILTERS = ("owner", "status", "name", "limit", "cursor")
CORS = (("Access-Control-Allow-Origin", "*"), ("Cache-Control", "no-store"))
MAX_LIMIT = 100
KEPT = 5000
MODES = {
    "status": "an error of `code` with `body`, `retry_after`",
    "slow": "answers after `ms`",
    "hang": "never answers; nothing is done",
    "close": "closes the connection; nothing is done",
    "close_after": "does it and closes the connection: unknown outcome",
    "hang_after": "does it and never answers: unknown outcome",
    "html": "200 with an HTML page, as a login portal gives it (`code`)",
    "huge": "200 with a body of `bytes` (5 MB)",
    "garbage": "200 with half of a JSON document",
    "wrong_shape": "200 with JSON of another shape",
    "page_lost": "a cursor is answered with 410: the page is gone",
    "cursor_loop": "a page's next leads to itself",
    "redirect": "302 to `location`",
    "unauthorized": "401",
}
MATCH = ("method", "path")


def answer(status, body=b"", ctype="application/json", headers=()):
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Status"
    more = "".join(f"{k}: {v}\r\n" for k, v in headers)
    return (f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {ctype}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
            ).encode("latin-1") + body


def said(status, data, headers=()):
    return answer(status, json.dumps(data).encode(), headers=headers)


class Refused(Exception):
    def __init__(self, status, error, message, headers=()):
        super().__init__(message)
        self.out = said(status, {"error": error, "message": message}, headers)


class Task:
    def __init__(self, number, body, outcome):
        self.id = f"task-{number:06d}"
        self.body, self.outcome = body, outcome
        self.state, self.made, self.progress, self.error = "queued", time.time(), 0, None

    def view(self):
        out = {"id": self.id, "state": self.state, "kind": self.body["kind"], "dataset": self.body.get("dataset"),
               "params": self.body.get("params") or {}, "progress": self.progress}
        if self.error:
            out["error"] = self.error
        if self.state == "succeeded":
            out["result"] = {"rows": 1000 + self.progress}
        return out


class PlatformStandin:
    """`queue_ms`, `run_ms`: how long tasks wait and run. `record`: keep what was asked."""

    def __init__(self, token=TOKEN, queue_ms=50, run_ms=500, record=True):
        self.token, self.settings = token, {"queue_ms": queue_ms, "run_ms": run_ms, "record": record}
        self.conns, self.tasks_running = set(), set()
        self.server = None
        self.calls = {name[3:]: getattr(self, name) for name in dir(self) if name.startswith("do_")}
        self.fill()

    def fill(self):
        self.datasets = {d["name"]: d for d in datasets()}
        self.tasks, self.keys, self.made = {}, {}, 0
        self.faults, self.struck = [], Counter()
        self.outcomes = []
        self.requests, self.number = deque(maxlen=KEPT), 0

    # Life

    async def start(self, host="127.0.0.1", port=0, tls=None):
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Conn(self), host, port, ssl=tls, backlog=512)
        self.port = self.server.sockets[0].getsockname()[1]
        self.base_url = self.control_url = f"{'https' if tls else 'http'}://{host}:{self.port}"
        return self

    async def stop(self):
        self.server.close()
        for task in list(self.tasks_running):
            task.cancel()
        for conn in list(self.conns):
            conn.transport.abort()
        await asyncio.sleep(0)

    # Requests

    def handle(self, req):
        if req.path.startswith("/_/"):
            return self.control(req, req.path[3:])
        fault = self.fault_of(req)
        if fault is None:
            out = self.serve(req, None)
            self.record(req, out)
            return out
        return self.broken(req, fault)

    def fault_of(self, req):
        for fault in self.faults:
            if fault.get("method", req.method) != req.method or not re.search(fault.get("path", ""), req.path):
                continue
            if fault["mode"] == "page_lost" and "cursor=" not in req.query:
                continue
            self.struck[fault["mode"]] += 1
            if fault.get("times") is not None:
                fault["times"] -= 1
                if fault["times"] <= 0:
                    self.faults.remove(fault)
            return fault
        return None

    async def broken(self, req, fault):
        mode = fault["mode"]
        if mode == "slow":
            await asyncio.sleep(fault.get("ms", 1000) / 1000)
        if mode in ("slow", "close_after", "hang_after", "cursor_loop"):
            out = self.serve(req, mode)
        else:
            out = self.canned(fault)
        self.record(req, out)
        if mode in ("close", "close_after"):
            req.conn.transport.abort()
            return None
        return None if mode in ("hang", "hang_after") else out

    @staticmethod
    def canned(fault):
        mode = fault["mode"]
        retry = (("Retry-After", fault["retry_after"]),) if "retry_after" in fault else ()
        if mode == "status":
            code = fault.get("code", 500)
            return answer(code, fault.get("body", '{"error":"internal","message":"something broke"}').encode(),
                          fault.get("ctype", "application/json"), retry)
        if mode == "html":
            return answer(fault.get("code", 200), b"<html><body><h1>Sign in</h1></body></html>", "text/html")
        if mode == "huge":
            return answer(200, b'{"items":[],"x":"' + b"x" * fault.get("bytes", 5 << 20) + b'"}')
        if mode == "garbage":
            return answer(200, b'{"items":[{"name":')
        if mode == "wrong_shape":
            return answer(200, b'[1,"two",{"items":null}]')
        if mode == "page_lost":
            return said(410, {"error": "cursor_expired", "message": "this page is gone: start again"})
        if mode == "redirect":
            return answer(302, b"", headers=(("Location", fault.get("location", "https://example.com/login")),))
        if mode == "unauthorized":
            return said(401, {"error": "unauthorized", "message": "the token is not valid"})
        return b""

    def serve(self, req, mode):
        try:
            if req.headers.get("authorization") != "Bearer " + self.token:
                raise Refused(401, "unauthorized", "a bearer token is needed", (("WWW-Authenticate", "Bearer"),))
            parts = [unquote(p) for p in req.path[1:].split("/")]
            return self.route(req, parts, mode)
        except Refused as e:
            return e.out

    def route(self, req, parts, mode):
        get, n = req.method == "GET", len(parts)
        if parts[0] == "datasets" and n == 1 and get:
            return self.list(req, mode)
        if parts[0] == "datasets" and n == 2 and get:
            if parts[1] not in self.datasets:
                raise Refused(404, "not_found", f"no dataset named {parts[1]}")
            return said(200, self.datasets[parts[1]])
        if parts[0] == "tasks" and n == 1 and req.method == "POST":
            return self.create(req)
        if parts[0] == "tasks" and n >= 2:
            task = self.tasks.get(parts[1])
            if task is None:
                raise Refused(404, "not_found", f"no task {parts[1]}")
            if n == 2 and get:
                return said(200, task.view())
            if n == 3 and parts[2] == "cancel" and req.method == "POST":
                return self.cancel(task)
        known = parts[0] in ("datasets", "tasks") and n <= 2
        raise Refused(405 if known else 404, "no_such_route", f"{req.method} {req.path} is not served")

    # Datasets

    def list(self, req, mode):
        pairs = parse_qsl(req.query, keep_blank_values=True)
        args = dict(pairs)
        for name in args:
            if name not in FILTERS:
                raise Refused(400, "unknown_argument", f"unknown argument {name}; known: {', '.join(FILTERS)}")
        if len(args) != len(pairs):
            raise Refused(400, "repeated_argument", "an argument was given twice")
        limit = args.get("limit") or "20"
        if not limit.isdigit() or not 1 <= int(limit) <= MAX_LIMIT:
            raise Refused(400, "bad_limit", f"limit must be a whole number from 1 to {MAX_LIMIT}")
        if args.get("status") and args["status"] not in STATES:
            raise Refused(400, "bad_status", f"status must be one of {', '.join(STATES)}")
        start = self.start_of(args.get("cursor"), args)
        found = [d for d in self.datasets.values() if args.get("owner") in (None, "", d["owner"]) and
                 args.get("status") in (None, "", d["status"]) and (args.get("name") or "") in d["name"]]
        page, after = found[start:start + int(limit)], start + int(limit)
        more = self.cursor(after, args) if after < len(found) else None
        if mode == "cursor_loop":
            more = args.get("cursor") or self.cursor(0, args)
        return said(200, {"items": page, "next": more})

    @staticmethod
    def cursor(start, args):
        mark = "&".join(f"{k}={args.get(k) or ''}" for k in ("owner", "status", "name"))
        return base64.urlsafe_b64encode(f"{start}:{hashlib.md5(mark.encode()).hexdigest()[:8]}".encode()).decode()

    def start_of(self, cursor, args):
        if not cursor:
            return 0
        try:
            start = int(base64.urlsafe_b64decode(cursor).decode().partition(":")[0])
        except ValueError:
            start = -1
        if start < 0 or self.cursor(start, args) != cursor:
            raise Refused(400, "bad_cursor", "the cursor does not belong to these filters")
        return start

    # Tasks

    def create(self, req):
        if req.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refused(415, "bad_content_type", "the body must be application/json")
        try:
            body = json.loads(req.body)
        except ValueError:
            raise Refused(400, "bad_json", "the body is not JSON") from None
        if type(body) is not dict or body.get("kind") not in KINDS:
            raise Refused(422, "bad_kind", f"kind must be one of {', '.join(KINDS)}")
        for name in body:
            if name not in ("kind", "dataset", "params"):
                raise Refused(422, "unknown_field", f"unknown field {name}")
        if body.get("dataset") is not None and body["dataset"] not in self.datasets:
            raise Refused(422, "no_dataset", f"no dataset named {body['dataset']}")
        key = req.headers.get("idempotency-key")
        if key is not None and not 1 <= len(key) <= 255:
            raise Refused(400, "bad_key", "Idempotency-Key must have 1 to 255 characters")
        if key in self.keys:
            before = self.keys[key]
            if before.body != body:
                raise Refused(422, "key_reused", "this Idempotency-Key was used for another request")
            return said(202, before.view(), (("Idempotent-Replayed", "true"), ("Location", f"/tasks/{before.id}")))
        self.made += 1
        task = Task(self.made, body, self.outcome_of(body))
        self.tasks[task.id] = task
        if key is not None:
            self.keys[key] = task
        if len(self.tasks) > 100000:
            self.tasks.pop(next(iter(self.tasks)))
        if len(self.keys) > 100000:
            self.keys.pop(next(iter(self.keys)))
        run = asyncio.ensure_future(self.run(task))
        self.tasks_running.add(run)
        run.add_done_callback(self.tasks_running.discard)
        return said(202, task.view(), (("Location", f"/tasks/{task.id}"),))

    def outcome_of(self, body):
        for rule in self.outcomes:
            if rule.get("kind") in (None, body["kind"]) and rule.get("dataset") in (None, body.get("dataset")):
                return rule["outcome"]
        return "succeeded"

    async def run(self, task):
        await asyncio.sleep(self.settings["queue_ms"] / 1000)
        if task.state != "queued":
            return
        task.state = "running"
        if task.outcome == "hang":
            return
        for step in range(4):
            await asyncio.sleep(self.settings["run_ms"] / 4000)
            if task.state != "running":
                return
            task.progress = 25 * (step + 1)
        task.state = task.outcome
        if task.state == "failed":
            task.error = "worker 3 ran out of memory"

    @staticmethod
    def cancel(task):
        if task.state in ("succeeded", "failed", "cancelled"):
            raise Refused(409, "already_ended", f"the task has {task.state} already")
        task.state = "cancelled"
        return said(200, task.view())

    # The record and the control API

    def record(self, req, out):
        self.number += 1
        if not self.settings["record"]:
            return
        try:
            body = json.loads(req.body) if req.body else None
        except ValueError:
            body = req.body.decode("utf-8", "replace")
        headers = {k: v for k, v in req.headers.items() if k in ("content-type", "accept", "idempotency-key",
                                                                 "user-agent", "x-request-id")}
        self.requests.append({"n": self.number, "at": time.time(), "method": req.method, "path": req.path,
                              "query": dict(parse_qsl(req.query)), "headers": headers, "body": body,
                              "status": int(out[9:12]) if out else None})

    def control(self, req, name):
        call = self.calls.get(name)
        if call is None:
            return said(404, {"ok": False, "error": f"no such control call: {name}"}, CORS)
        try:
            args = req.args() if req.method == "GET" else req.json()
            return said(200, {"ok": True, **(call(**args) or {})}, CORS)
        except (ValueError, TypeError, KeyError) as e:
            return said(400, {"ok": False, "error": f"{type(e).__name__}: {e}"}, CORS)

    def do_fault(self, mode, times=None, **params):
        """Modes: MODES; `method` and `path` (a regular expression) say who is struck."""
        if mode not in MODES:
            raise ValueError(f"unknown fault {mode!r}; known: {', '.join(sorted(MODES))}")
        self.faults.append({"mode": mode, "times": times, **params})

    def do_clear(self):
        self.faults.clear()

    def do_faults(self):
        return {"active": self.faults, "struck": dict(self.struck)}

    def do_outcome(self, outcome, kind=None, dataset=None):
        """How tasks end: succeeded, failed, hang."""
        if outcome not in ("succeeded", "failed", "hang"):
            raise ValueError("outcome is succeeded, failed or hang")
        self.outcomes.insert(0, {"outcome": outcome, "kind": kind, "dataset": dataset})

    def do_settings(self, **wishes):
        for key in wishes:
            if key not in self.settings:
                raise ValueError(f"unknown setting {key!r}")
        self.settings.update(wishes)
        return {"settings": self.settings}

    def do_token(self, token):
        self.token = token

    def do_set(self, name, **fields):
        self.datasets[name].update(fields)

    def do_objects(self):
        return {"datasets": list(self.datasets.values()), "tasks": [t.view() for t in self.tasks.values()]}

    def do_requests(self, since=0, limit=500):
        return {"requests": [r for r in self.requests if r["n"] > int(since)][-int(limit):], "total": self.number}

    def do_reset(self):
        self.fill()
