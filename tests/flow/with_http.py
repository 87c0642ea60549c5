#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs one test program beside a scripted HTTP server; what it answers is written in the path.

The program finds the server by HTTP_* in its environment.  One server counts per key what reached it, so that
a test can ask how often a request really came.
"""
import asyncio
import collections
import datetime
import ipaddress
import json
import os
import socket
import ssl
import sys
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ports import free_port  # noqa: E402

COUNTS = collections.Counter()
NOW = datetime.datetime.utcnow()


class Authority:
    """A CA that signs what it is asked to."""

    def __init__(self, name):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.cert = self.sign(self.name, self.key.public_key(), ca=True)

    def sign(self, subject, public, ca=False, hosts=("127.0.0.1",), expired=False):
        start, end = (-20, -10) if expired else (-1, 10)
        names = [x509.IPAddress(ipaddress.ip_address(h)) if h[0].isdigit() else x509.DNSName(h)
                 for h in hosts]
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name)
                .public_key(public).serial_number(x509.random_serial_number())
                .not_valid_before(NOW + datetime.timedelta(days=start))
                .not_valid_after(NOW + datetime.timedelta(days=end))
                .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
                .add_extension(x509.SubjectAlternativeName(names), False)
                .sign(self.key, hashes.SHA256()))

    def issue(self, folder, stem, **how):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem)])
        cert = self.sign(subject, key.public_key(), **how)
        paths = [folder / f"{stem}.crt", folder / f"{stem}.key"]
        paths[0].write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM,
                                               serialization.PrivateFormat.PKCS8,
                                               serialization.NoEncryption()))
        return [str(p) for p in paths]


async def read_request(reader):
    line = await reader.readline()
    if not line:
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers = []
    while True:
        line = (await reader.readline()).decode("latin-1").rstrip("\r\n")
        if not line:
            break
        name, _, value = line.partition(":")
        headers.append((name.lower(), value.strip()))
    length = int(dict(headers).get("content-length", "0"))
    body = await reader.readexactly(length)
    return method, target, headers, body


def answer(status, body=b"", extra=()):
    head = [f"HTTP/1.1 {status} Text", f"Content-Length: {len(body)}", *extra, "", ""]
    return "\r\n".join(head).encode() + body


async def chunks(writer, count, pause_ms, then_hang):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for i in range(count):
        piece = f"piece {i}\n".encode()
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(pause_ms / 1000)
    if then_hang:
        await asyncio.sleep(60)
    writer.write(b"0\r\n\r\n")


async def reply(parts, request, nth, writer):
    """False: close the connection."""
    method, target, headers, body = request
    what = parts[0]
    if what == "hello":
        writer.write(answer(200, b"hello"))
    elif what == "echo":
        text = {"method": method, "target": target, "headers": headers, "body": body.decode(),
                "nth": nth}
        writer.write(answer(200, json.dumps(text).encode(), ["X-Two: one", "X-Two:  two"]))
    elif what == "length":
        writer.write(answer(200, str(len(body)).encode()))
    elif what == "status":
        writer.write(answer(int(parts[1]), b"said", ["Location: /hello"]))
    elif what == "retry-after":
        writer.write(answer(429, b"", [f"Retry-After: {parts[1]}"]))
    elif what == "slow":
        await asyncio.sleep(int(parts[1]) / 1000)
        writer.write(answer(200, b"late"))
    elif what == "hang":
        await asyncio.sleep(60)
    elif what == "drop":  # the request was read, no answer comes
        return False
    elif what == "drop-reused":  # the first on a connection is answered, a later one never
        if nth > 1:
            return False
        writer.write(answer(200, b"first"))
    elif what == "part":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
        return False
    elif what == "big":
        writer.write(answer(200, b"x" * int(parts[1])))
    elif what == "endless":
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"y" * 65536)
            await writer.drain()
            await asyncio.sleep(0)  # drain need not, see hostile_ws.py
    elif what == "heads":
        writer.write(answer(200, b"", [f"X-{i}: {'z' * 1000}" for i in range(100)]))
    elif what == "garbage":
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        return False
    elif what == "chunks":
        await chunks(writer, int(parts[1]), int(parts[2]), len(parts) > 3 and parts[3] == "hang")
    elif what == "count":
        writer.write(answer(200, str(COUNTS[parts[1]]).encode()))
    elif what == "continue":
        writer.write(b"HTTP/1.1 100 Continue\r\nX-Early: yes\r\n\r\n" + answer(200, b"after"))
    else:
        writer.write(answer(404, b"no such script"))
    return True


async def serve(reader, writer):
    nth = 0
    try:
        while True:
            request = await read_request(reader)
            if request is None:
                break
            nth += 1
            path, _, query = request[1].partition("?")
            parts = path.strip("/").split("/")
            if query.startswith("key="):
                COUNTS[query[4:]] += 1
            if not await reply(parts, request, nth, writer):
                break
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, ValueError):
        pass
    finally:
        writer.close()


def context(pair, client_ca=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*pair)
    if client_ca:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(client_ca)
    return made


async def main(argv):
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        ours, other = Authority("test CA"), Authority("other CA")
        ca_file = folder / "ca.pem"
        ca_file.write_bytes(ours.cert.public_bytes(serialization.Encoding.PEM))
        client = ours.issue(folder, "client")
        tls = {
            "PLAIN": None,
            "TLS": context(ours.issue(folder, "good")),
            "EXPIRED": context(ours.issue(folder, "expired", expired=True)),
            "MISNAMED": context(ours.issue(folder, "misnamed", hosts=["kube.example"])),
            "STRANGE": context(other.issue(folder, "strange")),
            "MUTUAL": context(ours.issue(folder, "mutual"), str(ca_file)),
        }
        env = dict(os.environ, HTTP_CA=str(ca_file), HTTP_CERT=client[0], HTTP_KEY=client[1],
                   HTTP_REFUSED=str(free_port()))
        servers = []
        for name, ctx in tls.items():
            server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ctx, backlog=1000)
            env["HTTP_" + name] = str(server.sockets[0].getsockname()[1])
            servers.append(server)
        mute = socket.socket()  # takes connections, says nothing
        mute.bind(("127.0.0.1", 0))
        mute.listen(10)
        env["HTTP_MUTE"] = str(mute.getsockname()[1])
        program = await asyncio.create_subprocess_exec(*argv, env=env)
        return await program.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
