# SPDX-License-Identifier: Apache-2.0
"""The stand-in gives the answers of the real API server: each play is played on both, and what was said is compared."""

import base64
import itertools
import json
import re
import time

import pytest
from kube_client import APPLY, JSON_PATCH, MERGE, STRATEGIC
from servers import wait

NUMBERS = itertools.count(1)
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
ECHO = re.compile(r'Invalid value: "\{.*\}": ')
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
META = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
# Fields of the real server that nothing depends on, or that differ from one run to the next.
LEFT_OUT = ("managedFields", "creationTimestamp", "uid", "resourceVersion", "selfLink")


def plain(value):
    """Without what differs from one run to the next."""
    if type(value) is dict:
        return {k: ("*" if k in LEFT_OUT and type(v) is str else plain(v)) for k, v in value.items()}
    if type(value) is list:
        return [plain(v) for v in value]
    if type(value) is str:
        value = ECHO.sub("Invalid value: <the whole object>: ", value)
        value = re.sub(r"in record \(\d+\)", "in record (<version>)", value)
        return TIME.sub("<time>", UID.sub("<uid>", value))
    return value


def part(value, path):
    """metadata.generation, spec.template.spec.containers.0.image; None where there is none."""
    for step in path.split("."):
        if type(value) is list:
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = value.get(step) if type(value) is dict else None
    return value


class Play:
    """Requests to one server, and what is kept of the answers: all of a refusal, of an object what `see` names."""

    def __init__(self, server, ns):
        self.server, self.ns, self.said = server, ns, []
        self.c = server.admin

    def ask(self, method, path, body=None, ctype="application/json", see=(), who=None, headers=None, **query):
        answer = (who or self.c)(method, self.path(path), body, ctype, headers, **query)
        kept = {"asked": f"{method} {path} {json.dumps(body)[:200] if body else ''} {query or ''}".strip(),
                "status": answer.status}
        kind = (answer.type or "").partition(";")[0]
        if kind == "application/json":
            value = answer.json
            if answer.status >= 400:
                kept["body"] = self.stable(plain(value))
            else:
                kept["see"] = {p: self.stable(plain(part(value, p))) for p in ("kind", "apiVersion", *see)}
        else:
            kept["type"], kept["text"] = kind, answer.body.decode("utf-8", "replace")
        if "warning" in answer.headers:
            kept["warning"] = answer.headers["warning"]
        self.said.append(kept)
        return answer

    def stable(self, value):
        return json.loads(json.dumps(value).replace(self.ns, "<ns>"))

    def path(self, path):
        return path.replace("{ns}", self.ns)

    def quiet(self, method, path, body=None, **more):
        """A request that is not compared."""
        answer = self.c(method, self.path(path), body, **more)
        assert answer.status < 300, (method, path, answer.body)
        return answer.json

    def __getattr__(self, name):
        if name.upper() not in ("GET", "PUT", "POST", "PATCH", "DELETE"):
            raise AttributeError(name)
        return lambda path, *args, **more: self.ask(name.upper(), path, *args, **more)

    def settle(self, path, check, what):
        return wait(lambda: (lambda o: o if check(o) else None)(self.c.get(self.path(path)).json), what)


def workload(kind="Deployment", name="web", replicas=1, image="registry.example.com/web:1", **more):
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "labels": labels},
            "spec": {**({} if replicas is None else {"replicas": replicas}), "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels},
                                  "spec": {"containers": [{"name": "web", "image": image}]}}, **more}}


def config(name="settings", **more):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"LOG": "info", "N": "5"}, **more}


def job(name="task", **more):
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {
        "backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [
            {"name": "task", "image": "registry.example.com/task:1"}]}}, **more}}


def cron(name="nightly", **more):
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": {
        "schedule": "17 3 * * *", "jobTemplate": {"spec": job()["spec"]}, **more}}


def hpa(low=2, high=5, name="web"):
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec": {
        "minReplicas": low, "maxReplicas": high, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment",
                                                                    "name": name}}}


APPS, CORE, BATCH = "/apis/apps/v1/namespaces/{ns}/", "/api/v1/namespaces/{ns}/", "/apis/batch/v1/namespaces/{ns}/"
HPAS = "/apis/autoscaling/v2/namespaces/{ns}/horizontalpodautoscalers"
WEB, SETTINGS = APPS + "deployments/web", CORE + "configmaps/settings"


# The plays

def missing(p):
    p.get(APPS + "deployments/none")
    p.get(CORE + "configmaps/none")
    p.patch(APPS + "deployments/none", {"spec": {"replicas": 1}}, MERGE)
    p.patch(APPS + "deployments/none/scale", {"spec": {"replicas": 1}}, MERGE)
    p.get(APPS + "deployments/none/scale")
    p.delete(BATCH + "jobs/none")
    p.put(CORE + "configmaps/none", config("none"))
    p.get(APPS + "daemonsets/x/scale")
    p.get(APPS + "widgets/x")
    p.get("/apis/nothing.example.com/v1/namespaces/{ns}/things")
    p.get("/nowhere")
    p.post(CORE + "configmaps/settings", config())
    p.delete(CORE + "configmaps/none/status")


def conflict(p):
    made = p.quiet("POST", APPS + "deployments", workload(replicas=0))
    stale, uid = made["metadata"]["resourceVersion"], made["metadata"]["uid"]
    p.quiet("PATCH", WEB, {"metadata": {"annotations": {"a": "b"}}}, ctype=MERGE)
    p.patch(WEB, {"metadata": {"resourceVersion": stale, "uid": uid}, "spec": {"replicas": 0}}, MERGE)
    p.patch(WEB, {"metadata": {"resourceVersion": "1"}}, MERGE)
    p.patch(WEB, {"metadata": {"uid": "0b7f0b0e-0000-4000-a000-000000000001"}, "spec": {"replicas": 0}}, MERGE)
    p.patch(WEB + "/scale", {"metadata": {"resourceVersion": stale}, "spec": {"replicas": 0}}, MERGE)
    p.patch(WEB + "/scale", {"metadata": {"uid": "0b7f0b0e-0000-4000-a000-000000000001"}, "spec": {"replicas": 0}}, MERGE)
    p.put(WEB, {**made, "metadata": {**made["metadata"], "resourceVersion": stale}})
    p.patch(WEB, [{"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}], JSON_PATCH)
    p.post(APPS + "deployments", workload())
    p.delete(WEB, {"preconditions": {"uid": "0b7f0b0e-0000-4000-a000-000000000001"}})
    p.delete(WEB, {"preconditions": {"resourceVersion": "1"}})
    p.delete(WEB, {"preconditions": {"uid": uid}}, see=("status", "details"))


def json_patches(p):
    p.quiet("POST", APPS + "deployments", workload(replicas=0))
    see = ("spec.replicas", "metadata.generation", "spec.template.metadata.annotations")
    p.patch(WEB, [{"op": "test", "path": "/spec/replicas", "value": 9}], JSON_PATCH)
    p.patch(WEB, [{"op": "test", "path": "/spec/replicas", "value": 0},
                  {"op": "replace", "path": "/spec/minReadySeconds", "value": 1}], JSON_PATCH)
    p.patch(WEB, [{"op": "test", "path": "/spec/replicas", "value": 0},
                  {"op": "add", "path": "/spec/minReadySeconds", "value": 1}], JSON_PATCH, see=see)
    p.patch(WEB, [{"op": "add", "path": "/spec/template/metadata/annotations/x", "value": "y"}], JSON_PATCH)
    p.patch(WEB, [{"op": "remove", "path": "/metadata/annotations/none"}], JSON_PATCH)
    p.patch(WEB, [{"op": "test", "path": "/metadata/generation", "value": 1}], JSON_PATCH)
    p.patch(WEB, [{"op": "dance", "path": "/spec/replicas"}], JSON_PATCH)
    p.patch(WEB, {"op": "test"}, JSON_PATCH)
    p.patch(WEB, "[{", JSON_PATCH)
    p.patch(WEB, [], JSON_PATCH, see=see)


def patch_types(p):
    p.quiet("POST", APPS + "deployments", workload(replicas=0))
    p.quiet("POST", CORE + "configmaps", config())
    see = ("spec.template.spec.containers.0.image", "spec.template.spec.containers.1.name", "metadata.generation")
    p.patch(WEB, {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "x:2"}]}}}}, STRATEGIC, see=see)
    p.patch(WEB, {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "x:3"}]}}}}, STRATEGIC, see=see)
    p.patch(WEB, {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "x:2"}]}}}}, MERGE, see=see)
    p.patch(WEB, {"spec": {"replicas": 0}}, "application/json")
    p.patch(WEB, {"spec": {"replicas": 0}}, "text/plain")
    p.patch(WEB, {"spec": {"paused": True}}, MERGE + "; charset=utf-8", see=("spec.paused",))
    p.patch(WEB, {"spec": {"replicas": 0}}, MERGE, force="true")
    p.patch(WEB, "{", MERGE)
    p.patch(WEB, [1], MERGE)
    p.patch(WEB, {"metadata": {"name": "other"}}, MERGE)
    p.patch(WEB, {"metadata": {"namespace": "other"}}, MERGE)
    p.patch(SETTINGS, {"data": {"N": None, "M": "6"}}, MERGE, see=("data",))
    p.patch(SETTINGS, {}, MERGE, see=("data",))


def custom(p):
    so = "/apis/keda.sh/v1alpha1/namespaces/{ns}/scaledobjects"
    p.quiet("POST", so, {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "web"},
                         "spec": {"scaleTargetRef": {"name": "web"}}})
    p.patch(so + "/web", {"spec": {}}, STRATEGIC)
    p.patch(so + "/web", {"metadata": {"annotations": {"autoscaling.keda.sh/paused": "true"}}}, MERGE,
            see=("metadata.annotations", "metadata.generation"))
    p.put(so + "/web", {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "web"}})
    p.get(so + "/none")
    p.get(so + "/web/scale")


def apply(p):
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1", "b": "2"}}
    at = CORE + "configmaps/applied"
    p.patch(at, body, APPLY)
    p.patch(at, body, APPLY, see=("data",), fieldManager="one")
    p.patch(at, body, APPLY, see=("data",), fieldManager="one")
    p.patch(at, {**body, "data": {"a": "3"}}, APPLY, fieldManager="two")
    p.patch(at, {**body, "data": {"a": "3", "b": "4"}}, APPLY, fieldManager="two")
    p.patch(at, {**body, "data": {"a": "3"}}, APPLY, see=("data",), fieldManager="two", force="true")
    p.patch(at, {**body, "data": {"b": "2"}}, APPLY, see=("data",), fieldManager="one")
    p.patch(CORE + "configmaps/gone", {**body, "metadata": {"name": "gone", "uid": "0b7f0b0e-0000-4000-a000-000000000001"}},
            APPLY, fieldManager="one")
    p.patch(at, {**body, "metadata": {"name": "other"}}, APPLY, fieldManager="one")
    p.patch(at, {"kind": "ConfigMap", "metadata": {"name": "applied"}}, APPLY, fieldManager="one")
    p.patch(at, {**body, "dat": {}}, APPLY, fieldManager="one", fieldValidation="Strict")


def validation(p):
    p.quiet("POST", APPS + "deployments", workload(replicas=0))
    p.quiet("POST", APPS + "statefulsets", workload("StatefulSet", "queue", 0, serviceName="queue"))
    p.quiet("POST", CORE + "configmaps", config())
    p.quiet("POST", CORE + "configmaps", config("fixed", immutable=True))
    p.quiet("POST", HPAS, hpa())
    p.patch(WEB, {"spec": {"replicas": -1}}, MERGE)
    p.patch(WEB + "/scale", {"spec": {"replicas": -1}}, MERGE)
    p.patch(WEB, {"spec": {"replicas": "five"}}, MERGE)
    p.patch(WEB, {"spec": {"selector": {"matchLabels": {"app": "other"}}}}, MERGE)
    p.patch(WEB, {"spec": {"template": {"spec": {"containers": []}}}}, MERGE)
    p.patch(WEB, {"spec": {"template": {"metadata": {"labels": {"app": "other"}}}}}, MERGE)
    p.patch(APPS + "statefulsets/queue", {"spec": {"serviceName": "other"}}, MERGE)
    p.patch(SETTINGS, {"data": {"PORT": 8080}}, MERGE)
    p.patch(SETTINGS, {"data": {"bad key": "x"}}, MERGE)
    p.patch(SETTINGS, {"data": {"BIG": "x" * (1 << 20)}}, MERGE)
    p.patch(CORE + "configmaps/fixed", {"data": {"LOG": "debug"}}, MERGE)
    p.patch(CORE + "configmaps/fixed", {"immutable": False}, MERGE)
    p.patch(HPAS + "/web", {"spec": {"minReplicas": 9}}, MERGE)
    p.patch(HPAS + "/web", {"spec": {"minReplicas": 0}}, MERGE)
    p.patch(HPAS + "/web", {"spec": {"minReplicas": 0, "maxReplicas": 0}}, MERGE)
    p.post(APPS + "deployments", workload(name="Bad_Name"))
    p.post(CORE + "configmaps", config(""))
    p.post(BATCH + "cronjobs", cron(schedule="often"))
    p.post(BATCH + "cronjobs", cron(concurrencyPolicy="Maybe"))
    p.post(BATCH + "cronjobs", cron("n" * 53))


def jobs(p):
    body = job()
    del body["spec"]["template"]["spec"]["restartPolicy"]
    p.post(BATCH + "jobs", body)
    body["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    p.post(BATCH + "jobs", body)
    p.post(BATCH + "jobs", job("j" * 64))
    p.post(BATCH + "jobs", job(suspend=True), see=("spec.suspend", "spec.backoffLimit", "spec.parallelism",
                                                   "spec.completions", "metadata.generation"))
    p.post(BATCH + "jobs", job())
    p.patch(BATCH + "jobs/task", {"spec": {"completions": 7}}, MERGE)
    p.delete(BATCH + "jobs/task", {"propagationPolicy": "Background"}, see=("status", "details", "metadata.name"))


def strictness(p):
    p.quiet("POST", APPS + "deployments", workload(replicas=0))
    p.quiet("POST", CORE + "configmaps", config())
    p.patch(WEB, {"spec": {"replica": 3}}, MERGE, fieldValidation="Strict")
    p.patch(WEB, {"spec": {"replica": 3}}, MERGE, see=("metadata.generation",))
    p.patch(WEB, {"spec": {"replica": 3}}, MERGE, see=("metadata.generation",), fieldValidation="Ignore")
    p.patch(WEB, {"spec": {"replica": 3}}, MERGE, fieldValidation="Maybe")
    p.patch(SETTINGS, {"date": {"x": "y"}}, MERGE, fieldValidation="Strict")
    p.patch(WEB, {"spec": {"replica": 3}}, STRATEGIC, fieldValidation="Strict")
    p.post(CORE + "configmaps", {**config("strict"), "dat": {}}, fieldValidation="Strict")
    p.post(CORE + "configmaps", {**config("loose"), "dat": {}}, see=("data",))
    p.patch(WEB, {"spec": {"replicas": 0}}, MERGE, fieldManager="m" * 129)
    p.patch(WEB, {"spec": {"replicas": 0}}, MERGE, fieldManager="a\nb")
    p.patch(WEB, {"spec": {"replicas": 0}}, MERGE, dryRun="Some")
    p.post(CORE + "configmaps", "{", headers={})
    p.post(CORE + "configmaps", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}})
    p.post(CORE + "configmaps", {"metadata": {"name": "untyped"}}, see=("metadata.name",))
    p.post(CORE + "configmaps", {**config("else"), "metadata": {"name": "else", "namespace": "other"}})


def dry_run(p):
    before = p.quiet("POST", APPS + "deployments", workload(replicas=0))
    p.patch(WEB, {"spec": {"replicas": 4}}, MERGE, see=("spec.replicas", "metadata.generation"), dryRun="All")
    p.patch(WEB + "/scale", {"spec": {"replicas": 4}}, MERGE, see=("spec",), dryRun="All")
    p.patch(WEB, {"spec": {"replicas": -4}}, MERGE, dryRun="All")
    p.post(CORE + "configmaps", config(), see=("data",), dryRun="All")
    p.get(SETTINGS)
    p.delete(WEB, see=("status", "details", "metadata.name"), dryRun="All")
    after = p.quiet("GET", WEB)
    assert after["spec"] == before["spec"] and after["metadata"]["generation"] == before["metadata"]["generation"]


def scale(p):
    p.quiet("POST", APPS + "deployments", workload(replicas=0))
    p.quiet("POST", APPS + "statefulsets", workload("StatefulSet", "queue", 0, serviceName="queue"))
    whole = ("metadata.name", "metadata.namespace", "spec", "status")
    scale = p.get(WEB + "/scale", see=whole).json
    p.get(APPS + "statefulsets/queue/scale", see=whole)
    p.patch(WEB + "/scale", {"spec": {"replicas": 3}}, MERGE, see=("spec",), fieldManager="opsd")
    p.get(WEB, see=("spec.replicas", "metadata.generation"))
    p.put(WEB + "/scale", {**scale, "spec": {"replicas": 1}})
    p.settle(WEB, lambda o: part(o, "status.availableReplicas") == 3 and part(o, "status.observedGeneration") == 2, "3")
    fresh = p.quiet("GET", WEB + "/scale")
    p.put(WEB + "/scale", {**fresh, "spec": {"replicas": 0}}, see=("spec",))
    p.get(WEB + "/scale", see=("spec",))
    p.post(WEB + "/scale", scale)
    p.delete(WEB + "/scale")
    p.patch(WEB + "/scale", {"spec": {"replicas": 2}}, STRATEGIC, see=("spec",))
    p.patch(WEB + "/scale", [{"op": "test", "path": "/spec/replicas", "value": 2},
                             {"op": "replace", "path": "/spec/replicas", "value": 1}], JSON_PATCH, see=("spec",))


def managers(p):
    def owned(path):
        fields = p.quiet("GET", path)["metadata"]["managedFields"]
        rows = [{k: f.get(k) for k in ("manager", "operation", "subresource", "apiVersion", "fieldsType", "fieldsV1")}
                for f in fields if f.get("subresource") != "status"]
        p.said.append({"managers": sorted(rows, key=json.dumps)})
    p.quiet("POST", APPS + "deployments", workload(replicas=0), fieldManager="helm")
    p.settle(WEB, lambda o: part(o, "status.observedGeneration") == 1, "the controller")
    owned(WEB)
    p.quiet("PATCH", WEB, {"spec": {"replicas": 1}}, ctype=MERGE, fieldManager="opsd")
    owned(WEB)
    p.quiet("PATCH", WEB + "/scale", {"spec": {"replicas": 0}}, ctype=MERGE, fieldManager="hpa")
    owned(WEB)
    p.quiet("PATCH", WEB, {"metadata": {"annotations": {"x": "y"}}}, ctype=MERGE)      # by the User-Agent
    owned(WEB)
    p.quiet("POST", CORE + "configmaps", config(), fieldManager="helm")
    p.quiet("PATCH", SETTINGS, {"data": {"N": None, "M": "1"}}, ctype=MERGE, fieldManager="opsd")
    owned(SETTINGS)
    p.quiet("PATCH", SETTINGS, {"apiVersion": "v1", "kind": "ConfigMap", "data": {"A": "1"}}, ctype=APPLY,
            fieldManager="argo")
    owned(SETTINGS)


def tables(p):
    p.quiet("POST", CORE + "configmaps", config())
    p.quiet("POST", APPS + "deployments", workload(replicas=0))
    p.quiet("POST", BATCH + "cronjobs", cron())
    for path in (CORE + "configmaps", APPS + "deployments", BATCH + "cronjobs", HPAS):
        table = p.get(path, headers={"Accept": TABLE}, fieldSelector="metadata.name!=kube-root-ca.crt").json
        p.said.append({"columns": [{k: c[k] for k in ("name", "type", "format", "priority")}
                                   for c in table.get("columnDefinitions") or []],
                       "names": [r["cells"][0] for r in table.get("rows") or []],
                       "objects": [r["object"]["kind"] for r in table.get("rows") or []]})
    one = p.get(WEB, headers={"Accept": TABLE}, see=("rows.0.object.kind",)).json
    p.said.append({"cells": one["rows"][0]["cells"][:4]})
    p.get(WEB, headers={"Accept": META}, see=("metadata.name", "metadata.labels", "spec"))
    p.get(APPS + "deployments", headers={"Accept": META.replace("Metadata;", "MetadataList;")}, see=("items.0.kind",))
    p.get(WEB, headers={"Accept": TABLE}, includeObject="Everything")
    p.get(WEB, headers={"Accept": "text/plain"})


def selectors(p):
    for name, tier in (("a", "front"), ("b", "back"), ("c", "back")):
        p.quiet("POST", CORE + "configmaps", {**config(name), "metadata": {"name": name, "labels": {"tier": tier}}})
    for query in ({"labelSelector": "tier=back"}, {"labelSelector": "tier in (front,back),tier!=front"},
                  {"labelSelector": "!none,tier"}, {"fieldSelector": "metadata.name=a"},
                  {"fieldSelector": "metadata.name!=a"}, {"labelSelector": "tier=back", "fieldSelector": "metadata.name=c"}):
        names = [i["metadata"]["name"] for i in p.get(CORE + "configmaps", **query).json["items"]]
        p.said.append({"names": [n for n in names if n != "kube-root-ca.crt"]})
    p.get(CORE + "configmaps", fieldSelector="data.LOG=info")
    p.get(APPS + "deployments", fieldSelector="spec.replicas=1")
    p.get(CORE + "configmaps", labelSelector="tier in (")
    p.get(CORE + "configmaps", labelSelector="tier=a b")
    p.get(CORE + "configmaps", fieldSelector="metadata.name~a")
    p.get(CORE + "pods", fieldSelector="spec.nodeName=node-1,status.phase!=Running", see=("items",))


def paging(p):
    for name in ("a", "b", "c", "d", "e"):
        p.quiet("POST", CORE + "configmaps", {**config(name), "metadata": {"name": name, "labels": {"page": "yes"}}})
    at = CORE + "configmaps"
    first = p.get(at, labelSelector="page=yes", limit=2).json
    p.said.append({"names": [i["metadata"]["name"] for i in first["items"]],
                   "left": first["metadata"].get("remainingItemCount")})
    second = p.get(at, labelSelector="page=yes", limit=2, **{"continue": first["metadata"]["continue"]}).json
    rest = p.get(at, labelSelector="page=yes", limit=9, **{"continue": second["metadata"]["continue"]}).json
    p.said.append({"names": [i["metadata"]["name"] for i in second["items"] + rest["items"]],
                   "more": "continue" in rest["metadata"],
                   "same version": rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]})
    p.get(at, limit=2, **{"continue": "nonsense"})
    p.get(at, limit="two")
    p.get(at, resourceVersion="old")
    # A page of then, not of now.
    p.quiet("PATCH", at + "/e", {"data": {"LOG": "later"}}, ctype=MERGE)
    old = p.get(at, labelSelector="page=yes", limit=9, **{"continue": second["metadata"]["continue"]}).json
    p.said.append({"then": [i["data"]["LOG"] for i in old["items"]]})


def expired(p):
    if p.server.compact is None:
        pytest.skip("no store of ours")
    for name in ("a", "b", "c"):
        p.quiet("POST", CORE + "configmaps", {**config(name), "metadata": {"name": name, "labels": {"page": "yes"}}})
    at = CORE + "configmaps"
    p.server.compact()
    token = base64.urlsafe_b64encode(b'{"v":"meta.k8s.io/v1","rv":1,"start":"a\\u0000"}').decode().rstrip("=")
    gone = p.c.get(p.path(at), labelSelector="page=yes", limit=1, **{"continue": token})
    body = gone.json
    p.said.append({"status": gone.status, "reason": body.get("reason"), "message": body["message"],
                   "goes on": bool(body["metadata"].get("continue"))})
    again = p.get(at, labelSelector="page=yes", **{"continue": body["metadata"]["continue"]}).json
    p.said.append({"names": [i["metadata"]["name"] for i in again["items"]]})
    gone = p.c.stream(p.path(at), watch="1", resourceVersion="1")       # inside a good answer
    event = gone.event()
    gone.close()
    p.said.append({"too old": event["type"], "kind": event["object"]["kind"], "code": event["object"].get("code"),
                   "reason": event["object"].get("reason"),
                   "message": re.sub(r"\d+", "N", event["object"].get("message", ""))})


def watches(p):
    at = CORE + "configmaps"
    p.quiet("POST", at, {**config("w"), "metadata": {"name": "w", "labels": {"seen": "yes"}}})
    version = p.quiet("GET", at)["metadata"]["resourceVersion"]

    def hear(events, **query):
        stream = p.c.stream(p.path(at), watch="1", **query)
        try:
            heard = [stream.event() for _ in range(events)]
        finally:
            stream.close()
        p.said.append({"heard": [(e["type"], part(e, "object.kind"), part(e, "object.metadata.name"),
                                  part(e, "object.data.LOG")) for e in heard]})
        return heard
    p.quiet("PATCH", at + "/w", {"data": {"LOG": "debug"}}, ctype=MERGE)
    p.quiet("PATCH", at + "/w", {"metadata": {"labels": {"seen": "no"}}}, ctype=MERGE)
    p.quiet("PATCH", at + "/w", {"data": {"LOG": "trace"}}, ctype=MERGE)
    p.quiet("DELETE", at + "/w")
    hear(4, resourceVersion=version, fieldSelector="metadata.name=w")
    hear(2, resourceVersion=version, labelSelector="seen=yes")          # leaves the selector: DELETED
    p.quiet("POST", at, config("x"))
    hear(1, fieldSelector="metadata.name=x")                            # the present first
    hear(1, fieldSelector="metadata.name=x", resourceVersion="0")
    p.get(at, watch="1", resourceVersion="old")
    t = time.monotonic()
    short = p.c.stream(p.path(at), watch="1", timeoutSeconds="1", resourceVersion=version, labelSelector="none=x")
    ended = short.line()
    p.said.append({"ends with": ended.decode(), "in time": time.monotonic() - t < 60})
    table = p.c("GET", p.path(CORE + "secrets"), headers={"Accept": "application/json"}, watch="1", timeoutSeconds="1",
                fieldSelector="metadata.name=none")
    p.said.append({"type": table.type, "length": table.headers.get("content-length"),
                   "chunked": table.headers.get("transfer-encoding")})


def permissions(p):
    bot, s = p.server.service, p.server
    p.quiet("POST", CORE + "configmaps", config())
    p.get(CORE + "secrets", who=bot)
    p.get(CORE + "secrets/x", who=bot)
    p.post(CORE + "configmaps", config("mine"), who=bot)
    p.delete(SETTINGS, who=bot)
    p.patch(SETTINGS, {"data": {"LOG": "warn"}}, MERGE, who=bot, see=("data",))
    p.delete("/api/v1/nodes/node-1", who=bot)
    p.get(CORE + "configmaps/none", who=bot)
    p.get(SETTINGS, who=s.stranger)
    p.get(SETTINGS, who=s.nobody)
    p.get(SETTINGS, who=bot, headers={"Impersonate-User": "ana"})
    p.get(SETTINGS, who=bot, headers={"Impersonate-Group": "people"})
    p.get(SETTINGS, headers={"Impersonate-User": "ana", "Impersonate-Group": "people"})
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    for verb, group, resource, sub in (("patch", "apps", "deployments", "scale"), ("delete", "apps", "deployments", ""),
                                       ("get", "", "pods", "log")):
        spec = {"resourceAttributes": {"namespace": p.ns, "verb": verb, "group": group, "resource": resource,
                                       "subresource": sub}}
        p.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {**review, "spec": spec}, who=bot,
               see=("status.allowed",))
    p.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {
        "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}, who=bot,
        see=("status.userInfo.username", "status.userInfo.groups"))


def quota(p):
    p.quiet("POST", CORE + "resourcequotas", {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "compute"},
                                              "spec": {"hard": {"pods": "2"}}})
    p.settle(CORE + "resourcequotas/compute", lambda o: part(o, "status.hard.pods") == "2", "the quota's status")
    p.quiet("POST", APPS + "deployments", workload(replicas=4))
    stuck = p.settle(WEB, lambda o: any(c["type"] == "ReplicaFailure" for c in part(o, "status.conditions") or []),
                     "ReplicaFailure")
    failure = next(c for c in stuck["status"]["conditions"] if c["type"] == "ReplicaFailure")
    p.said.append({"status": failure["status"], "reason": failure["reason"],
                   "message": re.sub(r'"web-[^"]+"', '"web-*"', failure["message"])})
    p.quiet("POST", CORE + "resourcequotas", {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "jobless"},
                                              "spec": {"hard": {"count/jobs.batch": "0"}}})
    p.settle(CORE + "resourcequotas/jobless", lambda o: part(o, "status.used") == {"count/jobs.batch": "0"}, "its status")
    p.post(BATCH + "jobs", job())
    p.post(BATCH + "jobs", job(), dryRun="All")


def sizes(p):
    p.post(CORE + "configmaps", config(data={"x": "y" * (3 << 20)}))
    p.patch(SETTINGS, {"data": {"x": "y" * (3 << 20)}}, MERGE)


def deployments(p):
    """The life of a rollout, as far as one reads it."""
    see = ("spec.replicas", "metadata.generation", "spec.progressDeadlineSeconds", "spec.revisionHistoryLimit",
           "spec.strategy", "spec.template.spec.restartPolicy")
    p.post(APPS + "deployments", workload(replicas=2), see=see)
    done = p.settle(WEB, lambda o: part(o, "status.availableReplicas") == 2 and part(o, "status.observedGeneration") == 1,
                    "two replicas")
    p.said.append({"status": {k: v for k, v in done["status"].items() if k not in ("conditions", "terminatingReplicas")},
                   "conditions": sorted((c["type"], c["status"], c["reason"]) for c in done["status"]["conditions"]),
                   "revision": done["metadata"]["annotations"].get("deployment.kubernetes.io/revision")})
    p.quiet("PATCH", WEB, {"spec": {"template": {"metadata": {"annotations": {"again": "1"}}}}}, ctype=MERGE)
    done = p.settle(WEB, lambda o: part(o, "status.observedGeneration") == 2 and part(o, "status.updatedReplicas") == 2
                    and part(o, "status.replicas") == 2 and part(o, "status.availableReplicas") == 2, "the rollout")
    p.said.append({"revision": done["metadata"]["annotations"].get("deployment.kubernetes.io/revision")})
    sets = p.quiet("GET", APPS + "replicasets", labelSelector="app=web")["items"]
    p.said.append({"sets": sorted((s["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
                                   s["spec"]["replicas"], s["metadata"]["ownerReferences"][0]["kind"]) for s in sets)})
    p.quiet("PATCH", WEB, {"spec": {"replicas": 0}}, ctype=MERGE)
    zero = p.settle(WEB, lambda o: part(o, "status.observedGeneration") == 3 and not part(o, "status.replicas"), "nothing")
    p.said.append({"zero": sorted(k for k in zero["status"] if k != "terminatingReplicas")})


NEED_PODS = {scale, deployments}
NEED_KINDS = {custom}
PLAYS = [missing, conflict, json_patches, patch_types, custom, apply, validation, jobs, strictness, dry_run, scale, managers, tables,
         selectors, paging, expired, watches, permissions, quota, sizes, deployments]


@pytest.mark.parametrize("play", PLAYS, ids=lambda f: f.__name__)
def test_same_answers(play, standin, real):
    if not real.own and play in NEED_PODS | NEED_KINDS:
        pytest.skip("no pod becomes ready, and no kind is added, on a cluster that is not ours")
    ns = f"opsd-play-{next(NUMBERS)}-{int(time.time())}"
    heard = []
    for server in (standin, real):
        made = server.admin("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace",
                                                           "metadata": {"name": ns}})
        assert made.status == 201, made.body
        if server is real:
            wait(lambda: real.admin.get(f"/api/v1/namespaces/{ns}/serviceaccounts/default").status == 200, "the account")
        stage = Play(server, ns)
        try:
            play(stage)
        finally:
            server.admin("DELETE", f"/api/v1/namespaces/{ns}")
        heard.append(stage.said)
    differing = []
    for have, want in itertools.zip_longest(*heard):
        if bare(have) != bare(want):
            differing.append(f"  asked     {(want or have).get('asked', '')}\n  stand-in  {short(have)}\n"
                             f"  real      {short(want)}")
    if differing:
        pytest.fail(f"{len(differing)} of {len(heard[1])} answers differ:\n" + "\n".join(differing), pytrace=False)


def bare(said):
    return {k: v for k, v in (said or {}).items() if k != "asked"}


def short(said):
    text = json.dumps(bare(said), sort_keys=True, ensure_ascii=False)
    return text if len(text) < 3000 else text[:1500] + " … " + text[-1500:]
