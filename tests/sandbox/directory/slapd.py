# SPDX-License-Identifier: Apache-2.0
"""A real slapd on loopback with a company in it: TLS, paged results with a limit for those who do not page.

    with Slapd(company, authority) as slapd:
        slapd.url, slapd.tls_url        # ldap:// for StartTLS, ldaps://
        slapd.load(company)             # another company in the same place"""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from ports import free_port

PROGRAM, ADD = Path("/usr/sbin/slapd"), Path("/usr/sbin/slapadd")
BASE = "dc=example,dc=com"
READER, PASSWORD = f"cn=opsd,{BASE}", "reader-horse"
CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {home}/slapd.pid
TLSCertificateFile {cert}
TLSCertificateKeyFile {key}
TLSCACertificateFile {ca}
security ssf=128
database mdb
maxsize 268435456
suffix "{base}"
rootdn "cn=root,{base}"
directory {home}/data
dbnosync
limits dn.exact="{reader}" size.soft=3 size.hard=3 size.pr={pr} size.prtotal={prtotal}
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="ou=secret,{base}" by * none
access to * by dn.exact="{reader}" read by * none
"""
SECONDS = 60


def uuid_of(id_):
    """The entryUUID of a person or group of the company."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, id_))


class Slapd:
    def __init__(self, company, authority, pr=1000, prtotal="unlimited"):
        self.home = Path(tempfile.mkdtemp(prefix="opsd-slapd-"))
        authority.context()     # writes the server's certificate and key
        self.config = self.home / "slapd.conf"
        self.config.write_text(CONFIG.format(
            home=self.home, base=BASE, reader=READER, pr=pr, prtotal=prtotal, ca=authority.file,
            cert=authority.folder / f"{authority.mark}-server.pem", key=authority.folder / f"{authority.mark}-server.key"),
            encoding="utf-8")
        self.process = None
        self.port, self.tls_port = free_port(), free_port()
        self.url, self.tls_url = f"ldap://127.0.0.1:{self.port}", f"ldaps://127.0.0.1:{self.tls_port}"
        try:
            self.load(company)
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def load(self, company):
        self.end()
        shutil.rmtree(self.home / "data", ignore_errors=True)
        (self.home / "data").mkdir()
        (self.home / "company.ldif").write_text(self.ldif(company), encoding="utf-8")
        done = subprocess.run([ADD, "-q", "-f", self.config, "-l", self.home / "company.ldif"], capture_output=True,
                              text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", "--", PROGRAM, "-f", self.config, "-d", "0", "-h",
             f"{self.url} {self.tls_url}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.tls_port), 1):
                return self
            assert self.process.poll() is None and time.monotonic() < end, "slapd did not start"
            time.sleep(0.01)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def end(self):
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(SECONDS)
            self.process = None

    def stop(self):
        self.end()
        shutil.rmtree(self.home, ignore_errors=True)

    @staticmethod
    def dn(company, id_):
        if id_ in company.people:
            return f"uid={company.people[id_].email.partition('@')[0]},ou=people,{BASE}"
        return f"cn={company.groups[id_].name},ou=groups,{BASE}"

    def ldif(self, company):
        out = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n",
               f"dn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n",
               f"dn: ou=groups,{BASE}\nobjectClass: organizationalUnit\nou: groups\n",
               f"dn: ou=secret,{BASE}\nobjectClass: organizationalUnit\nou: secret\n",
               f"dn: {READER}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: opsd\n"
               f"userPassword: {PASSWORD}\n"]
        for p in company.people.values():
            mails = "".join(f"mail: {m}\n" for m in [p.email, *p.aliases])
            uids = "".join(f"uid: {x}\n" for x in [p.email.partition("@")[0], *p.logins])
            out.append(f"dn: {self.dn(company, p.id)}\nobjectClass: inetOrgPerson\n{uids}"
                       f"cn: {p.name}\nsn: {p.name}\ndisplayName: {p.name}\n{mails}entryUUID: {uuid_of(p.id)}\n")
        for n, g in enumerate(company.groups.values()):
            if g.posix:
                logins = [company.people[m].email.partition("@")[0] for m in g.members if m in company.people] + g.outside
                lines = "".join(f"memberUid: {x}\n" for x in logins)
                out.append(f"dn: {self.dn(company, g.id)}\nobjectClass: posixGroup\ncn: {g.name}\ngidNumber: {5000 + n}\n"
                           f"{lines}entryUUID: {uuid_of(g.id)}\n")
                continue
            # another spelling of the same names, as directories give them back
            members = [f"member: {self.dn(company, m).replace('uid=', 'UID=').replace(',dc=', ', DC=')}"
                       for m in g.members if m in company.people]
            members += [f"member: {self.dn(company, c)}" for c in g.groups]
            members += [f"member: cn={o},ou=devices,{BASE}" for o in g.outside]
            lines = "\n".join(members or [f"member: cn=nobody,{BASE}"])
            out.append(f"dn: {self.dn(company, g.id)}\nobjectClass: groupOfNames\ncn: {g.name}\n{lines}\n"
                       f"entryUUID: {uuid_of(g.id)}\n")
        return "\n".join(out)
