# SPDX-License-Identifier: Apache-2.0
"""One private PostgreSQL for both programs, durable as in production: every commit waits for the disk."""

import os
import shutil
import subprocess
import tempfile

from sql import with_postgres

SETTINGS = """
fsync = on
synchronous_commit = on
shared_buffers = 128MB
max_wal_size = 2GB
checkpoint_timeout = 30min
autovacuum_naptime = 10s
max_connections = 60
"""


class Postgres:
    def __init__(self):
        self.scratch = tempfile.mkdtemp(prefix="opsd-bench-pg-")
        self.data = self.scratch + "/data"
        self.port = with_postgres.free_port()
        with_postgres.make(self.data, self.port)
        with open(self.data + "/postgresql.conf", "a", encoding="utf-8") as f:
            f.write(SETTINGS)
        with_postgres.control(self.data, "start")
        with open(self.data + "/postmaster.pid", encoding="utf-8") as f:
            self.pid = int(f.readline())

    def url(self, database, user="owner", password=with_postgres.PASSWORD):
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def sql(self, database, text, **values):
        """Runs a script; the rows as lists of texts."""
        argv = [with_postgres.bin_dir() + "/psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                self.url(database)]
        argv += [x for k, v in values.items() for x in ("-v", f"{k}={v}")]
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(f"psql: {done.stderr.strip()}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def commits(self, database):
        """Transactions committed; sessions report theirs about once a second. Asked in another database."""
        rows = self.sql("postgres", "select xact_commit from pg_stat_database where datname = :'name'", name=database)
        return int(rows[0][0])

    def stop(self):
        pid = self.data + "/postmaster.pid"
        if os.path.exists(pid):
            argv = [with_postgres.bin_dir() + "/pg_ctl", "--pgdata", self.data, "--mode", "immediate", "stop"]
            subprocess.run(with_postgres.as_server_user(argv), stdout=subprocess.DEVNULL, cwd="/", timeout=60, check=False)
        shutil.rmtree(self.scratch, ignore_errors=True)
