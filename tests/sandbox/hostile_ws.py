#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs one test program beside a websocket server that misbehaves as the path of the URL says.

The program finds the ports by WS_* in its environment.  Frames are written by hand, so that every
rule can be broken.  What a connection with ?key=K saw of its client is told by /seen/K.
"""
import asyncio
import base64
import collections
import hashlib
import logging
import os
import socket
import ssl
import struct
import sys
import tempfile
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "flow"))
from with_http import Authority, free_port  # noqa: E402
from cryptography.hazmat.primitives import serialization  # noqa: E402

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
SEEN = collections.defaultdict(list)


def frame(payload, opcode=TEXT, fin=True, rsv=0, mask=False, length=None):
    length = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if length < 126:
        head += bytes([bit | length])
    elif length < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", length)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", length)
    if mask:
        key = os.urandom(4)
        payload = key + bytes(c ^ key[i % 4] for i, c in enumerate(payload))
    return head + payload


def close(code, reason=b""):
    return frame(struct.pack("!H", code) + reason, CLOSE)


class Client:
    """One connection after its upgrade."""

    def __init__(self, reader, writer, seen):
        self.reader, self.writer, self.seen = reader, writer, seen

    async def send(self, *pieces):
        for piece in pieces:
            self.writer.write(piece)
        await self.writer.drain()
        await asyncio.sleep(0)  # drain need not; a connection lost over TLS in the write is only told on the loop

    async def read(self):
        first, second = await self.reader.readexactly(2)
        length = second & 0x7f
        if length == 126:
            length, = struct.unpack("!H", await self.reader.readexactly(2))
        elif length == 127:
            length, = struct.unpack("!Q", await self.reader.readexactly(8))
        if not second & 0x80:
            self.seen.append("unmasked")
        key = await self.reader.readexactly(4) if second & 0x80 else bytes(4)
        body = await self.reader.readexactly(length)
        whole = int.from_bytes(body, "big") ^ int.from_bytes((key * (length // 4 + 1))[:length], "big")
        payload = whole.to_bytes(length, "big")
        opcode = first & 15
        if not first & 0x80 or opcode == 0:
            self.seen.append("fragment")
        if opcode == TEXT:
            self.seen.append(f"text {length}")
        elif opcode == CLOSE:
            code = struct.unpack("!H", payload[:2])[0] if length >= 2 else 0
            self.seen.append(f"close {code} {payload[2:].decode()}".strip())
        elif opcode == PING:
            self.seen.append("ping")
        elif opcode == PONG:
            self.seen.append("pong " + payload.decode("latin-1"))
        return opcode, payload

    async def serve(self, echo=False, answer_close=True, pong=True):
        """A proper peer, until the end; gives the close code."""
        while True:
            opcode, payload = await self.read()
            if opcode == PING and pong:
                await self.send(frame(payload, PONG))
            elif opcode == TEXT and echo:
                await self.send(frame(payload))
            elif opcode == CLOSE and answer_close:
                await self.send(frame(payload, CLOSE))
                return


async def echo(client, _):
    await client.serve(echo=True)


async def seen(client, args):
    await client.send(frame("; ".join(SEEN[args[0]]).encode()))
    await client.serve()


async def split(client, _):
    wire = frame(b"short") + frame(b"y" * 300) + frame(b"a", fin=False) + frame(b"p", PING) + \
        frame(b"b", 0) + frame(b"")
    for i in range(len(wire)):
        await client.send(wire[i:i + 1])
    await client.serve()


async def fragments(client, _):
    parts = [b"a" * 10, b"b" * 70000, b"", b"c" * 8]
    await client.send(frame(parts[0], fin=False), frame(b"one", PING))
    await client.read()
    await client.send(frame(parts[1], 0, fin=False), frame(b"two", PING))
    await client.read()
    await client.send(frame(parts[2], 0, fin=False), frame(parts[3], 0))
    await client.serve()


async def big(client, args):
    await client.send(frame(b"z" * int(args[0])))
    await client.serve()


async def raw(client, args):
    """One violation, then a peer that behaves."""
    await client.send(frame(b"before"), VIOLATIONS[args[0]])
    await client.serve()


async def rawmore(client, args):
    """One violation and much more in the same write, so in the same TLS record."""
    await client.send(frame(b"before") + VIOLATIONS[args[0]] + frame(b"m" * 15000))
    await client.send(frame(b"m" * 50000))
    await client.serve()


VIOLATIONS = {
    "rsv": frame(b"x", rsv=4),
    "stray": frame(b"x", 0),
    "nested": frame(b"x", fin=False) + frame(b"y"),
    "ping126": frame(b"p" * 126, PING),
    "longclose": frame(b"p" * 200, CLOSE),
    "opcode": frame(b"x", 3),
    "fragmented-ping": frame(b"x", PING, fin=False),
    "masked": frame(b"masked", mask=True),
    "tera": frame(b"q" * 20000, length=1 << 40),
    "close1": frame(b"x", CLOSE),
    "garbage": bytes(range(256)) * 8,
    "close": close(1001, b"more follows"),
}


async def dice(client, args):
    """Frames of all kinds by chance, mostly proper, in pieces by chance."""
    random = Random(int(args[0]))
    wire = b""
    for _ in range(random.randrange(1, 40)):
        opcode = random.choice([0, 1, 1, 1, 2, 8, 9, 9, 10, 10] if random.random() < 0.9 else range(16))
        size = random.choice([0, 1, 2, 100, 125, 126, 127, 300, 4095, 4096, 5000, 16383, 16384, 16385, 20000, 70000])
        if opcode >= 8 and random.random() < 0.9:
            size = min(size, 125)
        wire += frame(random.randbytes(size), opcode, fin=random.random() < 0.8,
                      rsv=random.choice([0] * 30 + [4, 1]), mask=random.random() < 0.05,
                      length=None if random.random() < 0.97 else random.choice([0, 5, 200, 70000, 1 << 33]))
    while wire:
        size = random.choice([1, 10, 1000, 16384, 100000])
        await client.send(wire[:size])
        wire = wire[size:]
    await client.serve()


async def endless(client, _):
    """Fragments without an end."""
    await client.send(frame(b"x", fin=False))
    while True:
        await client.send(frame(b"x" * 60000, 0, fin=False))


async def binary(client, _):
    await client.send(frame(b"\xff" * 10, BINARY), frame(b"\xff" * 10, BINARY, fin=False),
                      frame(b"\xff", 0), frame(b"after"))
    await client.serve()


async def noclose(client, _):
    await client.serve(answer_close=False)


async def code(client, args):
    await client.send(close(int(args[0]), b"because"))
    await client.serve()


async def bareclose(client, _):
    await client.send(frame(b"", CLOSE))
    await client.serve()


async def linger(client, _):
    """The close handshake is done, the connection stays."""
    await client.serve()
    await asyncio.sleep(300)


async def lingercode(client, args):
    await code(client, args)
    await asyncio.sleep(300)


async def silent(client, _):
    await client.serve(pong=False)


async def chatty(client, args):
    """No pong ever, but data."""
    for i in range(int(args[0])):
        await client.send(frame(b"%d" % i))
        await asyncio.sleep(0.05)
    await client.serve()


async def deaf(client, _):
    """Reads nothing."""
    await asyncio.sleep(300)


async def drop(client, _):
    await client.send(frame(b"x" * 100)[:50])


def abort(writer):
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def reset(client, _):
    await client.send(frame(b"x"))
    await client.reader.readexactly(1)  # the client has spoken, so it is open
    abort(client.writer)


async def burst(client, args):
    body = b"e" * int(args[1])
    await client.send(*(frame(b"%06d" % i + body) for i in range(int(args[0]))))
    await client.serve()


async def rate(client, args):
    """n messages of a size, n a second: for measuring."""
    body = b"e" * int(args[1])
    for i in range(int(args[0])):
        await client.send(frame(b"%06d" % i + body))
        await asyncio.sleep(1 / int(args[2]))
    await client.serve()


SCRIPTS = {f.__name__: f for f in (
    echo, seen, split, fragments, big, raw, rawmore, dice, endless, binary, noclose, code, bareclose, linger,
    lingercode, silent, chatty, deaf, drop, reset, burst, rate)}


async def upgrade(reader, writer):
    """The path's parts and what is remembered; None: it was answered otherwise."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    path, _, query = lines[0].split(" ")[1].partition("?")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
    parts = path.strip("/").split("/")
    record = SEEN[query[4:]] if query.startswith("key=") else []
    record.append("host " + headers.get("host", ""))
    record.append("query " + query)
    if "sec-websocket-extensions" in headers or "sec-websocket-protocol" in headers:
        record.append("offers")
    key = headers.get("sec-websocket-key", "").encode()
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
    if parts[0] == "status":
        extra = f"Retry-After: {parts[2]}\r\n" if len(parts) > 2 else ""
        writer.write(f"HTTP/1.1 {parts[1]} Reason\r\n{extra}Location: /echo\r\n"
                     "Content-Length: 4\r\n\r\nbody".encode())
        await writer.drain()
        return None
    if parts[0] == "badaccept":
        accept = base64.b64encode(bytes(20)).decode()
    elif parts[0] == "nobody":
        return None
    elif parts[0] == "abort":
        abort(writer)
        return None
    elif parts[0] == "hang":
        await asyncio.sleep(300)
    elif parts[0] == "http":
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await asyncio.sleep(300)
    elif parts[0] == "slowhead":
        for _ in range(300):
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.1)
    elif parts[0] == "longhead":
        writer.write(b"HTTP/1.1 101 Switching\r\nX-Long: " + b"x" * 100000 + b"\r\n\r\n")
        await asyncio.sleep(300)
    writer.write(("HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nX-Colons: a:b::c\r\n"
                  f"Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n").encode())
    return parts, record


async def serve(reader, writer):
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        known = await upgrade(reader, writer)
        if known:
            parts, record = known
            script = SCRIPTS.get(parts[0], echo)
            await script(Client(reader, writer, record), parts[1:])
    except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def drip(port, stall_after, reader, writer):
    """Between a client and the TLS server: a few bytes at a time from the server, or none any more."""
    up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)

    async def upstream():
        while data := await reader.read(4096):
            up_writer.write(data)
        up_writer.close()

    task = asyncio.ensure_future(upstream())
    sent = 0
    try:
        while data := await up_reader.read(64):
            if stall_after and sent >= stall_after:
                await asyncio.sleep(300)
            writer.write(data)
            await writer.drain()
            sent += len(data)
            await asyncio.sleep(0.01)
    except ConnectionError:
        pass
    finally:
        task.cancel()
        writer.close()
        up_writer.close()


async def proxy(reader, writer):
    """An HTTP proxy: every name is this machine; port 9 is forbidden."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    target = head.split(" ")[1]
    SEEN["proxy"].append(target)
    port = int(target.rpartition(":")[2])
    if port == 9:
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        writer.close()
        return
    up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def pump(source, sink):
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()

    await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))


def full_listener(keep):
    """A port whose queue is full: a further connect gets no answer."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(0)
    keep.append(sock)
    for _ in range(8):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(sock.getsockname())
        keep.append(one)
    return sock.getsockname()[1]


def tls(pair):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*pair)
    return made


async def listen(handler, env, name, context=None):
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context, backlog=200)
    env["WS_" + name] = str(server.sockets[0].getsockname()[1])
    return server


async def main(argv):
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # clients leave in mid-sentence here
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        ours, other = Authority("test CA"), Authority("other CA")
        ca_file = folder / "ca.pem"
        ca_file.write_bytes(ours.cert.public_bytes(serialization.Encoding.PEM))
        (folder / "empty.pem").write_text("nothing\n")
        names = ["127.0.0.1", "localhost", "many.example"]
        keep = []
        env = dict(os.environ, WS_CA=str(ca_file), WS_EMPTY_CA=str(folder / "empty.pem"),
                   WS_REFUSED=str(free_port()), WS_FULL=str(full_listener(keep)))
        keep.append(await listen(serve, env, "PLAIN"))
        for name, issuer, how in (("TLS", ours, {"hosts": names}), ("STRANGE", other, {"hosts": names}),
                                  ("MISNAMED", ours, {"hosts": ["slack.example"]}),
                                  ("EXPIRED", ours, {"hosts": names, "expired": True})):
            pair = issuer.issue(folder, name.lower(), **how)
            keep.append(await listen(serve, env, name, tls(pair)))
        for name, stall in (("SLOWTLS", 0), ("STALLTLS", 300)):
            keep.append(await listen(lambda r, w, s=stall: drip(int(env["WS_TLS"]), s, r, w), env, name))
        keep.append(await listen(proxy, env, "PROXY"))
        mute = socket.socket()  # takes connections, says nothing
        mute.bind(("127.0.0.1", 0))
        mute.listen(50)
        env["WS_MUTE"] = str(mute.getsockname()[1])
        program = await asyncio.create_subprocess_exec(*argv, env=env)
        return await program.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
