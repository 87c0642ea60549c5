# SPDX-License-Identifier: Apache-2.0
"""The load: slash commands sent from inside the Slack stand-in, each outstanding until its reply.

A command ends with the first use of its response_url, with a final text in its acknowledgement, or by
being lost. Two commands under way never name the same team as long as there are enough teams."""

import asyncio
import time
from collections import deque

from sandbox.slack.hooks import Hooks
from sandbox.slack.watch import percentiles

LATE = 0.2          # a probe that was acknowledged later than this found nobody listening
JOB_TIMEOUT = 30.0


class Job:
    """One command under way; stands where an envelope expects its future."""

    __slots__ = ("load", "env", "team", "reply", "over")

    def __init__(self, load, env, team):
        self.load, self.env, self.team = load, env, team
        self.reply = None           # it came before the acknowledgement
        self.over = False

    def done(self):
        return False

    def set_result(self, outcome):
        self.load.acknowledged(self, outcome)


class WatchedHooks(Hooks):
    """Tells the load of each reply."""

    def __init__(self, standin):
        super().__init__(standin)
        self.jobs = {}

    def say(self, hook, data):
        out = super().say(hook, data)
        job = self.jobs.pop(hook, None)
        if job is not None:
            job.load.replied(job, data.get("text") or "", out[0])
        return out


class Load:
    """`concurrency` commands outstanding, or `rate` a second whatever is outstanding; `count` in all."""

    def __init__(self, standin, count, text, good, concurrency=1, rate=0.0, user="U0DIA", channel="C0OPS", teams=40,
                 pending="⏳", timeout=300.0):
        self.s = standin
        self.total, self.concurrency, self.rate = int(count), int(concurrency), float(rate)
        self.text, self.good, self.pending = text, good, pending
        self.user, self.channel, self.timeout = user, channel, float(timeout)
        self.free = deque(range(1, int(teams) + 1))
        self.teams = int(teams)
        # kept from one load to the next: every command is a real change
        self.turns = standin.__dict__.setdefault("turns", {})
        self.sent = self.done = 0
        self.acks, self.totals = [], []
        self.ends, self.examples = {}, []
        self.probes = []            # (sent, acknowledged or None) when there is a rate
        self.finished = None
        self.filling = False
        self.stall = 0.0

    def next_team(self):
        if self.free:
            return self.free.popleft()
        return self.sent % self.teams + 1

    def send(self):
        team = self.next_team()
        turn = self.turns[team] = self.turns.get(team, 0) + 1
        self.sent += 1
        text = self.text.replace("{team}", f"t{team}").replace("{count}", str(3 + turn % 2))
        env = self.s.people.slash(self.user, self.channel, "/ops", text, raw=True, quiet=True)
        job = env.future = Job(self, env, team)
        hooks = self.s.hooks
        hooks.jobs[hooks.known[env.payload["response_url"].rpartition("/")[2]]] = job
        self.s.sockets.send(env)

    def acknowledged(self, job, outcome):
        env = job.env
        if outcome != "acked":
            self.end(job, outcome)
            return
        self.acks.append(env.acked - env.sent)
        text = (env.ack or {}).get("text") or ""
        if job.reply is not None:
            self.judge(job, job.reply)
        elif text and not text.startswith(self.pending):
            self.judge(job, text)

    def replied(self, job, text, status):
        if status != 200:
            self.end(job, f"reply refused with {status}")
        elif job.env.acked is None:
            job.reply = text
        else:
            self.judge(job, text)

    def judge(self, job, text):
        good = text.startswith(self.good)
        if not good and len(self.examples) < 5:
            self.examples.append(text[:300])
        self.end(job, "good" if good else "not good")

    def end(self, job, how):
        if job.over:
            return
        job.over = True
        env = job.env
        now = self.s.sockets.now()
        self.ends[how] = self.ends.get(how, 0) + 1
        if how == "good":
            self.totals.append(now - env.sent)
        if self.rate:
            self.probes.append((env.sent, env.acked))
        env.future = job.env = None
        self.done += 1
        self.free.append(job.team)
        if not self.rate and not self.filling:
            self.fill()
        if self.done >= self.total and not self.finished.done():
            self.finished.set_result(now)

    def fill(self):
        self.filling = True         # a command may end while it is sent: when there is no socket
        while self.sent < self.total and self.sent - self.done < self.concurrency:
            self.send()
        self.filling = False

    async def paced(self, start):
        now = self.s.sockets.now
        while self.sent < self.total:
            due = start + self.sent / self.rate
            await asyncio.sleep(max(0.0, due - now()))
            self.stall = max(self.stall, now() - due)
            while self.sent < self.total and start + self.sent / self.rate <= now():
                self.send()

    async def give_up(self):
        """Ends what has waited too long for its reply, so that a lost one cannot stop the run."""
        while True:
            await asyncio.sleep(1.0)
            before = self.s.sockets.now() - JOB_TIMEOUT
            for hook, job in list(self.s.hooks.jobs.items()):
                if job.over or job.env.sent < before:   # lost, or waits too long
                    del self.s.hooks.jobs[hook]
                    self.end(job, "no reply")

    async def run(self):
        self.finished = self.s.loop_future()
        watcher = asyncio.ensure_future(self.give_up())
        cpu, start = time.process_time(), self.s.sockets.now()
        end = None
        try:
            if self.rate:
                await self.paced(start)
            else:
                self.fill()
            end = await asyncio.wait_for(self.finished, self.timeout)
        except asyncio.TimeoutError:
            pass
        finally:
            watcher.cancel()
            self.s.hooks.jobs.clear()
        seconds = max(1e-9, (end or self.s.sockets.now()) - start)
        return {"sent": self.sent, "done": self.done, "good": self.ends.get("good", 0), "ends": self.ends,
                "examples": self.examples, "seconds": round(seconds, 3), "per_second": round(self.done / seconds, 1),
                "ack_ms": percentiles(self.acks), "reply_ms": percentiles(self.totals),
                "standin_cpu": round(time.process_time() - cpu, 3), "standin_late_ms": round(self.stall * 1000, 2),
                **self.deaf()}

    def deaf(self):
        """Time in which no socket took a command: lost probes count their slot, late ones their delay."""
        if not self.rate:
            return {}
        gaps = []
        for sent, acked in sorted(self.probes):
            if acked is None:
                gaps.append((sent, sent + 1 / self.rate))
            elif acked - sent > LATE:
                gaps.append((sent, acked))
        total, until = 0.0, 0.0
        for start, end in gaps:
            start = max(start, until)
            if end > start:
                total += end - start
                until = end
        lost = sum(1 for _, acked in self.probes if acked is None)
        return {"deaf_seconds": round(total, 3), "lost": lost}
