# SPDX-License-Identifier: Apache-2.0
"""How long the machine has kept us waiting, for what is promised about time.

A thread that only sleeps measures by how much it wakes too late: a machine that stands still, or has no processor for
us, is late for all of its processes."""

import threading
import time

SLEEP = 0.01


class Stall(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True, name="stall")
        self.late, self.due = 0.0, time.monotonic() + SLEEP
        self.start()

    def run(self):
        while True:
            time.sleep(SLEEP)
            now = time.monotonic()
            self.late, self.due = self.late + max(0.0, now - self.due), now + SLEEP

    def seconds(self):
        """In all; with what delays the thread itself just now."""
        return self.late + max(0.0, time.monotonic() - self.due)


STALLS = []


def stalled():
    """Seconds since the first call."""
    if not STALLS:
        STALLS.append(Stall())
    return STALLS[0].seconds()
