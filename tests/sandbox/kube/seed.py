# SPDX-License-Identifier: Apache-2.0
"""The sandbox's cluster: two tenants with workers and settings, and things that get in the way."""

from .kinds import named
from .store import now

ROLES = (("dev", 2), ("prod", 6))


def template(app, image, **labels):
    return {"metadata": {"labels": {"app": app, **labels}},
            "spec": {"containers": [{"name": "worker", "image": image,
                                     "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}}}]}}


def workload(kind, ns, name, replicas, image="registry.example.com/worker:1.4.2", **more):
    labels = {"app": name, "team": ns}
    return {"kind": kind, "metadata": {"namespace": ns, "name": name, "labels": labels},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     "template": template(name, image, team=ns), **more}}


def job_template(name):
    return {"metadata": {"labels": {"app": name}},
            "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {"app": name}}, "spec": {
                "restartPolicy": "Never", "containers": [{"name": "task", "image": "registry.example.com/task:2.0",
                                                          "command": ["/bin/task"]}]}}}}


def tenant(ns):
    out = [{"kind": "Namespace", "metadata": {"name": ns, "labels": {"opsd/tenant": "true",
                                                                     "kubernetes.io/metadata.name": ns}}}]
    out += [workload("Deployment", ns, f"workers-{role}", n) for role, n in ROLES]
    out.append({"kind": "ConfigMap", "metadata": {"namespace": ns, "name": "settings"},
                "data": {"LOG_LEVEL": "info", "BATCH_SIZE": "500", "FEATURE_X": "off"}})
    out.append({"kind": "Secret", "metadata": {"namespace": ns, "name": "credentials"}, "type": "Opaque",
                "data": {"TOKEN": "b2xkLXRva2Vu"}})
    out.append({"kind": "CronJob", "metadata": {"namespace": ns, "name": "compaction"},
                "spec": {"schedule": "17 3 * * *", "jobTemplate": job_template("compaction")}})
    return out


def objects():
    out = tenant("ads") + tenant("web")
    out += [{"kind": "Namespace", "metadata": {"name": n, "labels": {"kubernetes.io/metadata.name": n}}}
            for n in ("default", "kube-system", "core")]
    out += [{"kind": "Node", "metadata": {"name": f"node-{i}"},
             "status": {"conditions": [{"type": "Ready", "status": "True"}]}} for i in (1, 2, 3)]
    out.append(workload("Deployment", "kube-system", "coredns", 2, "registry.example.com/coredns:1.11"))
    out.append(workload("StatefulSet", "core", "queue", 3, "registry.example.com/queue:3.9", serviceName="queue"))
    return out


def settle(server, kind, obj):
    """The object as it is after a long quiet time: controllers done, no rollout at the start."""
    ns, name = obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
    controller = server.behave.steps.get(kind.key)
    if controller is None or server.settings["workloads"] == "off":
        return
    for _ in range(500):
        obj = server.store.peek(kind, ns, name)
        if server.settings["workloads"] == "instant":
            controller.instant(obj)
            break
        if not controller.step(obj):
            break
    timer = server.behave.timers.pop((kind.key, ns, name), None)
    if timer:
        timer.cancel()


def add(server, obj, manager="helm"):
    """Create an object as if it had always been there; its status is taken over."""
    kind = named(obj["kind"])
    item = server.store.create(kind, {k: v for k, v in obj.items()}, obj["metadata"].get("namespace", ""), manager)
    if "status" in obj:
        server.store.set_status(kind, item.obj, obj["status"])
    settle(server, kind, item.obj)
    return server.store.peek(kind, item.obj["metadata"].get("namespace", ""), item.obj["metadata"]["name"])


def fill(server, wanted=None):
    for obj in objects() if wanted is None else wanted:
        add(server, obj)


# Ready-made obstacles, for the control API's `obstacle`

def argo(server, ns="ads", name="workers-prod", app=None, self_heal=True, ignore=(), kind="Deployment"):
    app = app or f"{ns}-workers"
    automated = {"prune": True, "selfHeal": self_heal}
    if server.store.peek(named("Namespace"), "", "argocd") is None:
        add(server, {"kind": "Namespace", "metadata": {"name": "argocd"}})
    if server.store.peek(named("Application"), "argocd", app) is None:
        add(server, {"kind": "Application", "metadata": {"namespace": "argocd", "name": app},
                     "spec": {"project": "default", "syncPolicy": {"automated": automated},
                              "destination": {"namespace": ns, "server": "https://kubernetes.default.svc"},
                              "ignoreDifferences": [{"group": "apps", "kind": kind, "jsonPointers": list(ignore)}]
                              if ignore else []},
                     "status": {"sync": {"status": "Synced"}, "health": {"status": "Healthy"}}}, "argocd-server")
    server.behave.owners.track(app, named(kind), ns, name)


def flux(server, ns="ads", name="workers-prod", app="tenants", kind="Deployment", interval="10m0s", suspend=False):
    if server.store.peek(named("Namespace"), "", "flux-system") is None:
        add(server, {"kind": "Namespace", "metadata": {"name": "flux-system"}})
    if server.store.peek(named("Kustomization"), "flux-system", app) is None:
        add(server, {"kind": "Kustomization", "metadata": {"namespace": "flux-system", "name": app},
                     "spec": {"interval": interval, "suspend": suspend, "prune": True, "path": "./tenants",
                              "sourceRef": {"kind": "GitRepository", "name": "fleet"}},
                     "status": {"lastAppliedRevision": "main@sha1:" + "1a2b3c4d5e" * 4}})

    def change(o):
        o["metadata"].setdefault("labels", {}).update({"kustomize.toolkit.fluxcd.io/name": app,
                                                       "kustomize.toolkit.fluxcd.io/namespace": "flux-system"})
    server.store.edit(named(kind), ns, name, change, "kustomize-controller")


def hpa(server, ns="ads", name="workers-prod", low=2, high=10, kind="Deployment", labels=None, hpa_name=None):
    add(server, {"kind": "HorizontalPodAutoscaler", "metadata": {"namespace": ns, "name": hpa_name or name,
                                                                 "labels": labels or {}},
                 "spec": {"minReplicas": low, "maxReplicas": high,
                          "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name},
                          "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {
                              "type": "Utilization", "averageUtilization": 70}}}]}})


def keda(server, ns="ads", name="workers-prod", low=2, high=10, kind="Deployment"):
    add(server, {"kind": "ScaledObject", "metadata": {"namespace": ns, "name": name},
                 "spec": {"scaleTargetRef": {"name": name, "kind": kind}, "minReplicaCount": low,
                          "maxReplicaCount": high, "triggers": [{"type": "kafka", "metadata": {}}]},
                 "status": {"hpaName": f"keda-hpa-{name}", "conditions": [{"type": "Paused", "status": "False"}]}})
    hpa(server, ns, name, low, high, kind, {"scaledobject.keda.sh/name": name}, f"keda-hpa-{name}")


def quota(server, ns="ads", pods=10, name="compute"):
    add(server, {"kind": "ResourceQuota", "metadata": {"namespace": ns, "name": name},
                 "spec": {"hard": {"pods": str(pods)}}})
    server.behave.quotas.count(ns)


def pause(server, ns="ads", name="workers-prod", paused=True):
    def change(o):
        o["spec"]["paused"] = paused
    server.store.edit(named("Deployment"), ns, name, change, "somebody")


def controlled(server, ns="ads", name="workers-prod", owner="WorkerFleet", kind="Deployment"):
    """An operator of its own controls the object."""
    def change(o):
        o["metadata"]["ownerReferences"] = [{"apiVersion": "fleet.example.com/v1", "kind": owner, "name": name,
                                             "uid": "0b7f0b0e-0000-4000-a000-000000000001", "controller": True}]
    server.store.edit(named(kind), ns, name, change, "fleet-operator")


def deleting(server, ns="ads", name="workers-prod", kind="Deployment"):
    """The object is being deleted and waits for a finalizer."""
    kind = named(kind)
    old = server.store.peek(kind, ns, name)
    new = {**old, "metadata": {**old["metadata"], "deletionTimestamp": now(), "deletionGracePeriodSeconds": 0,
                               "finalizers": ["example.com/drain"]}}
    server.store.put("MODIFIED", kind, new, old)


OBSTACLES = {f.__name__: f for f in (argo, flux, hpa, keda, quota, pause, controlled, deleting)}
