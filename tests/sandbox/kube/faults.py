# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between the service and a cluster, switched on one by one.

A fault strikes requests that fit its rules: `verb` (get, list, watch, create, update, patch, delete), `resource`
("deployments", "deployments/scale"), `ns`, `name`, `path` (a regular expression), `dry_run` (true, false). `skip`
lets so many pass first; `times` is how often it strikes (none: until cleared)."""

import asyncio
import re
import time
from collections import deque

MODES = {
    "delay": "answers after `ms`",
    "hold": "does and answers it once the fault is cleared",
    "hang": "never answers; nothing is done",
    "close": "closes the connection; nothing is done",
    "close_after": "does it and closes the connection: unknown outcome",
    "hang_after": "does it and never answers: unknown outcome",
    "truncate": "does it and sends half of the answer, then closes",
    "throttle": "429 text/plain with Retry-After (`retry_after`)",
    "shutdown": "429 text/plain of a server that ends, Retry-After 5, Connection: close",
    "status": "a Status of `code` with `reason`, `message`, `retry_after`",
    "raw": "`code` with `body` of `ctype`",
    "html": "502 with a proxy's HTML page (`code`)",
    "server_timeout": "500 ServerTimeout: unknown outcome; `applied` true does it first",
    "timeout": "504 Timeout: unknown outcome; `applied` true does it first",
    "webhook_denied": "an admission webhook's refusal: `message`, `code`",
    "webhook_down": "500: the admission webhook does not answer",
    "conflict": "409: somebody changed the object in between",
    "forbidden": "403 in RBAC's words",
    "unauthorized": "401",
    "garbage": "200 with a body that is not JSON",
    "huge": "200 with a body of `bytes`",
    "missing": "404 of the object",
    "watch": "a watch that goes wrong: `how` gone, gone_http, close, abort, cut, split, mute, garbage, huge; `ms`",
    "log": "a log stream that goes wrong: `how` close, abort, binary, long, mute",
}
MATCH = ("verb", "resource", "ns", "name", "path", "dry_run", "method")


class Fault:
    def __init__(self, mode, times=None, skip=0, **params):
        if mode not in MODES:
            raise ValueError(f"unknown fault {mode!r}; known: {', '.join(sorted(MODES))}")
        self.mode, self.times, self.skip = mode, times, skip
        self.match = {k: params.pop(k) for k in MATCH if k in params}
        self.path = re.compile(self.match.pop("path")) if "path" in self.match else None
        self.params, self.struck, self.made = params, 0, time.time()
        self.cleared = asyncio.Event()

    def get(self, name, default=None):
        return self.params.get(name, default)

    def fits(self, about):
        for key, value in self.match.items():
            have = about.get(key)
            if have != value and not (type(value) is list and have in value):
                return False
        return self.path is None or self.path.search(about["path"]) is not None

    def state(self):
        return {"mode": self.mode, "times": self.times, "struck": self.struck, **self.match, **self.params}


class Faults:
    def __init__(self):
        self.active = []
        self.holding = []
        self.struck = {}
        self.log = deque(maxlen=500)

    def add(self, **wish):
        fault = Fault(**wish)
        self.active.append(fault)
        return fault

    def clear(self, mode=None):
        if mode in (None, "hold"):
            for fault in self.holding:
                fault.cleared.set()
            self.holding = []
        self.active = [f for f in self.active if mode is not None and f.mode != mode]

    def take(self, about):
        for fault in self.active:
            if (fault.mode == "watch" and about["verb"] != "watch") or \
                    (fault.mode == "log" and not about["resource"].endswith("/log")) or not fault.fits(about):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.struck += 1
            if fault.mode == "hold":
                self.holding.append(fault)
            self.struck[fault.mode] = self.struck.get(fault.mode, 0) + 1
            self.log.append({"mode": fault.mode, **about})
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self.active.remove(fault)
            return fault
        return None
