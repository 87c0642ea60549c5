# SPDX-License-Identifier: Apache-2.0
"""The servers that the suite speaks to: the stand-in, the real control plane of tests/controlplane, or the cluster that
KUBECONFIG names (CLUSTER=named), each with an administrator, and the service account opsd/opsd with the same rights."""

import json
import os
import sys
import time
import tempfile
from base64 import b64decode
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from controlplane.plane import ControlPlane  # noqa: E402
from sandbox.kube import KubeStandin  # noqa: E402
from sandbox.kube.access import RULES  # noqa: E402
from sandbox.tests.kube_client import Client  # noqa: E402

SERVICE = ("opsd", "opsd")


def role_of_rules(name="opsd-suite"):
    """The stand-in's rules as a ClusterRole and its binding."""
    rules = [{"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
             for group, resources, verbs in RULES]
    return [{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
             "rules": rules},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
             "subjects": [{"kind": "ServiceAccount", "name": SERVICE[1], "namespace": SERVICE[0]}]}]


class Standin:
    name, ca_file, own = "stand-in", None, True

    def __init__(self, loop_thread):
        self.thread = loop_thread

        async def make():
            return await KubeStandin(objects=[], step_ms=5, observe_ms=2, job_run_ms=30, job_start_ms=5, bookmark_ms=200,
                                     version="v1.36.3").start()
        self.server = loop_thread.run(make())
        self.url = self.server.base_url
        self.admin = Client(self.url, "sandbox-admin-token")
        self.service = Client(self.url, self.server.token)
        self.nobody, self.stranger = Client(self.url, None), Client(self.url, "wrong")
        for ns in ("default", "kube-system", SERVICE[0]):
            self.admin("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})

    def compact(self):
        async def forget():
            self.server.store.forget_history()
        self.thread.run(forget())

    def stop(self):
        self.thread.run(self.server.stop())


class Real:
    """Over a ControlPlane of our own."""

    name, own = "control plane", True

    def __init__(self, plane=None):
        self.plane = plane or ControlPlane().start()
        self.plane.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SERVICE[0]}})
        for obj in role_of_rules():
            self.plane.make(obj)
        self.plane.kill_api()       # so that it has a past that it does not know
        self.plane.start_api()
        ca = self.ca_file = str(self.plane.ca_file)
        self.url = self.plane.url
        self.admin = Client(self.url, self.plane.admin_token, ca)
        self.service = Client(self.url, self.plane.service_account(SERVICE[1], SERVICE[0]), ca)
        self.nobody, self.stranger = Client(self.url, None, ca), Client(self.url, "wrong", ca)

    def compact(self):
        """Versions before now are lost, as they are after some minutes."""
        from http.client import HTTPConnection
        version = self.admin.get("/api/v1/namespaces").json["metadata"]["resourceVersion"]
        conn = HTTPConnection("127.0.0.1", self.plane.ports["etcd"], timeout=60)
        conn.request("POST", "/v3/kv/compaction", json.dumps({"revision": version, "physical": True}))
        answer = conn.getresponse()
        assert answer.status == 200, answer.read()
        conn.close()

    def stop(self):
        self.plane.stop()


class Named:
    """The current context of KUBECONFIG; everything that is made there goes again with its namespaces. Not `own`: no
    node and no kind is changed there, and our images cannot be pulled, so that no pod becomes ready."""

    name, own = "named cluster", False

    def __init__(self):
        path = Path(os.environ.get("KUBECONFIG", "").partition(":")[0])
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
        cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
        user = next(u["user"] for u in config["users"] if u["name"] == context["user"])
        self.folder = tempfile.TemporaryDirectory()
        ca = self.ca_file = self.file(path, cluster, "certificate-authority")
        self.url, self.admin = cluster["server"], Client(cluster["server"], user.get("token"), ca)
        if user.get("client-certificate") or user.get("client-certificate-data"):
            self.admin.tls.load_cert_chain(self.file(path, user, "client-certificate"),
                                           self.file(path, user, "client-key"))
        for obj in [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SERVICE[0]}}, *role_of_rules()]:
            kind = {"Namespace": "/api/v1/namespaces"}.get(
                obj["kind"], f"/apis/rbac.authorization.k8s.io/v1/{obj['kind'].lower()}s")
            answer = self.admin("POST", kind, obj)
            assert answer.status in (201, 409), answer.body
        accounts = f"/api/v1/namespaces/{SERVICE[0]}/serviceaccounts"
        self.admin("POST", accounts, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": SERVICE[1]}})
        token = self.admin("POST", f"{accounts}/{SERVICE[1]}/token", {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}).json["status"]["token"]
        self.service = Client(self.url, token, ca)
        self.nobody, self.stranger = Client(self.url, None, ca), Client(self.url, "wrong", ca)

    def file(self, beside, node, key):
        data = node.get(f"{key}-data")
        if not data:
            return str(beside.parent / node[key]) if node.get(key) else None
        path = Path(self.folder.name) / key
        path.write_bytes(b64decode(data))
        return str(path)

    compact = None              # nobody compacts a store that is not theirs

    def stop(self):
        for path in ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/opsd-suite",
                     "/apis/rbac.authorization.k8s.io/v1/clusterroles/opsd-suite", f"/api/v1/namespaces/{SERVICE[0]}"):
            self.admin("DELETE", path)
        self.folder.cleanup()


def wait(check, what, seconds=120):
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(0.03)
