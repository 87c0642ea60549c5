# SPDX-License-Identifier: Apache-2.0
"""tests/bench/run.sh [OPTIONS]: measures opsd and the peer, prints a table; see README.md."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from sandbox.slack.client import Control

from . import report
from .database import Postgres, flush_ms
from .measure import Run, in_turns
from .proc import Process
from .subjects import Opsd, Peer

ROOT = Path(__file__).resolve().parent.parent.parent
TIME_LIMIT = 1800


class World:
    """What both programs meet: one PostgreSQL, one Slack, one Kubernetes; each a process of its own."""

    def __init__(self, folder, flush):
        self.folder = folder
        self.postgres = self.slack_process = self.kube_process = None
        try:
            self.postgres = Postgres(flush)
            self.slack_process, self.slack = self.side("slack_side")
            self.kube_process, self.kube = self.side("kube_side")
        except BaseException:
            self.stop()
            raise
        self.control = Control(self.slack["base_url"], timeout=700)

    def side(self, module):
        process = Process([sys.executable, "-m", f"bench.{module}"], self.folder / f"{module}.log",
                          cwd=ROOT / "tests", lines=True)
        return process, json.loads(process.line("{"))

    def stop(self):
        for process in (self.slack_process, self.kube_process):
            if process:
                process.stop()
        if self.postgres:
            self.postgres.close()


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh")
    parser.add_argument("--json", action="store_true", help="all numbers as JSON")
    parser.add_argument("--strict", action="store_true", help="exit 1 when an aim is missed")
    parser.add_argument("--firm", action="store_true", help="exit 1 when one is missed that no busy machine explains")
    parser.add_argument("--commands", type=int, default=3000, help="commands of each phase")
    parser.add_argument("--concurrency", type=int, default=32, help="commands outstanding in the wide phase")
    parser.add_argument("--total", type=int, default=10000, help="commands before the memory is looked at")
    parser.add_argument("--soak", action="store_true", help="go on to 100,000 commands and watch the memory")
    parser.add_argument("--no-flush", dest="flush", action="store_false", help="PostgreSQL does not wait for the disk")
    parser.add_argument("--urgent", action="store_true", help="before other work of a shared machine (root)")
    parser.add_argument("--only", choices=("opsd", "peer"), help="measure one of the two")
    parser.add_argument("--profile", help="then sample and trace each program and write what was found to this folder")
    parser.add_argument("--logs", help="keep the programs' logs in this folder")
    return parser.parse_args()


def subjects(options, folder, say):
    out = []
    opsd = Path(os.environ.get("OPSD") or ROOT / "build" / "opsd")
    if options.only != "opsd":
        program, problem = Peer.build(os.environ.get("PEER_GO"), ROOT / "build" / "bench")
        if program:
            out.append(Peer(program))
        else:
            say(f"left out: {problem}")
    if options.only != "peer":
        if os.access(opsd, os.X_OK):
            out.append(Opsd(opsd, ROOT))
        else:
            say(f"left out: {opsd} is not built")
    return out


def main():
    options = arguments()
    if options.urgent:
        os.setsid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, lambda *_: sys.exit("the bench took too long"))
    signal.alarm(TIME_LIMIT * (3 if options.soak else 1))

    def say(text):
        print(time.strftime("%H:%M:%S ") + text, file=sys.stderr, flush=True)

    folder = Path(tempfile.mkdtemp(prefix="opsd-bench-"))
    flush = flush_ms(folder)
    world, runs = None, {}
    try:
        chosen = subjects(options, folder, say)
        if not chosen:
            return 3
        world = World(folder, options.flush)
        measured = [Run(world, subject, options, say) for subject in chosen]
        for run in measured:
            runs[run.subject.name] = run.run()
        if len(measured) > 1:
            in_turns(measured)
    finally:
        if world:
            world.stop()
        if options.logs:
            shutil.copytree(folder, options.logs, dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    return show(runs, options, flush)


def show(runs, options, flush):
    if not options.json:
        print(f"the disk takes {flush[0]} ms for a flush, {flush[1]} ms at worst" if options.flush
              else "PostgreSQL does not wait for the disk")
    seen = report.aims(runs)
    if options.json:
        rows = [{"aim": what, "met": good, "seen": value, "firm": firm} for what, good, value, firm in seen]
        print(json.dumps({"flush_ms": flush, "waits_for_flush": options.flush, "runs": runs, "aims": rows}, indent=1,
                         ensure_ascii=False))
    else:
        print("\n".join(report.table(runs, options.concurrency)))
        print()
        print("\n".join(report.notes(runs, options.concurrency)))
        print()
        for what, good, value, _ in seen:
            print(f"{'met   ' if good else 'MISSED'}  {what}  ({value})")
    missed = [firm for _, good, _, firm in seen if not good]
    return 1 if (options.strict and missed) or (options.firm and any(missed)) else 0


sys.exit(main())
