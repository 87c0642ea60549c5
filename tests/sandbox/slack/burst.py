# SPDX-License-Identifier: Apache-2.0
"""Many slash commands sent from inside the stand-in, for the bench: no HTTP request a command.

`rate` commands a second (0: as fast as `concurrency` allows), `count` in all. `text` may hold {n} and {u}.
`until` says when a command counts as finished: ack, reply (first use of its response_url or ack payload)."""

import asyncio
import time

from .watch import percentiles


class Burst:
    def __init__(self, standin, count=100, rate=0, concurrency=16, users=("U0ANA",), channel="C0OPS", command="/ops",
                 text="help", timeout=60):
        self.s = standin
        self.total, self.rate, self.concurrency = int(count), float(rate), max(1, int(concurrency))
        self.users, self.channel, self.command, self.text = list(users), channel, command, text
        self.timeout = float(timeout)
        self.sent = self.done = 0
        self.outcomes = {}
        self.times = []
        self.started = self.ended = None

    def one(self):
        n = self.sent
        self.sent += 1
        user = self.users[n % len(self.users)]
        text = self.text.replace("{n}", str(n)).replace("{u}", user)
        env = self.s.people.slash(user, self.channel, self.command, text, raw=True, quiet=True)
        env.future = self.s.loop_future()
        env.future.add_done_callback(lambda f: self.finished(env))
        self.s.sockets.send(env)

    def finished(self, env):
        self.done += 1
        self.outcomes[env.outcome] = self.outcomes.get(env.outcome, 0) + 1
        if env.acked is not None:
            self.times.append(env.acked - env.sent)
        if not self.rate:
            self.fill()
        if self.done >= self.total:
            self.ended = time.monotonic()
            if not self.all_done.done():
                self.all_done.set_result(True)

    def fill(self):
        while self.sent < self.total and self.sent - self.done < self.concurrency:
            self.one()

    async def run(self):
        self.all_done = self.s.loop_future()
        self.started = time.monotonic()
        if not self.rate:
            self.fill()
        else:
            await self.paced()
        try:
            await asyncio.wait_for(self.all_done, self.timeout)
        except asyncio.TimeoutError:
            pass
        return self.result()

    async def paced(self):
        while self.sent < self.total:
            due = int((time.monotonic() - self.started) * self.rate) + 1
            for _ in range(min(due, self.total) - self.sent):
                self.one()
            await asyncio.sleep(0.002)

    def result(self):
        end = self.ended or time.monotonic()
        seconds = max(1e-9, end - (self.started or end))
        return {"sent": self.sent, "done": self.done, "outcomes": self.outcomes, "seconds": round(seconds, 3),
                "per_second": round(self.done / seconds, 1), "ack_ms": percentiles(self.times)}
