# SPDX-License-Identifier: Apache-2.0
"""One private PostgreSQL for both programs, durable as in production: every commit waits for the disk."""

import os
import shutil
import subprocess
import tempfile
import time

from ports import free_port
from sql import with_postgres

SETTINGS = """
ssl = off
fsync = on
synchronous_commit = on
shared_buffers = 128MB
max_wal_size = 2GB
checkpoint_timeout = 30min
autovacuum_naptime = 10s
max_connections = 60
"""
# Login roles of the service, and the group of each.
LOGINS = {"opsd_app": "opsd_service", "opsd_cron": "opsd_sync", "opsd_review": "opsd_grants"}


def flush_ms(folder, times=100):
    """What a commit waits for at least: the median and the worst of writing 8 kB through to the disk."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as f:
        for _ in range(times):
            start = time.monotonic()
            os.pwrite(f.fileno(), bytes(8192), 0)
            os.fdatasync(f.fileno())
            taken.append((time.monotonic() - start) * 1000)
    taken.sort()
    return round(taken[times // 2], 2), round(taken[-1], 2)


class Postgres:
    def __init__(self, flush=True):
        self.scratch = tempfile.mkdtemp(prefix="opsd-bench-pg-")
        self.data = self.scratch + "/data"
        try:
            self.port = free_port()
            with_postgres.make(self.data, self.port)
            with open(self.data + "/postgresql.conf", "a", encoding="utf-8") as f:
                f.write(SETTINGS if flush else SETTINGS + "fsync = off\n")
            with_postgres.control(self.data, "start")
            with open(self.data + "/postmaster.pid", encoding="utf-8") as f:
                self.pid = int(f.readline())
            for login, group in LOGINS.items():
                self.sql("postgres", f"create role {group} nologin; "
                         f"create role {login} login password '{with_postgres.PASSWORD}' in role {group};")
        except BaseException:
            self.close()
            raise

    def url(self, database, user="owner"):
        return f"postgresql://{user}:{with_postgres.PASSWORD}@127.0.0.1:{self.port}/{database}"

    def sql(self, database, text):
        """Runs a script; what it printed."""
        argv = [with_postgres.bin_dir() + "/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.url(database)]
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(f"psql: {done.stderr.strip()}")
        return done.stdout.strip()

    def create(self, name):
        self.sql("postgres", f"create database {name}")

    def commits(self, database):
        """Transactions committed; sessions report theirs late. Asked in another database."""
        return int(self.sql("postgres", f"select xact_commit from pg_stat_database where datname = '{database}'"))

    def close(self):
        if os.path.exists(self.data + "/postmaster.pid"):
            argv = [with_postgres.bin_dir() + "/pg_ctl", "--pgdata", self.data, "--mode", "immediate", "stop"]
            subprocess.run(with_postgres.as_server_user(argv), stdout=subprocess.DEVNULL, cwd="/", timeout=60,
                           check=False)
        shutil.rmtree(self.scratch, ignore_errors=True)
