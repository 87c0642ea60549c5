# SPDX-License-Identifier: Apache-2.0
"""The server side of one WebSocket, RFC 6455, written by hand so that a test can break any rule of it.

A library would hide fragmentation, refuse to send a masked or malformed frame and always close the
TCP connection after a close handshake; the stand-in has to do each of these on demand."""

import asyncio
import base64
import binascii
import hashlib

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MAX_MESSAGE = 4 << 20


def accept_for(key):
    return base64.b64encode(hashlib.sha1(key.encode("latin-1") + GUID).digest()).decode()


def handshake_problem(req):
    """What is wrong with a client's opening request, or None."""
    h = req.headers
    if req.method != "GET":
        return "method is not GET"
    if h.get("upgrade", "").lower() != "websocket":
        return "no Upgrade: websocket"
    if "upgrade" not in [t.strip().lower() for t in h.get("connection", "").split(",")]:
        return "no Connection: Upgrade"
    if h.get("sec-websocket-version") != "13":
        return "Sec-WebSocket-Version is not 13"
    try:
        raw = base64.b64decode(h.get("sec-websocket-key", ""), validate=True)
    except (binascii.Error, ValueError):
        return "Sec-WebSocket-Key is not base64"
    return None if len(raw) == 16 else "Sec-WebSocket-Key is not 16 bytes"


def encode(op, payload, fin=True, rsv=0, mask=None):
    n = len(payload)
    head = bytearray([(0x80 if fin else 0) | rsv << 4 | op])
    bit = 0x80 if mask else 0
    if n < 126:
        head.append(bit | n)
    elif n < 65536:
        head.append(bit | 126)
        head += n.to_bytes(2, "big")
    else:
        head.append(bit | 127)
        head += n.to_bytes(8, "big")
    if mask:
        head += mask
        payload = unmask(payload, mask)
    return bytes(head) + payload


def unmask(data, key):
    n = len(data)
    if not n:
        return b""
    pad = (key * (n // 4 + 1))[:n]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(n, "big")


class Peer:
    """One upgraded connection. A subclass gives on_text, on_pong, on_close and on_lost."""

    def __init__(self, transport):
        self.transport = transport
        self.loop = asyncio.get_running_loop()
        self.buf = bytearray()
        self.parts = None           # fragments of an unfinished message
        self.parts_size = 0
        self.mute = False           # reads and writes nothing any more, TCP stays up
        self.no_pong = False
        self.no_close_reply = False
        self.fragment = 0           # outgoing data frames are cut to this many bytes
        self.fragment_pings = False
        self.dribble = 0            # outgoing bytes leave this many at a time
        self.outq = bytearray()
        self.close_sent = self.close_seen = self.lost = False

    # Sending

    def write(self, data):
        if self.mute or self.lost:
            return
        if self.dribble or self.outq:
            if not self.outq:
                self.loop.call_soon(self._drip)
            self.outq += data
        else:
            self.transport.write(data)

    def _drip(self):
        if self.lost or not self.outq:
            return
        n = self.dribble or len(self.outq)
        self.transport.write(bytes(self.outq[:n]))
        del self.outq[:n]
        if self.outq:
            self.loop.call_later(0.001, self._drip)

    def send_text(self, text):
        data = text.encode()
        if not self.fragment or len(data) <= self.fragment:
            self.write(encode(TEXT, data))
            return
        step, op, at = self.fragment, TEXT, 0
        while at < len(data):
            last = at + step >= len(data)
            self.write(encode(op, data[at:at + step], fin=last))
            if self.fragment_pings and not last:
                self.write(encode(PING, b"between fragments"))
            op, at = 0, at + step

    def send_frame(self, op, payload=b"", **how):
        self.write(encode(op, payload, **how))

    def ping(self, payload):
        self.write(encode(PING, payload))

    def close(self, code=1000, reason=""):
        if not self.close_sent:
            self.close_sent = True
            body = code.to_bytes(2, "big") + reason.encode()[:123] if code else b""
            self.write(encode(CLOSE, body))

    def abort(self):
        self.transport.abort()

    # Receiving

    def feed(self, data):
        if self.mute or self.close_seen:
            return
        buf = self.buf
        buf += data
        at = 0
        while not self.close_seen and not self.mute:
            end = self._one(buf, at)
            if not end:
                break
            at = end
        del buf[:at]

    def _one(self, buf, at):
        """Handle the frame that starts at `at`; its end, or 0 when it is not whole yet."""
        have = len(buf) - at
        if have < 2:
            return 0
        first, second = buf[at], buf[at + 1]
        n, head = second & 0x7F, 6
        if n == 126:
            if have < 8:
                return 0
            n, head = int.from_bytes(buf[at + 2:at + 4], "big"), 8
        elif n == 127:
            if have < 14:
                return 0
            n, head = int.from_bytes(buf[at + 2:at + 10], "big"), 14
        if not second & 0x80:
            return self._fail(1002, "client frame is not masked")
        if first & 0x70:
            return self._fail(1002, "reserved bits are set")
        op = first & 0x0F
        if op >= 8 and (n > 125 or not first & 0x80):
            return self._fail(1002, "control frame is too long or fragmented")
        if self.refuse_size(n):
            return self._fail(1009, self.size_reason)
        if have < head + n:
            return 0
        body = unmask(bytes(buf[at + head:at + head + n]), bytes(buf[at + head - 4:at + head]))
        self._frame(op, bool(first & 0x80), body)
        return at + head + n

    size_reason = "Max frame length of 20480 has been exceeded."

    def refuse_size(self, n):
        return n > MAX_MESSAGE

    def _fail(self, code, reason):
        self.on_violation(f"websocket: {reason}")
        self.close(code, reason)
        self.close_seen = True
        self.on_close(code, reason)
        return 0

    def _frame(self, op, fin, body):
        if op == TEXT or op == BINARY:
            if self.parts is not None:
                self._fail(1002, "new message inside a fragmented one")
            elif fin:
                self._message(op, body, False)
            else:
                self.parts, self.parts_size = [op, body], len(body)
        elif op == 0:
            self._continuation(fin, body)
        elif op == PING:
            if not self.no_pong:
                self.write(encode(PONG, body))
            self.on_ping(body)
        elif op == PONG:
            self.on_pong(body)
        elif op == CLOSE:
            self._closing(body)
        else:
            self._fail(1002, "unknown opcode")

    def _continuation(self, fin, body):
        if self.parts is None:
            self._fail(1002, "continuation without a start")
            return
        self.parts.append(body)
        self.parts_size += len(body)
        if self.parts_size > MAX_MESSAGE:
            self._fail(1009, "message too big")
        elif fin:
            op, whole = self.parts[0], b"".join(self.parts[1:])
            self.parts = None
            self._message(op, whole, True)

    def _message(self, op, body, fragmented):
        if op == BINARY:
            self.on_violation("websocket: client sent a binary message")
            return
        try:
            text = body.decode()
        except UnicodeDecodeError:
            self._fail(1007, "text is not UTF-8")
            return
        self.on_text(text, fragmented)

    def _closing(self, body):
        self.close_seen = True
        code = int.from_bytes(body[:2], "big") if len(body) >= 2 else 1005
        if not self.no_close_reply:
            self.close(code if code != 1005 else 0)
        self.on_close(code, body[2:].decode("utf-8", "replace"))

    # For a subclass

    def on_text(self, text, fragmented):
        pass

    def on_ping(self, body):
        pass

    def on_pong(self, body):
        pass

    def on_close(self, code, reason):
        pass

    def on_violation(self, what):
        pass
