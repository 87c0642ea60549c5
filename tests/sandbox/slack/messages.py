# SPDX-License-Identifier: Apache-2.0
"""What was said: messages of each channel with their edits, ephemerals and deleted ones, bounded."""

import itertools
import time
from collections import OrderedDict

from .people import APP, BOT, BOT_ID, SLACKBOT, TEAM

MAX_PER_CHANNEL = 3000
MAX_EDITS = 20


class Message:
    """`body` is the message as Slack gives it; the rest is what only the stand-in knows."""

    __slots__ = ("body", "channel", "only_for", "deleted", "edits", "via", "notice", "state")

    def __init__(self, body, channel, only_for=None, via="api"):
        self.body, self.channel, self.only_for, self.via = body, channel, only_for, via
        self.deleted = False
        self.edits = []
        self.notice = None
        self.state = None

    @property
    def ts(self):
        return self.body["ts"]

    def seen(self):
        """For the control API and the page."""
        out = dict(self.body)
        out["channel"] = self.channel
        out["via"] = self.via
        if self.only_for:
            out["ephemeral_for"] = self.only_for
        if self.deleted:
            out["deleted"] = True
        if self.edits:
            out["edits"] = self.edits
        if self.notice:
            out["notice"] = self.notice
        return out

    def payload(self):
        """For an interactive payload."""
        return {"bot_id": BOT_ID, "app_id": APP, **self.body}


class Store:
    def __init__(self, feed):
        self.feed = feed
        self.channels = {}
        self.last = 0
        self.counter = itertools.count(1)
        self.posted = self.changed = self.removed = 0

    def ts(self):
        now = int(time.time() * 1e6)
        self.last = now if now > self.last else self.last + 1
        return f"{self.last // 1000000}.{self.last % 1000000:06d}"

    def of(self, channel):
        found = self.channels.get(channel)
        if found is None:
            found = self.channels[channel] = OrderedDict()
        return found

    def get(self, channel, ts):
        return self.channels.get(channel, {}).get(ts)

    def with_ids(self, blocks):
        """Blocks as stored: every block and interactive element has its id."""
        out = []
        for block in blocks:
            if block.get("block_id") is None:
                block = {**block, "block_id": f"b{next(self.counter):x}"}
            if block["type"] == "actions":
                elements = [e if e.get("action_id") else {**e, "action_id": f"a{next(self.counter):x}"}
                            for e in block["elements"]]
                block = {**block, "elements": elements}
            out.append(block)
        return out

    def post(self, channel, text="", blocks=None, user=BOT, only_for=None, via="api", **more):
        body = {"type": "message", "user": user, "ts": self.ts(), "text": text}
        if user == BOT:
            body.update(bot_id=BOT_ID, app_id=APP, team=TEAM)
        elif user == SLACKBOT:
            body["subtype"] = "bot_message"
        if blocks:
            body["blocks"] = self.with_ids(blocks)
        for name, value in more.items():
            if value is not None:
                body[name] = value
        message = Message(body, channel, only_for, via)
        room = self.of(channel)
        room[body["ts"]] = message
        if len(room) > MAX_PER_CHANNEL:
            room.popitem(last=False)
        self.posted += 1
        if self.feed.awake:
            self.feed.publish({"type": "message", "channel": channel, "message": message.seen()}, only_for)
        return message

    def update(self, message, editor=BOT, **changes):
        body = message.body
        if len(message.edits) < MAX_EDITS:
            message.edits.append({"text": body.get("text", ""), "blocks": body.get("blocks")})
        for name, value in changes.items():
            if value is None:
                body.pop(name, None)
            else:
                body[name] = self.with_ids(value) if name == "blocks" else value
        if not message.only_for:
            body["edited"] = {"user": editor, "ts": self.ts()}
        message.notice = None
        self.changed += 1
        self.shown(message)

    def shown(self, message):
        if self.feed.awake:
            self.feed.publish({"type": "message_changed", "channel": message.channel, "message": message.seen()},
                              message.only_for)

    def delete(self, message):
        message.deleted = True
        self.removed += 1
        if self.feed.awake:
            self.feed.publish({"type": "message_deleted", "channel": message.channel, "ts": message.ts},
                              message.only_for)

    def slackbot(self, user, channel, text):
        return self.post(channel, text, user=SLACKBOT, only_for=user, via="slackbot")

    def listing(self, channel, viewer=None, limit=200, deleted=False):
        out = []
        for message in reversed(self.channels.get(channel, {}).values()):
            if message.deleted and not deleted:
                continue
            if viewer and message.only_for and message.only_for != viewer:
                continue
            out.append(message.seen())
            if len(out) >= limit:
                break
        out.reverse()
        return out
