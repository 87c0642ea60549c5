# SPDX-License-Identifier: Apache-2.0
"""How opsd proves to a directory who it is: by a secret, a certificate, a key that the vendor keeps, a token of the cluster."""

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from directory_desk import Desk

from sandbox.directory import Company, DirectoryStandin
from sandbox.directory.tokens import ENTRA_AUDIENCE, Keys
from sandbox.world import LEAKS, binary

HERE = Path(__file__).resolve()
WAYS = [("google", "metadata"), ("google", "federated"), ("graph", "certificate"), ("graph", "federated_token")]


@pytest.fixture
def make(loop, postgres, migrated):
    made = []

    def build(kind, proof, **settings):
        source = DirectoryStandin(Company.small())
        loop.run(source.start())
        desk = Desk(postgres, {"kind": "file"}, template=migrated)
        made.append((source, desk))
        desk.source, desk.company = source, source.company
        desk.write({**source.settings(kind, desk.folder, proof), **settings})
        return desk
    yield build
    for source, desk in made:
        desk.close()
        loop.run(source.stop())


def asked(desk):
    """The questions that led to a token, in order."""
    return [r.partition(" ")[2] for r in desk.source.requests if "/token" in r or "signJwt" in r]


def refused(desk, *texts):
    said = desk.sync(status=4)
    for text in texts:
        assert text in said, f"{text!r} is not in\n{said}"
    assert desk.people() == {}, "nothing was read"
    return said


@pytest.mark.parametrize("kind, proof", WAYS)
def test_whole(make, kind, proof):
    desk = make(kind, proof)
    desk.sync()
    assert set(desk.people()) == set(desk.company.people)
    account = desk.source.account.replace("@", "%40")
    assert asked(desk) == {
        "metadata": ["/metadata/computeMetadata/v1/instance/service-accounts/default/token",
                     f"/iam/v1/projects/-/serviceAccounts/{account}:signJwt", "/google/token"],
        "federated": ["/sts/v1/token", f"/iam/v1/projects/-/serviceAccounts/{account}:signJwt", "/google/token"],
    }.get(proof, ["/graph/tenant-1/oauth2/v2.0/token"])
    assert "Nothing to change" in desk.sync(), "an assertion is never used twice"


@pytest.mark.parametrize("kind, proof, audience", [("google", "federated", None), ("graph", "federated_token", ENTRA_AUDIENCE)])
def test_token_of_the_cluster_is_read_for_each_token(make, kind, proof, audience):
    """The kubelet replaces the file while a long fetch goes on."""
    desk = make(kind, proof)
    file = desk.folder / "cluster.token"
    old, new = file.read_text(), desk.source.cluster_token(audience or f"https:{desk.source.pool}")
    desk.source.faults.append({"mode": "expire", "path": "/users", "times": 1, "then": lambda: file.write_text(new)})
    desk.sync()
    assert desk.source.issued == 2 and desk.source.subject_tokens == [old, new]


def test_certificate_and_key_in_one_file(make):
    desk = make("graph", "certificate")
    whole = (desk.folder / "graph.key").read_text() + (desk.folder / "graph.pem").read_text()
    (desk.folder / "both.pem").write_text(whole, encoding="utf-8")
    del desk.settings["key"]
    desk.write(certificate={"file": "both.pem"})
    desk.sync()
    assert len(desk.people()) == 12


def test_certificate_that_will_not_do(make):
    desk = make("graph", "certificate")
    certificate, keys = desk.folder / "graph.pem", desk.source.keys
    good = certificate.read_text()
    certificate.write_text(Keys().certificate(), encoding="utf-8")
    refused(desk, "directory.sources.company.certificate: the private key is not that of the certificate")
    certificate.write_text(keys.certificate(days=-1), encoding="utf-8")
    refused(desk, "certificate: the certificate has expired")
    certificate.write_text("no certificate", encoding="utf-8")
    refused(desk, "certificate: the certificate cannot be read")
    certificate.write_text(good, encoding="utf-8")
    keys.thumbprint = "another"
    refused(desk, "AADSTS700027", "its certificate is not that of the application")
    assert good not in desk.sync(status=4)


def test_token_of_the_cluster_that_will_not_do(make):
    desk = make("graph", "federated_token")
    (desk.folder / "cluster.token").write_text(desk.source.cluster_token("api://other"), encoding="utf-8")
    said = refused(desk, "AADSTS700213", "no federated credential fits the token")
    assert (desk.folder / "cluster.token").read_text() not in said
    (desk.folder / "cluster.token").unlink()
    refused(desk, "directory.sources.company.federated_token", "cluster.token")
    desk = make("google", "federated")
    (desk.folder / "cluster.token").write_text(desk.source.cluster_token(f"https:{desk.source.pool}", life=-60), encoding="utf-8")
    refused(desk, "the exchange of federated_token: it answers 400", "expired", "its conditions must let the token's subject in")
    desk = make("google", "federated", audience="//iam.googleapis.com/projects/1/other")
    refused(desk, "invalid", "audience must be the provider of the workload identity pool")


def test_google_that_will_not_sign(make):
    desk = make("google", "metadata")
    desk.source.may_sign = False
    refused(desk, "the signature of service_account: it answers 403: Permission 'iam.serviceAccounts.signJwt' denied",
            "roles/iam.serviceAccountTokenCreator")
    desk.source.may_sign, desk.source.machine = True, False
    refused(desk, "the token of the metadata server: it answers 404", "needs a service account (Workload Identity)")
    desk.source.machine = True
    for fault, text in (({"mode": "shape", "path": "/metadata"}, "the answer about who this is holds no access_token"),
                        ({"mode": "shape", "path": "signJwt"}, "the answer of signJwt holds no signedJwt"),
                        ({"mode": "html", "path": "/metadata"}, "it answers 200 with text/html"),
                        ({"mode": "status", "code": 503, "path": "signJwt"}, "tried 2 times")):
        desk.source.faults[:] = [fault]
        refused(desk, text)
    desk.source.faults.clear()
    desk.sync()


def test_metadata_server_is_where_clouds_have_it():
    """http://169.254.169.254, in a network namespace of its own: nothing of this machine is there."""
    if subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespaces here")
    script = f"ip link set lo up && ip address add 169.254.169.254/32 dev lo && exec {sys.executable} -B {HERE}"
    done = subprocess.run(["unshare", "-rn", "sh", "-c", script], check=False, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)})
    assert "google can be read: 4 people and 4 groups" in done.stdout, done.stdout + done.stderr


async def in_a_cloud():
    """opsd check --online there; what it says is for the one who started this."""
    source = await DirectoryStandin(Company.small()).start(metadata=True)
    folder = Path(tempfile.mkdtemp(prefix="opsd-cloud-"))
    settings = source.settings("google", folder, "metadata")
    del settings["metadata_url"]
    (folder / "opsd.yaml").write_text(yaml.safe_dump({
        "slack": {"app_token": {"env": "NONE"}, "bot_token": {"env": "NONE"}, "audit_channel": "C0AUDIT"},
        "database": {"url": {"env": "NONE"}}, "directory": {"sources": {"cloud": settings}}}), encoding="utf-8")
    opsd = await asyncio.create_subprocess_exec(
        binary(), "--config", folder / "opsd.yaml", "check", "--online", stdin=asyncio.subprocess.DEVNULL,
        env={**os.environ, "LSAN_OPTIONS": f"suppressions={LEAKS}:print_suppressions=0"})
    await opsd.wait()
    await source.stop()


@pytest.mark.parametrize("kind, proof, changes, text", [
    ("google", "metadata", {"key": {"file": "x"}}, "set one of both"),
    ("google", "federated", {"audience": None}, "audience is missing"),
    ("google", "metadata", {"service_account": 7}, "service_account is missing"),
    ("google", "metadata", {"metadata_url": "http://metadata.example"}, "http:// is allowed to this machine only"),
    ("google", "federated", {"federated_token": "ey"}, "never the secret itself"),
    ("graph", "certificate", {"client_secret": {"file": "x"}}, "client_secret and certificate: one of both"),
    ("graph", "certificate", {"certificate": None}, "client_secret, certificate or federated_token is missing"),
    ("graph", "federated_token", {"key": {"file": "x"}}, "key is that of a certificate, which is missing"),
    ("graph", "certificate", {"key": "-----BEGIN"}, "never the secret itself"),
])
def test_settings(make, kind, proof, changes, text):
    desk = make(kind, proof)
    desk.settings.update(changes)
    desk.settings = {k: v for k, v in desk.settings.items() if v is not None}
    desk.write()
    said = desk.opsd("check", status=None).said
    assert f"directory.sources.company: {text}" in said or text in said, said
    assert "BAD  directory company" in said, said


if __name__ == "__main__":
    asyncio.run(in_a_cloud())
