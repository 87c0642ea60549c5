# SPDX-License-Identifier: Apache-2.0
"""What Active Directory does and slapd does not: GUIDs as 16 bytes, userAccountControl, members in ranges, result codes
after entries. LDAP over TLS, as little of it as a reader needs (RFC 4511, RFC 2696), a thread a connection.

    with ActiveDirectory(company, authority) as ad:
        ad.url; ad.fault = {"mode": "code", "code": 3, "after": 1}      # after so many answered searches"""

import socketserver
import ssl
import threading
import uuid

BASE = "DC=example,DC=com"
READER, PASSWORD = f"CN=opsd,OU=Services,{BASE}", "ad-horse"
PAGED = b"1.2.840.113556.1.4.319"


def tlv(tag, *parts):
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def number(tag, n):
    return tlv(tag, n.to_bytes(max(1, n.bit_length() // 8 + 1), "big"))


def text(value, tag=4):
    return tlv(tag, value if isinstance(value, bytes) else value.encode())


def parts(body):
    """The elements of a constructed one: [(tag, content)]."""
    out, at = [], 0
    while at < len(body):
        tag, size = body[at], body[at + 1]
        at += 2
        if size & 0x80:
            n = size & 0x7F
            size = int.from_bytes(body[at:at + n], "big")
            at += n
        out.append((tag, body[at:at + size]))
        at += size
    return out


def matches(tag, body, entry):
    if tag in (0xA0, 0xA1):
        found = [matches(t, b, entry) for t, b in parts(body)]
        return all(found) if tag == 0xA0 else any(found)
    if tag == 0xA3:
        (_, name), (_, value) = parts(body)
        return value.lower() in [v.lower() for v in entry.get(name.decode().lower(), ("", []))[1]]
    return tag == 0x87 and (body.lower() == b"objectclass" or body.decode().lower() in entry)


class ActiveDirectory:
    """`ranges`: values of an attribute at once (1500 in the real one)."""

    def __init__(self, company, authority, ranges=3, page=1000):
        self.company, self.ranges, self.page = company, ranges, page
        self.fault, self.searches, self.refs = None, 0, []
        context = authority.context()
        outer = self

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def get_request(self):
                conn, peer = self.socket.accept()
                conn.settimeout(20)
                return context.wrap_socket(conn, server_side=True), peer

            def handle_error(self, request, client_address):
                pass        # a client that went away

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                outer.serve(self.request)

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"ldaps://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    # The directory

    @staticmethod
    def guid(id_):
        return uuid.uuid5(uuid.NAMESPACE_OID, "ad" + id_)

    def dn(self, id_):
        if id_ in self.company.people:
            return f"CN={self.company.people[id_].name},OU=Staff,{BASE}"
        return f"CN={self.company.groups[id_].name},OU=Groups,{BASE}"

    def entries(self):
        """[(dn, {name in lower case: (name, values)})]"""
        out = []
        for p in self.company.people.values():
            out.append((self.dn(p.id), {
                "objectClass": [b"top", b"person", b"user"], "objectCategory": [b"person"], "cn": [p.name.encode()],
                "displayName": [p.name.encode()], "objectGUID": [self.guid(p.id).bytes_le], "mail": [p.email.encode()],
                "userAccountControl": [b"512" if p.state == "active" else b"514"],
                "proxyAddresses": [b"SMTP:" + p.email.encode(), *(b"smtp:" + a.encode() for a in p.aliases),
                                   b"x500:/o=Example"]}))
        for g in self.company.groups.values():
            members = [self.dn(m) for m in g.members] + [self.dn(c) for c in g.groups]
            out.append((self.dn(g.id), {
                "objectClass": [b"top", b"group"], "cn": [g.name.encode()], "sAMAccountName": [g.name.encode()],
                "objectGUID": [self.guid(g.id).bytes_le], "member": [m.encode() for m in members]}))
        return [(dn, {k.lower(): (k, v) for k, v in e.items() if v}) for dn, e in out]

    # The protocol

    def serve(self, sock):
        buf, self_bound = b"", False
        while True:
            try:
                data = sock.recv(65536)
            except (OSError, ssl.SSLError):
                return
            if not data:
                return
            buf += data
            while len(buf) >= 2:
                n = buf[1] & 0x7F if buf[1] & 0x80 else 0
                size = int.from_bytes(buf[2:2 + n], "big") if n else buf[1]
                if len(buf) < 2 + n + size:
                    break
                message, buf = buf[2 + n:2 + n + size], buf[2 + n + size:]
                (_, mid), (op, body), *more = parts(message)
                if op == 0x42:
                    return
                if op == 0x60:
                    (_, _), (_, who), (_, secret) = parts(body)
                    self_bound = (who.decode(), secret.decode()) == (READER, PASSWORD)
                    sock.sendall(self.result(mid, 0x61, 0 if self_bound else 49))
                elif op == 0x63:
                    if not self.search(sock, mid, parts(body), more, self_bound):
                        return

    @staticmethod
    def result(mid, op, code, controls=b"", why=""):
        return tlv(0x30, tlv(2, mid), tlv(op, tlv(0x0A, bytes([code])), text(""), text(why)), controls)

    def search(self, sock, mid, args, more, bound):
        base, scope = args[0][1].decode(), args[1][1][0]
        (filter_tag, filter_body), wanted = args[6], [a.decode() for _, a in parts(args[7][1])]
        self.searches += 1
        if not bound:
            sock.sendall(self.result(mid, 0x65, 1, why="a successful bind must be completed"))
            return True
        rows = [(dn, e) for dn, e in self.entries()
                if (dn.lower() == base.lower() if scope == 0 else dn.lower().endswith(base.lower()))
                and matches(filter_tag, filter_body, e)]
        size, start, controls = 0, 0, b""
        for _, control in [c for t, block in more if t == 0xA0 for c in parts(block)]:
            fields = parts(control)
            if fields[0][1] == PAGED:
                (_, asked), (_, cookie) = parts(parts(fields[-1][1])[0][1])
                size, start = min(int.from_bytes(asked, "big"), self.page), int(cookie or b"0")
        if size:
            after = b"" if start + size >= len(rows) else str(start + size).encode()
            controls = tlv(0xA0, tlv(0x30, text(PAGED), text(tlv(0x30, number(2, 0), text(after)))))
            rows = rows[start:start + size]
        fault = self.fault if self.fault and self.searches > self.fault.get("after", 0) else None
        for dn, entry in rows:
            sock.sendall(self.entry(mid, dn, entry, wanted, fault))
        if fault and fault["mode"] == "close":
            sock.close()
            return False
        sock.sendall(self.result(mid, 0x65, fault["code"] if fault and fault["mode"] == "code" else 0, controls))
        return True

    def entry(self, mid, dn, entry, wanted, fault):
        out = []
        for name in wanted:
            plain, _, option = name.partition(";range=")
            label, values = entry.get(plain.lower(), (plain, None))
            if values is None:
                continue
            start = int(option.partition("-")[0]) if option else 0
            if option or len(values) > self.ranges:
                page, end = values[start:start + self.ranges], start + self.ranges
                if not option:
                    out.append((label, []))     # as AD does: empty beside the range
                last = end >= len(values) and not (fault and fault["mode"] == "circle")
                if fault and fault["mode"] == "circle" and option:
                    start, end = 0, self.ranges
                label, values = f"{label};range={start}-{'*' if last else end - 1}", page
            out.append((label, values))
        return tlv(0x30, tlv(2, mid), tlv(0x64, text(dn), tlv(0x30, *(
            tlv(0x30, text(label), tlv(0x31, *(text(v) for v in values))) for label, values in out))))
