# SPDX-License-Identifier: Apache-2.0
"""Processes that the bench starts, and what /proc says of them."""

import os
import signal
import subprocess
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")


def cpu_of(pid, reaped=False):
    """Seconds of user and system time of a process, all its threads; with reaped also its dead children's."""
    with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
        fields = f.read().rpartition(")")[2].split()
    return sum(int(x) for x in fields[11:15 if reaped else 13]) / TICK


def cpu_of_tree(pid):
    """A process and its direct children: PostgreSQL."""
    total = cpu_of(pid, reaped=True)
    for child in children_of(pid):
        try:
            total += cpu_of(child)
        except OSError:
            continue
    return total


def cpu_of_machine():
    """(busy, all) seconds of all processors together."""
    with open("/proc/stat", encoding="latin-1") as f:
        user, nice, system, idle, wait, irq, soft, steal = (int(x) / TICK for x in f.readline().split()[1:9])
    busy = user + nice + system + irq + soft + steal
    return busy, busy + idle + wait


def hurry(pid):
    """Puts a process's session before other work of the machine. Nice values alone do not: sessions are groups."""
    try:
        with open(f"/proc/{pid}/autogroup", "w", encoding="latin-1") as f:
            f.write("-15")
    except OSError:
        pass                        # not root, or the kernel does not group by session


def children_of(pid):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="latin-1") as f:
                    if int(f.read().rpartition(")")[2].split()[1]) == pid:
                        found.append(int(name))
            except OSError:
                continue
    return found


def memory_of(pid):
    """Resident memory in MB: all of it, and the part that is not files."""
    found = {}
    with open(f"/proc/{pid}/status", encoding="latin-1") as f:
        for line in f:
            name, _, value = line.partition(":")
            if name in ("VmRSS", "RssAnon"):
                found[name] = int(value.split()[0]) / 1024
    return found["VmRSS"], found["RssAnon"]


class Process:
    """A child with its output in a file; its standard output line by line when asked for."""

    def __init__(self, argv, log, env=None, cwd=None, lines=False):
        self.argv, self.log = argv, log
        self.lines, self.heard = [], threading.Condition()
        self.started = time.monotonic()
        with open(log, "ab") as out:  # it may be started again
            # it ends with the bench, however that ends
            self.child = subprocess.Popen(["setpriv", "--pdeathsig=KILL", "--", *argv], stdin=subprocess.DEVNULL,
                                          stdout=subprocess.PIPE if lines else out, stderr=out, env=env, cwd=cwd)
        self.pid = self.child.pid
        if lines:
            threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            with self.heard:
                if len(self.lines) < 1000:
                    self.lines.append(line.decode(errors="replace").rstrip("\n"))
                self.heard.notify_all()
        with self.heard:
            self.lines.append(None)
            self.heard.notify_all()

    def line(self, wanted, timeout=30):
        """The first line that holds a text."""
        def found():
            return next((x for x in self.lines if x is None or wanted in x), "")
        with self.heard:
            self.heard.wait_for(lambda: found() != "", timeout)
            line = found()
        if not line:
            raise RuntimeError(f"{self.argv[0]} did not say {wanted!r}\n{self.tail()}")
        return line

    def alive(self):
        return self.child.poll() is None

    def tail(self, size=2000):
        with open(self.log, "rb") as f:
            f.seek(0, os.SEEK_END)
            f.seek(max(0, f.tell() - size))
            return f.read().decode(errors="replace")

    def stop(self, timeout=20):
        """The exit status; a process that does not leave in time is killed and that is an error."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            return "killed"
