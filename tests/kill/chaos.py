# SPDX-License-Identifier: Apache-2.0
"""Three replicas whose clocks disagree by hours, in a bad hour: while people work, one dies, one stands still for longer
than its leases, connections are cut and the database is started again, at random and one thing after the other."""

import contextlib
import os
import signal
import time

REPLICAS = 3
SKEWS = (0, 3 * 3600 * 1000, -3 * 3600 * 1000)
EVENTS = ("kill", "kill", "stop", "stop", "cut", "restart")
PAUSE = (0.1, 0.8)         # seconds between two events
STANDS = 0.6                # seconds that count as a minute: see failpoint.h


class Chaos:
    """A round's trouble; town.look() calls happen() as often as it looks."""

    def __init__(self, town, rng):
        self.town, self.rng = town, rng
        self.counts = {}
        self.still = None               # who stands still, and until when
        self.due = 0
        self.busy = False

    def begin(self):
        while len(self.town.running) < REPLICAS:
            self.serve()
        self.due = time.monotonic()

    def serve(self):
        """A replica with a clock and an arming of its own."""
        town = self.town
        number = len(town.running) + len(town.ended)
        own = town.folder / f"armed-{number}"
        own.write_text("", encoding="utf-8")
        opsd = town.start(ready=False, OPSD_FP=f"@{own}", OPSD_FP_SKEW=str(SKEWS[number % len(SKEWS)]))
        opsd.armed, opsd.own = False, own
        opsd.wait_ready()
        return opsd

    def arm(self, opsd, text):
        part = opsd.own.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        part.rename(opsd.own)

    def happen(self):
        if self.busy:                   # what happens looks itself
            return
        self.busy = True
        try:
            now = time.monotonic()
            if self.still and now > self.still[1]:
                self.thaw()
            if now > self.due:
                self.due = now + self.rng.uniform(*PAUSE)
                event = self.rng.choice(EVENTS)
                if getattr(self, event)():
                    self.counts[event] = self.counts.get(event, 0) + 1
        finally:
            self.busy = False

    def standing(self):
        return [o for o in self.town.running if o.alive() and not self.town.stopped(o)]

    def kill(self):
        opsd = self.rng.choice(self.standing() or [None])
        if opsd:
            opsd.kill()
            self.town.gone(opsd)
            self.serve()
            self.town.leases_end()
        return opsd

    def stop(self):
        """At the next point that it reaches, so that its clock goes on by a minute."""
        up = self.standing()
        if self.still or len(up) < 2:
            return None
        opsd = self.rng.choice(up)
        self.arm(opsd, f"stop:{self.rng.randrange(1, 30)}")
        self.still = (opsd, time.monotonic() + STANDS)
        return opsd

    def thaw(self):
        opsd, _ = self.still
        self.still = None
        if opsd.alive() and opsd in self.town.running:
            self.arm(opsd, "")
            if self.town.stopped(opsd):
                self.town.leases_end(opsd)
            opsd.resume()

    def cut(self):
        return self.town.cut_connections()

    def restart(self):
        town = self.town
        town.db.close()
        if self.rng.random() < 0.5:
            town.postgres.kill()
            town.postgres.start()
        else:
            town.postgres.restart("immediate")
        town.reopen()
        return True

    def end(self):
        """All may come to rest."""
        self.due = float("inf")
        if self.still:
            self.thaw()
        for opsd in self.town.running:
            with contextlib.suppress(OSError):
                os.kill(opsd.pid, signal.SIGCONT)
