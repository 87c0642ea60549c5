# SPDX-License-Identifier: Apache-2.0
"""The way into Socket Mode: one-shot tickets and the opening handshake, with its faults."""

import asyncio
import secrets

from . import frames
from .people import APP
from .wire import answer


class Door:
    def __init__(self, mode):
        self.mode, self.s = mode, mode.s
        self.tickets = {}

    def ticket(self):
        now = self.s.clock()
        if len(self.tickets) > 1000:
            self.tickets.clear()
        ticket = secrets.token_hex(16)
        self.tickets[ticket] = now
        return f"{self.s.ws_url}/link/?ticket={ticket}&app_id={APP}"

    def upgrade(self, req):
        """Answer the opening handshake on /link/."""
        fault = self.s.faults.take("handshake")
        if fault:
            mode = fault.get("mode", "http")
            if mode == "slow":
                return self._slow(req, fault.get("ms", 1000))
            if mode == "hang":
                return None
            if mode == "close":
                req.conn.transport.abort()
                return None
            if mode == "garbage":
                return b"\x00\x01\x02 this is not HTTP\r\n\r\n"
            if mode == "http":
                more = (("Location", fault["location"]),) if "location" in fault else ()
                return answer(fault.get("status", 503), fault.get("body", "no"), headers=more)
            return self.accept(req, mode)
        return self.accept(req)

    async def _slow(self, req, ms):
        await asyncio.sleep(ms / 1000)
        return self.accept(req)

    def accept(self, req, mode=None):
        problem = frames.handshake_problem(req)
        if problem:
            self.s.violation(f"handshake: {problem}")
            return answer(400, problem)
        args = req.args()
        made = self.tickets.pop(args.get("ticket", ""), None)
        if made is None or self.s.clock() - made > self.s.switch.ticket_life:
            self.s.violation("handshake: ticket is unknown, used or too old")
            return answer(403, "ticket is not valid")
        accept = frames.accept_for(req.headers["sec-websocket-key"])
        if mode == "bad_accept":
            accept = frames.accept_for("AAAAAAAAAAAAAAAAAAAAAA==")
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
                 f"Sec-WebSocket-Accept: {accept}"]
        if mode == "no_upgrade":
            del lines[1:3]
        if mode == "colons":
            lines += ["x-time: 12:34:56:78", "x-url: https://example.com:443/a:b", "x-empty:"]
        conn = req.conn
        conn.busy = True
        conn.transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        sock = self.mode.arrive(conn.transport, args.get("debug_reconnects") == "true")
        conn.on_lost = sock.on_lost
        conn.raw = sock.feed
        rest = bytes(conn.buf)
        conn.buf.clear()
        if rest:
            sock.feed(rest)
        self.mode.welcome(sock)
        return None
