# SPDX-License-Identifier: Apache-2.0
"""Who opsd is to a real cluster, when the files that say it change: a client certificate, and a token every second."""

import itertools
import json
import os
import subprocess
import threading
import time

import pytest
from driver import BUILD, Driver
from servers import SERVICE, Real, wait

COUNT = itertools.count(1)
SECONDS = int(os.environ.get("SOAK_SECONDS", "0"))      # how long a token is rotated under load


def replace(path, text):
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="ascii")
    fresh.rename(path)


@pytest.fixture
def plane(real):
    if not isinstance(real, Real):
        pytest.skip("certificates are made by a control plane of our own")
    return real.plane


def test_client_certificate_changes(plane, tmp_path):
    """Refused when it has expired, read again, and only whole: never the certificate of one pair with the key of another."""
    cert, key, config = tmp_path / "client.crt", tmp_path / "client.key", tmp_path / "config"
    old, new = plane.client_certificate("opsd", "system:masters", seconds=-60), plane.client_certificate("opsd", "system:masters")
    replace(cert, old[0])
    replace(key, old[1])
    config.write_text(json.dumps(plane.kubeconfig(user={"client-certificate": "client.crt", "client-key": "client.key"})),
                      encoding="ascii")
    driver = Driver({"main": {"kubeconfig": {"file": str(config), "context": "main"}}})

    def ask():
        return driver("kube.list", "apply", {"cluster": "main", "kind": "Namespace"})
    assert "credentials" in ask()["says"]               # expired, and nothing newer
    replace(cert, new[0])
    assert "credentials" in ask()["says"]               # its key is not there yet
    replace(key, new[1])
    assert "result" in ask()
    driver.close()


class Rotation(threading.Thread):
    """A token of the service account each second, each bound to a Secret of its own that goes with the next one: then the
    old token is refused, as soon as the API server's cache of ten seconds has forgotten it."""

    def __init__(self, plane, path):
        super().__init__()
        self.plane, self.path, self.over, self.tokens, self.last = plane, path, threading.Event(), [], None
        self.turn()

    def turn(self):
        ns, name = SERVICE[0], f"token-{next(COUNT)}"
        made = self.plane.request("POST", f"/api/v1/namespaces/{ns}/secrets", {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}})
        assert made.status == 201, made.body
        answer = self.plane.request("POST", f"/api/v1/namespaces/{ns}/serviceaccounts/{SERVICE[1]}/token", {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"boundObjectRef": {
                "apiVersion": "v1", "kind": "Secret", "name": name, "uid": made.json["metadata"]["uid"]}}})
        assert answer.status == 201, answer.body
        self.tokens.append(answer.json["status"]["token"])
        replace(self.path, self.tokens[-1])
        if self.last:
            self.plane.request("DELETE", f"/api/v1/namespaces/{ns}/secrets/{self.last}")
        self.last = name

    def run(self):
        while not self.over.wait(1):
            self.turn()

    def refused(self, token):
        return self.plane.request("GET", f"/api/v1/namespaces/{SERVICE[0]}/configmaps", token=token).status == 401


@pytest.mark.skipif(not SECONDS, reason="SOAK_SECONDS is not set (tests/run.sh --bench)")
def test_token_rotated_every_second(plane, tmp_path):
    path = tmp_path / "token"
    rotation = Rotation(plane, path)
    rotation.start()
    node = {"server": plane.url, "ca_file": str(plane.ca_file), "token_file": str(path)}
    done = subprocess.run([BUILD / "tests" / "cluster" / "cluster_loader", json.dumps(node), SERVICE[0], "10", str(SECONDS)],
                          capture_output=True, text=True, check=False)
    rotation.over.set()
    rotation.join()
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["failed"] == 0, said
    assert len(rotation.tokens) >= SECONDS / 2 and said["done"] > 10 * SECONDS, said
    # They were refused while it ran, all but those of the last seconds.
    assert rotation.refused(rotation.tokens[0])
    wait(lambda: rotation.refused(rotation.tokens[-2]), "the last but one to be refused", 30)
    assert not rotation.refused(rotation.tokens[-1])
    print(f"{said['done']} requests, {len(rotation.tokens)} tokens in {SECONDS} s")
