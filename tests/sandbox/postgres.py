#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL of its own port and directory, for scenarios, the bench and the sandbox.

    with Postgres() as pg:
        name = pg.create("ops")                 # a database of "owner", from a template if wished
        with pg.session(name) as db:
            db.rows("select 1 as one")          # [{"one": "1"}]
        pg.url(name, "opsd_app")
        pg.pause(); pg.resume(); pg.kill(); pg.start(); pg.shut_down(); pg.start()

    postgres.py run [--database NAME] [--no-fsync] -- COMMAND [ARGUMENT …]

`run` gives COMMAND the addresses (DATABASE_URL, PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE) and ends with its exit
code. What initdb makes is kept under the build folder and copied, so that a cluster starts in well under a second.
PostgreSQL refuses to run as root: root becomes the user "postgres" for it."""

import argparse
import contextlib
import ctypes
import ctypes.util
import fcntl
import hashlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from ports import free_port  # noqa: E402

PASSWORD = "correct-horse"
SUPERUSER = "postgres"
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 64MB
max_connections = 60
max_wal_size = 512MB
max_prepared_transactions = 10
autovacuum_naptime = 10s
log_min_messages = warning
log_line_prefix = '%m [%p] %a '
timezone = 'UTC'
"""
# Login roles and the group of each; "owner" applies the migrations and so may create roles.
LOGINS = {"owner": "opsd_owner", "opsd_app": "opsd_service", "opsd_cron": "opsd_sync", "opsd_review": "opsd_grants",
          "opsd_second": "opsd_grants", "opsd_reader": "opsd_auditor"}
ROLES = "".join(f"create role {group} nologin;\n" for group in dict.fromkeys(LOGINS.values())) + "".join(
    f"create role {login} login password '{PASSWORD}' in role {group};\n" for login, group in LOGINS.items()
) + "alter role owner createrole createdb;\n"
SECONDS = 120


class PostgresError(Exception):
    pass


def bin_dir():
    """The folder of the newest server that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
    if not found:
        raise PostgresError("no PostgreSQL server is installed: apt-get install postgresql")
    return found[-1].parent


def as_server_user(args):
    """The command line as the user that the server runs as; it ends with whoever started it."""
    user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", "--pdeathsig=QUIT", *user, "--", *map(str, args)]


def give(*paths):
    """To the server's user."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        for path in paths:
            os.chown(path, user.pw_uid, user.pw_gid)


class Postgres:
    """Started when made. `fsync` off is for tests that need no durability; `settings` are lines of postgresql.conf."""

    def __init__(self, build=None, fsync=True, settings=""):
        self.bin = bin_dir()
        self.build = Path(build or os.environ.get("BUILD") or ROOT / "build")
        self.home = Path(tempfile.mkdtemp(prefix="opsd-pg-"))
        self.data = self.home / "data"
        self.settings = SETTINGS + ("" if fsync else "fsync = off\nfull_page_writes = off\n") + settings
        self.port = free_port()
        self.process = None
        self.serial = 0
        try:
            give(self.home)
            subprocess.run(["cp", "-a", self.fresh(), self.data], check=True)
            if os.geteuid() == 0:
                subprocess.run(["chown", "-R", "postgres:postgres", self.data], check=True)
            os.chmod(self.data, 0o700)
            (self.data / "postgresql.auto.conf").write_text(self.settings, encoding="utf-8")
            self.start()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    # The cluster that is copied

    def fresh(self):
        """A cluster with the login roles, made by the first who needs it."""
        mark = hashlib.sha256(f"{self.bin}{ROLES}".encode()).hexdigest()[:12]
        kept = self.build / "postgres" / f"{os.geteuid()}-{mark}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        with open(kept.with_suffix(".lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.is_dir():
                self.make(kept)
        return kept

    def make(self, kept):
        """initdb in a folder that the server's user may reach, then moved."""
        scratch = Path(tempfile.mkdtemp(prefix="opsd-initdb-"))
        try:
            data, secret = scratch / "data", scratch / "password"
            secret.write_text(PASSWORD, encoding="utf-8")
            give(scratch, secret)
            self.run("initdb", "--pgdata", data, "--username", SUPERUSER, "--pwfile", secret, "--auth", "scram-sha-256",
                     "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync", "--no-instructions")
            self.run("postgres", "--single", "-D", data, "-c", "fsync=off", "postgres", text=ROLES)
            part = kept.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(data, part, symlinks=True)
            part.rename(kept)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def run(self, program, *args, text=""):
        done = subprocess.run(as_server_user([self.bin / program, *args]), input=text, capture_output=True, text=True,
                              timeout=60, cwd="/", check=False)
        if done.returncode or "ERROR" in done.stderr:
            raise PostgresError(f"{program} failed:\n{done.stdout}{done.stderr}")

    # Life

    @property
    def pid(self):
        """Of the postmaster: setpriv has become it."""
        return self.process.pid if self.process else None

    def start(self):
        if self.process:
            return self
        end = time.monotonic() + SECONDS
        self.launch()
        while True:
            try:
                self.session().close()
                return self
            except PostgresError:
                ended = self.process.poll() is not None
                if ended and "is still in use" in self.log()[-500:] and time.monotonic() < end:
                    time.sleep(0.1)         # backends of one that was killed have not all gone yet
                    self.launch()
                elif ended or time.monotonic() > end:
                    self.end(signal.SIGKILL)
                    raise PostgresError(f"PostgreSQL did not start:\n{self.log()}") from None
            time.sleep(0.005)

    def launch(self):
        with open(self.home / "log", "ab") as log:
            self.process = subprocess.Popen(
                as_server_user([self.bin / "postgres", "-D", self.data, "-p", str(self.port)]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)

    def shut_down(self, mode="fast"):
        """An end that keeps the data. fast: sessions are ended; smart: waited for; immediate: as a crash, with notice."""
        self.end({"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])

    def kill(self):
        """As when the machine dies: every process at once; the next start has to recover."""
        for pid in self.pids():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.end(signal.SIGKILL)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def end(self, number):
        if not self.process:
            return
        self.resume()
        with contextlib.suppress(OSError):
            os.kill(self.process.pid, number)
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def restart(self, mode="fast"):
        self.shut_down(mode)
        return self.start()

    def pids(self):
        """The postmaster and its children."""
        if not self.process:
            return []
        found = [self.process.pid]
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError, IndexError, ValueError), open(f"/proc/{name}/stat", "rb") as f:
                    if int(f.read().rpartition(b")")[2].split()[1]) == self.process.pid:
                        found.append(int(name))
        return found

    def signal_all(self, number, pids):
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    def pause(self):
        """It takes connections and answers nothing, as behind a network that swallows packets."""
        self.signal_all(signal.SIGSTOP, [self.process.pid])     # first: no new children
        self.signal_all(signal.SIGSTOP, self.pids())

    def resume(self):
        self.signal_all(signal.SIGCONT, reversed(self.pids()))

    def stop(self):
        """The end, with the data removed."""
        self.end(signal.SIGQUIT)        # no checkpoint of what nobody will read
        shutil.rmtree(self.home, ignore_errors=True)

    close = stop

    def log(self):
        with contextlib.suppress(OSError):
            return (self.home / "log").read_text(encoding="utf-8", errors="replace")[-4000:]
        return ""

    # Use

    def url(self, database="postgres", user=SUPERUSER, password=PASSWORD):
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def session(self, database="postgres", user=SUPERUSER):
        return Session(self.url(database, user))

    def create(self, name=None, template="template1", owner="owner"):
        """A fresh database, a copy of template; its name."""
        self.serial += 1
        name = name or f"w{self.serial}_{secrets.token_hex(3)}"
        with self.session() as db:
            db.run(f'create database "{name}" template "{template}" owner "{owner}"')
        return name

    def drop(self, name):
        with self.session() as db:
            db.run(f'drop database if exists "{name}" with (force)')

    def role(self, name, options="", groups=()):
        """A login role, made if it is missing."""
        with self.session() as db:
            db.run(f"do $$ begin if not exists (select from pg_roles where rolname = '{name}') then "
                   f"create role \"{name}\" login password '{PASSWORD}' {options}; end if; end $$")
            for group in groups:
                db.run(f'grant "{group}" to "{name}"')

    def psql(self, sql, database="postgres", user=SUPERUSER, timeout=30):
        """Run a script; the rows as lists of text (null is the empty text)."""
        env = {**os.environ, "PGPASSWORD": PASSWORD, "PGCONNECT_TIMEOUT": "5"}
        args = [self.bin / "psql", "-X", "-q", "-A", "-t", "-F", "\x1f", "-R", "\x1e", "-v", "ON_ERROR_STOP=1",
                "-h", "127.0.0.1", "-p", str(self.port), "-U", user, "-d", database, "-f", "-"]
        done = subprocess.run(args, input=sql, capture_output=True, text=True, timeout=timeout, env=env, cwd="/",
                              check=False)
        if done.returncode:
            raise PostgresError(done.stderr.strip())
        text = done.stdout.removesuffix("\n").removesuffix("\x1e")
        return [row.split("\x1f") for row in text.split("\x1e")] if text else []

    def value(self, sql, database="postgres"):
        """The first column of the first row."""
        rows = self.psql(sql, database)
        return rows[0][0] if rows else None

    def environment(self, database="postgres"):
        return {"DATABASE_URL": self.url(database), "PGHOST": "127.0.0.1", "PGPORT": str(self.port),
                "PGUSER": SUPERUSER, "PGPASSWORD": PASSWORD, "PGDATABASE": database}


# libpq, as little as is needed: Python has no client of its own

def load():
    lib = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")
    text, handle, number = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int
    for name, result, args in (
            ("PQconnectdb", handle, [text]), ("PQstatus", number, [handle]), ("PQerrorMessage", text, [handle]),
            ("PQfinish", None, [handle]), ("PQexec", handle, [handle, text]), ("PQresultStatus", number, [handle]),
            ("PQexecParams", handle, [handle, text, number, ctypes.c_void_p, ctypes.POINTER(text), ctypes.c_void_p,
                                      ctypes.c_void_p, number]),
            ("PQclear", None, [handle]), ("PQntuples", number, [handle]), ("PQnfields", number, [handle]),
            ("PQfname", text, [handle, number]), ("PQgetvalue", text, [handle, number, number]),
            ("PQgetisnull", number, [handle, number, number]), ("PQresultErrorMessage", text, [handle])):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, args
    return lib


LIB = None
GOOD = (1, 2)       # PGRES_COMMAND_OK, PGRES_TUPLES_OK


class Session:
    """One connection; one thread at a time. Values are texts or None."""

    def __init__(self, url):
        global LIB
        LIB = LIB or load()
        self.conn = LIB.PQconnectdb(f"{url}?connect_timeout=60&application_name=test".encode())
        if LIB.PQstatus(self.conn) != 0:
            why = LIB.PQerrorMessage(self.conn).decode(errors="replace").strip()
            self.close()
            raise PostgresError(why)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        if self.conn:
            LIB.PQfinish(self.conn)
            self.conn = None

    def run(self, script):
        """Several statements, no parameters, no rows."""
        self.read(LIB.PQexec(self.conn, script.encode()))

    def rows(self, statement, *values):
        """One statement with $1, $2 …; its rows as dicts."""
        texts = (ctypes.c_char_p * len(values))(*[None if v is None else str(v).encode() for v in values])
        return self.read(LIB.PQexecParams(self.conn, statement.encode(), len(values), None, texts, None, None, 0))

    def row(self, statement, *values):
        found = self.rows(statement, *values)
        if len(found) != 1:
            raise PostgresError(f"{len(found)} rows, not one: {statement}")
        return found[0]

    def value(self, statement, *values):
        return next(iter(self.row(statement, *values).values()))

    def read(self, result):
        try:
            if LIB.PQresultStatus(result) not in GOOD:
                message = LIB.PQresultErrorMessage(result) or LIB.PQerrorMessage(self.conn)
                raise PostgresError(message.decode(errors="replace").strip())
            names = [LIB.PQfname(result, c).decode() for c in range(LIB.PQnfields(result))]
            return [{n: None if LIB.PQgetisnull(result, r, c) else LIB.PQgetvalue(result, r, c).decode()
                     for c, n in enumerate(names)} for r in range(LIB.PQntuples(result))]
        finally:
            LIB.PQclear(result)


def main():
    parser = argparse.ArgumentParser(description="a command beside a private PostgreSQL cluster")
    commands = parser.add_subparsers(dest="what", required=True)
    one = commands.add_parser("run", help="run COMMAND with the cluster's addresses in its environment")
    one.add_argument("--database", help="a fresh database of this name instead of postgres")
    one.add_argument("--no-fsync", action="store_true")
    one.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        parser.error("which command?")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with Postgres(fsync=not args.no_fsync) as pg:
            if args.database:
                pg.create(args.database)
            env = {**os.environ, **pg.environment(args.database or "postgres"), "OPSD_TEST_DB_PID": str(pg.pid)}
            child = subprocess.Popen(command, env=env)
            try:
                return child.wait()
            finally:
                if child.poll() is None:
                    child.terminate()
                    child.wait()
    except PostgresError as e:
        print(f"postgres.py: {e}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
