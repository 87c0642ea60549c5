# SPDX-License-Identifier: Apache-2.0
"""Socket Mode: tickets, sockets, envelopes, acknowledgements, redelivery and disconnects."""

import asyncio
import time
from collections import OrderedDict, deque

from . import frames
from .door import Door
from .envelopes import read_ack
from .people import APP
from .wire import dumps

RETRY_AFTER = (0.0, 60.0, 300.0)
KEEP = 5000


class AppSocket(frames.Peer):
    """One Socket Mode connection of the app."""

    def __init__(self, mode, transport, number, debug_reconnects):
        super().__init__(transport)
        self.mode, self.number, self.debug_reconnects = mode, number, debug_reconnects
        self.open = False           # hello sent, not closing
        self.no_ping = False
        self.pings = {}
        self.timer = None
        self.opened = time.time()
        self.close_code = None
        self.pongs = self.client_pings = 0

    def on_violation(self, what):
        self.mode.s.violation(what)

    def refuse_size(self, n):
        over = n > self.mode.s.switch.ack_limit
        if over:
            self.mode.oversized(self, n)
        return over

    def on_text(self, text, fragmented):
        if fragmented:
            self.on_violation("ack: fragmented message (not reassembled by Slack)")
        else:
            self.mode.acked(self, text)

    def on_ping(self, body):
        self.client_pings += 1

    def on_pong(self, body):
        self.pongs += 1
        if body and self.pings.pop(body, None) is None:
            self.on_violation("websocket: pong with a payload that no ping had")

    def start_pings(self):
        every = self.mode.s.switch.ping_interval
        if every and not self.timer:
            self.timer = self.loop.call_later(every, self._ping)

    def _ping(self):
        self.timer = None
        if self.open and not self.no_ping:
            body = f"Ping from applink-{self.number} {len(self.pings)}".encode()
            if len(self.pings) < 1000:
                self.pings[body] = True
            self.ping(body)
        if not self.lost:
            self.start_pings()

    def on_close(self, code, reason):
        self.close_code = self.close_code or code
        self.mode.leave(self)
        # Slack does not close TCP after the close handshake
        self.loop.call_later(self.mode.s.switch.linger_tcp, self.transport.abort)

    def on_lost(self):
        self.lost = True
        if self.timer:
            self.timer.cancel()
        self.mode.leave(self)
        self.mode.all.discard(self)

    def record(self):
        return {"number": self.number, "open": self.open, "mute": self.mute, "since": self.opened,
                "pongs": self.pongs, "client_pings": self.client_pings, "close_code": self.close_code,
                "close_handshake": self.close_sent and self.close_seen}


class SocketMode:
    def __init__(self, standin):
        self.s = standin
        self.door = Door(self)
        self.all = set()
        self.open = []
        self.turn = 0
        self.numbers = 0
        self.pending = {}
        self.order = deque()
        self.queue = []             # deliveries owed to the next socket that opens
        self.held = None            # an envelope that a fault holds back
        self.records = deque(maxlen=KEEP)
        self.known = OrderedDict()
        self.latencies = deque(maxlen=200000)
        self.count = {"sent": 0, "acked": 0, "late": 0, "timeout": 0, "no_socket": 0, "duplicate_acks": 0,
                      "redelivered": 0, "hello": 0, "oversized": 0}
        self.timer = None

    def arrive(self, transport, debug_reconnects):
        self.numbers += 1
        sock = AppSocket(self, transport, self.numbers, debug_reconnects)
        self.all.add(sock)
        return sock

    def welcome(self, sock):
        fault = self.s.faults.take("socket")
        if fault:
            self.spoil(sock, fault)
        if len(self.open) >= self.s.switch.max_sockets:
            self.s.violation("socket: more than the allowed sockets of one app")
            self.disconnect(sock, "too_many_websockets", 0.0)
            return
        fault = self.s.faults.take("hello") or {}
        mode = fault.get("mode")
        if mode == "disconnect":
            self.disconnect(sock, fault.get("reason"), fault.get("after", 0.0))
        elif mode == "close":
            sock.close(fault.get("code", 1000), fault.get("reason", ""))
        elif mode == "late":
            sock.loop.call_later(fault.get("ms", 1000) / 1000, self.hello, sock)
        elif mode != "none":
            self.hello(sock, mode)

    @staticmethod
    def spoil(sock, fault):
        mode = fault.get("mode")
        if mode == "fragment":
            sock.fragment, sock.fragment_pings = fault.get("size", 100), fault.get("pings", False)
        elif mode == "dribble":
            sock.dribble = fault.get("size", 1)
        elif mode in ("mute", "no_pong", "no_ping", "no_close_reply"):
            setattr(sock, mode, True)
            if mode == "mute":
                sock.transport.pause_reading()
        else:
            raise ValueError(f"unknown socket mode {mode!r}")

    def hello(self, sock, mode=None):
        if sock.lost or sock.close_sent:
            return
        body = {"type": "hello", "num_connections": len(self.open) + 1, "connection_info": {"app_id": APP}}
        if mode == "odd":
            body["connection_info"] = {"app_id": APP, "new_member": [None]}
        if mode != "no_debug_info":
            body["debug_info"] = {
                "host": f"applink-{sock.number}", "started": time.strftime("%Y-%m-%d %H:%M:%S.000"),
                "build_number": 10,
                "approximate_connection_time": 360 if sock.debug_reconnects else self.s.switch.connection_time}
        sock.send_text(dumps(body))
        sock.open = True
        self.open.append(sock)
        self.count["hello"] += 1
        sock.start_pings()
        self.s.feed.publish({"type": "sockets", "open": len(self.open)})
        owed, self.queue = self.queue, []
        for env in owed:
            self.count["redelivered"] += 1
            self.deliver(env)

    def leave(self, sock):
        if sock.open:
            sock.open = False
            self.open.remove(sock)
            self.s.feed.publish({"type": "sockets", "open": len(self.open)})

    def disconnect(self, sock, reason, after=None, full=False):
        body = {"type": "disconnect", "debug_info": {"host": f"applink-{sock.number}"}}
        if full:
            body.update(num_connections=len(self.open), connection_info={"app_id": APP})
        if reason is not None:
            body["reason"] = reason
        sock.send_text(dumps(body))
        wait = after if after is not None else 10.0 if reason == "warning" else 1.0
        if wait <= 0:
            sock.close(1000, reason or "")
            self.leave(sock)
        else:
            sock.loop.call_later(wait, self._end, sock, reason)

    def _end(self, sock, reason):
        if not sock.lost:
            sock.close(1000, reason or "")
            self.leave(sock)

    # Envelopes

    def send(self, env):
        """Send a new envelope, bending its way as the switched faults say."""
        if self.s.faults.active and self._bent(env):
            return
        self.deliver(env)
        if self.held and self.held is not env:
            held, self.held = self.held, None
            self.deliver(held)

    def _bent(self, env):
        if self.s.faults.take("swallow", type=env.type):
            env.sent, env.wall = self.now(), time.time()
            self.watch(env)
            return True
        if self.held is None and self.s.faults.take("reorder", type=env.type):
            self.held = env
            return True
        fault = self.s.faults.take("duplicate", type=env.type)
        if fault:
            self.deliver(env)
            twin = env if fault.get("same_id", True) else env.again()
            first = env.sock
            send = self._twin if twin is env else self.deliver
            wait = fault.get("after", 0) / 1000
            args = (twin, first, fault.get("on_other_socket", False)) if twin is env else (twin,)
            asyncio.get_running_loop().call_later(wait, send, *args)
            return True
        return False

    def _twin(self, env, first, other):
        choice = [k for k in self.open if not other or k is not first] or self.open
        if choice:
            choice[0].send_text(env.text())

    def now(self):
        return asyncio.get_running_loop().time() - self.s.stalled()

    def pick(self):
        n = len(self.open)
        if not n:
            return None
        self.turn += 1
        return self.open[self.turn % n]

    def deliver(self, env):
        sock = self.pick()
        env.sent = self.now()
        env.wall = time.time()
        env.deliveries += 1
        if sock is None:
            self.count["no_socket"] += 1
            self.missed(env, "dispatch_failed")
            return
        env.sock = sock
        self.count["sent"] += 1
        self.watch(env)
        sock.send_text(env.text())

    def watch(self, env):
        self.pending[env.id] = env
        self.order.append(env)
        if self.s.switch.record and not env.quiet:
            self.records.append(env)
        if self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(0.05, self.sweep)

    def sweep(self):
        self.timer = None
        order, limit = self.order, self.now() - self.s.switch.ack_deadline
        while order and (order[0].over or order[0].sent <= limit):
            env = order.popleft()
            if not env.over:
                self.count["timeout"] += 1
                self.missed(env, "operation_timeout")
            self.known[env.id] = env
            self.pending.pop(env.id, None)
        while len(self.known) > 2 * KEEP:
            self.known.popitem(last=False)
        if order:
            self.timer = asyncio.get_running_loop().call_later(0.05, self.sweep)

    def missed(self, env, why):
        """Nobody acknowledged in time, or no socket was there."""
        first = env.redelivery == 0
        env.finish(why)
        if env.type == "events_api":
            if env.attempt < len(RETRY_AFTER):
                wait = RETRY_AFTER[env.attempt] * self.s.switch.retry_scale
                nxt = env.again(env.attempt + 1, "timeout")
                asyncio.get_running_loop().call_later(wait, self.deliver, nxt)
        elif self.wants_again(env):
            self.queue_again(env)
        if env.on_timeout and first:
            env.on_timeout(env, why)

    def wants_again(self, env):
        if env.redelivery >= self.s.switch.slack_redelivery_limit:
            return False
        return self.s.switch.redeliver_slash if env.type == "slash_commands" \
            else self.s.switch.redeliver_interactive

    def queue_again(self, env):
        twin = env.again()
        if self.open:
            self.count["redelivered"] += 1
            self.deliver(twin)
        elif len(self.queue) < 1000:
            self.queue.append(twin)

    def oversized(self, sock, size):
        self.count["oversized"] += 1
        self.s.violation(f"ack: frame of {size} bytes is over the limit")
        if not self.s.switch.redeliver_oversize:
            return
        for env in list(self.pending.values()):
            if env.sock is sock and not env.over and env.type != "events_api" \
                    and env.redelivery < self.s.switch.slack_redelivery_limit:
                self.queue.append(env.again())

    # Acknowledgements

    def acked(self, sock, text):
        now = self.now()
        if len(text) >= 20480:
            self.s.violation("ack: frame is not below 20480 bytes")
        ident, payload, problem = read_ack(text)
        if problem:
            self.s.violation(f"ack: {problem.removeprefix('ack ')}")
        env = self.pending.get(ident) or self.known.get(ident) if ident else None
        if env is None:
            if ident:
                self.s.violation("ack: envelope is unknown")
            return
        if env.acked is not None:
            self.count["duplicate_acks"] += 1
            return
        if sock is not env.sock and not self.s.switch.ack_other_socket:
            self.s.violation("ack: came on another socket")
            return
        env.acked, env.ack = now, payload
        self.latencies.append(now - env.sent)
        if env.over:
            env.late = True
            self.count["late"] += 1
            self.s.violation(f"ack: late by {now - env.sent - self.s.switch.ack_deadline:.3f} s")
            return
        self.count["acked"] += 1
        if payload and not env.accepts:
            self.s.violation(f"ack: payload on a {env.kind} that accepts none")
            payload = None
        if env.on_ack:
            env.on_ack(env, payload)
        env.finish("acked")
        self.s.feed.nudge()

    def stop(self):
        if self.timer:
            self.timer.cancel()
        for sock in list(self.all):
            sock.abort()
