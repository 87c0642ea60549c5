# SPDX-License-Identifier: Apache-2.0
"""The private PostgreSQL cluster: starts fast, survives what it must, leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox import postgres
from sandbox.postgres import Postgres, PostgresError

pytestmark = pytest.mark.skipif(not Path("/usr/lib/postgresql").is_dir(), reason="no PostgreSQL server is installed")


@pytest.fixture(scope="module")
def pg():
    with Postgres() as one:
        yield one


def test_rows_and_databases(pg):
    assert pg.psql("select 1, 'a b', null; ") == [["1", "a b", ""]]
    assert pg.psql("select 1 where false") == []
    assert pg.value("show fsync") == "on" and pg.value("show max_connections") == "60"
    pg.create("one")
    pg.psql("create table t as select 7 as n", "one")
    pg.create("two", template="one")
    assert pg.value("select n from t", "two") == "7"
    pg.drop("two")
    with pytest.raises(PostgresError, match="does not exist"):
        pg.psql("select 1", "two")
    pg.role("reader", groups=["pg_read_all_data"])
    assert pg.psql("select current_user", "one", user="reader") == [["reader"]]


def test_a_second_cluster_is_a_copy_of_the_first(pg, monkeypatch):
    monkeypatch.setattr(Postgres, "make", None)         # initdb takes seconds: once is enough
    with Postgres() as other:
        assert other.port != pg.port and other.value("select 1") == "1"
        home = other.home
    assert not home.exists()


def test_what_was_committed_survives_a_kill(pg):
    pg.psql("create table kept (n int); insert into kept values (1)")
    pg.kill()
    with pytest.raises(PostgresError):
        pg.psql("select 1")
    pg.start()
    assert pg.value("select count(*) from kept") == "1"


def test_pause_answers_nothing(pg):
    pg.pause()
    with pytest.raises(subprocess.TimeoutExpired):
        pg.psql("select 1", timeout=0.3)
    pg.resume()
    assert pg.value("select 1") == "1"
    assert pg.restart().value("select 2") == "2"


def test_run_gives_its_command_the_addresses():
    here = Path(postgres.__file__)
    script = "import os; print(os.environ['DATABASE_URL'], os.environ['PGDATABASE']); raise SystemExit(7)"
    done = subprocess.run([here, "run", "--database", "mine", "--", sys.executable, "-c", script], capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 7 and done.stdout.split()[1] == "mine" and "127.0.0.1" in done.stdout


def test_run_ends_cleanly_when_told_to():
    here = Path(postgres.__file__)
    script = "import os, time; print(os.environ['OPSD_TEST_DB_PID'], flush=True); time.sleep(60)"
    run = subprocess.Popen([here, "run", "--", sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pid = int(run.stdout.readline())
    run.send_signal(signal.SIGTERM)
    run.stdout.close()
    assert run.wait(120) == 143
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
