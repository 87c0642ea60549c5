# SPDX-License-Identifier: Apache-2.0
"""Kill opsd at every point of a fixed script and look whether anything was lost, done twice or not audited.

    /usr/bin/python3 -m kill [--opsd PATH] [--mode kill,lose,forget,stop,two,twice,many] [--script commands,approvals,later] [--each N]
                             [--workers N] [--point NAME:K] [--random --minutes N] [--seed S] [--mutation NAME] [--sees]

A build with -Dfailpoints=true is needed. Each round: one script with one point armed, what dies is started again, time
passes, all comes to rest, and every invariant of invariants.py is looked at."""

import argparse
import collections
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from kill import invariants, mutations  # noqa: E402
from kill.chaos import Chaos  # noqa: E402
from kill.town import Stuck, Town  # noqa: E402
from sandbox.postgres import Postgres  # noqa: E402
from sandbox.slack.client import LoopThread  # noqa: E402

MODES = ("kill", "lose", "forget", "stop", "two", "twice", "many")
SCRIPTS = ("commands", "approvals", "later")
INTAKE = re.compile(r"db\.sent ops_(receive|confirm|vote|steer)$")
CLOCKWORK = re.compile(r"ops_(claim_due|outbox_claim|renew|seal|sweep|may)\b")      # comes by the clock, whatever people do


class Round:
    """One run of a script with one point armed."""

    def __init__(self, town, mode, script, point, rng):
        self.town, self.mode, self.script, self.point, self.rng = town, mode, script, point, rng
        self.struck = 0
        self.late = False           # the machine was: not all that the script wants comes about
        self.second = self.chaos = None
        self.events = collections.Counter()     # of the mode many

    def armed(self):
        """What is done at the point; without one every round arms another text, which counts afresh."""
        if not self.point:
            return f"none:{self.town.turn}"
        if self.mode == "forget":           # the answer is lost, then what would make sure of it, then all that knows of it
            return f"error:{self.point};error:db.send ops_disown"
        return {"stop": "stop", "lose": "error"}.get(self.mode, "kill") + ":" + self.point

    def hurt(self, dead, still):
        """A service died, or stands still."""
        town = self.town
        self.struck += len(dead) + len(still)
        if dead and self.mode == "twice" and self.second is None:
            self.second = self.rng.randrange(1, 120)
            town.arm(f"kill:{self.second}")
        elif dead or still:
            town.arm("")
        if self.chaos:
            self.chaos.begin()
            town.leases_end()
        if not town.running:
            self.start()
        if self.mode == "stop" and still:
            self.thaw(still[0])

    def start(self):
        """A second crash may come before it is ready."""
        town = self.town
        for _ in range(3):
            try:
                town.serve()
                break
            except AssertionError:
                dead = [o for o in town.running if not o.alive()]
                if not dead:
                    raise
                for opsd in dead:
                    opsd.expected = -9
                    opsd.wait()
                    town.gone(opsd)
                town.arm("")
        town.leases_end()

    def thaw(self, opsd):
        """Another one takes its work over; then it goes on as if nothing had been."""
        town = self.town
        town.serve(armed=False)
        town.leases_end(opsd)
        town.give_up()
        end = time.monotonic() + 6
        while time.monotonic() < end:
            left = town.sql("select 1 from ops.request where state in ('received', 'allowed', 'running') or (state = 'confirming' "
                            "and claimed_by is not null) union all select 1 from ops.message where due_at is not null")
            if not left:
                break
            time.sleep(0.05)
            town.leases_end(opsd)
        opsd.resume()
        town.slack.wait("sockets", count=1)
        time.sleep(0.3)         # what was under way when it stood still

    def run(self):
        town = self.town
        town.arm("")
        town.hurt = None
        for opsd in list(town.running):
            if not opsd.armed or len(town.running) > 1:
                opsd.kill()
                town.gone(opsd)
        if not town.running:
            town.serve()
        if self.mode == "two":
            town.serve(armed=False)
        if self.mode == "many":
            self.chaos = Chaos(town, self.rng)
            for opsd in list(town.running):
                opsd.kill()
                town.gone(opsd)
            self.chaos.begin()
        town.forgetful = self.mode == "forget"
        town.impatient = self.mode in ("lose", "forget", "stop", "many")
        since = town.db.value("select clock_timestamp()")
        late = town.late_answers()
        town.began = time.time()
        town.hurt, town.chaos = self.hurt, self.chaos
        log = town.mark()
        town.arm(self.armed())
        problems = []
        try:
            getattr(town, self.script)()
        except (Stuck, AssertionError) as e:
            problems.append(f"comes-to-rest: {e}")
        town.arm("")
        if self.chaos:
            town.chaos = None
            self.struck += sum(self.chaos.counts.values())
            self.chaos.end()
            self.events.update(self.chaos.counts)
        town.look()
        self.late = town.late_answers() > late
        if self.mode == "lose":
            self.struck = sum(1 for line in town.reached(log) if line.startswith("! "))
        if not town.running:
            self.start()
        if not problems:
            self.events["refused"] = int(town.db.value("select count(*) from ops.audit where event = 'request.late_answer' "
                                                       "and at >= $1", since))     # writes under an old fence
            problems = invariants.check(town, since, town.sent)
            if not self.point and not self.chaos and not self.late:
                problems += [f"comes-about: {m}" for m in town.missed]
            town.tidy()
        self.reached = [line for line in town.reached(log) if not line.startswith("! ")]
        return problems


class Worker:
    """A town and its rounds."""

    def __init__(self, run, loop, postgres, number):
        self.run, self.loop, self.postgres = run, loop, postgres
        self.rng = random.Random(f"{run.args.seed}/{number}")
        self.town, self.mutation = None, run.args.mutation

    def open(self):
        self.town = Town(self.loop, self.postgres, template=self.template)
        if self.mutation:
            mutations.mutate(self.town.db, self.mutation)
        self.town.serve()

    def template(self, world):
        with self.run.lock:
            if self.postgres not in self.run.named:
                world.database = self.run.named[self.postgres] = world.postgres.create("filled")
                try:
                    world.fill_database()
                finally:
                    world.database = None
        return self.run.named[self.postgres]

    def close(self):
        if self.town is None:
            return
        town, self.town = self.town, None
        for opsd in list(town.running):
            opsd.kill()
            town.gone(opsd)
        town.close()

    def round(self, mode, script, point):
        """The violations; the town is new after them."""
        if self.town is None:
            self.open()
        one = Round(self.town, mode, script, point, self.rng)
        try:
            problems = one.run()
        except Exception:
            problems = [f"harness: {traceback.format_exc()}"]
        if problems:
            tails = [o.tail(25) for o in self.town.ended[-2:] + self.town.running]
            self.run.say("\n".join([f"VIOLATED {mode} at {point} of {script} (second {one.second}) {dict(one.events)}:", *problems]))
            if self.run.args.verbose:
                self.run.say("\n-- \n".join(tails))
            self.close()
        return problems, one


class Run:
    def __init__(self, args):
        self.args = args
        self.lock = threading.Lock()
        self.named = {}             # by server, the database that others are copied from
        self.counts, self.events = collections.Counter(), {}
        self.violations = []

    def say(self, text):
        with self.lock:
            print(text, flush=True)


def chosen(reached, each, mode="kill"):
    """Points of a clean run as NAME:K; at most `each` of a name, spread over its times; one is the middle one."""
    times = collections.Counter(line.rpartition(":")[0] for line in renumbered(reached))
    out = []
    for name, n in times.items():
        if (mode == "lose" and not name.startswith("db.sent ")) or (mode == "forget" and not INTAKE.match(name)):
            continue
        n = min(n, 1) if CLOCKWORK.search(name) else n
        k = n if each <= 0 else min(n, each)
        out += [f"{name}:{1 + (2 * i + 1) * n // (2 * k)}" for i in range(k)]
    return sorted(out)


def renumbered(lines):
    """Counted from the beginning of these lines."""
    times = collections.Counter()
    for line in lines:
        name = line.rpartition(":")[0]
        times[name] += 1
        yield f"{name}:{times[name]}"


def clean(worker, scripts):
    """Two runs of each script that nobody disturbs, nor a late machine; the points of the second, by script."""
    reached = {}
    for script in scripts:
        runs = 0
        while runs < 2:
            problems, one = worker.round("kill", script, None)
            if problems:
                return None
            runs += not one.late
        reached[script] = one.reached
    return reached


def points_of(args, reached, mode):
    """(script, point); with --each those that an earlier script has not had."""
    seen = collections.Counter()
    for script, lines in reached.items():
        for point in chosen(lines, args.each, mode):
            name = point.rpartition(":")[0]
            seen[name] += 1
            if not args.each or seen[name] <= args.each:
                yield script, point


def jobs_of(args, reached, rng):
    if args.point:
        return [(mode, script, args.point) for mode in args.modes for script in args.scripts]
    jobs = []
    for mode in args.modes:
        if mode == "many":
            jobs += [(mode, args.scripts[i % len(args.scripts)], None) for i in range(args.rounds)]
            continue
        points = list(points_of(args, reached, mode))
        if mode not in ("kill", "lose", "forget") and args.share < 1:
            points = rng.sample(points, max(1, int(len(points) * args.share)))
        jobs += [(mode, *p) for p in points]
    order = {m: i for i, m in enumerate(args.modes)}
    rng.shuffle(jobs)
    return sorted(jobs, key=lambda job: order[job[0]])


def endless(args, reached, rng):
    """Points by chance until the time is up."""
    end = time.monotonic() + args.minutes * 60
    points = {(mode, script): [None] if mode == "many" else chosen(lines, 0, mode)
              for mode in args.modes for script, lines in reached.items()}
    points = {where: p for where, p in points.items() if p}
    while time.monotonic() < end:
        mode, script = rng.choice(list(points))
        yield mode, script, rng.choice(points[mode, script])


def sees(run, worker, jobs):
    """Breaks each promise in a database of its own: a run that nobody disturbs must show it."""
    while True:
        with run.lock:
            name, script = next(jobs, (None, None))
        if name is None:
            break
        worker.mutation = name
        problems, one = worker.round("kill", script, None)
        while one.late and not problems:
            problems, one = worker.round("kill", script, None)
        broken = [p for p in problems if not p.startswith("harness")]
        with run.lock:
            run.violations += [] if broken else [("sees", script, name, None, f"{name}: not seen {problems}")]
        worker.close()


def work(run, worker, jobs):
    while True:
        with run.lock:
            job = next(jobs, None)
        if job is None or (run.args.stop_at and len(run.violations) >= run.args.stop_at):
            break
        problems, one = worker.round(*job)
        with run.lock:
            run.counts[job[0], "runs"] += 1
            run.counts[job[0], "struck"] += one.struck > 0
            run.events.setdefault(job[0], collections.Counter()).update(one.events)
            run.violations += [(*job, one.second, p) for p in problems]
    worker.close()


def together(what, run, workers, jobs):
    def one(worker):
        try:
            what(run, worker, jobs)
        except BaseException:       # of the harness itself: never a run that seems clean
            with run.lock:
                run.violations.append(("harness", "", "", None, f"harness: {traceback.format_exc()}"))
    threads = [threading.Thread(target=one, args=(w,)) for w in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    parser = argparse.ArgumentParser(description="Kill opsd at every point and look what is left.")
    parser.add_argument("--opsd", default=os.environ.get("OPSD"))
    parser.add_argument("--mode", default=",".join(MODES), help="which, in this order: " + ", ".join(MODES))
    parser.add_argument("--script", default=",".join(SCRIPTS), help="what people do: " + ", ".join(SCRIPTS))
    parser.add_argument("--each", type=int, default=0, help="at most so many times of a point (0: all)")
    parser.add_argument("--share", type=float, default=1, help="of the points in the modes beside kill and lose")
    parser.add_argument("--rounds", type=int, default=12, help="of the mode many")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--point", help="only this one, NAME:K")
    parser.add_argument("--random", action="store_true", help="points by chance, for --minutes")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(10**6)))
    parser.add_argument("--mutation", choices=sorted(mutations.MUTATIONS), help="break opsd first: violations are expected")
    parser.add_argument("--sees", action="store_true", help="break one promise after the other, and look whether it is seen")
    parser.add_argument("--stop-at", type=int, default=0, help="end at so many violations")
    parser.add_argument("--list", action="store_true", help="print the points of a clean run")
    parser.add_argument("--verbose", action="store_true", help="logs beside a violation")
    args = parser.parse_args()
    args.modes, args.scripts = args.mode.split(","), args.script.split(",")
    if args.opsd:
        os.environ["OPSD"] = args.opsd
    begun = time.monotonic()
    rng = random.Random(args.seed)
    run = Run(args)
    run.say(f"seed {args.seed}")
    with LoopThread() as loop, contextlib.ExitStack() as stack:
        def server():
            return stack.enter_context(Postgres(fsync=False, settings="max_connections = 200\n"))
        # a database server that is started again is nobody else's
        servers = [server() for _ in range(args.workers if "many" in args.modes else 1)]
        workers = [Worker(run, loop, servers[i % len(servers)], i) for i in range(args.workers)]
        if args.sees:
            together(sees, run, workers, iter(mutations.AT_ONCE.items()))
            run.say(f"{len(mutations.AT_ONCE)} broken promises, {time.monotonic() - begun:.0f} s, not seen: {run.violations}")
            return 1 if run.violations else 0
        reached = clean(workers[0], args.scripts)
        if reached is None:
            workers[0].close()
            run.say("a run that nobody disturbs is not clean")
            return 0 if args.mutation else 1
        if args.list:
            print("\n".join(sorted(f"{script} {p}" for script in reached for p in chosen(reached[script], 0))))
            workers[0].close()
            return 0
        together(work, run, workers, endless(args, reached, rng) if args.random else iter(jobs_of(args, reached, rng)))
    for mode in args.modes:
        run.say(f"{mode}: {run.counts[mode, 'runs']} runs, struck in {run.counts[mode, 'struck']}"
                + f" {dict(run.events.get(mode, {}))}")
    names = collections.Counter(p.partition(":")[0] for *_, p in run.violations)
    run.say(f"{sum(len(chosen(lines, 0)) for lines in reached.values())} points, {time.monotonic() - begun:.0f} s, seed {args.seed}, "
            f"{len(run.violations)} violations {json.dumps(dict(names))}")
    if args.mutation:
        return 0 if run.violations else 1
    return 1 if run.violations else 0


if __name__ == "__main__":
    sys.exit(main())
