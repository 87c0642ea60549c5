# SPDX-License-Identifier: Apache-2.0
"""The Web API's frame: arguments, tokens, scopes, rate limits, faults and the shape of every answer.

The methods themselves are in chatapi, roomapi and viewapi; each is a function (standin, args) -> dict
that raises Refused."""

import asyncio
import itertools
import json
import re
import time
from collections import deque
from urllib.parse import parse_qsl

from .envelopes import escaped
from .wire import answer, dumps

FORM = "application/x-www-form-urlencoded"
ARG_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}\Z")
TIER_LIMIT = {1: 1, 2: 20, 3: 50, 4: 100}
STANDARD = ("token", "pretty")


class Refused(Exception):
    """A method's error answer."""

    def __init__(self, error, messages=None, retry_after=None, **more):
        super().__init__(error)
        self.error, self.messages, self.retry_after, self.more = error, messages, retry_after, more


class Method:
    """What the stand-in knows of a method: who may call it, how, and with which arguments."""

    __slots__ = ("run", "args", "scopes", "tier", "json", "token")

    def __init__(self, run, args, scopes=(), tier=None, json=False, token="bot"):
        self.run, self.args = run, frozenset(args.split())
        self.scopes, self.tier, self.json, self.token = scopes, tier, json, token


class Token:
    def __init__(self, kind, scopes):
        self.kind, self.scopes, self.state = kind, list(scopes), None   # state: the error it gives


def structured(args, name, error="invalid_arguments"):
    """An argument that is JSON: a string of it in a form, the thing itself in a JSON body."""
    value = args.get(name)
    if type(value) is str:
        if value == "":
            return None
        try:
            return json.loads(value)
        except ValueError:
            raise Refused(error, [f"[ERROR] invalid JSON in argument: {name}"]) from None
    return value


def truth(args, name, default=False):
    value = args.get(name)
    if value is None:
        return default
    return value in (True, 1, "1", "true", "True")


def count(args, name, default, high):
    value = args.get(name)
    if value in (None, ""):
        return default
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise Refused("invalid_arguments", [f"[ERROR] {name} must be an integer"]) from None
    if number < 1 or number > high:
        raise Refused("invalid_limit" if name == "limit" else "invalid_arguments")
    return number


def page(rows, args, default, high=1000):
    """One page of a list and the cursor of the next."""
    limit = count(args, "limit", default, high)
    cursor, start = args.get("cursor") or "", 0
    if cursor:
        if not re.fullmatch(r"next:\d+", cursor):
            raise Refused("invalid_cursor")
        start = int(cursor[5:])
    end = start + limit
    return rows[start:end], f"next:{end}" if end < len(rows) else ""


class WebApi:
    def __init__(self, standin, methods):
        self.s = standin
        self.methods = methods
        self.tokens = {}
        self.calls = deque(maxlen=5000)
        self.counts = {}
        self.serial = itertools.count(1)
        self.windows = {}
        self.heads = {}

    def handle(self, req, method):
        faults = self.s.faults
        if faults.active:
            fault = faults.take("open") if method == "apps.connections.open" else faults.take("api", method=method)
            if fault:
                return self.bent(req, method, fault)
        return self.run(req, method)

    def run(self, req, method):
        args, shown, error = {}, {}, None
        spec = self.methods.get(method)
        try:
            args, warnings = self.arguments(req, spec)
            token = self.admit(req, args, spec)
            shown = {k: v for k, v in args.items() if k != "token"}
            self.tier(method, spec)
            for name in shown:
                if name not in spec.args and name not in STANDARD:
                    self.s.violation(f"{method}: unknown argument {name}")
            args["_token"] = token
            out = spec.run(self.s, args)
            body = {"ok": True, **out}
            if warnings or "warning" in body:
                self.warn(method, body, warnings)
        except Refused as e:
            error = e.error
            body = {"ok": False, "error": e.error, **e.more}
            if e.messages:
                body["response_metadata"] = {"messages": e.messages}
            if e.retry_after is not None:
                self.note(method, shown, error)
                return answer(429, dumps(body), "application/json; charset=utf-8",
                              (("Retry-After", str(e.retry_after)),))
        self.note(method, shown, error)
        return self.finish(body, req, spec)

    def finish(self, body, req, spec):
        text = escaped(dumps(body)).encode()
        return self.head(req, spec) + str(len(text)).encode() + b"\r\n\r\n" + text

    def head(self, req, spec):
        auth = req.headers.get("authorization", "")
        key = (auth, id(spec))
        head = self.heads.get(key)
        if head is None:
            token = self.tokens.get(auth.removeprefix("Bearer "))
            more = ""
            if token:
                more += f"X-OAuth-Scopes: {','.join(token.scopes)}\r\n"
                if spec and spec.scopes:
                    more += f"X-Accepted-OAuth-Scopes: {','.join(spec.scopes)}\r\n"
            head = ("HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
                    f"X-Slack-Req-Id: %016x\r\n{more}Content-Length: ")
            if len(self.heads) > 500:
                self.heads.clear()
            self.heads[key] = head
        return (head % next(self.serial)).encode()

    def note(self, method, shown, error):
        tally = self.counts.get(method)
        if tally is None:
            tally = self.counts[method] = [0, {}]
        tally[0] += 1
        if error:
            tally[1][error] = tally[1].get(error, 0) + 1
        if self.s.switch.record:
            self.calls.append({"method": method, "at": time.time(), "args": shown, "error": error})
        self.s.feed.nudge()

    def warn(self, method, body, warnings):
        all_ = [w for w in (body.get("warning"),) if w] + warnings
        body["warning"] = ",".join(all_)
        body.setdefault("response_metadata", {})["warnings"] = all_
        for w in warnings:
            self.s.violation(f"{method}: {w}")

    # What was sent

    def arguments(self, req, spec):
        if spec is None:
            raise Refused("unknown_method", req_method=req.path.rsplit("/", 1)[-1])
        args, warnings = {}, []
        if req.query:
            args.update(parse_qsl(req.query, keep_blank_values=True))
        if req.method not in ("GET", "POST"):
            raise Refused("invalid_post_type")
        ctype, _, params = req.headers.get("content-type", "").partition(";")
        ctype = ctype.strip().lower()
        if not req.body and not ctype:
            return args, warnings
        if ctype == FORM:
            if "charset" in params:
                warnings.append("superfluous_charset")
            try:
                args.update(parse_qsl(req.body.decode(), keep_blank_values=True))
            except UnicodeDecodeError:
                raise Refused("invalid_charset") from None
        elif ctype == "application/json":
            if "charset=utf-8" not in params.replace(" ", "").lower():
                warnings.append("missing_charset")
            if not spec.json:
                self.s.violation("JSON body sent to a method that takes only forms: its arguments are not read")
            else:
                args.update(self.json_body(req))
        elif not ctype:
            raise Refused("missing_post_type")
        elif ctype == "multipart/form-data":
            raise Refused("invalid_form_data")
        else:
            raise Refused("invalid_post_type")
        for name in args:
            if not ARG_NAME.match(name):
                raise Refused("invalid_arg_name")
        return args, warnings

    @staticmethod
    def json_body(req):
        if not req.body:
            return {}
        try:
            data = json.loads(req.body)
        except ValueError:
            raise Refused("invalid_json") from None
        if type(data) is not dict:
            raise Refused("json_not_object")
        data.pop("token", None)         # a token in a JSON body is not looked at
        return data

    def admit(self, req, args, spec):
        auth = req.headers.get("authorization", "")
        text = auth[7:] if auth.startswith("Bearer ") else args.get("token") if not auth else "?"
        if spec.token == "app" and not auth:
            text = None                 # an app-level token counts in the header only
        if not text:
            raise Refused("not_authed")
        token = self.tokens.get(text)
        if token is None:
            raise Refused("invalid_auth")
        if token.state:
            raise Refused(token.state)
        if spec.token != token.kind and spec.token != "any":
            raise Refused("not_allowed_token_type")
        if spec.scopes and not any(s in token.scopes for s in spec.scopes):
            raise Refused("missing_scope", needed=",".join(spec.scopes), provided=",".join(token.scopes))
        return token

    def need(self, args, *scopes):
        """A scope that only some arguments demand."""
        token = args["_token"]
        if not any(s in token.scopes for s in scopes):
            raise Refused("missing_scope", needed=",".join(scopes), provided=",".join(token.scopes))

    def tier(self, method, spec):
        if not self.s.switch.tiers or spec.tier not in TIER_LIMIT:
            return
        now = self.s.clock()
        start, used = self.windows.get(method, (now, 0))
        if now - start >= 60:
            start, used = now, 0
        if used >= TIER_LIMIT[spec.tier]:
            raise Refused("ratelimited", retry_after=max(1, int(60 - (now - start)) + 1))
        self.windows[method] = (start, used + 1)

    # Faults

    def bent(self, req, method, fault):
        mode = fault.get("mode", "error")
        if mode == "slow":
            return self.slow(req, method, fault.get("ms", 1000))
        if mode in ("lost", "lost_close"):
            self.run(req, method)       # the work is done and nobody hears of it
        else:
            self.note(method, {"_fault": mode, "_body": req.body.decode("utf-8", "replace")}, fault.get("code", mode))
        if mode in ("lost", "hang"):
            return None
        if mode in ("lost_close", "close"):
            req.conn.transport.abort()
            return None
        if mode == "http":
            status = fault.get("status", 429)
            body = fault.get("body", '{"ok":false,"error":"ratelimited"}' if status == 429 else "")
            more = (("Retry-After", str(fault["retry_after"])),) if fault.get("retry_after") is not None else ()
            return answer(status, body, "application/json; charset=utf-8" if status == 429 else "text/plain", more)
        if mode == "error":
            body = {"ok": False, "error": fault.get("code", "internal_error"), **fault.get("more", {})}
            return self.finish(body, req, self.methods.get(method))
        if mode == "bad_url":
            return self.finish({"ok": True, "url": fault.get("url", "")}, req, None)
        text = {"html": "<!doctype html><html><body>Slack is down for maintenance</body></html>",
                "garbage": '{"ok":true,"url":"wss:', "empty": ""}.get(mode)
        if text is None:
            raise ValueError(f"unknown mode {mode!r}")
        return answer(fault.get("status", 200), text, "text/html; charset=utf-8" if mode == "html"
                      else "application/json; charset=utf-8")

    async def slow(self, req, method, ms):
        await asyncio.sleep(ms / 1000)
        return self.run(req, method)
