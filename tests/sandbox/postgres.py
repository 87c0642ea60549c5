#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL cluster on a free port of 127.0.0.1.

    with Postgres() as pg:
        url = pg.create("ops")                  # a database of its own, from a template if wished
        pg.psql("select 1", "ops")
        pg.pause(); pg.resume(); pg.kill(); pg.start()

    postgres.py run [--database NAME] -- COMMAND [ARGUMENT …]

`run` gives COMMAND the addresses (DATABASE_URL, PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE) and ends with its exit
code. What initdb makes is kept under the build folder and copied, so that a cluster starts in well under a second.
PostgreSQL refuses to run as root: root becomes the user "postgres" for it."""

import argparse
import fcntl
import glob
import hashlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PASSWORD = "correct-horse"
OWNER = "postgres"
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{sockets}'
max_connections = 60
shared_buffers = 64MB
max_wal_size = 512MB
max_prepared_transactions = 10
log_min_messages = warning
log_line_prefix = '%m [%p] %a '
fsync = {fsync}
timezone = 'UTC'
recovery_init_sync_method = syncfs
"""
ROOT = Path(__file__).resolve().parents[2]


class PostgresError(Exception):
    pass


def bin_dir():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda d: int(d.split("/")[-2]))
    if not found:
        raise PostgresError("no PostgreSQL server is installed: apt-get install postgresql")
    return found[-1]


def as_server_user(args):
    if os.geteuid() == 0:
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--", *args]
    return args


def run(args, timeout=60, **kw):
    done = subprocess.run(as_server_user([str(a) for a in args]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, cwd="/", timeout=timeout, text=True, **kw)
    if done.returncode:
        raise PostgresError(f"{args[0]} failed:\n{done.stdout}")
    return done.stdout


def give(path):
    """To the server's user, with all that is in it."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        for top, folders, files in os.walk(path):
            for name in [".", *folders, *files]:
                os.chown(os.path.join(top, name), user.pw_uid, user.pw_gid)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fresh_cluster(data, build):
    """A copy of the one that initdb made for this version; made now when there is none."""
    tag = hashlib.sha256((bin_dir() + PASSWORD + "3").encode()).hexdigest()[:12]
    kept = Path(build) / "postgres" / f"{'root' if os.geteuid() == 0 else os.getuid()}-{tag}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with open(kept.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.is_dir():
            make_cluster(kept)
    shutil.copytree(kept, data, symlinks=True)
    data.chmod(0o700)
    give(data)


def make_cluster(kept):
    """initdb in a folder that the server's user may reach, then moved."""
    scratch = Path(tempfile.mkdtemp(prefix="opsd-initdb-"))
    try:
        (scratch / "pw").write_text(PASSWORD)
        give(scratch)
        run([bin_dir() + "/initdb", "--pgdata", scratch / "data", "--username", OWNER, "--pwfile", scratch / "pw",
             "--auth-host", "scram-sha-256", "--auth-local", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8",
             "--no-sync", "--no-instructions"])
        shutil.copytree(scratch / "data", str(kept) + ".new", symlinks=True)
        os.rename(str(kept) + ".new", kept)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class Postgres:
    """`fsync` off is for tests that need no durability; `settings` are lines of postgresql.conf."""

    def __init__(self, build=None, fsync=True, settings=""):
        self.build = Path(build or os.environ.get("BUILD") or ROOT / "build")
        self.fsync, self.more = fsync, settings
        self.home = self.data = self.process = None
        self.port = 0

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    # Life

    def start(self, timeout=30):
        if self.home is None:
            self.home = Path(tempfile.mkdtemp(prefix="opsd-pg-"))
            self.home.chmod(0o755)
            self.data = self.home / "data"
            try:
                fresh_cluster(self.data, self.build)
            except BaseException:
                self.remove()
                raise
            self.port = free_port()
            self.configure()
            give(self.home)
        log = open(self.home / "log", "ab")
        self.process = subprocess.Popen(as_server_user([bin_dir() + "/postgres", "-D", str(self.data)]), stdout=log,
                                        stderr=log, stdin=subprocess.DEVNULL, cwd="/", start_new_session=True)
        log.close()
        try:
            self.wait_ready(timeout)
        except BaseException:
            self.process.kill()
            self.process.wait()
            self.process = None
            raise
        return self

    def configure(self):
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as f:
            f.write(SETTINGS.format(port=self.port, sockets=self.home, fsync="on" if self.fsync else "off") + self.more)

    def wait_ready(self, timeout):
        """Ready when postmaster.pid says so, as pg_ctl waits."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise PostgresError("PostgreSQL did not start:\n" + self.log())
            try:
                lines = (self.data / "postmaster.pid").read_text().splitlines()
                if len(lines) >= 8 and int(lines[0]) == self.process.pid and lines[7].strip() == "ready":
                    return
            except (OSError, ValueError):
                pass
            time.sleep(0.01)
        raise PostgresError(f"PostgreSQL was not ready after {timeout} s:\n" + self.log())

    def log(self):
        return (self.home / "log").read_text(errors="replace")[-4000:] if self.home else ""

    def end(self, how, timeout=20):
        """Signal the server and wait for its end. SIGINT: fast, SIGTERM: smart, SIGQUIT: at once."""
        if self.process is None:
            return
        self.resume()
        self.process.send_signal(how)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def shut_down(self):
        """A clean end; the data stay for the next start()."""
        self.end(signal.SIGINT)

    def restart(self):
        self.shut_down()
        return self.start()

    def kill(self):
        """As when the machine dies: every process at once, nothing written down."""
        if self.process is None:
            return
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.process = None

    def pids(self):
        """The postmaster and its children."""
        if self.process is None:
            return []
        found = [self.process.pid]
        for stat in glob.glob("/proc/[0-9]*/stat"):
            try:
                fields = Path(stat).read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.process.pid:
                found.append(int(stat.split("/")[2]))
        return found

    def signal_all(self, what):
        for pid in self.pids():
            try:
                os.kill(pid, what)
            except ProcessLookupError:
                pass

    def pause(self):
        """It takes connections and answers nothing, as behind a network that swallows packets."""
        self.signal_all(signal.SIGSTOP)

    def resume(self):
        self.signal_all(signal.SIGCONT)

    def stop(self):
        """The end, with the data removed."""
        self.end(signal.SIGQUIT)        # no checkpoint of what nobody will read
        self.remove()

    def remove(self):
        if self.home:
            shutil.rmtree(self.home, ignore_errors=True)
            self.home = self.data = None

    # Use

    def url(self, database="postgres", user=OWNER, password=PASSWORD):
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def psql(self, sql, database="postgres", user=OWNER, timeout=30):
        """Run SQL; the rows as lists of text (null is the empty text)."""
        env = {**os.environ, "PGPASSWORD": PASSWORD, "PGCONNECT_TIMEOUT": "5"}
        args = [bin_dir() + "/psql", "-X", "-q", "-A", "-t", "-F", "\x1f", "-R", "\x1e", "-v", "ON_ERROR_STOP=1",
                "-h", "127.0.0.1", "-p", str(self.port), "-U", user, "-d", database, "-f", "-"]
        done = subprocess.run(args, input=sql, capture_output=True, text=True, timeout=timeout, env=env, cwd="/")
        if done.returncode:
            raise PostgresError(done.stderr.strip())
        text = done.stdout.removesuffix("\n").removesuffix("\x1e")
        return [row.split("\x1f") for row in text.split("\x1e")] if text else []

    def value(self, sql, database="postgres"):
        """The first column of the first row."""
        rows = self.psql(sql, database)
        return rows[0][0] if rows else None

    def create(self, name, template=None, owner=None):
        """A database; its URL for the superuser."""
        more = f' template "{template}"' if template else ""
        more += f' owner "{owner}"' if owner else ""
        self.psql(f'create database "{name}"{more}')
        return self.url(name)

    def drop(self, name):
        self.psql(f'drop database if exists "{name}" with (force)')

    def role(self, name, options="", groups=()):
        """A login role, made if it is missing; its URL needs a database: url(database, name)."""
        self.psql(f"do $$ begin if not exists (select from pg_roles where rolname = '{name}') then "
                  f"create role \"{name}\" login password '{PASSWORD}' {options}; end if; end $$")
        for group in groups:
            self.psql(f'grant "{group}" to "{name}"')

    def environment(self, database="postgres"):
        return {"DATABASE_URL": self.url(database), "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": OWNER,
                "PGPASSWORD": PASSWORD, "PGDATABASE": database}


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
            env = {**os.environ, **pg.environment(args.database or "postgres"), "OPSD_TEST_DB_PID": str(pg.process.pid)}
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
