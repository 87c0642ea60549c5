# SPDX-License-Identifier: Apache-2.0
"""A private certificate authority for tests: what a company has inside, and one that nobody trusts."""

import datetime
import ipaddress
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """`file` is the PEM bundle that a client trusts; `context()` is for a server on 127.0.0.1 or localhost."""

    def __init__(self, folder, name="Sandbox CA"):
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cert = self.sign(named(name), self.key.public_key(), [(x509.BasicConstraints(True, 0), True)])
        self.mark = name.lower().replace(" ", "-")
        self.file = self.write(f"{self.mark}.pem", self.cert)

    def sign(self, subject, public_key, extensions, days=2):
        now = datetime.datetime.utcnow()
        made = (x509.CertificateBuilder().subject_name(subject).issuer_name(named(self.name)).public_key(public_key)
                .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                .not_valid_after(now + datetime.timedelta(days=days)))
        for extension, critical in extensions:
            made = made.add_extension(extension, critical)
        return made.sign(self.key, hashes.SHA256())

    def write(self, name, cert):
        path = self.folder / name
        path.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        return path

    def context(self, hosts=("localhost",), days=2):
        """An SSLContext of a server that this authority vouches for."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *map(x509.DNSName, hosts)]
        cert = self.sign(named("sandbox server"), key.public_key(), [
            (x509.SubjectAlternativeName(names), False), (x509.BasicConstraints(False, None), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)], days)
        cert_file = self.write(f"{self.mark}-server.pem", cert)
        key_file = self.folder / f"{self.mark}-server.key"
        key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                               serialization.NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert_file, key_file)
        return context
