# SPDX-License-Identifier: Apache-2.0
"""Rollouts: Deployments through their ReplicaSets, StatefulSets and DaemonSets by ordinals. One step at a time;
`step` says whether another is due."""

import math
import time
from calendar import timegm

from .kinds import DAEMON_SET, DEPLOYMENT, NODE, POD, QUOTA, REPLICA_SET, REVISION, STATEFUL_SET
from .patch import clone
from .store import now

SHOWN_ZEROS = ("replicas", "availableReplicas", "collisionCount")     # of a StatefulSet
REVISION_NOTE = "deployment.kubernetes.io/revision"


def no_zeros(status):
    """Counters of nothing are left out, as the server leaves them out."""
    return {k: v for k, v in status.items() if v != 0}


def condition(old, type_, status, reason, message):
    """The condition, with the old times when its status is the same."""
    at = now()
    before = next((c for c in old or [] if c["type"] == type_), None)
    same = before is not None and before["status"] == status
    moved = before is None or before["reason"] != reason or not same
    return {"type": type_, "status": status, "lastUpdateTime": at if moved else before["lastUpdateTime"],
            "lastTransitionTime": before["lastTransitionTime"] if same else at, "reason": reason, "message": message}


def seconds_since(text):
    return time.time() - timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


class Deployments:
    def __init__(self, behave):
        self.b = behave
        self.moving = {}                # uid -> when the newest progress was

    @property
    def store(self):
        return self.b.store

    def instant(self, d):
        n = d["spec"]["replicas"]
        old = d.get("status") or {}
        status = {"observedGeneration": d["metadata"]["generation"], "replicas": n, "updatedReplicas": n,
                  "readyReplicas": n, "availableReplicas": n}
        status["conditions"] = [condition(old.get("conditions"), "Available", "True", "MinimumReplicasAvailable",
                                          "Deployment has minimum availability."),
                                condition(old.get("conditions"), "Progressing", "True", "NewReplicaSetAvailable",
                                          f'ReplicaSet "{d["metadata"]["name"]}" has successfully progressed.')]
        self.store.set_status(DEPLOYMENT, d, no_zeros(status))

    def sets_of(self, d):
        """(the current ReplicaSet or None, the older ones), newest first."""
        from .behave import short_hash
        sets = sorted(self.b.owned(REPLICA_SET, d), key=lambda r: -int(r["metadata"]["annotations"][REVISION_NOTE]))
        if d["spec"].get("paused"):
            return (sets[0] if sets else None), sets[1:], None
        mark = short_hash(d["spec"]["template"])
        current = next((r for r in sets if r["metadata"]["labels"]["pod-template-hash"] == mark), None)
        return current, [r for r in sets if r is not current], mark

    def step(self, d):
        meta, spec = d["metadata"], d["spec"]
        current, older, mark = self.sets_of(d)
        newest = max([int(r["metadata"]["annotations"][REVISION_NOTE]) for r in older] or [0])
        if current is None and mark is not None:
            current = self.new_set(d, mark, newest + 1)
        elif current is not None and mark is not None and \
                int(current["metadata"]["annotations"][REVISION_NOTE]) < newest:
            current = self.renumber(current, newest + 1)        # rolled back: the newest number moves to it
        if current is None:
            return False
        d = self.note_revision(d, current)
        stuck = self.b.server.stuck.get((meta["namespace"], meta["name"]))
        plan = self.plan(spec["replicas"], current, older, stuck)
        refused = self.quota(meta["namespace"], current, plan)
        olds = 0
        for r in older:
            keep = min(r["spec"]["replicas"], plan["old"] - olds)
            olds += keep
            self.resize(r, keep, keep, None)
        self.resize(current, plan["new"], plan["ready"], stuck, refused)
        return self.report(d, current, olds, plan, stuck, refused)

    def new_set(self, d, mark, revision):
        template = clone(d["spec"]["template"])
        labels = {**(template.setdefault("metadata", {}).get("labels") or {}), "pod-template-hash": mark}
        template["metadata"]["labels"] = labels
        notes = {REVISION_NOTE: str(revision), "deployment.kubernetes.io/desired-replicas": str(d["spec"]["replicas"])}
        for key, value in (d["metadata"].get("annotations") or {}).items():
            if key != "kubectl.kubernetes.io/last-applied-configuration" and key not in notes:
                notes[key] = value
        selector = {"matchLabels": {**(d["spec"]["selector"].get("matchLabels") or {}), "pod-template-hash": mark}}
        return self.b.make(REPLICA_SET, d["metadata"]["namespace"], f"{d['metadata']['name']}-{mark}", d, labels, notes,
                           spec={"replicas": 0, "selector": selector, "template": template},
                           status={"replicas": 0, "observedGeneration": 1})

    def renumber(self, r, revision):
        def change(o):
            o["metadata"]["annotations"][REVISION_NOTE] = str(revision)
        return self.store.edit(REPLICA_SET, r["metadata"]["namespace"], r["metadata"]["name"], change).obj

    def note_revision(self, d, current):
        number = current["metadata"]["annotations"][REVISION_NOTE]
        if (d["metadata"].get("annotations") or {}).get(REVISION_NOTE) == number:
            return d

        def change(o):
            o["metadata"].setdefault("annotations", {})[REVISION_NOTE] = number
        return self.store.edit(DEPLOYMENT, d["metadata"]["namespace"], d["metadata"]["name"], change, sub="status").obj

    @staticmethod
    def plan(n, current, older, stuck):
        """Counts after this step: new and old pods, and how many of the new are ready."""
        have = current["spec"]["replicas"]
        ready = (current.get("status") or {}).get("readyReplicas", 0)
        if not stuck:
            ready = have                # those of the last step have come up
        old = sum(r["spec"]["replicas"] for r in older)
        if not old:
            return {"new": n, "old": 0, "ready": min(ready, n)}
        surge, down = math.ceil(n * 0.25), n // 4
        old = max(0, min(old, n - down - ready))
        return {"new": min(n, max(have, n + surge - old)), "old": old, "ready": min(ready, n)}

    def quota(self, ns, current, plan):
        """Pods beyond a ResourceQuota are not made; the refusal's words."""
        wish = plan["new"]
        for q in self.store.objects(QUOTA, ns):
            hard = (q.get("spec") or {}).get("hard") or {}
            limit = hard.get("pods", hard.get("count/pods"))
            if limit is None:
                continue
            others = sum(r["spec"]["replicas"] for r in self.store.objects(REPLICA_SET, ns) if
                         r["metadata"]["uid"] != current["metadata"]["uid"])
            room = max(0, int(limit) - others)
            if plan["new"] > room:
                plan["new"] = max(room, 0)
                plan["ready"] = min(plan["ready"], plan["new"])
                used = others + plan["new"]
                return (f'pods "{current["metadata"]["name"]}-" is forbidden: exceeded quota: {q["metadata"]["name"]}, '
                        f"requested: pods=1, used: pods={used}, limited: pods={limit}"), wish
        return None

    def resize(self, r, total, ready, stuck, refused=None):
        meta = r["metadata"]
        if r["spec"]["replicas"] != total:
            def change(o):
                o["spec"]["replicas"] = total
            r = self.store.edit(REPLICA_SET, meta["namespace"], meta["name"], change).obj
        status = {"replicas": total, "fullyLabeledReplicas": total, "readyReplicas": ready,
                  "availableReplicas": ready, "observedGeneration": r["metadata"].get("generation", 1)}
        status = {k: v for k, v in status.items() if v or k == "replicas"}
        if refused:
            status["conditions"] = [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                                     "message": refused[0], "lastTransitionTime": now()}]
        have = r.get("status") or {}
        if refused and [c.get("message") for c in have.get("conditions") or []] == [refused[0]]:
            status["conditions"] = have["conditions"]
        r = self.store.set_status(REPLICA_SET, r, status)
        self.b.sync_pods(r, total, ready, r["spec"]["template"], stuck)
        if refused:
            self.b.event(r, "FailedCreate", f"Error creating: {refused[0]}", "Warning", "replicaset-controller")
        if stuck and total > ready:
            self.complain(r, stuck)

    def complain(self, r, stuck):
        reason, message = stuck.get("reason", "ImagePullBackOff"), stuck.get("message", "")
        words = {"ImagePullBackOff": ("Failed", message or "Error: ImagePullBackOff"),
                 "CrashLoopBackOff": ("BackOff", message or "Back-off restarting failed container"),
                 "Unschedulable": ("FailedScheduling", message or "0/3 nodes are available: 3 Insufficient cpu.")}
        what, text = words.get(reason, ("Failed", message or reason))
        for name in self.b.pods.get(r["metadata"]["uid"], [])[:3]:
            pod = self.store.peek(POD, r["metadata"]["namespace"], name)
            if pod:
                self.b.event(pod, what, text, "Warning", "kubelet")

    def report(self, d, current, olds, plan, stuck, refused):
        spec, old = d["spec"], d.get("status") or {}
        n, new, ready = spec["replicas"], plan["new"], plan["ready"]
        total, available = new + olds, ready + olds
        done = new == n and ready == n and olds == 0
        status = {"observedGeneration": d["metadata"]["generation"], "replicas": total,
                  "updatedReplicas": 0 if spec.get("paused") and self.differs(d, current) else new,
                  "readyReplicas": available, "availableReplicas": available,
                  "unavailableReplicas": max(0, max(n, total) - available)}
        counts = tuple(status.values())
        uid = d["metadata"]["uid"]
        if self.moving.get(uid, ((), 0))[0] != counts:
            self.moving[uid] = (counts, time.monotonic())
        limit = spec.get("progressDeadlineSeconds", 600)
        late = not done and not spec.get("paused") and (stuck or refused) and \
            time.monotonic() - self.moving[uid][1] >= limit
        conditions, before = [], old.get("conditions")
        enough = available >= n - n // 4
        conditions.append(condition(before, "Available", "True" if enough else "False", "MinimumReplicasAvailable" if
                                    enough else "MinimumReplicasUnavailable", "Deployment has minimum availability." if
                                    enough else "Deployment does not have minimum availability."))
        set_name = current["metadata"]["name"]
        if late:
            conditions.append(condition(before, "Progressing", "False", "ProgressDeadlineExceeded",
                                        f'ReplicaSet "{set_name}" has timed out progressing.'))
        elif done:
            conditions.append(condition(before, "Progressing", "True", "NewReplicaSetAvailable",
                                        f'ReplicaSet "{set_name}" has successfully progressed.'))
        else:
            conditions.append(condition(before, "Progressing", "True", "ReplicaSetUpdated",
                                        f'ReplicaSet "{set_name}" is progressing.'))
        if refused:
            conditions.append(condition(before, "ReplicaFailure", "True", "FailedCreate", refused[0]))
        self.store.set_status(DEPLOYMENT, d, {**no_zeros(status), "conditions": conditions})
        if done:
            self.moving.pop(uid, None)
            return False
        return not late

    def differs(self, d, current):
        from .behave import short_hash
        return short_hash(d["spec"]["template"]) != current["metadata"]["labels"]["pod-template-hash"]


class StatefulSets:
    def __init__(self, behave):
        self.b = behave
        self.members = {}               # uid -> [[revision, ready]] by ordinal

    def instant(self, s):
        n = s["spec"]["replicas"]
        status = {"observedGeneration": s["metadata"]["generation"], "replicas": n, "readyReplicas": n,
                  "currentReplicas": n, "updatedReplicas": n, "availableReplicas": n, "collisionCount": 0,
                  "currentRevision": self.revision(s), "updateRevision": self.revision(s)}
        self.b.store.set_status(STATEFUL_SET, s, {k: v for k, v in status.items() if v or k in SHOWN_ZEROS})

    def revision(self, s):
        from .behave import short_hash
        name = f"{s['metadata']['name']}-{short_hash(s['spec']['template'])}"
        ns = s["metadata"]["namespace"]
        if self.b.store.peek(REVISION, ns, name) is None:
            numbers = [r["revision"] for r in self.b.owned(REVISION, s)]
            labels = {**((s["spec"]["template"].get("metadata") or {}).get("labels") or {}),
                      "controller.kubernetes.io/hash": name.rpartition("-")[2]}
            self.b.make(REVISION, ns, name, s, labels, revision=max(numbers, default=0) + 1,
                        data={"spec": {"template": {**clone(s["spec"]["template"]), "$patch": "replace"}}})
            return name
        newest = max(self.b.owned(REVISION, s), key=lambda r: r["revision"])
        if newest["metadata"]["name"] != name:          # rolled back: the newest number moves to it
            def change(o):
                o["revision"] = newest["revision"] + 1
            self.b.store.edit(REVISION, ns, name, change)
        return name

    def step(self, s):
        meta, spec, n = s["metadata"], s["spec"], s["spec"]["replicas"]
        update = self.revision(s)
        members = self.members.setdefault(meta["uid"], [])
        stuck = self.b.server.stuck.get((meta["namespace"], meta["name"]))
        if not stuck:
            for m in members:
                m[1] = True
        ordered = spec.get("podManagementPolicy") != "Parallel"
        all_ready = all(m[1] for m in members)
        if len(members) > n:
            del members[n if not ordered else max(n, len(members) - 1):]
        elif len(members) < n and (all_ready or not ordered):
            members += [[update, False] for _ in range(1 if ordered else n - len(members))]
        elif all_ready and spec["updateStrategy"].get("type") == "RollingUpdate":
            first = (spec["updateStrategy"].get("rollingUpdate") or {}).get("partition", 0)
            stale = [i for i, m in enumerate(members) if m[0] != update and i >= first]
            if stale:
                members[stale[-1]] = [update, False]
        ready, new = sum(m[1] for m in members), sum(m[0] == update for m in members)
        current = (s.get("status") or {}).get("currentRevision") or update
        if new == len(members) == n and ready == n:
            current = update
        status = {"observedGeneration": meta["generation"], "replicas": len(members), "readyReplicas": ready,
                  "availableReplicas": ready, "updatedReplicas": new, "currentRevision": current,
                  "currentReplicas": sum(m[0] == current for m in members), "updateRevision": update,
                  "collisionCount": 0}
        status = {k: v for k, v in status.items() if v or k in SHOWN_ZEROS}
        s = self.b.store.set_status(STATEFUL_SET, s, status)
        self.b.sync_pods(s, len(members), ready, spec["template"], stuck, True,
                         {"controller-revision-hash": update})
        partition = (spec["updateStrategy"].get("rollingUpdate") or {}).get("partition", 0)
        rolling = spec["updateStrategy"].get("type") == "RollingUpdate"
        done = len(members) == n and ready == n and (not rolling or all(
            m[0] == update for m in members[partition:]))
        return not done and not stuck


class DaemonSets:
    def __init__(self, behave):
        self.b = behave
        self.updated = {}               # uid -> (generation, how many)

    def instant(self, s):
        self.report(s, len(self.b.store.objects(NODE)))

    def step(self, s):
        nodes = len(self.b.store.objects(NODE))
        uid, generation = s["metadata"]["uid"], s["metadata"]["generation"]
        seen, updated = self.updated.get(uid, (0, 0))
        stuck = self.b.server.stuck.get((s["metadata"]["namespace"], s["metadata"]["name"]))
        updated = 0 if seen != generation else updated if stuck else min(nodes, updated + 1)
        self.updated[uid] = (generation, updated)
        self.report(s, updated)
        return updated < nodes and not stuck

    def report(self, s, updated):
        nodes = len(self.b.store.objects(NODE))
        status = {"currentNumberScheduled": nodes, "numberMisscheduled": 0, "desiredNumberScheduled": nodes,
                  "numberReady": nodes, "observedGeneration": s["metadata"]["generation"],
                  "updatedNumberScheduled": updated, "numberAvailable": nodes}
        self.b.store.set_status(DAEMON_SET, s, {k: v for k, v in status.items()
                                                if v or k == "numberMisscheduled"})
