# SPDX-License-Identifier: Apache-2.0
"""Those who own a field besides the person: autoscalers, KEDA, Argo CD."""

from .fields import strip
from .kinds import APPLICATION, HPA, SCALED_OBJECT, named
from .patch import clone, merge
from .store import now

PAUSED, PAUSED_AT = "autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas"
TRACKING = "argocd.argoproj.io/tracking-id"


class Owners:
    def __init__(self, behave):
        self.b = behave
        self.git = {}                   # (kind key, ns, name) -> what Argo CD wants of the object
        self.healed = 0

    @property
    def store(self):
        return self.b.store

    def on_change(self, kind, ns, name, event):
        if kind is HPA or kind is SCALED_OBJECT:
            self.b.later("hpa", self.b.settings("hpa_ms"), self.scale_all)
        if event.type == "DELETED" or not self.git:
            return
        key = (kind.key, ns, name)
        if key in self.git and self.app_of(event.item.obj) and self.differs(key, event.item.obj):
            self.b.later(("argo", key), self.b.settings("argo_ms"), self.heal, kind, ns, name)
            self.mark(self.app_of(event.item.obj), "OutOfSync")

    # Autoscalers

    def scale_all(self):
        hpas = self.store.objects(HPA)
        for hpa in hpas:
            self.scale(hpa)
        for so in self.store.objects(SCALED_OBJECT):
            self.keda(so)
        if hpas or self.store.table(SCALED_OBJECT):
            self.b.later("hpa", self.b.settings("hpa_ms"), self.scale_all)

    def target(self, ref, ns):
        kind = named(ref.get("kind") or "Deployment")
        return kind, self.store.peek(kind, ns, ref["name"])

    def scale(self, hpa):
        ns, spec = hpa["metadata"]["namespace"], hpa["spec"]
        so = (hpa["metadata"].get("labels") or {}).get("scaledobject.keda.sh/name")
        so = so and self.store.peek(SCALED_OBJECT, ns, so)
        kind, target = self.target(spec["scaleTargetRef"], ns)
        if target is None or (so and self.paused(so) is not None):
            return
        have = target["spec"].get("replicas", 1)
        low, high = spec.get("minReplicas", 1), spec["maxReplicas"]
        wanted = have if have == 0 else max(low, min(high, have))
        active = {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound",
                  "message": "the HPA was able to successfully calculate a replica count"}
        if have == 0:
            active = {"type": "ScalingActive", "status": "False", "reason": "ScalingDisabled", "message":
                      "scaling is disabled since the replica count of the target is zero"}
        old = {c["type"]: c for c in (hpa.get("status") or {}).get("conditions") or []}
        before = old.get("ScalingActive", {})
        active["lastTransitionTime"] = before["lastTransitionTime"] if \
            before.get("status") == active["status"] else now()
        self.store.set_status(HPA, hpa, {"currentReplicas": have, "desiredReplicas": wanted, "conditions": [active]})
        if wanted != have:
            self.set_replicas(kind, ns, target, wanted, "kube-controller-manager")
            self.b.event(hpa, "SuccessfulRescale", f"New size: {wanted}; reason: Current number of replicas "
                         f"{'below' if have < low else 'above'} Spec.{'Min' if have < low else 'Max'}Replicas",
                         component="horizontal-pod-autoscaler")

    def set_replicas(self, kind, ns, target, count, manager):
        def change(o):
            o["spec"]["replicas"] = count
        self.store.edit(kind, ns, target["metadata"]["name"], change, manager, "scale")

    @staticmethod
    def paused(so):
        """None: not paused; -1: paused where it is; else the count."""
        notes = so["metadata"].get("annotations") or {}
        if PAUSED_AT in notes:
            return int(notes[PAUSED_AT]) if notes[PAUSED_AT].isdigit() else -1
        return -1 if notes.get(PAUSED) == "true" else None

    def keda(self, so):
        ns = so["metadata"]["namespace"]
        paused = self.paused(so)
        kind, target = self.target(so["spec"]["scaleTargetRef"], ns)
        status = {"hpaName": f"keda-hpa-{so['metadata']['name']}", "conditions": [
            {"type": "Ready", "status": "True"}, {"type": "Active", "status": "True"},
            {"type": "Paused", "status": "False" if paused is None else "True"}]}
        if paused is not None and paused >= 0:
            status["pausedReplicaCount"] = paused
            if target and target["spec"].get("replicas") != paused:
                self.set_replicas(kind, ns, target, paused, "keda-operator")
        self.store.set_status(SCALED_OBJECT, so, status)

    # Argo CD

    def track(self, app, kind, ns, name, manifest=None, force_mark=True):
        """Argo CD's application `app` holds this object; without a manifest Git has what the object has now."""
        obj = self.store.peek(kind, ns, name)
        if obj is None:
            raise ValueError(f"no {kind.kind} {ns}/{name}")
        if manifest is None:
            manifest = {k: clone(v) for k, v in strip(obj).items() if k not in ("metadata", "status")}
        self.git[kind.key, ns, name] = manifest
        mark = f"{app}:{kind.group}/{kind.kind}:{ns}/{name}"
        if force_mark and (obj["metadata"].get("annotations") or {}).get(TRACKING) != mark:
            def change(o):
                o["metadata"].setdefault("annotations", {})[TRACKING] = mark
            self.store.edit(kind, ns, name, change, "argocd-controller")

    def app_of(self, obj):
        mark = (obj["metadata"].get("annotations") or {}).get(TRACKING)
        if not mark:
            return None
        name = mark.partition(":")[0]
        return next((a for a in self.store.objects(APPLICATION) if a["metadata"]["name"] == name), None)

    def ignored(self, app, kind_name):
        out = []
        for rule in app["spec"].get("ignoreDifferences") or []:
            if rule.get("kind") in (None, kind_name):
                out += rule.get("jsonPointers") or []
        return out

    def wanted(self, key, obj):
        manifest = clone(self.git[key])
        app = self.app_of(obj)
        for pointer in self.ignored(app, obj["kind"]) if app else []:
            node, parts = manifest, pointer.strip("/").split("/")
            for part in parts[:-1]:
                node = node.get(part, {}) if type(node) is dict else {}
            if type(node) is dict:
                node.pop(parts[-1], None)
        return manifest

    def differs(self, key, obj):
        new = merge(obj, self.wanted(key, obj))
        return new != obj or (self.b.settings("argo_prune") and self.pruned(key, obj, new) != obj)

    def pruned(self, key, obj, new):
        template = (self.git[key].get("spec") or {}).get("template")
        if template is None:
            return new
        new = clone(new)
        meta = new["spec"]["template"].setdefault("metadata", {})
        notes = ((template.get("metadata") or {}).get("annotations")) or {}
        if notes:
            meta["annotations"] = clone(notes)
        else:
            meta.pop("annotations", None)
        return new

    def heal(self, kind, ns, name):
        key, obj = (kind.key, ns, name), self.store.peek(kind, ns, name)
        app = obj and self.app_of(obj)
        automated = app and (app["spec"].get("syncPolicy") or {}).get("automated")
        if not automated or not automated.get("selfHeal") or automated.get("enabled") is False or \
                key not in self.git:
            return

        def change(o):
            new = merge(o, self.wanted(key, o))
            if self.b.settings("argo_prune"):
                new = self.pruned(key, o, new)
            o.clear()
            o.update(clone(new))
        self.store.edit(kind, ns, name, change, "argocd-controller")
        self.healed += 1
        self.mark(app, "Synced")

    def mark(self, app, state):
        meta = app["metadata"]
        app = self.store.peek(APPLICATION, meta["namespace"], meta["name"])
        if app:
            status = dict(app.get("status") or {})
            status["sync"] = {**(status.get("sync") or {}), "status": state}
            self.store.set_status(APPLICATION, app, status)
