#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The sandbox: a private PostgreSQL, stand-ins for Slack, Kubernetes and the platform's API, and opsd among them, all
on 127.0.0.1. Prints one URL and runs until Ctrl-C or SIGTERM; then all that it started is ended and removed.

With SLACK_APP_TOKEN and SLACK_BOT_TOKEN set, the real Slack takes the place of its stand-in (--audit-channel is
needed, and a directory and grants that know its people); with KUBECONFIG set beside them, so does the cluster of its
current context. KUBECONFIG alone changes nothing: nobody means to try things out on a cluster by accident.

--real-kubernetes takes a control plane of its own instead of the cluster's stand-in (tests/controlplane; Go builds it
once, ten minutes): real controllers, real RBAC with the privileges that opsd catalog rbac makes, pods that kwok plays."""

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from sandbox import world as town  # noqa: E402
from sandbox.audit import AuditPage  # noqa: E402
from sandbox.postgres import Postgres, PostgresError  # noqa: E402
from sandbox.slack.client import LoopThread  # noqa: E402

# Slow enough to be watched.
PACE = {"step_ms": 700, "observe_ms": 150, "hpa_ms": 5000, "argo_ms": 5000, "job_start_ms": 500, "job_run_ms": 5000}
DEATH_SIGNAL = 1        # PR_SET_PDEATHSIG


class CannotStart(Exception):
    pass


def own_plane():
    """A control plane with the objects of the sandbox and an account of opsd's least privileges."""
    from controlplane.plane import Cannot, ControlPlane, Trouble
    from sandbox.kube import kinds, seed
    os.environ["VERBOSE"] = "1"
    try:
        plane = ControlPlane().start()
    except (Cannot, Trouble) as e:
        raise CannotStart(f"--real-kubernetes: {e}") from None
    for obj in seed.objects():
        if obj["kind"] != "Node" and obj["metadata"]["name"] != "coredns":
            plane.make({"apiVersion": kinds.named(obj["kind"]).api_version, **obj})
    plane.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "opsd"}})
    made = subprocess.run([town.binary(), "catalog", "rbac", "--dir", town.ROOT / "commands", "--cluster", "main",
                           "--namespace", "ads", "--namespace", "web"], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise CannotStart(f"opsd catalog rbac: {made.stderr}")
    for obj in yaml.safe_load_all(made.stdout):
        if obj and obj["metadata"].get("namespace", "ads") in ("ads", "web"):
            plane.make(obj)
    config = plane.folder / "opsd.kubeconfig"
    config.write_text(yaml.safe_dump(plane.kubeconfig(plane.service_account("opsd", "opsd", 86400))), encoding="utf-8")
    return plane, config


class Sandbox(town.World):
    """A World for people: the real Slack or cluster may take a stand-in's place."""

    def __init__(self, loop, postgres, options, **more):
        self.options = options
        super().__init__(loop, postgres, **more)

    def settings(self):
        out, o = super().settings(), self.options
        if o.real_slack:
            slack = out["slack"]
            for name in ("api_url", "hooks_prefix", "approval_channel", "ca_file"):
                slack.pop(name, None)
            slack["audit_channel"] = o.audit_channel
            if o.approval_channel:
                slack["approval_channel"] = o.approval_channel
        if o.plane_config:
            out["clusters"] = {"main": {"kubeconfig": {"file": str(o.plane_config), "context": "main"}}}
        if o.real_cluster:
            out["clusters"] = {"main": {"kubeconfig": {"file": o.kubeconfig, "context": o.context}}}
        company = out["directory"]["sources"]["company"]
        if o.directory:
            company["path"] = str(Path(o.directory).resolve())
        if o.domain:
            company["domains"] = o.domain
        if o.grants:
            out["grants"] = str(Path(o.grants).resolve())
        return out

    def env(self, **changes):
        env = super().env(**changes)
        if self.options.real_slack:
            env.update(self.options.tokens)
        return env

    def fill_database(self):
        self.command("migrate")
        self.command("sync")
        self.command("grants", "apply", self.options.grants or town.COMPANY / "grants.yaml")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-opsd", action="store_true", help="only PostgreSQL and the stand-ins")
    parser.add_argument("--real-kubernetes", action="store_true", help="a real control plane instead of the cluster's stand-in")
    parser.add_argument("--replicas", type=int, default=1, help="how many opsd serve (1)")
    parser.add_argument("--quiet", action="store_true", help="opsd's warnings and errors only")
    parser.add_argument("--audit-channel", help="with the real Slack: the audit channel's id")
    parser.add_argument("--approval-channel", help="with the real Slack: the approval channel's id")
    parser.add_argument("--directory", help="instead of the sandbox's company")
    parser.add_argument("--domain", action="append", help="with --directory: a domain of its addresses")
    parser.add_argument("--grants", help="instead of the sandbox's grants")
    return parser.parse_args()


def look_around(options):
    """What is real and what stands in."""
    names = ("SLACK_APP_TOKEN", "SLACK_BOT_TOKEN")
    options.tokens = {n: os.environ[n] for n in names if os.environ.get(n)}
    options.real_slack = len(options.tokens) == len(names)
    if options.tokens and not options.real_slack:
        raise CannotStart(f"{next(iter(options.tokens))} is set and the other of {' and '.join(names)} is not: "
                          "set both for the real Slack, or none for the stand-in")
    if options.real_slack and not options.audit_channel:
        raise CannotStart("the real Slack needs --audit-channel C…: a channel that the app's bot is a member of")
    options.kubeconfig = os.environ.get("KUBECONFIG", "").partition(":")[0]
    options.real_cluster = bool(options.real_slack and options.kubeconfig)
    options.plane_config = None
    if options.real_cluster and options.real_kubernetes:
        raise CannotStart("--real-kubernetes and KUBECONFIG exclude each other")
    if options.real_cluster:
        try:
            config = yaml.safe_load(Path(options.kubeconfig).read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError) as e:
            raise CannotStart(f"KUBECONFIG: {e}") from None
        options.kubeconfig = str(Path(options.kubeconfig).resolve())
        options.context = config.get("current-context")
        if not options.context:
            raise CannotStart(f"{options.kubeconfig} has no current-context: kubectl config use-context sets one")
    if not options.no_opsd and not town.binary().is_file():
        raise CannotStart(f"{town.binary()} is not built: deploy/sandbox.sh builds it (or set OPSD)")
    if not 1 <= options.replicas <= 10:
        raise CannotStart("--replicas must be from 1 to 10")


def follow(opsd, quiet, number):
    """Copy a replica's log to standard error; what was shown is let go."""
    while True:
        with opsd.heard:
            opsd.heard.wait_for(lambda: opsd.lines)
            lines, opsd.lines[:] = list(opsd.lines), []
        for line in lines:
            if line.get("end"):
                return
            level = line.get("level", "info")
            if "raw" in line:
                print(f"opsd {number}: {line['raw']}", file=sys.stderr, flush=True)
            elif not quiet or level in ("warn", "error"):
                rest = " ".join(f"{k}={v}" for k, v in line.items() if k not in ("time", "at", "ts", "level", "msg"))
                print(f"opsd {number}: {level}: {line.get('msg', '')} {rest}".rstrip(), file=sys.stderr, flush=True)


def say(text=""):
    print(text, flush=True)


def greet(world, options):
    say()
    if options.real_slack:
        say(f"  Slack     the real one; the audit log goes to {options.audit_channel}")
    else:
        say(f"  Open      {world.standin.base_url}/")
    if options.real_cluster:
        say(f"  Cluster   the real one: context {options.context} of {options.kubeconfig}")
    if options.plane_config:
        say(f"  Cluster   a real control plane: KUBECONFIG={options.plane_config.parent / 'admin.kubeconfig'} kubectl get pods -A")
    if not options.no_opsd:
        say(f"  opsd      {world.health}/metrics /healthz /readyz")
    say(f"  SQL       {world.postgres.url(world.database)}")
    say(f"  Config    {world.config}")
    say()
    if options.no_opsd:
        say("  opsd is not running: commands stay unanswered.")
    else:
        say("  Try: /ops workers scale team=ads role=dev count=5 reason=load, as Ana, and confirm it; then role=prod count=8,\n"
            "       and approve that in #ops-approvals as Dia or Eve")
    say("  Ctrl-C ends it all.")
    say()


def serve(options, stop):
    """Everything, until `stop` is set."""
    plane = None
    if options.real_kubernetes:
        plane, options.plane_config = own_plane()
    try:
        return serve_with(options, stop)
    finally:
        if plane:
            plane.stop()


def serve_with(options, stop):
    with LoopThread() as loop, Postgres() as postgres:
        world = Sandbox(loop, postgres, options, kube=PACE, switches={"pacing": True},
                        template=(lambda world: "template1") if options.no_opsd else None)
        page, followers = None, []
        try:
            page = AuditPage(lambda: postgres.session(world.database))
            world.standin.page_config.update(audit=page.url)
            if not options.plane_config:
                world.standin.page_config.update(kube=world.cluster.control_url)
            # from three to five, as the README tries, is less than twice as many: it needs no approval
            world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3, manager="kubectl")
            if not options.no_opsd:
                world.start(options.replicas, ready=False)
                for opsd in world.running:
                    opsd.wait_ready()
                world.health = world.opsd.page
                followers = [threading.Thread(target=follow, args=(o, options.quiet, i + 1), daemon=True)
                             for i, o in enumerate(world.running)]
                for thread in followers:
                    thread.start()
            greet(world, options)
            while not stop.wait(0.5):
                dead = [o for o in world.running if not o.alive()]
                if dead:
                    say(f"sandbox: opsd ended with {dead[0].child.returncode}: its last words are above")
                    return 1
            return 0
        except (AssertionError, PostgresError):
            print(f"sandbox: the last words of PostgreSQL:\n{postgres.log()}", file=sys.stderr)
            raise
        finally:
            for opsd in list(world.running):
                status = world.stop(opsd)
                if status:
                    print(f"sandbox: opsd ended with {status}", file=sys.stderr)
            for thread in followers:
                thread.join(60)         # its last words
            if page:
                page.stop()
            world.tear_down()


def child(options, parent):
    """The sandbox itself, in a session of its own, so that Ctrl-C reaches the parent only and the order of the end
    is ours."""
    os.setsid()
    ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGTERM)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    if os.getppid() != parent:
        return 1
    try:
        return serve(options, stop)
    except (CannotStart, PostgresError, AssertionError, OSError) as e:
        print(f"sandbox: {e}", file=sys.stderr)
        return 3


def main():
    options = parse()
    try:
        look_around(options)
    except CannotStart as e:
        print(f"sandbox: {e}", file=sys.stderr)
        return 3
    me = os.getpid()
    pid = os.fork()
    if pid == 0:
        status = 3
        try:
            status = child(options, me)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(pid, signal.SIGTERM))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
