# SPDX-License-Identifier: Apache-2.0
"""For tests: a thread that runs stand-ins, and a blocking client of the control API.

    with LoopThread() as loop:
        standin = loop.run(SlackStandin().start())
        slack = Control(standin.base_url)
        slack.slash(user="U0ANA", text="help", wait=True)
        slack.wait("message", channel="C0OPS", contains="commands")
"""

import asyncio
import http.client
import json
import ssl
import threading
from urllib.parse import urlsplit


class LoopThread:
    """An asyncio loop on a thread of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True, name="stand-ins")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def run(self, coroutine, timeout=30):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)


class ControlError(Exception):
    pass


class Control:
    """Every control call as a method: `slash`, `click`, `submit`, `fault`, `wait`, `state` …"""

    def __init__(self, base_url, cafile=None, timeout=130):
        parts = urlsplit(base_url)
        self.host, self.timeout = parts.netloc, timeout
        self.tls = ssl.create_default_context(cafile=cafile) if parts.scheme == "https" else None
        self.local = threading.local()

    def call(self, name, /, **args):
        conn = getattr(self.local, "conn", None)
        if conn is None:
            conn = http.client.HTTPSConnection(self.host, timeout=self.timeout, context=self.tls) if self.tls else \
                http.client.HTTPConnection(self.host, timeout=self.timeout)
            self.local.conn = conn
        try:
            conn.request("POST", f"/_/{name}", json.dumps(args), {"Content-Type": "application/json"})
            answer = conn.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            conn.close()
            self.local.conn = None
            raise
        data = json.loads(body)
        if not data.pop("ok", False):
            raise ControlError(data.get("error"))
        return data

    def wait(self, what, **rules):
        """The thing waited for; AssertionError when the time is up."""
        found = self.call("wait", what=what, **rules)["found"]
        assert found, f"waited in vain for {what}: {rules}"
        return found

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda **args: self.call(name, **args)
