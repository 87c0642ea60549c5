# SPDX-License-Identifier: Apache-2.0
"""Where the time of a program goes: samples by perf, system calls by strace; texts in a folder."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

SAMPLED, TRACED = 3000, 500


def tool(argv, work):
    """Runs a tool that is attached to the program while `work` runs, and ends it as from the keyboard."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(argv, stdin=quiet, stdout=quiet, stderr=quiet) as child:
        time.sleep(1.0)
        try:
            return work()
        finally:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()


def report(data, out, *how):
    done = subprocess.run(["perf", "report", "--stdio", "--percent-limit", "0.3", "-i", str(data), *how],
                          capture_output=True, text=True, timeout=300, check=False)
    out.write_text("\n".join(x for x in done.stdout.splitlines() if x.strip() and not x.startswith("#")) + "\n",
                   encoding="utf-8")


def profile(run, folder, concurrency):
    """Two more loads on a running program: one sampled, one with its system calls counted."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    name, pid = run.subject.name, run.process.pid
    if shutil.which("perf"):
        run.say(f"{name}: sampled by perf")
        data = folder / f"{name}.perf"
        tool(["perf", "record", "-e", "cpu-clock", "-F", "4000", "-g", "-p", str(pid), "-o", str(data)],
             lambda: run.load(SAMPLED, concurrency=concurrency))
        report(data, folder / f"{name}.libraries.txt", "--no-children", "-g", "none", "--sort", "dso")
        report(data, folder / f"{name}.functions.txt", "--no-children", "-g", "none", "--sort", "dso,symbol")
        report(data, folder / f"{name}.callers.txt", "--children", "-g", "none", "--sort", "symbol")
    if shutil.which("strace"):
        run.say(f"{name}: traced by strace")
        out = folder / f"{name}.syscalls.txt"
        done = tool(["strace", "-f", "-c", "-p", str(pid), "-o", str(out)],
                    lambda: run.load(TRACED, concurrency=concurrency))["done"]
        with open(out, "a", encoding="utf-8") as f:
            f.write(f"{done} commands\n")
