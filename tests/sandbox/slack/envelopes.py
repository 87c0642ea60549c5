# SPDX-License-Identifier: Apache-2.0
"""One delivery over Socket Mode: what was sent, when, and what came back."""

import json
import uuid

from .wire import dumps


def escaped(text):
    """JSON the way Slack writes it: slashes and angle brackets escaped, non-ASCII as surrogate pairs."""
    text = text.replace("/", "\\/")
    if "<" in text or ">" in text or "&" in text:
        text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return text


class Envelope:
    __slots__ = ("id", "type", "kind", "accepts", "payload", "attempt", "reason", "sent", "wall", "sock",
                 "acked", "ack", "future", "who", "on_ack", "on_timeout", "over", "deliveries", "redelivery",
                 "late", "outcome", "quiet", "wire_text")

    def __init__(self, kind, type_, payload, who, accepts, on_ack=None, on_timeout=None):
        self.kind, self.type, self.payload, self.who = kind, type_, payload, who
        self.accepts = accepts
        self.on_ack, self.on_timeout = on_ack, on_timeout
        self.id = str(uuid.uuid4())
        self.attempt, self.reason = 0, ""
        self.sent = self.wall = self.sock = self.acked = self.ack = self.future = None
        self.over = self.late = self.quiet = False
        self.deliveries = 0
        self.redelivery = 0
        self.outcome = None
        self.wire_text = None

    def text(self):
        body = {"envelope_id": self.id, "payload": self.payload, "type": self.type,
                "accepts_response_payload": self.accepts}
        if self.type == "events_api":
            body["retry_attempt"] = self.attempt
            body["retry_reason"] = self.reason
        return escaped(dumps(body))

    def again(self, attempt=0, reason=""):
        """The same payload as a new delivery with an id of its own."""
        copy = Envelope(self.kind, self.type, self.payload, self.who, self.accepts, self.on_ack, self.on_timeout)
        copy.attempt, copy.reason = attempt, reason
        copy.redelivery = self.redelivery + 1
        copy.quiet = self.quiet
        return copy

    def finish(self, outcome):
        self.over = True
        self.outcome = outcome
        if self.future and not self.future.done():
            self.future.set_result(outcome)

    def record(self):
        ms = None if self.acked is None or self.sent is None else round((self.acked - self.sent) * 1000, 3)
        return {"envelope_id": self.id, "type": self.type, "kind": self.kind, "who": self.who, "sent": self.wall,
                "socket": self.sock.number if self.sock else None, "acked_ms": ms, "late": self.late,
                "outcome": self.outcome, "ack": self.ack, "payload": self.payload,
                "retry_attempt": self.attempt, "redelivery": self.redelivery}


def read_ack(text):
    """An acknowledgement as (envelope id, payload, what is wrong with its form or None)."""
    try:
        data = json.loads(text)
    except ValueError:
        return None, None, "ack is not JSON"
    if type(data) is not dict or type(data.get("envelope_id")) is not str:
        return None, None, "ack has no envelope_id"
    extra = [k for k in data if k not in ("envelope_id", "payload")]
    payload = data.get("payload")
    if extra:
        return data["envelope_id"], None, f"ack has content beside envelope_id: {', '.join(extra)}"
    if payload is not None and type(payload) is not dict:
        return data["envelope_id"], None, "ack payload is not an object"
    return data["envelope_id"], payload or None, None
