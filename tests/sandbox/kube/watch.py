# SPDX-License-Identifier: Apache-2.0
"""Watches: one chunked answer each, a JSON document a line."""

import asyncio
import random

from .status import dumps

HEAD = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-cache, private\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n")
END = b"0\r\n\r\n"
MAX_QUEUED = 4 << 20


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def release(conn):
    """A stream has ended: the connection takes requests again."""
    conn.busy, conn.on_lost = False, None
    if not conn.transport.is_closing():
        conn.pump()


class Watch:
    def __init__(self, server, conn, kind, wanted, rv, view=None, bookmarks=False, timeout=None, fault=None):
        """`wanted(obj)`: whether the selectors take it; `view(item)`: the JSON that is sent of it."""
        self.server, self.conn, self.kind = server, conn, kind
        self.wanted, self.view = wanted, view or (lambda item: item.raw)
        self.rv, self.fault = rv, fault or {}
        self.done = False
        self.timers, self.tick = [], None
        loop = asyncio.get_running_loop()
        conn.busy = True
        conn.on_lost = self.finish
        conn.transport.write(HEAD)
        server.store.watches.setdefault(kind.key, set()).add(self)
        server.open_watches.add(self)
        if timeout is None:
            timeout = server.settings["watch_timeout"] * random.uniform(1, 2)
        self.timers.append(loop.call_later(timeout, self.close))
        if bookmarks and server.settings["bookmark_ms"]:
            self.tick = loop.call_later(server.settings["bookmark_ms"] / 1000, self.bookmark)
        mode = self.fault.get("mode")
        if mode in ("close", "abort"):
            after = self.fault.get("ms", 0) / 1000
            self.timers.append(loop.call_later(after, self.close if mode == "close" else self.abort))
        if mode == "gone":
            loop.call_soon(self.gone, "too old resource version: 1 (2)")

    def start(self, initial):
        """`initial`: items that are sent as ADDED first."""
        for item in initial:
            self.send("ADDED", item)

    def replay(self, events):
        for event in events:
            self.see(event)

    def see(self, event):
        if self.done or event.rv <= self.rv:
            return
        self.rv = event.rv
        type_, item = event.type, event.item
        if self.wanted is not None:
            was = event.before is not None and self.wanted(event.before)
            fits = type_ != "DELETED" and self.wanted(item.obj)
            if not was and not fits:
                return
            type_ = ("MODIFIED" if was else "ADDED") if fits else "DELETED"
        self.send(type_, item)

    def send(self, type_, item):
        self.line(b'{"type":"%s","object":%s}\n' % (type_.encode(), self.view(item)))

    def line(self, line):
        transport, mode = self.conn.transport, self.fault.get("mode")
        if transport is None or transport.is_closing() or mode == "mute":
            return
        if transport.get_write_buffer_size() > MAX_QUEUED:
            self.abort()
        elif mode == "split":           # one byte a chunk
            transport.write(b"".join(chunk(line[i:i + 1]) for i in range(len(line))))
        elif mode == "cut":             # half a line, then nothing more
            transport.write(chunk(line[:len(line) // 2]))
            transport.close()
            self.finish()
        elif mode == "garbage":
            transport.write(chunk(b'{"type":"MODIFIED","object":\n'))
        elif mode == "huge":
            transport.write(chunk(b'{"type":"ADDED","object":{"kind":"' + b"x" * (9 << 20) + b'"}}\n'))
        else:
            transport.write(chunk(line))

    def bookmark(self):
        obj = {"kind": self.kind.kind, "apiVersion": self.kind.api_version,
               "metadata": {"resourceVersion": str(self.server.store.rv), "creationTimestamp": None}}
        self.rv = self.server.store.rv
        self.line(dumps({"type": "BOOKMARK", "object": obj}) + b"\n")
        self.tick = asyncio.get_running_loop().call_later(self.server.settings["bookmark_ms"] / 1000, self.bookmark)

    def gone(self, message):
        """Versions before now are lost: an ERROR event inside the 200, then the end."""
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
                  "reason": "Expired", "code": 410}
        self.line(dumps({"type": "ERROR", "object": status}) + b"\n")
        self.close()

    def close(self):
        """The normal end."""
        if not self.done:
            self.conn.transport.write(END)
            self.finish()
            asyncio.get_running_loop().call_soon(release, self.conn)

    def abort(self):
        self.conn.transport.abort()
        self.finish()

    def finish(self):
        if self.done:
            return
        self.done = True
        for timer in self.timers + ([self.tick] if self.tick else []):
            timer.cancel()
        self.server.store.watches.get(self.kind.key, set()).discard(self)
        self.server.open_watches.discard(self)
