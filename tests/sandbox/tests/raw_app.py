# SPDX-License-Identifier: Apache-2.0
"""A raw client of the Slack stand-in for its own tests: sockets and bytes, no Slack library."""

import base64
import json
import os
import queue
import socket
import ssl
import threading
from http.client import HTTPConnection
from urllib.parse import urlencode, urlsplit

FORM = "application/x-www-form-urlencoded"
JSON = "application/json; charset=utf-8"


def http(base_url, method, path, body=None, headers=None, timeout=60):
    conn = HTTPConnection(urlsplit(base_url).netloc, timeout=timeout)
    try:
        conn.request(method, path, body, headers or {})
        answer = conn.getresponse()
        return answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), answer.read()
    finally:
        conn.close()


class App:
    """The Web API with a bot token."""

    def __init__(self, base_url, bot, app):
        self.base_url, self.bot, self.app = base_url, bot, app

    def raw(self, method, args=None, token=None, as_json=False, ctype=None, timeout=60):
        headers = {"Content-Type": ctype or (JSON if as_json else FORM)}
        if token is not False:
            headers["Authorization"] = "Bearer " + (token or self.bot)
        if as_json:
            body = args if isinstance(args, (bytes, str)) else json.dumps(args or {})
        else:
            body = urlencode({k: v if isinstance(v, str) else json.dumps(v) for k, v in (args or {}).items()})
        return http(self.base_url, "POST", "/api/" + method, body, headers, timeout)

    def __call__(self, method, **args):
        as_json = args.pop("_json", False)
        token = args.pop("_token", None)
        return json.loads(self.raw(method, args, token, as_json)[2])

    def hook(self, url, **body):
        parts = urlsplit(url)
        return http(self.base_url, "POST", parts.path, json.dumps(body), {"Content-Type": "application/json"})

    def dial(self, **how):
        return Socket(self("apps.connections.open", _token=self.app)["url"], **how)


class Socket:
    """One WebSocket; frames come out of a queue as (opcode, fin, payload)."""

    def __init__(self, url, auto_pong=True, on_envelope=None, context=None):
        parts = urlsplit(url)
        self.sock = socket.create_connection((parts.hostname, parts.port), timeout=60)
        if parts.scheme == "wss":
            self.sock = (context or ssl.create_default_context()).wrap_socket(self.sock, server_hostname=parts.hostname)
        self.auto_pong, self.on_envelope = auto_pong, on_envelope
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall((f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
                           f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n")
                          .encode())
        self.buf = b""
        while b"\r\n\r\n" not in self.buf:
            data = self.sock.recv(65536)
            if not data:
                break
            self.buf += data
        head, _, self.buf = self.buf.partition(b"\r\n\r\n")
        self.head = head.decode("latin-1")
        self.status = int(self.head.split(" ")[1]) if self.head else 0
        self.frames = queue.Queue()
        self.eof = threading.Event()
        if self.status == 101:
            self.sock.settimeout(None)
            threading.Thread(target=self.read, daemon=True).start()

    def need(self, n):
        while len(self.buf) < n:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self.buf += data

    def read(self):
        try:
            while True:
                self.one()
        except (EOFError, OSError, ValueError):
            self.eof.set()
            self.frames.put((None, True, b""))

    def one(self):
        self.need(2)
        first, second = self.buf[0], self.buf[1]
        n, head = second & 0x7F, 2
        if n == 126:
            self.need(4)
            n, head = int.from_bytes(self.buf[2:4], "big"), 4
        elif n == 127:
            self.need(10)
            n, head = int.from_bytes(self.buf[2:10], "big"), 10
        head += 4 if second & 0x80 else 0
        self.need(head + n)
        body, self.buf = self.buf[head:head + n], self.buf[head + n:]
        op, fin = first & 15, bool(first & 0x80)
        if op == 9 and self.auto_pong:
            self.send(10, body)
        if op == 1 and fin and self.on_envelope and body.startswith(b"{"):
            data = json.loads(body)
            if "envelope_id" in data and self.on_envelope(self, data):
                return
        self.frames.put((op, fin, body))

    def send(self, op, payload, fin=True, masked=True):
        if isinstance(payload, str):
            payload = payload.encode()
        n = len(payload)
        head = bytes([(0x80 if fin else 0) | op])
        bit = 0x80 if masked else 0
        head += bytes([bit | n]) if n < 126 else bytes([bit | 126]) + n.to_bytes(2, "big") if n < 65536 else \
            bytes([bit | 127]) + n.to_bytes(8, "big")
        if masked:
            key = os.urandom(4)
            head += key
            payload = bytes(b ^ key[i % 4] for i, b in enumerate(payload))
        self.sock.sendall(head + payload)

    def ack(self, envelope, payload=None):
        body = {"envelope_id": envelope["envelope_id"]}
        if payload is not None:
            body["payload"] = payload
        self.send(1, json.dumps(body))

    def frame(self, timeout=60, ops=(1, 2, 0, 8, None)):
        while True:
            frame = self.frames.get(timeout=timeout)
            if frame[0] in ops:
                return frame

    def message(self, timeout=60):
        """The next whole text message as JSON."""
        op, fin, body = self.frame(timeout)
        assert op == 1, f"opcode {op}: {body!r}"
        while not fin:
            op, fin, more = self.frame(timeout)
            assert op == 0
            body += more
        return json.loads(body)

    def close(self):
        self.sock.close()
