# SPDX-License-Identifier: Apache-2.0
"""Faults that a test switches on, and standing switches for what Slack does not promise.

A fault has a name, matching rules, parameters and how many times it still strikes (None: until it is
cleared). Asking for one is a dict look-up, so that a run without faults pays nothing."""

from collections import deque

# name -> what it does; a fault with another name is refused, so that a misspelt one fails the test
NAMES = {
    "open": "apps.connections.open: mode error(code) | http(status, retry_after) | garbage | slow(ms) | hang"
            " | close | bad_url(url)",
    "handshake": "WebSocket upgrade: mode http(status, location) | bad_accept | no_upgrade | slow(ms) | hang"
                 " | close | garbage | colons",
    "hello": "mode none | late(ms) | disconnect(reason) | close(code) | no_debug_info | odd",
    "api": "Web API: method, mode http(status, retry_after, body) | error(code) | html | lost | lost_close | hang"
           " | close | slow(ms) | garbage | empty",
    "hook": "response_url: mode http(status, body) | slow(ms) | lost | hang | close",
    "upload": "file upload step two: mode http(status) | slow(ms) | hang",
    "socket": "each new socket gets: mode mute | no_pong | no_ping | no_close_reply | fragment(size, pings)"
              " | dribble(size)",
    "duplicate": "an envelope is sent twice: same_id true | false, on_other_socket, after(ms); match type",
    "reorder": "an envelope waits until the next one has been sent; match type",
    "swallow": "an envelope is never sent (lost by Slack); match type",
    "ephemeral_lost": "chat.postEphemeral says ok and nobody sees it",
    "late_hook": "response_url answers ok but the message appears after(ms)",
}

# standing switches: name -> default
SWITCHES = {
    "ping_interval": 5.0,           # seconds between server PINGs, 0: none
    "ack_deadline": 3.0,
    "ack_other_socket": True,       # an ack on another socket than the delivering one counts
    "ack_limit": 20480,
    "redeliver_slash": False,       # an unacknowledged slash command comes again
    "redeliver_interactive": False,
    "redeliver_oversize": True,     # an oversized ack brings its command back on reconnect
    "retry_scale": 1.0,             # events come again after 0, 60 and 300 s times this
    "max_sockets": 10,
    "connection_time": 18060,
    "linger_tcp": 60.0,             # TCP stays open this long after the close handshake
    "ticket_life": 30.0,
    "trigger_life": 3.0,
    "hook_uses": 5,
    "hook_life": 1800.0,
    "hook_used_status": 404,
    "hook_used_body": "used_url",
    "hook_expired_body": "expired_url",
    "hook_ok_body": "ok",
    "slash_replace": False,         # replace_original on a slash command's URL rewrites its last reply
    "pacing": True,                 # one message a second and channel, 429 beyond the burst
    "pacing_rate": 1.0,
    "pacing_burst": 3,
    "tiers": False,                 # enforce the documented calls a minute of each method
    "limit_required": False,        # users.list without a limit fails
    "home_enabled": True,
    "escape_text": True,            # should_escape of the manifest
    "blocks_budget": 65536,         # bytes of blocks that give msg_blocks_too_long
    "record": True,                 # keep records of calls and acks; off for the bench
    "slack_redelivery_limit": 5,
}


class Faults:
    def __init__(self):
        self.active = {}
        self.struck = {}
        self.log = deque(maxlen=500)

    def add(self, name, times=None, match=None, **params):
        if name not in NAMES:
            raise ValueError(f"unknown fault {name!r}; known: {', '.join(sorted(NAMES))}")
        fault = {"name": name, "times": times, "match": match or {}, **params}
        self.active.setdefault(name, []).append(fault)
        return fault

    def clear(self, name=None):
        if name is None:
            self.active.clear()
        else:
            self.active.pop(name, None)

    def take(self, name, **about):
        """The first fault of this name whose rules fit, counted as struck; or None."""
        faults = self.active.get(name)
        if not faults:
            return None
        for fault in faults:
            if any(about.get(k) != v for k, v in fault["match"].items()):
                continue
            self.struck[name] = self.struck.get(name, 0) + 1
            self.log.append({"name": name, "mode": fault.get("mode"), **about})
            if fault["times"] is not None:
                fault["times"] -= 1
                if fault["times"] <= 0:
                    faults.remove(fault)
                    if not faults:
                        del self.active[name]
            return fault
        return None

    def state(self):
        return {"active": [f for fs in self.active.values() for f in fs], "struck": self.struck,
                "log": list(self.log)}


class Switches:
    """The standing switches as attributes; an unknown name or a wrong type is refused."""

    def __init__(self, **changes):
        self.__dict__.update(SWITCHES)
        self.change(changes)

    def change(self, changes):
        for name, value in changes.items():
            if name not in SWITCHES:
                raise ValueError(f"unknown switch {name!r}")
            want = type(SWITCHES[name])
            if want is float and type(value) is int:
                value = float(value)
            if type(value) is not want:
                raise ValueError(f"switch {name} takes {want.__name__}")
            self.__dict__[name] = value

    def all(self):
        return {name: getattr(self, name) for name in SWITCHES}
