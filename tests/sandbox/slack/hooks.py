# SPDX-License-Identifier: Apache-2.0
"""Trigger ids (3 s, once) and response_url (5 uses, 30 minutes)."""

import asyncio
import itertools
import json
import secrets
import time
from collections import OrderedDict

from .blocks import check_blocks, units
from .people import BOT
from .webapi import Refused
from .wire import answer

KEEP = 20000


class Triggers:
    def __init__(self, standin):
        self.s = standin
        self.known = OrderedDict()
        self.serial = itertools.count(1000)

    def new(self, user, view=None):
        ident = f"{next(self.serial)}.{int(time.time() * 1000) % 10**10}.{secrets.token_hex(16)}"
        self.known[ident] = {"user": user, "view": view, "made": self.s.patient_clock(), "used": False}
        if len(self.known) > KEEP:
            self.known.popitem(last=False)
        return ident

    def use(self, ident):
        if not ident:
            raise Refused("invalid_arguments", ["[ERROR] missing required field: trigger_id"])
        found = self.known.get(ident) if type(ident) is str else None
        if found is None:
            raise Refused("invalid_trigger_id")
        if found["used"]:
            raise Refused("exchanged_trigger_id")
        if self.s.patient_clock() - found["made"] > self.s.switch.trigger_life:
            raise Refused("expired_trigger_id")
        found["used"] = True
        return found


class Hook:
    __slots__ = ("kind", "channel", "user", "source", "made", "uses", "posted", "command")

    def __init__(self, kind, channel, user, source, made):
        self.kind, self.channel, self.user, self.source, self.made = kind, channel, user, source, made
        self.uses = 0
        self.posted = None          # the last message that came through it


class Hooks:
    def __init__(self, standin):
        self.s = standin
        self.known = OrderedDict()
        self.count = {"calls": 0, "ok": 0, "refused": 0}

    def new(self, kind, channel, user, source=None):
        secret = secrets.token_hex(12)
        self.known[secret] = Hook(kind, channel, user, source, self.s.clock())
        if len(self.known) > KEEP:
            self.known.popitem(last=False)
        return f"{self.s.base_url}/hooks/{kind}/{secret}"

    def handle(self, req, rest):
        self.count["calls"] += 1
        fault = self.s.faults.take("hook") if self.s.faults.active else None
        if not fault:
            return self.run(req, rest)
        mode = fault.get("mode", "http")
        if mode == "slow":
            return self.slow(req, rest, fault.get("ms", 1000))
        if mode == "lost":
            self.run(req, rest)
            return None
        if mode == "hang":
            return None
        if mode == "close":
            req.conn.transport.abort()
            return None
        more = (("Retry-After", str(fault["retry_after"])),) if "retry_after" in fault else ()
        return answer(fault.get("status", 500), fault.get("body", "server_error"), headers=more)

    async def slow(self, req, rest, ms):
        await asyncio.sleep(ms / 1000)
        return self.run(req, rest)

    def run(self, req, rest):
        status, text, *more = self.take(req, rest)
        self.count["ok" if status == 200 else "refused"] += 1
        self.s.api.note("response_url", {}, None if status == 200 else text)
        return answer(status, text, headers=more)

    def take(self, req, rest):
        kind, _, secret = rest.partition("/")
        hook = self.known.get(secret)
        if hook is None or hook.kind != kind:
            return 404, "no_service"
        if req.method != "POST":
            return 405, "method_not_allowed"
        switch = self.s.switch
        if self.s.clock() - hook.made > switch.hook_life:
            self.s.violation("response_url: used after it expired")
            return switch.hook_used_status, switch.hook_expired_body
        if hook.uses >= switch.hook_uses:
            self.s.violation("response_url: used too often")
            return switch.hook_used_status, switch.hook_used_body
        if not req.headers.get("content-type", "").lower().startswith("application/json"):
            self.s.violation("response_url: body is not application/json")
            return 400, "invalid_payload"
        if "authorization" in req.headers:
            self.s.violation("response_url: a token was sent to it")
        try:
            data = json.loads(req.body)
        except ValueError:
            data = None
        if type(data) is not dict:
            return 400, "invalid_payload"
        return self.say(hook, data)

    def say(self, hook, data):
        s = self.s
        channel = s.work.channels[hook.channel]
        if channel.is_archived:
            return 410, "channel_is_archived"
        text, blocks = data.get("text"), data.get("blocks")
        if text is not None and type(text) is not str:
            return 400, "invalid_payload"
        empty = not text and not blocks and not data.get("attachments")
        if empty and not data.get("delete_original"):
            return 400, "no_text"
        if blocks is not None:
            errors = check_blocks(blocks)
            if errors:
                s.violation(f"response_url: invalid_blocks: {errors[0]}")
                return 400, "invalid_blocks"
        if text and units(text) > 40000:
            text = text[:40000]
        public = data.get("response_type") == "in_channel"
        if public and not data.get("replace_original"):
            try:
                s.pace(channel.id)
            except Refused:
                return 429, "rate_limited", ("Retry-After", "1")
        hook.uses += 1
        fault = s.faults.take("late_hook") if s.faults.active else None
        if fault:
            asyncio.get_running_loop().call_later(fault.get("after", 1000) / 1000, self.apply, hook, data, text, blocks)
        else:
            self.apply(hook, data, text, blocks)
        return 200, s.switch.hook_ok_body

    def original(self, hook):
        """The message that replace_original and delete_original speak of, if the app made one."""
        if hook.source is not None:
            m = self.s.store.get(hook.channel, hook.source)
        else:
            m = hook.posted if self.s.switch.slash_replace else None
        return m if m and not m.deleted and m.body["user"] == BOT else None

    def apply(self, hook, data, text, blocks):
        store, old = self.s.store, self.original(hook)
        if data.get("delete_original") and old:
            store.delete(old)
            if not text and not blocks:
                return
            old = None
        elif data.get("replace_original") and old:
            if old.only_for and data.get("response_type") == "in_channel":
                self.s.violation("response_url: an ephemeral message cannot become in_channel")
            store.update(old, text=text or "", blocks=blocks or None)
            return
        if not text and not blocks:
            return
        public = data.get("response_type") == "in_channel"
        hook.posted = store.post(hook.channel, text or "", blocks, only_for=None if public else hook.user, via="hook",
                                 thread_ts=data.get("thread_ts"))
