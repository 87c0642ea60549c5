# SPDX-License-Identifier: Apache-2.0
"""The Slack stand-in: one port with the Web API, response_url, Socket Mode, uploads, the page and the
control API. Start it in a running asyncio loop; it needs nothing but the standard library."""

import asyncio
import time
from collections import deque
from pathlib import Path

from stall import stalled

from . import chatapi, people, roomapi, views
from .control import Control
from .faults import Faults, Switches
from .feed import Feed
from .hooks import Hooks, Triggers
from .interact import People
from .messages import Store
from .socketmode import SocketMode
from .webapi import Refused, Token, WebApi
from .wire import Conn, answer

BOT_TOKEN = "xoxb-" + "sandbox-bot"
APP_TOKEN = "xapp-" + "sandbox-app"
SCOPES = ["commands", "chat:write", "im:write", "im:read", "users:read", "users:read.email", "usergroups:read",
          "channels:read", "groups:read", "channels:history", "groups:history", "team:read", "files:write"]
PAGE = Path(__file__).resolve().parent.parent / "page"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
         ".js": "text/javascript; charset=utf-8", ".png": "image/png", ".ico": "image/x-icon"}
POLICY = ("default-src 'self'; connect-src 'self' http://127.0.0.1:* https://127.0.0.1:* http://localhost:*; "
          "img-src 'self' data:; style-src 'self'; script-src 'self'; base-uri 'none'; form-action 'none'")


class SlackStandin:
    """`page_config` holds {"kube": url, "audit": url} for the page; switches are those of faults.py."""

    def __init__(self, scopes=None, page_config=None, bot_token=BOT_TOKEN, app_token=APP_TOKEN, patient=False, **switches):
        """patient: its time for acknowledgements stands still while the machine does."""
        self.stalled = stalled if patient else lambda: 0.0
        self.bot_token, self.app_token = bot_token, app_token
        self.page_config = page_config or {}
        self.switch = Switches(**switches)
        self.age = 0.0
        self.faults = Faults()
        self.feed = Feed()
        self.conns = set()
        self.tasks = set()
        self.server = None
        self.base_url = self.ws_url = ""
        self.scopes = list(scopes or SCOPES)
        self.fill()
        self.control = Control(self)

    def fill(self):
        """A fresh workspace; sockets and tokens of the app stay."""
        self.work = people.Workspace()
        self.store = Store(self.feed)
        self.views = views.Views(self)
        self.triggers = Triggers(self)
        self.hooks = Hooks(self)
        self.people = People(self)
        self.files = {}
        self.buckets = {}
        self.violations = deque(maxlen=1000)
        self.violation_count = 0
        self.api = WebApi(self, {**chatapi.METHODS, **roomapi.METHODS, **views.METHODS})
        self.api.tokens = {self.bot_token: Token("bot", self.scopes),
                           self.app_token: Token("app", ["connections:write"])}
        if not hasattr(self, "sockets"):
            self.sockets = SocketMode(self)

    # Life

    async def start(self, host="127.0.0.1", port=0, tls=None):
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Conn(self), host, port, ssl=tls, backlog=1024)
        port = self.server.sockets[0].getsockname()[1]
        self.base_url = f"{'https' if tls else 'http'}://{host}:{port}"
        self.ws_url = f"{'wss' if tls else 'ws'}://{host}:{port}"
        self.port = port
        return self

    async def stop(self):
        if self.server:
            self.server.close()
        self.sockets.stop()
        for conn in list(self.conns):
            conn.transport.abort()
        await asyncio.sleep(0)
        if self.server:
            await self.server.wait_closed()
            self.server = None

    @property
    def api_url(self):
        return self.base_url + "/api/"

    # Helpers of the parts

    def clock(self):
        """Monotonic seconds, moved on by the control API's `age`."""
        return time.monotonic() + self.age

    def patient_clock(self):
        """The same, which stands still while the machine does if that is wished."""
        return self.clock() - self.stalled()

    def violation(self, what):
        """Something that the app did against the protocol."""
        self.violation_count += 1
        self.violations.append({"at": time.time(), "what": what})

    def pace(self, channel):
        """One message a second and channel, with a small burst; beyond it 429."""
        if not self.switch.pacing:
            return
        now, rate, burst = self.clock(), self.switch.pacing_rate, self.switch.pacing_burst
        left, at = self.buckets.get(channel, (burst, now))
        left = min(burst, left + (now - at) * rate)
        if left < 1:
            self.buckets[channel] = (left, now)
            raise Refused("ratelimited", retry_after=max(1, int((1 - left) / rate + 0.999)))
        self.buckets[channel] = (left - 1, now)

    @staticmethod
    def loop_future():
        return asyncio.get_running_loop().create_future()

    def background(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # Requests

    def handle(self, req):
        path = req.path
        if path.startswith("/api/"):
            return self.api.handle(req, path[5:])
        if path.startswith("/hooks/"):
            return self.hooks.handle(req, path[7:])
        if path.startswith("/_/"):
            return self.control.handle(req, path[3:])
        if path in ("/link/", "/link"):
            return self.sockets.door.upgrade(req)
        if path.startswith("/upload/v1/"):
            return self.upload(req, path[11:])
        return self.asset(req, path)

    def upload(self, req, rest):
        fault = self.faults.take("upload")
        if fault and fault.get("mode") == "hang":
            return None
        if fault and fault.get("mode") == "slow":
            return self.slow_upload(req, rest, fault.get("ms", 1000))
        if fault:
            return answer(fault.get("status", 500), "upload failed")
        return self.take_upload(req, rest)

    async def slow_upload(self, req, rest, ms):
        await asyncio.sleep(ms / 1000)
        return self.take_upload(req, rest)

    def take_upload(self, req, rest):
        fid, _, secret = rest.partition("/")
        f = self.files.get(fid)
        if f is None or f["secret"] != secret or req.method != "POST":
            return answer(404, "not found")
        if "authorization" in req.headers:
            self.violation("upload: a token was sent to the upload URL")
        if len(req.body) != f["size"]:
            self.violation("upload: size differs from the length that was announced")
            return answer(400, "length mismatch")
        f["data"] = req.body
        return answer(200, f"OK - {len(req.body)}")

    def asset(self, req, path):
        name = path.lstrip("/") or "index.html"
        file = PAGE / name
        if req.method != "GET" or file.suffix not in TYPES or file.parent.resolve() != PAGE or not file.is_file():
            return answer(404, "not found")
        return answer(200, file.read_bytes(), TYPES[file.suffix],
                      (("Cache-Control", "no-store"), ("Content-Security-Policy", POLICY),
                       ("X-Content-Type-Options", "nosniff")))
