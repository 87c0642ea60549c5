# SPDX-License-Identifier: Apache-2.0
"""kube/watch on both servers, with a connection that is cut a hundred times and a server that dies."""

import asyncio
import json
import queue
import subprocess
import threading
import time
from urllib.parse import urlsplit

import pytest
from driver import BUILD
from kube_client import CORE
from servers import wait
from test_answers import NUMBERS, config

CUTS = 100


class Wire:
    """A wire to a server that can be cut."""

    def __init__(self, thread, url):
        self.thread, self.target, self.open, self.tasks = thread, urlsplit(url), set(), set()
        self.left, self.refused = None, 0       # how many more connections are let through; None: all

        async def listen():
            self.server = await asyncio.start_server(self.connected, "127.0.0.1", 0)
            return self.server.sockets[0].getsockname()[1]
        self.url = f"{self.target.scheme}://127.0.0.1:{thread.run(listen())}"

    async def connected(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        asyncio.current_task().add_done_callback(self.tasks.discard)
        if self.left == 0:
            self.refused += 1
            writer.transport.abort()
            return
        self.left = self.left and self.left - 1
        try:
            there = await asyncio.open_connection(self.target.hostname, self.target.port)
        except OSError:
            writer.transport.abort()
            return
        self.open |= {writer, there[1]}

        async def pass_on(source, sink):
            try:
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            except OSError:
                pass
            finally:
                for end in (writer, there[1]):
                    end.transport.abort()
        await asyncio.gather(pass_on(reader, there[1]), pass_on(there[0], writer))
        self.open -= {writer, there[1]}

    def cut(self):
        async def now():
            for writer in list(self.open):
                writer.transport.abort()
        self.thread.run(now())

    def close(self):
        async def end():
            self.server.close()
            await asyncio.gather(*self.tasks)
        self.cut()
        self.thread.run(end())


class Watcher:
    def __init__(self, server, folder, url, ns, *name):
        (folder / "token").write_text(server.admin.token, encoding="ascii")
        node = {"server": url, "token_file": str(folder / "token"), **({"ca_file": server.ca_file} if server.ca_file else {})}
        self.child = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", "--", BUILD / "tests" / "cluster" / "cluster_watcher", json.dumps(node),
             "ConfigMap", ns, *name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.heard, self.lines = [], queue.Queue()
        threading.Thread(target=lambda: [self.lines.put(x.strip()) for x in self.child.stdout], daemon=True).start()

    def until(self, line, seconds=120):
        """All that was said up to a line that begins so."""
        end, since = time.monotonic() + seconds, []
        while not since or not since[-1].startswith(line):
            try:
                since.append(self.lines.get(timeout=max(0, end - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"waited in vain for {line!r} after {self.heard[-5:]} {since[-5:]}") from None
        self.heard += since
        return since

    def close(self):
        self.child.stdin.close()
        assert self.child.wait(60) == 0


@pytest.fixture
def space(server):
    ns = f"opsd-watch-{next(NUMBERS)}-{int(time.time())}"
    server.admin("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
    server.admin("POST", (CORE + ns + "/configmaps"), config("seen"))
    yield ns
    server.admin("DELETE", f"/api/v1/namespaces/{ns}")


def turn(server, ns, n):
    done = server.admin.patch(f"{CORE}{ns}/configmaps/seen", {"metadata": {"annotations": {"turn": str(n)}}})
    assert done.status == 200, done.body


def test_cut_a_hundred_times(server, space, loop_thread, tmp_path):
    """Every change once and in order, whenever a stream that is open is cut. (One that cannot be opened is another
    thing: then it is listed again, and of several changes only the last is told.)"""
    wire = Wire(loop_thread, server.url)
    watcher = Watcher(server, tmp_path, wire.url, space, "seen")
    watcher.until("synced")                 # the stream is open
    for n in range(CUTS):
        turn(server, space, 2 * n)
        wire.cut()
        turn(server, space, 2 * n + 1)
        watcher.until(f"there seen {2 * n + 1}")
    turns = [line.split()[2] for line in watcher.heard if line.startswith("there seen ") and len(line.split()) == 3]
    assert turns == [str(n) for n in range(2 * CUTS)]
    assert not any(line.startswith("gone") for line in watcher.heard)
    watcher.close()
    wire.close()


def test_stream_cannot_be_opened(server, space, loop_thread, tmp_path):
    """Changes between the list and the stream. With TLS nothing was asked yet: stale, a list, of which only the last is
    told, synced. Without TLS the request may have been on its way: it is resumed, and both are told."""
    wire = Wire(loop_thread, server.url)
    wire.left = 1                           # the list's
    watcher = Watcher(server, tmp_path, wire.url, space, "seen")
    watcher.until("there seen")
    wait(lambda: wire.refused, "a stream that is not opened")
    tls = bool(server.ca_file)
    if tls:
        watcher.until("stale")
    wire.cut()
    turn(server, space, 0)
    turn(server, space, 1)
    wire.left = None
    told = watcher.until("there seen 1")
    assert [x for x in told if x != "synced"] == (["there seen 1"] if tls else ["there seen 0", "there seen 1"])
    if "synced" not in told:
        watcher.until("synced")
    turn(server, space, 2)
    watcher.until("there seen 2")
    watcher.close()
    wire.close()


def test_server_dies(real, loop_thread, tmp_path):
    if not real.own:
        pytest.skip("nobody kills a cluster that is not theirs")
    ns = f"opsd-watch-{next(NUMBERS)}-{int(time.time())}"
    real.admin("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
    for name in ("seen", "brief"):
        real.admin("POST", CORE + ns + "/configmaps", config(name))
    watcher = Watcher(real, tmp_path, real.url, ns)
    assert "there brief" in watcher.until("synced")
    real.plane.kill_api()
    watcher.until("stale")
    real.plane.start_api()
    real.admin("DELETE", f"{CORE}{ns}/configmaps/brief")
    turn(real, ns, 7)
    heard = watcher.until("there seen 7")
    if "gone brief" not in heard:
        watcher.until("gone brief")
    watcher.close()
    real.admin("DELETE", f"/api/v1/namespaces/{ns}")
