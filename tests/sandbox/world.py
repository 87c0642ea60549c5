# SPDX-License-Identifier: Apache-2.0
"""Everything that opsd lives among, and opsd itself: PostgreSQL, Slack, Kubernetes, the platform's API.

    with LoopThread() as loop, Postgres() as postgres, World(loop, postgres) as world:
        world.start()
        world.slash("U0ANA", "workers status team=ads")

Processes are ended by their id. close() says what a scenario must not leave behind: an exit that is not 0, a handle
that is still open, lines on standard error that are no log, and what the Slack stand-in saw against the protocol."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from .authority import Authority
from .kube import KubeStandin
from .slack import SlackStandin
from .slack.client import Control

ROOT = Path(__file__).resolve().parent.parent.parent
COMPANY = Path(__file__).resolve().parent / "company"
LEAKS = ROOT / "tests" / "scenarios" / "lsan.txt"
READY_SECONDS = 60
STOP_SECONDS = 30
WAIT = 60.0
NOT_RECORDED = "Nothing was recorded and nothing will happen"
ID = re.compile(r"\bR[0-9A-HJKMNP-TV-Z]{15}\b")


def binary():
    """The opsd that is tried: $OPSD, or that of the build directory."""
    named = os.environ.get("OPSD") or Path(os.environ.get("BUILD") or ROOT / "build", "opsd")
    return Path(named)


def eventually(check, timeout=WAIT, what=None):
    """The first true value of check(); AssertionError when the time is up."""
    end = time.monotonic() + timeout
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s in vain for {what or check}: {value!r}")
        time.sleep(0.005)


class Opsd:
    """One `opsd serve`: its process, its log and its pages."""

    def __init__(self, world, config, env, number):
        self.number, self.lines, self.heard = number, [], threading.Condition()
        self.waited, self.expected = None, 0
        self.child = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", "--", str(world.binary), "--config", str(config), "serve"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, cwd=world.folder)
        self.pid = self.child.pid
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for raw in self.child.stdout:
            text = raw.decode("utf-8", "replace").rstrip("\n")
            try:
                line = json.loads(text)
            except ValueError:
                line = None
            with self.heard:
                self.lines.append(line if isinstance(line, dict) else {"raw": text})
                self.heard.notify_all()
        with self.heard:
            self.lines.append({"end": True})
            self.heard.notify_all()

    # The log

    def logs(self, message=None, **members):
        """The lines with this message and these members."""
        with self.heard:
            return [x for x in self.lines if (message is None or x.get("msg") == message)
                    and all(x.get(k) == v for k, v in members.items())]

    def wait_log(self, message, timeout=WAIT, count=1, **members):
        def found():
            rows = [x for x in self.lines if x.get("msg") == message
                    and all(x.get(k) == v for k, v in members.items())]
            return rows if len(rows) >= count or self.lines[-1:] == [{"end": True}] else None
        with self.heard:
            self.heard.wait_for(found, timeout)
            rows = found() or []
        assert len(rows) >= count, f"opsd did not log {message!r} {members} {count} times\n{self.tail()}"
        return rows[-1]

    def raw(self):
        return [x["raw"] for x in self.lines if "raw" in x]

    def tail(self, n=40):
        return "\n".join(x.get("raw") or json.dumps(x, ensure_ascii=False) for x in self.lines[-n:])

    # The pages

    @property
    def page(self):
        return f"http://127.0.0.1:{self.wait_log('http listening')['port']}"

    def get(self, path):
        try:
            with urllib.request.urlopen(self.page + path, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except OSError as e:
            return 0, str(e)

    def metrics(self):
        """Numbers by name; labels stand in the name."""
        out = {}
        for line in self.get("/metrics")[1].splitlines():
            name, _, value = line.rpartition(" ")
            if name and not line.startswith("#"):
                out[name] = float(value)
        return out

    def ready(self):
        return self.get("/readyz")[0] == 200

    def wait_ready(self, timeout=READY_SECONDS):
        def check():
            assert self.alive(), f"opsd ended with {self.child.returncode}\n{self.tail()}"
            return self.ready()
        try:
            eventually(check, timeout, "/readyz")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.get('/readyz')}\n{self.tail()}") from None
        return self

    # Life

    def alive(self):
        return self.child.poll() is None

    def hup(self):
        self.child.send_signal(signal.SIGHUP)

    def pause(self):
        self.child.send_signal(signal.SIGSTOP)

    def resume(self):
        self.child.send_signal(signal.SIGCONT)

    def kill(self):
        """kill -9, as a node that dies."""
        self.expected = -signal.SIGKILL
        self.child.kill()
        self.wait()

    def wait(self, timeout=STOP_SECONDS):
        status = self.child.wait(timeout)
        self.reader.join(5)
        return status

    def stop(self, timeout=STOP_SECONDS):
        """SIGTERM; the exit status."""
        if self.alive():
            self.resume()
            self.child.terminate()
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.wait()
            return "it did not leave and was killed"

    def complaints(self):
        """What a clean life does not leave behind."""
        out = []
        status = self.child.returncode
        if status != self.expected:
            out.append(f"opsd {self.number} ended with {status}, not {self.expected}")
        if self.expected == 0 and self.raw():
            out.append(f"opsd {self.number} wrote what is no log: {self.raw()[:20]}")
        open_ = [x for x in self.lines if "still open" in x.get("msg", "")]
        if open_:
            out.append(f"opsd {self.number}: {open_}")
        if out:
            out.append(self.tail())
        return out


class Kube:
    """Control calls of the Kubernetes stand-in as methods."""

    def __init__(self, url):
        self.client = Control(url)

    def __getattr__(self, name):
        return lambda **args: self.client.call(name, **args)

    def object(self, kind, ns, name):
        return self.client.call("object", kind=kind, ns=ns, name=name)["object"]

    def replicas(self, ns="ads", name="workers-dev"):
        return self.object("Deployment", ns, name)["spec"]["replicas"]

    def wait(self, **rules):
        found = self.client.call("wait", **rules)["found"]
        assert found, f"waited in vain in the cluster for {rules}"
        return found

    def patches(self, **match):
        """Writes that were no dry run; one that lost against another write (409) changed nothing and is sent again."""
        return [r for r in self.client.call("requests", **match)["requests"]
                if r["verb"] in ("patch", "update", "create") and not r["dry_run"] and r["status"] != 409]


class World:
    """`config` is merged into opsd.yaml; `switches` are the Slack stand-in's; tls: True or an Authority."""

    def __init__(self, loop, postgres, tls=None, config=None, switches=None, kube=None, catalog=None, template=None,
                 violations=False):
        self.loop, self.postgres, self.binary = loop, postgres, binary()
        self.folder = Path(tempfile.mkdtemp(prefix="opsd-world-"))
        self.violations = violations        # the scenario provokes them
        self.tampered = False               # with the audit log, by the scenario
        self.running, self.ended = [], []
        self.standin = self.cluster = self.platform = self.db = self.database = None
        self.wishes = config or {}
        try:
            self.authority = Authority(self.folder) if tls is True else tls or None
            self.serve_standins(switches or {}, kube or {})
            self.catalog = self.folder / "commands"
            shutil.copytree(catalog or ROOT / "commands", self.catalog)
            self.write_config()
            self.make_database(template)
        except BaseException:
            self.tear_down()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        problems = self.close()
        if kind is None:
            assert not problems, "\n".join(problems)
        elif problems:
            print("\n".join(problems), file=sys.stderr)

    # The stand-ins

    def context(self):
        return self.authority.context() if self.authority else None

    def serve_standins(self, switches, kube):
        async def start():
            self.standin = await SlackStandin(**{"pacing": False, "patient": True, **switches}).start(tls=self.context())
            self.cluster = await KubeStandin(**kube).start(tls=self.context())
        self.loop.run(start())
        self.slack = Control(self.standin.base_url, cafile=self.authority and self.authority.file)
        self.kube = Kube(self.cluster.control_url)
        self.serve_platform()

    def serve_platform(self):
        from .platform_api import PlatformStandin

        async def start():
            self.platform = await PlatformStandin().start(tls=self.context())
        self.loop.run(start())

    # The configuration

    def settings(self):
        ca = str(self.authority.file) if self.authority else None
        (self.folder / "platform.token").write_text(self.platform.token, encoding="ascii")
        kubeconfig = self.cluster.kubeconfig(ca_file=ca)
        (self.folder / "kubeconfig.yaml").write_text(yaml.safe_dump(kubeconfig), encoding="utf-8")
        platform = {"url": self.platform.base_url, "auth": {"bearer": {"file": "platform.token"}}}
        if ca:
            platform["ca_file"] = ca
        return {
            "slack": {"app_token": {"env": "SLACK_APP_TOKEN"}, "bot_token": {"env": "SLACK_BOT_TOKEN"},
                      "api_url": self.standin.api_url, "hooks_prefix": self.standin.base_url + "/hooks/",
                      "audit_channel": "C0AUDIT", "approval_channel": "C0APPROVE", **({"ca_file": ca} if ca else {})},
            "database": {"url": {"env": "DATABASE_URL"}, "owner_url": {"env": "DATABASE_OWNER_URL"},
                         "sync_url": {"env": "DATABASE_SYNC_URL"}, "grants_url": {"env": "DATABASE_GRANTS_URL"}},
            "catalog": "commands/", "clusters": {"main": {"kubeconfig": {"file": "kubeconfig.yaml", "context": "main"}}},
            "apis": {"platform": platform}, "http": {"listen": "127.0.0.1:0"},
            "directory": {"sources": {"company": {"kind": "file", "path": str(COMPANY / "directory.yaml"),
                                                  "domains": ["example.com"]}}},
            "grants": str(COMPANY / "grants.yaml"),
            "audit": {"checkpoint_minutes": 0},      # its time is the clock's: tests that want it ask for it
        }

    def write_config(self, name="opsd.yaml", **wishes):
        """opsd.yaml with the wishes of this world and of this call; its path."""
        def merge(into, wish):
            for key, value in wish.items():
                if isinstance(value, dict) and isinstance(into.get(key), dict) and not value.keys() & {"env", "file"}:
                    merge(into[key], value)
                else:
                    into[key] = value
            return into
        self.config = self.folder / name
        self.config.write_text(yaml.safe_dump(merge(merge(self.settings(), self.wishes), wishes), sort_keys=False),
                               encoding="utf-8")
        return self.config

    def env(self, **changes):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "SLACK_", "DATABASE_"))}
        env.setdefault("LSAN_OPTIONS", f"suppressions={LEAKS}:print_suppressions=0")
        env.update(SLACK_APP_TOKEN=self.standin.app_token, SLACK_BOT_TOKEN=self.standin.bot_token, **changes)
        if self.database:
            for name, user in (("DATABASE_URL", "opsd_app"), ("DATABASE_OWNER_URL", "owner"),
                               ("DATABASE_SYNC_URL", "opsd_cron"), ("DATABASE_GRANTS_URL", "opsd_review")):
                env.setdefault(name, self.postgres.url(self.database, user))
        return env

    # The database

    def make_database(self, template):
        """A copy of `template`, or of one that is made now: migrated, synced, with the grants."""
        if template is None:
            self.database = self.postgres.create()
            self.fill_database()
        else:
            self.database = self.postgres.create(template=template(self))
        self.db = self.postgres.session(self.database)

    def fill_database(self):
        self.command("migrate")
        self.command("sync")
        self.command("grants", "apply", COMPANY / "grants.yaml")

    def command(self, *args, status=0, config=None, env=None, timeout=120):
        """One opsd command; its output. status: what it must exit with (None: any)."""
        done = subprocess.run([self.binary, "--config", config or self.config, *map(str, args)], capture_output=True,
                              text=True, timeout=timeout, check=False, env=env or self.env(), cwd=self.folder,
                              stdin=subprocess.DEVNULL)
        done.said = done.stdout + done.stderr
        assert status is None or done.returncode == status, f"opsd {args} ended with {done.returncode}: {done.said}"
        return done

    def sql(self, statement, *values):
        return self.db.rows(statement, *values)

    def reopen(self):
        """Our own session again, after the server was restarted."""
        self.db.close()
        self.db = self.postgres.session(self.database)

    def request(self, rid):
        return self.db.row("select * from ops.request where id = $1", rid)

    def requests(self, **match):
        rows = self.sql("select * from ops.request order by created_at, id")
        return [r for r in rows if all(r[k] == str(v) for k, v in match.items())]

    def audit_rows(self, request=None, event=None):
        """Entries of the audit log, oldest first, with their body as `says`."""
        rows = self.sql("select * from ops.audit where ($1::text is null or request_id = $1::text) "
                        "and ($2::text is null or event = $2::text) order by xid, id", request, event)
        for row in rows:
            row["says"] = json.loads(row["body"])
        return rows

    def wait_state(self, rid, *states, timeout=WAIT):
        def check():
            row = self.request(rid)
            return row if row["state"] in states else None
        return eventually(check, timeout, f"{rid} to be {states}")

    def owed(self):
        """Messages that Slack has not been told yet."""
        return int(self.db.value("select count(*) from ops.message where due_at is not null"))

    def wait_told(self, timeout=WAIT):
        eventually(lambda: self.owed() == 0, timeout, "all messages to be delivered")

    def make_time_pass(self, requests=True, messages=True, offers=False):
        """Leases, claims, delays and reminders come to their end now; offers only when asked for.

        What a living replica has in hand would be taken from it by this: after a kill it comes before the next start."""
        if not self.running:
            self.wait_heard()
        if requests:
            self.sql("update ops.request set wake_at = clock_timestamp() where wake_at is not null "
                     "and (state not in ('confirming', 'approving') or claimed_by is not null)")
        if messages:
            self.sql("update ops.message set due_at = clock_timestamp() where due_at is not null")
        if offers:
            self.sql("update ops.request set wake_at = clock_timestamp(), expires_at = clock_timestamp() "
                     "where state = 'confirming'")

    def wait_heard(self):
        """What a dead replica had sent to the database is done, or never will be."""
        eventually(lambda: not self.sql("select 1 from pg_stat_activity where application_name in ('opsd-intake', 'opsd-work') "
                                        "and datname = current_database()"), what="the sessions of the dead one to end")

    def approval_time(self, rid, hours):
        """So many hours of an open round of approval pass."""
        self.sql("update ops.vote set voted_at = voted_at - make_interval(hours => $2::int) where request_id = $1", rid, str(hours))
        self.sql("update ops.approval set asked_at = asked_at - make_interval(hours => $2::int), "
                 "expires_at = expires_at - make_interval(hours => $2::int) where request_id = $1", rid, str(hours))
        self.sql("update ops.request q set expires_at = a.expires_at, wake_at = least(q.wake_at - make_interval(hours => "
                 "$2::int), a.expires_at) from ops.approval a where a.request_id = q.id and q.id = $1 "
                 "and q.state = 'approving'", rid, str(hours))

    def cut_connections(self, user="opsd_app"):
        """They have ended when this returns."""
        return len(self.sql("select pg_terminate_backend(pid, 60000) from pg_stat_activity where usename = $1 "
                            "and datname = current_database()", user))

    # The service

    def start(self, count=1, ready=True, config=None, **env):
        """Start `count` replicas; the first."""
        fresh = [Opsd(self, config or self.config, self.env(**env), len(self.running) + len(self.ended) + i)
                 for i in range(count)]
        self.running += fresh
        if ready:
            for opsd in fresh:
                opsd.wait_ready()
            each = self.wishes.get("slack", {}).get("connections", 2)
            self.slack.wait("sockets", count=min(each * len(self.running), 10), timeout=READY_SECONDS)
        return fresh[0]

    @property
    def opsd(self):
        return self.running[0]

    def kill(self, opsd=None):
        opsd = opsd or self.opsd
        opsd.kill()
        self.gone(opsd)

    def stop(self, opsd=None):
        opsd = opsd or self.opsd
        status = opsd.stop()
        self.gone(opsd)
        return status

    def gone(self, opsd):
        self.running.remove(opsd)
        self.ended.append(opsd)

    # People

    def slash(self, user, text, channel="C0OPS", once=False, **more):
        """Type a command; {"outcome", "elapsed_ms", "ack", "text"} where text is what the ack said.

        Who is told that nothing was recorded types it again, as that asks for. It is right when the database took longer
        than it may (0.7 s for a lock), so never at once; `once` is for those who want to hear it."""
        for _ in range(1 if once else 5):
            began = time.monotonic()
            done = self.slack.slash(user=user, channel=channel, text=text, wait=True, **more)
            assert done["outcome"] == "acked", done
            done["text"] = words(done["ack"])
            if NOT_RECORDED not in done["text"] or time.monotonic() - began < 0.7:
                break
        return done

    def told(self, user, text, *contains, channel="C0OPS"):
        """Type a command; the answer that holds all of these: the acknowledgement, or what comes after it."""
        since = self.last_ts(user, channel)
        self.slash(user, text, channel=channel)
        return self.see(user, list(contains), channel=channel, since=since)

    def refusals(self, channel="C0OPS"):
        """How many commands were answered with that nothing was recorded: a database that stands still takes none."""
        rows = self.slack.messages(channel=channel, limit=1000)["messages"]
        return sum(NOT_RECORDED in words(m) for m in rows)

    def answers(self):
        """How many acknowledgements have come, those of a second delivery too."""
        counts = self.slack.stats()["envelopes"]
        return counts["acked"] + counts["duplicate_acks"]

    def wait_answered(self):
        """Until each delivery was acknowledged or given up by Slack."""
        eventually(lambda: all(a["outcome"] for a in self.slack.acks()["acks"]), what="every acknowledgement")

    def see(self, user, contains, channel="C0OPS", **more):
        """Wait for what this person sees in the channel."""
        return self.slack.wait("message", channel=channel, user=user, contains=contains, **more)

    def seen(self, user, channel="C0OPS"):
        return self.slack.messages(channel=channel, user=user)["messages"]

    def last_ts(self, user="U0ANA", channel="C0OPS"):
        rows = self.seen(user, channel)
        return rows[-1]["ts"] if rows else "0"

    def click(self, user, message, label, **more):
        return self.slack.click(user=user, channel=message["channel"], ts=message["ts"], action_id=label, wait=True,
                                **more)

    def ask(self, user, text, since=None, **more):
        """Type a command and wait for its preview, a message with the button Confirm."""
        since = since or self.last_ts(user)
        self.slash(user, text, **more)
        return self.see(user, ['"action_id": "confirm"'], since=since)

    def audit_posts(self, *contains):
        """Messages of the audit channel that hold all of these texts."""
        rows = self.slack.messages(channel="C0AUDIT")["messages"]
        return [m for m in rows if all(c in words(m) for c in contains)]

    def wait_audit(self, *contains, timeout=WAIT):
        return self.slack.wait("message", channel="C0AUDIT", contains=list(contains), timeout=timeout)

    # The end

    def close(self):
        """Stop everything; what is to be complained of."""
        problems = []
        try:
            for opsd in list(self.running):
                self.stop(opsd)
            for opsd in self.ended:
                problems += opsd.complaints()
            if self.standin and not self.violations:
                seen = self.slack.violations()
                if seen["count"]:
                    problems.append(f"against Slack's protocol: {seen['violations'][:10]}")
            if self.database and not self.tampered:
                self.reopen()
                problems += [f"not canonical: {odd}" for odd in self.odd_entries()]
        finally:
            self.tear_down()
        return problems

    def odd_entries(self, since="-infinity"):
        """Entries of the audit log that are not in the form that is sealed: sorted keys, nothing between."""
        rows = self.sql("select event, body from ops.audit where at >= $1 order by id", since)
        return [f"{row['event']} {row['body']}" for row in rows
                if row["body"] != json.dumps(json.loads(row["body"]), sort_keys=True, separators=(",", ":"), ensure_ascii=False)][:5]

    def tear_down(self):
        for opsd in list(self.running):
            opsd.child.kill()
            opsd.wait()
        self.running = []
        if self.db:
            self.db.close()
        with contextlib.suppress(Exception):
            if self.database:
                self.postgres.drop(self.database)
        for standin in (self.standin, self.cluster, self.platform):
            if standin:
                self.loop.run(standin.stop())
        self.standin = self.cluster = self.platform = self.db = self.database = None
        shutil.rmtree(self.folder, ignore_errors=True)


def words(message):
    """All texts of a message or a view, in order."""
    out = []

    def walk(node):
        if isinstance(node, dict):
            for key, value in node.items():
                if key == "text" and isinstance(value, str):
                    out.append(value)
                elif key == "user_id":
                    out.append(f"@{value}")
                elif key not in ("block_id", "action_id", "metadata", "edits"):
                    walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
    walk(message or {})
    return "\n".join(out)


def request_id(message):
    """The id of the request that a message speaks of."""
    found = ID.findall(words(message))
    assert found, f"no request id in {words(message)!r}"
    return found[-1]
