# SPDX-License-Identifier: Apache-2.0
"""opsd's action kinds on a cluster, one step at a time, and the objects that commands/every.yaml speaks of."""

import json
import os
import subprocess
import time
from pathlib import Path

import yaml
from servers import wait
from test_answers import config, cron, job, workload

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("BUILD") or HERE.parent.parent / "build")
COMMANDS = HERE / "commands"
APPLY = "application/apply-patch+yaml"
SECRET = "never-to-be-seen"


def every(space):
    """{use: (kind, with)} of commands/every.yaml, in a namespace."""
    filled = {"{space}": space, "{node}": "node-22", "{value}": SECRET}
    commands = yaml.safe_load((COMMANDS / "every.yaml").read_text(encoding="utf-8"))["commands"]
    out = {}
    for name, command in commands.items():
        kind, given = next(iter(command["do"].items()))
        out[name] = kind, {k: filled.get(v, v) if type(v) is str else v for k, v in given.items()}
    return out


class Driver:
    """`clusters` are those of opsd.yaml."""

    def __init__(self, clusters):
        self.child = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", "--", BUILD / "tests" / "cluster" / "cluster_driver", json.dumps(clusters)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def ask(self, request):
        self.child.stdin.write(json.dumps(request) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        assert line, f"the driver ended with {self.child.wait()} at {request}"
        return json.loads(line)

    def __call__(self, kind, step, given, **more):
        return self.ask({"kind": kind, "step": step, "with": given, **more})

    def watch(self, what, rid):
        """Until all that a progress names can be watched, or cannot."""
        return self.ask({"watch": what, "id": rid})

    def good(self, kind, step, given, **more):
        answer = self(kind, step, given, **more)
        assert "result" in answer, f"{kind} {step} {given}: {answer}"
        return answer["result"]

    def close(self):
        self.child.stdin.close()
        assert self.child.wait(60) == 0


def request_id(number):
    return f"R{number:015d}"


def follow(driver, kind, given, plan, outcome, seconds=120, **more):
    """Looks until it is over; the last progress. The evidence of the outcome stays on record from look to look."""
    end, since, kept = time.monotonic() + seconds, outcome, {"evidence": outcome.get("evidence")}
    while True:
        since = {**driver.good(kind, "follow", given, plan=plan, since=since, **more), **kept}
        if since["state"] not in ("going", "stuck"):
            return since
        assert time.monotonic() < end, f"{kind} {given} is not over: {since}"
        time.sleep(min(since.get("again_ms", 100), 200) / 1000)


def seeds(ns, suffix=""):
    """The objects, each with its collection's path; with a suffix: others of nearly the same name."""
    apps, core = "/apis/apps/v1/namespaces/{ns}/", "/api/v1/namespaces/{ns}/"
    batch, hpa = "/apis/batch/v1/namespaces/{ns}/", "/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers"
    web, queue = workload(name="web" + suffix, replicas=1), workload("StatefulSet", "queue" + suffix, 1, serviceName="queue")
    agent = workload("DaemonSet", "agent" + suffix, None)
    web["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    settings, nightly = config("settings" + suffix), cron("nightly" + suffix)
    scaled = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "scaled" + suffix},
              "spec": {"minReplicas": 1, "maxReplicas": 3,
                       "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "idle"}}}
    keda = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "scaled" + suffix},
            "spec": {"scaleTargetRef": {"name": "idle"}}}
    vpa = {"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": {"name": "web" + suffix},
           "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web" + suffix},
                    "updatePolicy": {"updateMode": "Auto"}}}
    # What Argo CD leaves alone: it says who it is, and its Application says that it changes nothing by itself.
    web["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": f"fleet:apps/Deployment:{ns}/web{suffix}"}
    fleet = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "fleet"},
             "spec": {"project": "default", "destination": {"namespace": ns}, "syncPolicy": {}}}
    # Flux's, in its namespace and in that of the object: none of them changes anything by itself.
    kept = {"suspend": True, "interval": "10m0s"}
    for obj, kind, where in ((queue, "kustomize", "flux-system"), (nightly, "kustomize", ns), (agent, "helm", "flux-system"),
                             (settings, "helm", ns)):
        obj["metadata"].setdefault("labels", {}).update({f"{kind}.toolkit.fluxcd.io/name": "fleet" + suffix,
                                                         f"{kind}.toolkit.fluxcd.io/namespace": where})
    kustomization = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
                     "metadata": {"name": "fleet" + suffix}, "spec": kept}
    release = {**kustomization, "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease"}
    flux = [(f"/apis/{obj['apiVersion']}/namespaces/{where}/{obj['kind'].lower()}s", obj)
            for obj in (kustomization, release) for where in ("flux-system", "{ns}")]
    keys = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys" + suffix}, "data": {"TOKEN": "b2xk"}}
    # A node that nothing comes to by itself, and a pod on it that nobody makes again.
    spare = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "spare"},
             "spec": {"taints": [{"key": "opsd.test/spare", "effect": "NoSchedule"}]}}
    alone = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alone"}, "spec": {
        "nodeName": "spare", "containers": [{"name": "web", "image": "registry.example.com/web:1"}]}}
    nodes = [] if suffix else [("/api/v1/nodes", spare), (core + "pods", alone)]
    return [("/apis/argoproj.io/v1alpha1/namespaces/argocd/applications", fleet), (apps + "deployments", web), ("/apis/autoscaling.k8s.io/v1/namespaces/{ns}/verticalpodautoscalers", vpa), (apps + "statefulsets", queue), (apps + "daemonsets", agent),
            (core + "configmaps", settings), (core + "configmaps", config("shown" + suffix)),
            (hpa, scaled), ("/apis/keda.sh/v1alpha1/namespaces/{ns}/scaledobjects", keda),
            (batch + "cronjobs", nightly), (batch + "jobs", job("spent" + suffix)),
            (batch + "jobs", job("template" + suffix, suspend=True)), (core + "secrets", keys), *flux, *nodes]


def sow(admin, ns, suffix=""):
    """The objects as they are wanted, whatever was done to them. A pod that leaves is waited for; one cannot be made
    before its namespace has its service account."""
    for path, obj in seeds(ns, suffix):
        path = f"{path.replace('{ns}', ns)}/{obj['metadata']['name']}"

        def made(path=path, obj=obj):
            answer = admin("PATCH", path, obj, APPLY, fieldManager="helm", force="true")
            if answer.status == 403 and obj["kind"] == "Pod":
                return False
            assert answer.status in (200, 201), answer.body
            return not answer.json["metadata"].get("deletionTimestamp")
        wait(made, path)
