# SPDX-License-Identifier: Apache-2.0
"""The controllers of the stand-in: what a cluster does after a write. Each looks at an object some time after a
change and takes one step; SETTINGS in server.py say how fast."""

import asyncio
import hashlib
import json
import secrets

from . import owners, workloads
from .jobs import Jobs
from .kinds import DAEMON_SET, DEPLOYMENT, EVENT, JOB, NODE, POD, REPLICA_SET, REVISION, STATEFUL_SET
from .quotas import Quotas
from .store import new_uid, now

EVENTS_MAX = 2000
OWNED = (REPLICA_SET, JOB, POD, REVISION)


def short_hash(value):
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return "".join("bcdfghjklmnpqrstvwxz2456789"[b % 27] for b in digest[:10])


class Behave:
    def __init__(self, server):
        self.server = server
        self.timers = {}                # what is due -> its timer
        self.jobs = Jobs(self)
        self.owners = owners.Owners(self)
        self.quotas = Quotas(self)
        self.steps = {DEPLOYMENT.key: workloads.Deployments(self), STATEFUL_SET.key: workloads.StatefulSets(self),
                      DAEMON_SET.key: workloads.DaemonSets(self)}
        self.pods = {}                  # uid of the owner -> names of its pods

    @property
    def store(self):
        return self.server.store

    def settings(self, name):
        return self.server.settings[name]

    def stop(self):
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()

    def later(self, key, ms, call, *args):
        """Once, `ms` from now, unless the same is due already."""
        if key not in self.timers:
            def run():
                self.timers.pop(key, None)
                call(*args)
            self.timers[key] = asyncio.get_running_loop().call_later(ms / 1000, run)

    def on_change(self, event):
        kind, obj = event.item.kind, event.item.obj
        meta = obj["metadata"]
        ns, name = meta.get("namespace", ""), meta["name"]
        gone = event.type == "DELETED"
        if kind.key in self.steps and not gone:
            before = event.before
            if before is None or before["metadata"].get("generation") != meta.get("generation"):
                self.touch(kind, ns, name)
        elif kind is JOB and not gone:
            self.jobs.on_change(obj)
        if gone and kind is POD:
            self.server.logs.forget(ns, name)
            self.lost_pod(ns, name, meta)
        self.owners.on_change(kind, ns, name, event)
        self.quotas.on_change(kind, ns, event)

    def lost_pod(self, ns, name, meta):
        """Somebody deleted a pod of a workload: another takes its place."""
        for owner in meta.get("ownerReferences") or []:
            names = self.pods.get(owner["uid"])
            if not names or name not in names:
                continue
            if owner["kind"] == "ReplicaSet":
                names.remove(name)
                owner = next(iter((self.store.peek(REPLICA_SET, ns, owner["name"]) or {"metadata": {}})["metadata"].get(
                    "ownerReferences") or []), owner)
            for kind in (DEPLOYMENT, STATEFUL_SET):
                if kind.kind == owner["kind"]:
                    self.touch(kind, ns, owner["name"])

    def touch(self, kind, ns, name):
        """Look at a workload soon."""
        if self.settings("workloads") != "off":
            self.later((kind.key, ns, name), self.settings("observe_ms"), self.step, kind, ns, name)

    def step(self, kind, ns, name):
        obj = self.store.peek(kind, ns, name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return
        controller = self.steps[kind.key]
        if self.settings("workloads") == "instant":
            controller.instant(obj)
        elif controller.step(obj):
            self.later((kind.key, ns, name), self.settings("step_ms"), self.step, kind, ns, name)

    # Objects that controllers make

    def make(self, kind, ns, name, owner, labels=None, annotations=None, **rest):
        meta = {"name": name, "namespace": ns, "uid": new_uid(), "creationTimestamp": now(),
                "labels": labels or {}, "ownerReferences": [self.reference(owner)]}
        if annotations:
            meta["annotations"] = annotations
        if "spec" in rest and kind is not POD:
            meta["generation"] = 1
        return self.store.put("ADDED", kind, {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta,
                                              **rest}, None).obj

    @staticmethod
    def reference(owner):
        return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True}

    def owned(self, kind, owner):
        """Objects whose controller is this very object."""
        uid, ns = owner["metadata"]["uid"], owner["metadata"]["namespace"]
        return [o for o in self.store.objects(kind, ns)
                if any(r["uid"] == uid for r in o["metadata"].get("ownerReferences") or [])]

    def collect(self, uid, ns, how):
        """Garbage collection after a delete."""
        self.pods.pop(uid, None)
        if how == "Orphan":
            return
        for kind in OWNED:
            for obj in self.store.objects(kind, ns):
                if any(r["uid"] == uid for r in obj["metadata"].get("ownerReferences") or []):
                    self.store.delete(kind, obj)
                    self.collect(obj["metadata"]["uid"], ns, how)

    def event(self, about, reason, message, type_="Normal", component="deployment-controller"):
        """An Event as the core API keeps it; the same again counts up."""
        meta = about["metadata"]
        ns, at = meta.get("namespace") or "default", now()
        key = hashlib.md5(f"{meta['uid']}{reason}{message}".encode()).hexdigest()[:16]
        name = f"{meta['name']}.{key}"
        old = self.store.peek(EVENT, ns, name)
        if old is not None:
            self.store.edit(EVENT, ns, name, lambda e: e.update(count=e["count"] + 1, lastTimestamp=at))
            return
        if len(self.store.table(EVENT)) >= EVENTS_MAX:
            for old in list(self.store.table(EVENT).values())[:EVENTS_MAX // 4]:
                self.store.delete(EVENT, old.obj)
        self.store.put("ADDED", EVENT, {
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": ns, "uid": new_uid(), "creationTimestamp": at},
            "involvedObject": {"kind": about["kind"], "namespace": ns, "name": meta["name"], "uid": meta["uid"],
                               "apiVersion": about["apiVersion"]},
            "reason": reason, "message": message, "type": type_, "count": 1, "firstTimestamp": at,
            "lastTimestamp": at, "eventTime": None, "source": {"component": component},
            "reportingComponent": component, "reportingInstance": ""}, None)

    # Pods

    def sync_pods(self, owner, total, ready, template, stuck, ordinal_names=False, labels=None):
        """As many pod objects as the workload has, the first `ready` of them ready."""
        meta = owner["metadata"]
        names = self.pods.setdefault(meta["uid"], [])
        total = min(total, self.settings("pods_max"))
        while len(names) > total:
            pod = self.store.peek(POD, meta["namespace"], names.pop())
            if pod:
                self.store.delete(POD, pod)
        while len(names) < total:
            name = f"{meta['name']}-{len(names)}" if ordinal_names else f"{meta['name']}-{secrets.token_hex(3)[:5]}"
            names.append(name)
            spec = json.loads(json.dumps(template["spec"]))
            spec["nodeName"] = self.node(len(names))
            self.make(POD, meta["namespace"], name, owner, {**(template["metadata"].get("labels") or {}),
                                                            **(labels or {})},
                      spec=spec, status=self.pod_status(spec, False, stuck))
        for i, name in enumerate(names):
            pod = self.store.peek(POD, meta["namespace"], name)
            if pod is None:             # somebody deleted it; its name comes back
                pod = self.make(POD, meta["namespace"], name, owner, {**(template["metadata"].get("labels") or {}),
                                                                      **(labels or {})},
                                spec={**json.loads(json.dumps(template["spec"])), "nodeName": self.node(i)},
                                status=self.pod_status(template["spec"], False, stuck))
            want = self.pod_status(pod["spec"], i < ready, stuck)
            want["startTime"] = pod["status"].get("startTime", want["startTime"])
            have = pod["status"]
            if (want["phase"], want["containerStatuses"][0]["state"].keys(), want["conditions"][0]["status"]) != \
                    (have["phase"], have["containerStatuses"][0]["state"].keys(), have["conditions"][0]["status"]):
                self.store.set_status(POD, pod, want)
                if i < ready:
                    self.first_lines(pod)

    def node(self, n):
        """One that takes new pods, in turn; the first when none does."""
        nodes = [o["metadata"]["name"] for o in self.store.objects(NODE) if not o.get("spec", {}).get("unschedulable")]
        return nodes[n % len(nodes)] if nodes else "node-1"

    def first_lines(self, pod):
        meta = pod["metadata"]
        for c in pod["spec"]["containers"]:
            book = self.server.logs.book(meta["namespace"], meta["name"], c["name"])
            if not book.lines:
                book.write(f"{c['name']}: started")
                book.write(f"{c['name']}: ready")

    @staticmethod
    def pod_status(spec, ready, stuck):
        at = now()
        reason = (stuck or {}).get("reason", "ContainerCreating")
        unscheduled = reason == "Unschedulable" and not ready
        runs = ready or reason == "Unready"             # its containers do; the probe says no
        state = {"running": {"startedAt": at}} if runs else \
            {"waiting": {"reason": reason, **({"message": stuck["message"]} if stuck and stuck.get("message") else {})}}
        containers = [{"name": c["name"], "image": c["image"], "imageID": "", "ready": ready, "started": runs,
                       "restartCount": 0, "state": state,
                       "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}
                       if reason == "CrashLoopBackOff" and not ready else {}} for c in spec["containers"]]
        yes, no = "True", "False"
        conditions = [
            {"type": "Ready", "status": yes if ready else no, "lastTransitionTime": at,
             **({} if ready else {"reason": "ContainersNotReady", "message": "containers with unready status: ["
                                  + " ".join(c["name"] for c in spec["containers"]) + "]"})},
            {"type": "PodScheduled", "status": no if unscheduled else yes, "lastTransitionTime": at,
             **({"reason": "Unschedulable", "message": stuck.get("message", "0/3 nodes are available: 3 Insufficient "
                                                                 "cpu.")} if unscheduled else {})}]
        return {"phase": "Running" if runs or reason == "CrashLoopBackOff" else "Pending", "conditions": conditions,
                "startTime": at, "containerStatuses": containers, "hostIP": "10.0.0.1", "qosClass": "BestEffort"}

