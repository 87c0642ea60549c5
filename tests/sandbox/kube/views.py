# SPDX-License-Identifier: Apache-2.0
"""Other forms of the same objects: Table, metadata only, events of both APIs, discovery."""

import time
from calendar import timegm

from .kinds import ALL, BUILTIN_GROUPS, EVENTS_V1, REVIEWS
from .status import dumps

# Accept

PLAIN, TABLE, META, META_LIST, REFUSED = "plain", "table", "meta", "meta_list", "refused"
FORMS = {"Table": TABLE, "PartialObjectMetadata": META, "PartialObjectMetadataList": META_LIST}
ACCEPTED = {}


def form_of(accept):
    """What an Accept header asks for first that is served here."""
    form = ACCEPTED.get(accept)
    if form is None:
        if len(ACCEPTED) > 500:
            ACCEPTED.clear()
        form = ACCEPTED[accept] = read_accept(accept)
    return form


def read_accept(accept):
    if not accept:
        return PLAIN
    for clause in accept.split(","):
        parts = [p.strip() for p in clause.split(";")]
        params = dict(p.partition("=")[::2] for p in parts[1:])
        if parts[0] not in ("application/json", "application/*", "*/*"):
            continue
        if "as" not in params:
            return PLAIN
        if params.get("g") == "meta.k8s.io" and params.get("v") == "v1" and params["as"] in FORMS:
            return FORMS[params["as"]]
        if params["as"] == "APIGroupDiscoveryList" and params.get("v") in ("v2", "v2beta1"):
            return "discovery " + params["v"]
    return REFUSED


# Tables

def column(name, type_="string", priority=0, description=""):
    return {"name": name, "type": type_, "format": "name" if name == "Name" else "", "description": description,
            "priority": priority}


def age(obj):
    made = obj["metadata"].get("creationTimestamp")
    if not made:
        return "<unknown>"
    seconds = int(time.time()) - timegm(time.strptime(made[:19], "%Y-%m-%dT%H:%M:%S"))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(0, seconds)}s"


def st(obj, key, default=0):
    return (obj.get("status") or {}).get(key, default)


def duration(status):
    return "<done>" if status.get("completionTime") else "<running>" if status.get("startTime") else ""


def job_state(o):
    for c in st(o, "conditions", []):
        if c["status"] == "True" and c["type"] in ("Complete", "Failed", "Suspended"):
            return c["type"]
    return "Running"


def template_of(o):
    spec = o["spec"]
    return (spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec)["template"]["spec"]["containers"]


# Of the wide view: what hangs on the pod template.
WIDE = ((("Containers", "string"), ("Images", "string"), ("Selector", "string")), lambda o: [
    ",".join(c["name"] for c in template_of(o)), ",".join(c.get("image", "") for c in template_of(o)),
    ",".join(f"{k}={v}" for k, v in ((o["spec"].get("selector") or {}).get("matchLabels") or {}).items()) or "<none>"])
TABLES = {
    "Deployment": ((("Ready", "string"), ("Up-to-date", "string"), ("Available", "string")), lambda o: [
        f"{st(o, 'readyReplicas')}/{o['spec'].get('replicas', 1)}", st(o, "updatedReplicas"),
        st(o, "availableReplicas")], WIDE),
    "StatefulSet": ((("Ready", "string"),), lambda o: [f"{st(o, 'readyReplicas')}/{o['spec'].get('replicas', 1)}"]),
    "ReplicaSet": ((("Desired", "integer"), ("Current", "integer"), ("Ready", "integer")), lambda o: [
        o["spec"].get("replicas", 1), st(o, "replicas"), st(o, "readyReplicas")]),
    "Pod": ((("Ready", "string"), ("Status", "string"), ("Restarts", "string")), lambda o: [
        f"{sum(c.get('ready', False) for c in st(o, 'containerStatuses', []))}/{len(o['spec']['containers'])}",
        pod_state(o), str(sum(c.get("restartCount", 0) for c in st(o, "containerStatuses", [])))]),
    "ConfigMap": ((("Data", "string"),), lambda o: [len(o.get("data") or {})]),
    "Secret": ((("Type", "string"), ("Data", "integer")), lambda o: [o.get("type", ""), len(o.get("data") or {})]),
    "Job": ((("Status", "string"), ("Completions", "string"), ("Duration", "string")), lambda o: [
        job_state(o), f"{st(o, 'succeeded')}/{o['spec'].get('completions', 1)}", duration(o.get("status") or {})]),
    "CronJob": ((("Schedule", "string"), ("Timezone", "string"), ("Suspend", "boolean"), ("Active", "integer"),
                 ("Last Schedule", "string")),
                lambda o: [o["spec"]["schedule"], o["spec"].get("timeZone") or "<none>",
                           o["spec"].get("suspend", False), len(st(o, "active", [])),
                           st(o, "lastScheduleTime", "<none>")], WIDE),
    "HorizontalPodAutoscaler": ((("Reference", "string"), ("Targets", "string"), ("MinPods", "string"),
                                 ("MaxPods", "string"), ("Replicas", "string")), lambda o: [
        f"{o['spec']['scaleTargetRef']['kind']}/{o['spec']['scaleTargetRef']['name']}", "<unknown>",
        str(o["spec"].get("minReplicas", 1)), o["spec"]["maxReplicas"], st(o, "currentReplicas")]),
    "Namespace": ((("Status", "string"),), lambda o: [st(o, "phase", "Active")]),
}


def pod_state(o):
    if o["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for c in st(o, "containerStatuses", []):
        waiting = (c.get("state") or {}).get("waiting")
        if waiting:
            return waiting["reason"]
    return "Completed" if st(o, "phase") == "Succeeded" else st(o, "phase", "Pending")


def meta_only(obj, kind="PartialObjectMetadata"):
    return {"kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def table(kind, items, list_meta, include):
    columns = [column("Name", description="Name must be unique within a namespace.")]
    more = TABLES.get(kind.kind) if kind.builtin else None
    wide = more[2] if more and len(more) > 2 else ((), lambda o: [])
    if more:
        columns += [column(n, t) for n, t in more[0]] + [column("Age")]
        columns += [column(n, t, 1) for n, t in wide[0]]
    else:
        columns.append(column("Created At" if kind.builtin else "Age", "date"))
    rows = []
    for item in items:
        obj = item.obj
        cells = [obj["metadata"]["name"]]
        cells += more[1](obj) + [age(obj)] + wide[1](obj) if more else [obj["metadata"].get("creationTimestamp")]
        row = {"cells": cells}
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            row["object"] = meta_only(obj)
        rows.append(row)
    return dumps({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_meta,
                  "columnDefinitions": columns, "rows": rows})


def meta_list(items, list_meta):
    return dumps({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": list_meta,
                  "items": [meta_only(i.obj) for i in items]})


# The same event as core/v1 and as events.k8s.io/v1

def new_event(obj):
    """A core event in the words of events.k8s.io/v1."""
    source = obj.get("source") or {}
    return {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": obj["metadata"],
            "eventTime": obj.get("eventTime"), "reportingController": obj.get("reportingComponent", ""),
            "reportingInstance": obj.get("reportingInstance", ""), "reason": obj.get("reason", ""),
            "regarding": obj.get("involvedObject") or {}, "note": obj.get("message", ""),
            "type": obj.get("type", "Normal"), "deprecatedSource": source,
            "deprecatedFirstTimestamp": obj.get("firstTimestamp"),
            "deprecatedLastTimestamp": obj.get("lastTimestamp"), "deprecatedCount": obj.get("count", 1)}


# Discovery

STRATEGIC = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
             "application/apply-patch+yaml")


def kind_ref(kind, name=None, group=None, version=None):
    return {"group": kind.group if group is None else group, "version": version or kind.version,
            "kind": name or kind.kind}


def sub_of(kind, sub):
    """(group, version, kind, verbs) of a subresource."""
    if sub == "scale":
        return "autoscaling", "v1", "Scale", ["get", "patch", "update"]
    if sub == "log":
        return kind.group, kind.version, kind.kind, ["get"]
    return kind.group, kind.version, kind.kind, ["get", "patch", "update"]


def aggregated(core, removed, version):
    """The answer of /api or /apis that names everything at once."""
    groups = {}
    for kind in ALL:
        if kind.key in removed or (kind.group == "") != core:
            continue
        subs = [{"subresource": s, "responseKind": {"group": g, "version": v, "kind": k}, "verbs": verbs}
                for s in kind.subs for g, v, k, verbs in [sub_of(kind, s)]]
        entry = {"resource": kind.plural, "responseKind": kind_ref(kind),
                 "scope": "Namespaced" if kind.namespaced else "Cluster", "singularResource": kind.singular,
                 "verbs": list(kind.verbs), "shortNames": kind.short}
        if subs:
            entry["subresources"] = subs
        groups.setdefault((kind.group, kind.version), []).append(entry)
    if not core:
        for (group, v, plural), name in REVIEWS.items():
            groups.setdefault((group, v), []).append(
                {"resource": plural, "responseKind": {"group": group, "version": v, "kind": name},
                 "scope": "Cluster", "singularResource": name.lower(), "verbs": ["create"]})
    items = [{"metadata": {"name": g, "creationTimestamp": None} if g else {"creationTimestamp": None},
              "versions": [{"version": v, "resources": rs, "freshness": "Current"}]} for (g, v), rs in groups.items()]
    return dumps({"kind": "APIGroupDiscoveryList", "apiVersion": f"apidiscovery.k8s.io/{version}", "metadata": {},
                  "items": items})


def groups(removed):
    seen = {}
    for kind in ALL:
        if kind.group and kind.key not in removed:
            seen.setdefault(kind.group, kind.version)
    for group, version, _ in REVIEWS:
        seen.setdefault(group, version)
    out = []
    for group, version in seen.items():
        v = {"groupVersion": f"{group}/{version}", "version": version}
        out.append({"name": group, "versions": [v], "preferredVersion": v})
    return dumps({"kind": "APIGroupList", "apiVersion": "v1", "groups": out})


def resources(group, version, removed):
    """The plain list of one group and version; None when there is none."""
    out = []
    for kind in ALL:
        if (kind.group, kind.version) != (group, version) or kind.key in removed:
            continue
        out.append({"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
                    "kind": kind.kind, "verbs": list(kind.verbs), "shortNames": kind.short})
        for sub in kind.subs:
            g, v, k, verbs = sub_of(kind, sub)
            entry = {"name": f"{kind.plural}/{sub}", "singularName": "", "namespaced": kind.namespaced, "kind": k,
                     "verbs": verbs}
            if g != kind.group:
                entry.update(group=g, version=v)
            out.append(entry)
    for (g, v, plural), name in REVIEWS.items():
        if (g, v) == (group, version):
            out.append({"name": plural, "singularName": name.lower(), "namespaced": False, "kind": name,
                        "verbs": ["create"]})
    if not out:
        return None
    return dumps({"kind": "APIResourceList", "apiVersion": "v1",
                  "groupVersion": f"{group}/{version}" if group else version, "resources": out})


def has_group(group):
    return group in BUILTIN_GROUPS or any(k.group == group for k in ALL)


def view_of(kind, form):
    """How a stored item is written for a watch or a single answer."""
    if kind is EVENTS_V1:
        return lambda item: dumps(new_event(item.obj))
    if form in (META, META_LIST):
        return lambda item: dumps(meta_only(item.obj))
    return None
