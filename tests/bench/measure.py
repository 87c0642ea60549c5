# SPDX-License-Identifier: Apache-2.0
"""One program under the load: the phases, and what is read before and after each."""

import os
import statistics
import time

from . import proc
from .profile import profile

WARM, SOAK, SOAK_STEP = 200, 100000, 10000
TURNS = 5
OPEN_RATE, OPEN_COUNT = 50, 600
PROBES = 200            # at 50 a second: four seconds around a refresh
STATS_DELAY = 10.5      # an idle session reports its commits after ten seconds
SETTLE = 5.0


def stall(before, after):
    """(worst turn of the loop in a phase in ms, True when that is an upper bound)."""
    worst = after.get("opsd_loop_worst_seconds")
    if worst is None:
        return None
    if worst > before.get("opsd_loop_worst_seconds", 0):
        return {"ms": round(worst * 1000, 2), "bound": False}
    low, bound = 0.0, 0.0
    for name, value in after.items():
        if not name.startswith("opsd_loop_busy_seconds_bucket"):
            continue
        edge = name.partition('"')[2].partition('"')[0]
        grown = value - before.get(name, 0)
        if grown > low:
            low, bound = grown, worst if edge == "+Inf" else float(edge)
    return {"ms": round(min(bound, worst) * 1000, 2), "bound": True}


class Run:
    """Everything that is measured of one subject."""

    def __init__(self, world, subject, options, say):
        self.world, self.subject, self.options, self.say = world, subject, options, say
        self.process = None
        self.commands = 0
        self.out = {"name": subject.name}

    def hurry(self):
        """PostgreSQL's processes are sessions of their own; all others share the bench's."""
        postgres = self.world.postgres.pid
        for pid in (os.getpid(), postgres, *proc.children_of(postgres)):
            proc.hurry(pid)

    def load(self, count, **plan):
        if self.options.urgent:
            self.hurry()
        out = self.world.control.load(count=count, text=self.subject.text, good=self.subject.good, **plan)
        self.commands += out["done"]
        return out

    def settle(self):
        """Until what the commands left behind (posts, marks) is done: the program says so and rests."""
        end = time.monotonic() + SETTLE
        last = proc.cpu_of(self.process.pid)
        while time.monotonic() < end:
            time.sleep(0.3)
            now = proc.cpu_of(self.process.pid)
            if now - last <= 0.011 and self.subject.idle():
                return
            last = now

    def count_commits(self):
        """(commits so far, when), once every session has reported."""
        time.sleep(STATS_DELAY)
        return self.world.postgres.commits(self.subject.database), time.monotonic()

    def cpu(self):
        world = self.world
        return {"program": proc.cpu_of(self.process.pid), "postgres": proc.cpu_of_tree(world.postgres.pid),
                "slack": proc.cpu_of(world.slack_process.pid), "kube": proc.cpu_of(world.kube_process.pid)}

    def phase(self, name, count, **plan):
        self.say(f"{self.subject.name}: {name}")
        counters = self.subject.counters()
        cpu, busy = self.cpu(), proc.cpu_of_machine()
        out = self.out[name] = self.load(count, **plan)
        now, machine = self.cpu(), proc.cpu_of_machine()
        out["machine_busy"] = round((machine[0] - busy[0]) / max(0.01, machine[1] - busy[1]), 3)
        out["share"] = {who: round((now[who] - cpu[who]) / out["seconds"], 2) for who in cpu}
        self.settle()
        now, done = self.cpu(), max(1, out["done"])
        for who in cpu:
            out["cpu_ms" if who == "program" else f"{who}_cpu_ms"] = round((now[who] - cpu[who]) * 1000 / done, 4)
        after = self.subject.counters()
        out["stall"] = stall(counters, after)
        out["sql_per_command"] = self.jobs(counters, after, done)

    def counted_phases(self):
        """The phases whose commits are counted, less those of a program that nobody asks for anything."""
        before, since = self.count_commits()
        commits, at = self.count_commits()
        idle = (commits - before) / (at - since)
        self.out["idle_commits_per_second"] = round(idle, 2)
        for name, concurrency in (("one", 1), ("many", self.options.concurrency)):
            self.phase(name, self.options.commands, concurrency=concurrency)
            total, now = self.count_commits()
            done = max(1, self.out[name]["done"])
            self.out[name]["commits"] = round(max(0.0, total - commits - idle * (now - at)) / done, 3)
            commits, at = total, now

    @staticmethod
    def jobs(before, after, done):
        names = [n for n in after if n.startswith("opsd_db_jobs_total")]
        return round(sum(after[n] - before.get(n, 0) for n in names) / done, 2) if names else None

    def refresh(self):
        """Slack asks for new sockets; a new ticket takes 400 ms; a command comes every 20 ms."""
        self.say(f"{self.subject.name}: refresh")
        control = self.world.control
        control.fault(name="open", mode="slow", ms=400)
        control.refresh_in(seconds=1.0, kind="refresh_requested")
        out = self.load(PROBES, rate=OPEN_RATE)
        control.clear()
        control.wait("sockets", count=1, timeout=20)
        self.out["refresh"] = out

    def rss(self, name):
        self.settle()
        rss, anon = proc.memory_of(self.process.pid)
        self.out[name] = round(rss, 2)
        self.out[name + "_anon"] = round(anon, 2)
        self.say(f"{self.subject.name}: {name} {rss:.1f} MB")

    def soak(self):
        rows = []
        while self.commands < SOAK:
            self.load(min(SOAK_STEP, SOAK - self.commands), concurrency=32, timeout=600)
            self.settle()
            rows.append([self.commands, round(proc.memory_of(self.process.pid)[0], 2)])
            self.say(f"{self.subject.name}: after {rows[-1][0]} commands {rows[-1][1]} MB")
        self.out["soak"] = rows

    def run(self):
        options = self.options
        self.subject.prepare(self.world)
        start = time.monotonic()
        self.process = self.subject.start(self.world)
        self.out["start_ms"] = round((time.monotonic() - start) * 1000, 1)
        try:
            self.world.control.wait("sockets", count=1, timeout=20)
            self.rss("rss_idle")
            self.load(WARM, concurrency=8)
            self.settle()
            self.phase("open", OPEN_COUNT, rate=OPEN_RATE)
            self.counted_phases()
            self.refresh()
            left = options.total - self.commands
            if left > 0:
                self.load(left, concurrency=options.concurrency)
            self.rss("rss_after")
            if options.soak:
                self.soak()
            if options.profile:
                profile(self, options.profile, options.concurrency)
            self.out["commands"] = self.commands
            self.out["violations"] = self.world.control.violations(clear=True)
        finally:
            self.out["exit"] = self.process.stop()
        return self.out

    def turn(self):
        """The wide load once more, on a program that was just started."""
        self.process = self.subject.start(self.world)
        try:
            self.world.control.wait("sockets", count=1, timeout=20)
            self.load(WARM, concurrency=self.options.concurrency)
            cpu = proc.cpu_of(self.process.pid)
            out = self.load(self.options.commands, concurrency=self.options.concurrency)
            self.settle()
            return {"per_second": out["per_second"],
                    "cpu_ms": (proc.cpu_of(self.process.pid) - cpu) * 1000 / max(1, out["done"])}
        finally:
            self.process.stop()


def in_turns(runs):
    """What is compared is measured in turns: a machine that others use has another pace every few minutes."""
    rows = {run: [] for run in runs}
    for n in range(TURNS):
        for run in runs:
            run.say(f"{run.subject.name}: turn {n + 1} of {TURNS}")
            rows[run].append(run.turn())
    for run in runs:
        run.out["turns"] = {key: round(statistics.median(row[key] for row in rows[run]), 4) for key in rows[run][0]}
