# SPDX-License-Identifier: Apache-2.0
"""Tells the page (server-sent events) and waiting tests that something changed."""

import asyncio

from .wire import dumps

MAX_BEHIND = 4 << 20
HEAD = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-store\r\n"
        b"Connection: close\r\n\r\nretry: 1000\n\n")


class Feed:
    def __init__(self):
        self.streams = {}           # connection -> person whose eyes it has, or None
        self.waiters = 0
        self.tick = None
        self.behind = set()

    @property
    def awake(self):
        return bool(self.streams) or self.waiters

    def publish(self, event, only_for=None):
        if self.tick is not None:
            self.tick.set()
        if not self.streams:
            return
        data = b"data: " + dumps(event).encode() + b"\n\n"
        for conn, viewer in self.streams.items():
            if only_for and viewer and viewer != only_for:
                continue
            if conn.transport.get_write_buffer_size() > MAX_BEHIND:
                self.behind.add(conn)       # it will be told to read the whole state again
            else:
                if conn in self.behind:
                    self.behind.discard(conn)
                    conn.transport.write(b'data: {"type":"reload"}\n\n')
                conn.transport.write(data)

    def attach(self, conn, viewer):
        conn.transport.write(HEAD)
        self.streams[conn] = viewer
        conn.on_lost = lambda: (self.streams.pop(conn, None), self.behind.discard(conn))

    async def until(self, check, timeout):
        """The first true value of check(), looked at after each change; None at the time limit."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        self.waiters += 1
        try:
            while True:
                value = check()
                left = end - loop.time()
                if value or left <= 0:
                    return value or None
                if self.tick is None:
                    self.tick = asyncio.Event()
                tick = self.tick
                try:
                    await asyncio.wait_for(tick.wait(), min(left, 0.25))
                except asyncio.TimeoutError:
                    pass
                if self.tick is tick and tick.is_set():
                    self.tick = None
        finally:
            self.waiters -= 1

    def nudge(self):
        if self.tick is not None:
            self.tick.set()
