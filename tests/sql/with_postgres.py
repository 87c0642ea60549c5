#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command beside a private PostgreSQL cluster: with_postgres.py COMMAND [ARGUMENT ...]

The cluster is made in a scratch directory, listens on 127.0.0.1 at a port that was free, and is
removed at the end.  The command finds in its environment
  OPSD_TEST_DB_URL   a superuser's URL
  OPSD_TEST_DB_CTL   this file: "$OPSD_TEST_DB_CTL start|stop|pid" controls the server
  OPSD_TEST_DB_CA    a PEM file: the server also speaks TLS, with a certificate for "localhost"
PostgreSQL refuses to run as root, so root becomes the user "postgres" for it.
"""
import glob
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from ports import free_port  # noqa: E402

PASSWORD = "correct-horse"


def bin_dir():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda d: int(d.split("/")[-2]))
    if not found:
        sys.exit("no PostgreSQL server is installed (apt install postgresql)")
    return found[-1]


def as_server_user(args):
    if os.geteuid() == 0:
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"] + args
    return args


def run(args, **kw):
    done = subprocess.run(as_server_user(args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, cwd="/", timeout=200, **kw)
    if done.returncode != 0:
        sys.stderr.write(done.stdout.decode(errors="replace"))
        raise RuntimeError("%s failed" % args[0])
    return done.stdout.decode()


def make_certificate(data):
    """Self-signed, so it is its own authority."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", data + "/server.key", "-out", data + "/server.crt"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=200)
    os.chmod(data + "/server.key", 0o600)
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        for name in ("server.key", "server.crt"):
            os.chown(data + "/" + name, user.pw_uid, user.pw_gid)
    shutil.copyfile(data + "/server.crt", data + ".ca")


def make(data, port):
    pwfile = data + ".pw"
    with open(pwfile, "w") as f:
        f.write(PASSWORD)
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(pwfile, user.pw_uid, user.pw_gid)
        os.chown(os.path.dirname(data), user.pw_uid, user.pw_gid)
    run([bin_dir() + "/initdb", "--pgdata", data, "--username", "owner", "--pwfile", pwfile,
         "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"])
    make_certificate(data)
    with open(data + "/postgresql.conf", "a") as f:
        f.write("listen_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = ''\n"
                "fsync = off\nshared_buffers = 64MB\nmax_connections = 40\n"
                "log_min_messages = warning\nmax_wal_size = 256MB\n"
                "ssl = on\n"
                # It comes by chance, holds seals back as any transaction does, and is in the way of a DROP.
                "autovacuum = off\n" % port)


def control(data, what):
    ctl = bin_dir() + "/pg_ctl"
    if what == "start":
        run([ctl, "--pgdata", data, "--log", data + ".log", "--wait", "--timeout", "180", "start"])
    elif what == "stop":
        run([ctl, "--pgdata", data, "--mode", "fast", "--wait", "--timeout", "180", "stop"])
    elif what == "pid":
        with open(data + "/postmaster.pid") as f:
            print(f.readline().strip())
    else:
        sys.exit("start, stop or pid?")


def main():
    if len(sys.argv) == 2 and "OPSD_TEST_DB_DATA" in os.environ:
        control(os.environ["OPSD_TEST_DB_DATA"], sys.argv[1])
        return 0
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    scratch = tempfile.mkdtemp(prefix="opsd-pg-")
    data = scratch + "/data"
    port = free_port()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        make(data, port)
        control(data, "start")
        env = dict(os.environ, OPSD_TEST_DB_DATA=data, OPSD_TEST_DB_CTL=os.path.abspath(__file__),
                   PGSSLMODE="disable",  # where a test does not say otherwise: TLS costs time
                   OPSD_TEST_DB_CA=data + ".ca",
                   OPSD_TEST_DB_URL="postgresql://owner:%s@127.0.0.1:%d/postgres" % (PASSWORD, port))
        return subprocess.run(sys.argv[1:], env=env).returncode
    finally:
        if os.path.exists(data + "/postmaster.pid"):
            with open(data + "/postmaster.pid") as f:
                pid = int(f.readline())
            try:
                os.kill(pid, signal.SIGCONT)
            except OSError:
                pass
            subprocess.run(as_server_user([bin_dir() + "/pg_ctl", "--pgdata", data, "--mode", "immediate",
                                           "stop"]), stdout=subprocess.DEVNULL, cwd="/")
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
