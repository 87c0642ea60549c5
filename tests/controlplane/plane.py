#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok
for the nodes and pods. TLS, RBAC, service-account tokens; ports from the kernel; everything in one folder that goes with it.

    with ControlPlane() as plane:
        plane.url, plane.ca_file, plane.admin_token, plane.kubeconfig(token)

Run as a program it prints where it is as JSON and lasts until Ctrl-C, SIGTERM or the end of standard input."""

import base64
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from ports import free_port  # noqa: E402
from sandbox.authority import Authority  # noqa: E402

CANNOT = 77             # build.sh: not on this machine
START_TRIES = 5
READY_SECONDS = 60
ADMIN_TOKEN = "admin-token-of-the-tests"
NODES = 2


class Cannot(Exception):
    """There is no control plane on this machine; the text says why."""


class Trouble(Exception):
    pass


def binaries():
    """The folder with the programs, built when they are not there."""
    done = subprocess.run([HERE / "build.sh"], stdout=subprocess.PIPE, text=True, check=False,
                          stderr=None if os.environ.get("VERBOSE") else subprocess.PIPE)
    if done.returncode == CANNOT:
        raise Cannot((done.stderr or "the control plane cannot be built here").strip().splitlines()[-1])
    if done.returncode != 0:
        raise Trouble(f"{HERE / 'build.sh'} failed:\n{done.stderr or ''}")
    return Path(done.stdout.strip())


def pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                             serialization.NoEncryption())


class Process:
    def __init__(self, name, args, folder, env=None):
        self.name, self.log = name, folder / f"{name}.log"
        self.out = open(self.log, "ab")
        self.child = subprocess.Popen(["setpriv", "--pdeathsig=KILL", "--", *map(str, args)], stdin=subprocess.DEVNULL,
                                      stdout=self.out, stderr=self.out, env=env, cwd=folder)

    def alive(self):
        return self.child.poll() is None

    def kill(self):
        self.child.kill()
        self.child.wait()
        self.out.close()

    def tail(self, n=15):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-n:])


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class ControlPlane:
    def __init__(self, folder=None, nodes=NODES, api_flags=()):
        self.bin = binaries()
        self.nodes, self.api_flags = nodes, list(api_flags)
        self.folder = Path(folder or tempfile.mkdtemp(prefix="opsd-controlplane-"))
        self.own = folder is None
        self.processes = {}
        self.admin_token = ADMIN_TOKEN

    # Life

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.write_files()
        for left in range(START_TRIES, 0, -1):
            try:
                return self.start_once()
            except Trouble:
                self.end_all()
                if left == 1:
                    self.stop()
                    raise
        return self

    def stop(self):
        self.end_all()
        if self.own:
            shutil.rmtree(self.folder, ignore_errors=True)

    def end_all(self):
        for name in reversed(list(self.processes)):
            self.processes.pop(name).kill()
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def start_once(self):
        self.ports = {n: free_port() for n in ("etcd", "peer", "api", "manager", "scheduler", "kubelet")}
        self.url = f"https://127.0.0.1:{self.ports['api']}"
        self.write_kubeconfig()
        self.run("etcd", "etcd", self.folder / "data", f"http://127.0.0.1:{self.ports['etcd']}",
                 f"http://127.0.0.1:{self.ports['peer']}")
        self.start_api()
        common = [f"--{x}kubeconfig={self.folder / 'admin.kubeconfig'}" for x in ("", "authentication-", "authorization-")]
        common += ["--leader-elect=false", "--bind-address=127.0.0.1"]
        self.run("kube-controller-manager", "kube-controller-manager", *common, f"--secure-port={self.ports['manager']}",
                 f"--root-ca-file={self.ca_file}", f"--service-account-private-key-file={self.folder / 'sa.key'}",
                 "--use-service-account-credentials=true", "--horizontal-pod-autoscaler-sync-period=2s")
        self.run("kube-scheduler", "kube-scheduler", *common, f"--secure-port={self.ports['scheduler']}")
        self.apply_file(HERE / "crds.yaml")
        self.start_nodes()
        self.until(lambda: self.get("/api/v1/namespaces/default/serviceaccounts/default").status == 200,
                   "the controller manager")
        return self

    def run(self, name, *args, program="controlplane"):
        self.processes[name] = Process(name, [self.bin / program, *args], self.folder)
        return self.processes[name]

    def start_api(self):
        f = self.folder
        self.run("kube-apiserver", "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self.ports['etcd']}",
                 "--bind-address=127.0.0.1", f"--secure-port={self.ports['api']}", "--advertise-address=127.0.0.1",
                 "--endpoint-reconciler-type=none", f"--tls-cert-file={f / 'api.crt'}",
                 f"--tls-private-key-file={f / 'api.key'}", f"--client-ca-file={self.ca_file}",
                 f"--token-auth-file={f / 'tokens.csv'}", "--authorization-mode=RBAC",
                 "--service-cluster-ip-range=10.0.0.0/24", "--allow-privileged=true",
                 "--service-account-issuer=https://kubernetes.default.svc",
                 f"--service-account-key-file={f / 'sa.pub'}", f"--service-account-signing-key-file={f / 'sa.key'}",
                 f"--kubelet-client-certificate={f / 'admin.crt'}", f"--kubelet-client-key={f / 'admin.key'}",
                 "--kubelet-preferred-address-types=InternalIP", f"--audit-policy-file={f / 'audit.yaml'}",
                 f"--audit-log-path={f / 'audit.log'}", *self.api_flags)
        self.until(lambda: self.try_get("/readyz") == 200, "the API server's /readyz")

    def kill_api(self):
        """kill -9, as a machine that dies; its port is free afterwards."""
        self.processes.pop("kube-apiserver").kill()

    def start_nodes(self):
        logs = self.folder / "container.log"
        logs.write_text("".join(f"2026-11-29T10:00:{i:02}.000000000Z stdout F line {i}\n" for i in range(60)))
        stages = (HERE / "stages.yaml").read_text(encoding="utf-8").replace("LOGS", str(logs))
        (self.folder / "stages.yaml").write_text(stages, encoding="utf-8")
        for i in range(self.nodes):
            self.make({"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{i + 1}"}})
        port = self.ports["kubelet"]
        self.run("kwok", f"--kubeconfig={self.folder / 'admin.kubeconfig'}", f"--config={self.folder / 'stages.yaml'}",
                 "--manage-all-nodes=true", "--node-ip=127.0.0.1", f"--node-port={port}",
                 f"--server-address=127.0.0.1:{port}", f"--tls-cert-file={self.folder / 'api.crt'}",
                 f"--tls-private-key-file={self.folder / 'api.key'}", "--node-lease-duration-seconds=40",
                 program="kwok")
        self.until(self.nodes_ready, "ready nodes")

    def nodes_ready(self):
        nodes = self.get("/api/v1/nodes").json["items"]
        good = [n for n in nodes if not n["spec"].get("taints")
                and any(c["type"] == "Ready" and c["status"] == "True" for c in n["status"].get("conditions", []))]
        return len(good) == self.nodes

    def until(self, check, what, timeout=READY_SECONDS):
        end = time.monotonic() + timeout
        while not check():
            dead = [p for p in self.processes.values() if not p.alive()]
            if dead or time.monotonic() > end:
                worst = (dead or list(self.processes.values())[-1:])[0]
                raise Trouble(f"waited for {what}; {worst.name} {'ended' if dead else 'says'}:\n{worst.tail()}")
            time.sleep(0.05)

    # Files

    def certificate(self, authority, name, usage, organization=None, san=None, days=2):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if organization:
            subject.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
        extensions = [(x509.BasicConstraints(False, None), True), (x509.ExtendedKeyUsage(usage), False)]
        if san:
            extensions.append((x509.SubjectAlternativeName(san), False))
        cert = authority.sign(x509.Name(subject), key.public_key(), extensions, days)
        return cert, key

    def write_files(self):
        import ipaddress
        f = self.folder
        authority = Authority(f, "Control Plane CA")
        self.authority, self.ca_file = authority, authority.file
        san = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost"),
               x509.DNSName("kubernetes.default.svc")]
        for mark, made in {
                "api": self.certificate(authority, "kube-apiserver", [ExtendedKeyUsageOID.SERVER_AUTH], san=san),
                "admin": self.certificate(authority, "admin", [ExtendedKeyUsageOID.CLIENT_AUTH], "system:masters")}.items():
            authority.write(f"{mark}.crt", made[0])
            (f / f"{mark}.key").write_bytes(pem(made[1]))
        sa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (f / "sa.key").write_bytes(pem(sa))
        (f / "sa.pub").write_bytes(sa.public_key().public_bytes(serialization.Encoding.PEM,
                                                                serialization.PublicFormat.SubjectPublicKeyInfo))
        (f / "tokens.csv").write_text(f'{ADMIN_TOKEN},admin,1,"system:masters"\n', encoding="ascii")
        (f / "audit.yaml").write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\n"
                                      "rules:\n- level: None\n  userGroups: [system:masters]\n- level: None\n"
                                      "  userGroups: [system:serviceaccounts:kube-system]\n- level: Metadata\n",
                                      encoding="ascii")

    def client_certificate(self, name, organization=None, seconds=172800):
        """PEM texts of a certificate, good for so long, and its key, that the API server takes for a person's."""
        cert, key = self.certificate(self.authority, name, [ExtendedKeyUsageOID.CLIENT_AUTH], organization,
                                     days=seconds / 86400)
        return cert.public_bytes(serialization.Encoding.PEM).decode(), pem(key).decode()

    def write_kubeconfig(self):
        user = {"client-certificate": "admin.crt", "client-key": "admin.key"}
        (self.folder / "admin.kubeconfig").write_text(yaml.safe_dump(self.kubeconfig(user=user)), encoding="utf-8")

    def kubeconfig(self, token=None, user=None):
        """A kubeconfig with the context main, as a dict."""
        return {"apiVersion": "v1", "kind": "Config", "current-context": "main",
                "clusters": [{"name": "main", "cluster": {"server": self.url,
                                                          "certificate-authority": str(self.ca_file)}}],
                "users": [{"name": "opsd", "user": user or {"token": token or ADMIN_TOKEN}}],
                "contexts": [{"name": "main", "context": {"cluster": "main", "user": "opsd"}}]}

    # Requests, as an administrator unless a token is given

    def request(self, method, path, body=None, ctype="application/json", token=ADMIN_TOKEN, timeout=20, headers=None,
                **query):
        context = ssl.create_default_context(cafile=self.ca_file)
        conn = http.client.HTTPSConnection("127.0.0.1", self.ports["api"], timeout=timeout, context=context)
        try:
            if query:
                path += "?" + urlencode(query)
            more = {"Content-Type": ctype} if body is not None else {}
            if token:
                more["Authorization"] = "Bearer " + token
            conn.request(method, path, None if body is None else json.dumps(body),
                         {"Accept": "application/json", **more, **(headers or {})})
            answer = conn.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            conn.close()

    def get(self, path, **query):
        return self.request("GET", path, **query)

    def try_get(self, path):
        try:
            return self.get(path, token=None).status
        except OSError:
            return 0

    def path_of(self, obj, name=True):
        """Where the API keeps an object, by its own discovery."""
        version = obj["apiVersion"]
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        found = [r for r in self.get(prefix).json["resources"] if r["kind"] == obj["kind"] and "/" not in r["name"]]
        if not found:
            raise Trouble(f"{prefix} has no {obj['kind']}")
        ns = obj["metadata"].get("namespace", "default")
        where = f"/namespaces/{ns}" if found[0]["namespaced"] else ""
        return f"{prefix}{where}/{found[0]['name']}" + (f"/{obj['metadata']['name']}" if name else "")

    def make(self, obj):
        """Create an object, or nothing when it is there; its status is taken over too."""
        answer = self.request("POST", self.path_of(obj, name=False), obj, fieldManager="helm")
        if answer.status not in (200, 201, 409):
            raise Trouble(f"{obj['kind']} {obj['metadata'].get('name')}: {answer.status} {answer.body.decode()}")
        return answer

    def apply_file(self, path):
        crds = []
        for obj in yaml.safe_load_all(Path(path).read_text(encoding="utf-8")):
            self.make(obj)
            if obj["kind"] == "CustomResourceDefinition":
                crds.append(f"/apis/{obj['spec']['group']}/{obj['spec']['versions'][0]['name']}")
        for prefix in crds:
            self.until(lambda p=prefix: self.get(p).status == 200, prefix)

    def service_account(self, name, ns, seconds=3600):
        """A service account and a token of it, as a pod gets one."""
        self.make({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": ns, "name": name}})
        answer = self.request("POST", f"/api/v1/namespaces/{ns}/serviceaccounts/{name}/token",
                              {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                               "spec": {"expirationSeconds": seconds}})
        return answer.json["status"]["token"]

    def audit(self, audit_id):
        """What the cluster's own audit log has under this id."""
        out = []
        for line in (self.folder / "audit.log").read_text(encoding="utf-8").splitlines():
            if audit_id in line:
                out.append(json.loads(line))
        return [e for e in out if e["auditID"] == audit_id]


def main():
    stop = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.append(1) or os.close(0))
    os.environ["VERBOSE"] = "1"
    try:
        with ControlPlane() as plane:
            print(json.dumps({"url": plane.url, "ca_file": str(plane.ca_file), "token": plane.admin_token,
                              "kubeconfig": str(plane.folder / "admin.kubeconfig")}), flush=True)
            try:
                while not stop and os.read(0, 4096):
                    pass
            except OSError:
                pass
    except (Cannot, Trouble) as e:
        print(f"control plane: {e}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
