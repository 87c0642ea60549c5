# SPDX-License-Identifier: Apache-2.0
"""A small HTTP/1.1 server on asyncio protocols.

The handler gets a whole request and returns bytes (the answer), an awaitable of bytes, or None when it
has taken the connection over (upgrade, event stream, an answer that never comes). A plain call from
data_received to transport.write answers four times as many requests a second as aiohttp does."""

import asyncio
import logging
from json import loads
from json.encoder import c_make_encoder, encode_basestring_ascii
from urllib.parse import parse_qsl

MAX_HEAD = 64 << 10
MAX_BODY = 16 << 20
REASONS = {
    100: "Continue", 101: "Switching Protocols", 200: "OK", 204: "No Content", 302: "Found", 304: "Not Modified",
    400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    409: "Conflict", 410: "Gone", 413: "Content Too Large", 414: "URI Too Long",
    429: "Too Many Requests", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout",
}
log = logging.getLogger("sandbox.slack")
JSON_TYPE = "application/json; charset=utf-8"


def unknown_type(value):
    raise TypeError(f"{type(value).__name__} is not JSON")


# json.dumps makes a new encoder for each call; one is enough
encoder = c_make_encoder(None, unknown_type, encode_basestring_ascii, None, ":", ",", False, False, True)


def dumps(value):
    return "".join(encoder(value, 0))


def answer(status, body=b"", ctype="text/plain; charset=utf-8", headers=()):
    if isinstance(body, str):
        body = body.encode()
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
    if ctype:
        lines.append(f"Content-Type: {ctype}")
    lines.append(f"Content-Length: {len(body)}")
    lines += [f"{k}: {v}" for k, v in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def json_answer(data, status=200, headers=()):
    return answer(status, dumps(data), JSON_TYPE, headers)


class Request:
    __slots__ = ("method", "path", "query", "headers", "body", "conn", "version")

    def __init__(self, method, path, query, headers, body, conn, version):
        self.method, self.path, self.query = method, path, query
        self.headers, self.body, self.conn, self.version = headers, body, conn, version

    def args(self):
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def json(self):
        return loads(self.body) if self.body else {}


class Conn(asyncio.Protocol):
    """One client connection; requests on it are served one after the other."""

    __slots__ = ("app", "transport", "buf", "busy", "raw", "on_lost", "task", "continued")

    def __init__(self, app):
        self.app = app
        self.transport = None
        self.buf = bytearray()
        self.busy = False
        self.raw = None             # takes the bytes after an upgrade
        self.on_lost = None
        self.task = None
        self.continued = False

    def connection_made(self, transport):
        self.transport = transport
        self.app.conns.add(self)

    def connection_lost(self, exc):
        self.app.conns.discard(self)
        if self.task:
            self.task.cancel()
        if self.on_lost:
            self.on_lost()

    def data_received(self, data):
        if self.raw is not None:
            self.raw(data)
            return
        self.buf += data
        if not self.busy:
            self.pump()
        elif len(self.buf) > MAX_BODY:
            self.transport.abort()

    def pump(self):
        while not self.busy and self.buf:
            req = self.parse()
            if req is None:
                return
            try:
                out = self.app.handle(req)
            except Exception:           # a mistake of the stand-in: the test shall see it, not hang
                log.exception("%s %s", req.method, req.path)
                out = answer(500, "the stand-in failed; its log says why")
            if type(out) is bytes:
                self.transport.write(out)
                if self.last(req):
                    self.transport.close()
                    return
            else:
                self.busy = True
                if out is not None:
                    self.task = asyncio.ensure_future(self.later(req, out))

    @staticmethod
    def last(req):
        return req.headers.get("connection", "").lower() == "close" or req.version == "HTTP/1.0"

    async def later(self, req, out):
        try:
            data = await out
        except Exception:
            log.exception("%s %s", req.method, req.path)
            data = answer(500, "the stand-in failed; its log says why")
        self.task = None
        if data is None:
            return                  # the answer never comes
        self.transport.write(data)
        self.busy = False
        if self.last(req):
            self.transport.close()
        else:
            self.pump()

    def refuse(self, status, text):
        self.transport.write(answer(status, text, headers=(("Connection", "close"),)))
        self.transport.close()
        self.busy = True

    def parse(self):
        buf = self.buf
        end = buf.find(b"\r\n\r\n")
        if end < 0:
            if len(buf) > MAX_HEAD:
                self.refuse(431, "header too large")
            return None
        lines = buf[:end].decode("latin-1").split("\r\n")
        try:
            method, target, version = lines[0].split(" ")
        except ValueError:
            return self.refuse(400, "bad request line")
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or name != name.strip() or not name:
                return self.refuse(400, "bad header")
            name, value = name.lower(), value.strip()
            if name in headers and name.startswith("impersonate-"):
                value = f"{headers[name]},{value}"
            headers[name] = value
        if version == "HTTP/1.1" and "host" not in headers:
            return self.refuse(400, "no Host header")
        body, used = self.body(headers, end + 4)
        if body is None:
            return None
        del buf[:used]
        self.continued = False
        path, _, query = target.partition("?")
        return Request(method, path, query, headers, body, self, version)

    def body(self, headers, start):
        """The request's body and where it ends; (None, 0) when it is not all here yet."""
        buf = self.buf
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self.chunked(start)
        try:
            size = int(headers.get("content-length", "0"))
        except ValueError:
            size = -1
        if size < 0 or size > MAX_BODY:
            self.refuse(413 if size > 0 else 400, "bad Content-Length")
            return None, 0
        if len(buf) < start + size:
            if headers.get("expect", "").lower() == "100-continue" and not self.continued:
                self.continued = True
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None, 0
        return bytes(buf[start:start + size]), start + size

    def chunked(self, at):
        buf, parts, total = self.buf, [], 0
        while True:
            eol = buf.find(b"\r\n", at)
            if eol < 0:
                return None, 0
            try:
                size = int(buf[at:eol].split(b";")[0], 16)
            except ValueError:
                self.refuse(400, "bad chunk")
                return None, 0
            total += size
            if total > MAX_BODY:
                self.refuse(413, "body too large")
                return None, 0
            if len(buf) < eol + 2 + size + 2:
                return None, 0
            if size == 0:
                return b"".join(parts), eol + 4
            parts.append(bytes(buf[eol + 2:eol + 2 + size]))
            at = eol + 4 + size
