# SPDX-License-Identifier: Apache-2.0
"""Container logs: kept lines, followed streams, the refusals of a container that has none."""

import asyncio
import calendar
import time

from .status import TRUE, bad_request
from .watch import END, MAX_QUEUED, chunk, release

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
KEPT = 20000


def stamp(t):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + f".{int(t % 1 * 1e9):09d}Z"


class Book:
    """The log of one container."""

    def __init__(self):
        self.lines = []                 # (time, bytes without the newline)
        self.done = False
        self.followers = set()

    def write(self, line):
        if type(line) is str:
            line = line.encode()
        self.lines.append((time.time(), line))
        if len(self.lines) > KEPT:
            del self.lines[:KEPT // 2]
        for follower in list(self.followers):
            follower.line(*self.lines[-1])

    def end(self):
        self.done = True
        for follower in list(self.followers):
            follower.close()


class Follower:
    def __init__(self, conn, book, timestamps, limit, fault):
        self.conn, self.book, self.timestamps, self.limit = conn, book, timestamps, limit
        self.fault = fault
        conn.busy = True
        conn.on_lost = self.finish
        conn.transport.write(HEAD)
        book.followers.add(self)
        how = fault.get("how") if fault else None
        if how in ("close", "abort"):
            asyncio.get_running_loop().call_later(fault.get("ms", 0) / 1000,
                                                  self.close if how == "close" else self.abort)

    def line(self, at, text):
        transport = self.conn.transport
        if transport.is_closing() or (self.fault and self.fault.get("how") == "mute"):
            return
        data = text_of(at, text, self.timestamps)
        if self.limit is not None:
            data = data[:self.limit]
            self.limit -= len(data)
        if transport.get_write_buffer_size() > MAX_QUEUED:
            self.abort()
            return
        if data:
            transport.write(chunk(data))
        if self.limit == 0:
            self.close()

    def close(self):
        if self in self.book.followers:
            self.finish()
            self.conn.transport.write(END)
            asyncio.get_running_loop().call_soon(release, self.conn)

    def abort(self):
        self.finish()
        self.conn.transport.abort()

    def finish(self):
        self.book.followers.discard(self)


def text_of(at, text, timestamps):
    return (stamp(at).encode() + b" " if timestamps else b"") + text + b"\n"


class Logs:
    def __init__(self):
        self.books = {}

    def book(self, ns, pod, container, previous=False):
        key = (ns, pod, container, previous)
        book = self.books.get(key)
        if book is None:
            if len(self.books) > 5000:
                del self.books[next(iter(self.books))]
            book = self.books[key] = Book()
        return book

    def forget(self, ns, pod):
        for key in [k for k in self.books if k[0] == ns and k[1] == pod]:
            self.books.pop(key).end()

    @staticmethod
    def container_of(pod, name, wanted):
        names = [c["name"] for c in pod["spec"]["containers"]]
        inits = [c["name"] for c in pod["spec"].get("initContainers") or []]
        if wanted is None:
            if len(names) == 1:
                return names[0]
            text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
            raise bad_request(text + (f" or one of the init containers: [{' '.join(inits)}]" if inits else ""))
        if wanted not in names + inits:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted

    def select(self, pod, ns, name, args):
        """(the book, its lines that are asked for, timestamps, byte limit)"""
        container = self.container_of(pod, name, args.get("container"))
        previous = args.get("previous") in TRUE
        state = next((c for c in (pod.get("status") or {}).get("containerStatuses") or []
                      if c["name"] == container), {})
        waiting = (state.get("state") or {}).get("waiting")
        if previous and not (state.get("lastState") or {}).get("terminated"):
            raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
        if not previous and (waiting or not state) and (ns, name, container, False) not in self.books:
            reason = (waiting or {}).get("reason", "ContainerCreating")
            what = {"ImagePullBackOff": "trying and failing to pull image",
                    "ErrImagePull": "image can't be pulled"}.get(reason, reason)
            raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {what}')
        for key in ("tailLines", "sinceSeconds", "limitBytes"):
            if key in args and not args[key].isdigit():
                raise bad_request(f'strconv.ParseInt: parsing "{args[key]}": invalid syntax')
        if "sinceSeconds" in args and "sinceTime" in args:
            raise bad_request("at most one of `sinceTime` or `sinceSeconds` may be specified")
        book = self.book(ns, name, container, previous)
        lines = book.lines
        if "sinceTime" in args:
            since = calendar.timegm(time.strptime(args["sinceTime"][:19], "%Y-%m-%dT%H:%M:%S"))
            lines = [x for x in lines if x[0] >= since]
        if "sinceSeconds" in args:
            since = time.time() - int(args["sinceSeconds"])
            lines = [x for x in lines if x[0] >= since]
        if "tailLines" in args:
            lines = lines[len(lines) - min(len(lines), int(args["tailLines"])):]
        limit = int(args["limitBytes"]) if "limitBytes" in args else None
        return book, lines, args.get("timestamps") in TRUE, limit

    def answer(self, req, pod, ns, name, args, fault):
        """Bytes, or None when the stream has taken the connection."""
        book, lines, timestamps, limit = self.select(pod, ns, name, args)
        if fault and fault.get("how") == "binary":
            lines = [*lines, (time.time(), b"\xff\xfe\x00bad \x1b[31mbytes")]
        if fault and fault.get("how") == "long":
            lines = [*lines, (time.time(), b"x" * fault.get("bytes", 1 << 20))]
        if args.get("follow") not in TRUE or book.done:
            body = b"".join(text_of(at, text, timestamps) for at, text in lines)
            body = body if limit is None else body[:limit]
            return HEAD + (chunk(body) if body else b"") + END
        follower = Follower(req.conn, book, timestamps, limit, fault)
        for at, text in lines:
            follower.line(at, text)
        return None
