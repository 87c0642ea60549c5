# SPDX-License-Identifier: Apache-2.0
"""The two programs that are measured: how each is built, started, asked and known to be ready."""

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from ports import free_port

from .proc import Process

TEAMS, READY_SECONDS = 40, 20
USER, EMAIL, AUDIT = "U0DIA", "dia@example.com", "C0AUDIT"


class Peer:
    """The Go program: acknowledges before it records and recovers nothing."""

    name, database = "peer", "peer"
    text, good = "scale workers team={team} count={count}", "done:"
    TABLES = f"""
create schema peer;
create table peer.users (user_id int primary key, email text unique not null);
create table peer.groups (group_id int primary key, group_name text unique not null);
create table peer.members (group_id int, user_id int, primary key (group_id, user_id));
create table peer.group_actions (group_id int, action text, primary key (group_id, action));
create table peer.audit (id bigserial primary key, at timestamptz default now(), actor text, action text,
    params jsonb, state text, detail text);
insert into peer.users values (1, '{EMAIL}');
insert into peer.groups values (1, 'data-platform');
insert into peer.members values (1, 1);
insert into peer.group_actions values (1, 'scale.workers');
"""

    def __init__(self, program):
        self.program = program

    @staticmethod
    def build(source, folder):
        """(program, None) or (None, why there is none)."""
        if not source or not Path(source, "main.go").is_file():
            return None, "the peer's source is not there (PEER_GO)"
        if not shutil.which("go"):
            return None, "Go is not installed"
        copy = Path(folder, "peer-go")
        copy.mkdir(parents=True, exist_ok=True)
        for file in Path(source).iterdir():
            shutil.copyfile(file, copy / file.name)
        done = subprocess.run(["go", "build", "-o", "peer-go", "."], cwd=copy, capture_output=True, text=True,
                              timeout=600, check=False, env={**os.environ, "CGO_ENABLED": "0"})
        if done.returncode:
            return None, f"the peer does not build: {done.stderr.strip()[-500:]}"
        return copy / "peer-go", None

    def prepare(self, world):
        world.postgres.create("peer")
        world.postgres.sql("peer", self.TABLES)

    def start(self, world):
        env = {**os.environ, "SLACK_APP_TOKEN": world.slack["app_token"], "SLACK_BOT_TOKEN": world.slack["bot_token"],
               "SLACK_API_URL": world.slack["api_url"], "DATABASE_URL": world.postgres.url("peer"),
               "KUBE_URL": world.kube["url"], "AUDIT_CHANNEL": AUDIT}
        process = Process([str(self.program)], world.folder / "peer.log", env=env, lines=True)
        process.line("peer ready")
        return process

    def idle(self):
        return True

    def counters(self):
        return {}


class Opsd:
    name, database = "opsd", "opsd"
    text, good = 'workers nudge team={team} count={count} reason="bench"', "✅"

    def __init__(self, program, root):
        self.program, self.root = Path(program), Path(root)
        self.page = self.file = None

    def settings(self, world):
        company = self.root / "tests" / "sandbox" / "company"
        (world.folder / "kube.token").write_text(world.kube["token"], encoding="ascii")
        return {
            "slack": {"app_token": {"env": "SLACK_APP_TOKEN"}, "bot_token": {"env": "SLACK_BOT_TOKEN"},
                      "api_url": world.slack["api_url"], "hooks_prefix": world.slack["base_url"] + "/hooks/",
                      "audit_channel": AUDIT},
            "database": {"url": {"env": "DATABASE_URL"}, "owner_url": {"env": "DATABASE_OWNER_URL"},
                         "sync_url": {"env": "DATABASE_SYNC_URL"}, "grants_url": {"env": "DATABASE_GRANTS_URL"}},
            "catalog": str(self.root / "commands"),
            "clusters": {"main": {"server": world.kube["url"], "token_file": "kube.token"}},
            # named by other commands of the catalog; nothing of the bench calls it
            "apis": {"platform": {"url": "http://127.0.0.1:9/", "auth": {"bearer": {"file": "kube.token"}}}},
            "http": {"listen": f"127.0.0.1:{self.port}"},
            "directory": {"sources": {"company": {"kind": "file", "path": str(company / "directory.yaml"),
                                                  "domains": ["example.com"]}}},
            "grants": str(self.root / "tests" / "bench" / "grants.yaml"),
        }

    def prepare(self, world):
        self.port = free_port()
        self.page = f"http://127.0.0.1:{self.port}"
        self.file = world.folder / "opsd.yaml"
        self.file.write_text(yaml.safe_dump(self.settings(world)), encoding="utf-8")
        world.postgres.create("opsd")
        self.run(world, "migrate")
        self.run(world, "sync")
        self.run(world, "grants", "apply", self.settings(world)["grants"])

    def env(self, world):
        url = world.postgres.url
        return {**os.environ, "SLACK_APP_TOKEN": world.slack["app_token"], "SLACK_BOT_TOKEN": world.slack["bot_token"],
                "DATABASE_URL": url("opsd", "opsd_app"), "DATABASE_OWNER_URL": url("opsd", "owner"),
                "DATABASE_SYNC_URL": url("opsd", "opsd_cron"), "DATABASE_GRANTS_URL": url("opsd", "opsd_review")}

    def run(self, world, *args):
        done = subprocess.run([self.program, "--config", self.file, *args], capture_output=True, text=True, timeout=60,
                              check=False, env=self.env(world), stdin=subprocess.DEVNULL)
        if done.returncode:
            raise RuntimeError(f"opsd {' '.join(args)} ended with {done.returncode}: {done.stdout}{done.stderr}")

    def start(self, world):
        process = Process([str(self.program), "--config", str(self.file), "serve"], world.folder / "opsd.log",
                          env=self.env(world))
        end = time.monotonic() + READY_SECONDS
        while self.get("/readyz")[0] != 200:
            if time.monotonic() > end or not process.alive():
                process.stop()
                raise RuntimeError(f"opsd does not get ready: {self.get('/readyz')[1]}\n{process.tail()}")
            time.sleep(0.002)
        return process

    def get(self, path):
        try:
            with urllib.request.urlopen(self.page + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except OSError as e:
            return 0, str(e)

    def counters(self):
        """The numbers of /metrics; labelled ones with their labels in the name."""
        out = {}
        for line in self.get("/metrics")[1].splitlines():
            name, _, value = line.rpartition(" ")
            if name and not line.startswith("#"):
                out[name] = float(value)
        return out

    def idle(self):
        found = self.counters()
        return not found.get("opsd_runs_under_way") and not found.get("opsd_owed_queued")
