# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes stand-in against a plain client: the API's semantics, its refusals word for word, controllers,
and each fault doing what it says."""

import http.client
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import tls_cert
from kube_client import APPLY, APPS, BATCH, CORE, JSON_PATCH, MERGE, STRATEGIC, Client
from sandbox.kube import KubeStandin
from sandbox.slack.client import Control, ControlError

WORKERS = APPS + "ads/deployments/workers-prod"
SETTINGS = CORE + "ads/configmaps/settings"
OPAQUE = (b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server rejected our '
          b'request due to an error in our request","reason":"Invalid","details":{},"code":422}')


@pytest.fixture
def kube(loop_thread):
    async def make():
        return await KubeStandin(step_ms=10, observe_ms=5, hpa_ms=30, argo_ms=60, job_run_ms=30,
                                 job_start_ms=5).start()
    standin = loop_thread.run(make())
    standin.c = Client(standin.base_url, standin.token)
    standin.ctl = Control(standin.control_url)
    yield standin
    loop_thread.run(standin.stop())


def wait(kube, kind, name, ns="ads", **rules):
    return found(kube, kind=kind, ns=ns, name=name, **rules)


def found(kube, **rules):
    out = kube.ctl.call("wait", timeout=60, **rules)["found"]
    assert out, f"waited in vain for {rules}"
    return out


def until(check, seconds=60):
    """The first true value."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value or time.monotonic() > end:
            return value


# Reading

def test_get_and_not_found(kube):
    d = kube.c.get(WORKERS)
    assert d.status == 200 and d.type == "application/json"
    assert d.json["kind"] == "Deployment" and d.json["apiVersion"] == "apps/v1"
    assert d.json["spec"]["replicas"] == 6 and d.json["status"]["readyReplicas"] == 6
    assert kube.c.get(APPS + "ads/deployments/none").json == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": 'deployments.apps "none" not found', "reason": "NotFound",
        "details": {"name": "none", "group": "apps", "kind": "deployments"}, "code": 404}
    core = kube.c.get(CORE + "ads/configmaps/none").json
    assert core["message"] == 'configmaps "none" not found'
    assert core["details"] == {"name": "none", "kind": "configmaps"}


def test_unknown_resources_and_paths(kube):
    a = kube.c.get(APPS + "ads/daemonsets/x/scale")
    assert a.status == 404 and a.json["message"] == "the server could not find the requested resource"
    assert a.json["details"] == {}
    b = kube.c.get("/apis/nothing.example.com/v1/namespaces/ads/things")
    assert b.status == 404 and b.type.startswith("text/plain") and b.body == b"404 page not found\n"
    kube.ctl.without(kinds=["ScaledObject"])
    assert kube.c.get("/apis/keda.sh/v1alpha1/namespaces/ads/scaledobjects").status == 404
    assert "keda.sh" not in str(kube.c.get("/apis").json)


def test_who_and_what_may(kube):
    assert kube.c.get("/readyz").body == b"ok"
    bad = Client(kube.base_url, "wrong").get(WORKERS)
    assert bad.status == 401 and bad.json == {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                                              "message": "Unauthorized", "reason": "Unauthorized", "code": 401}
    nobody = Client(kube.base_url, None).get(WORKERS)
    assert nobody.status == 403 and 'User "system:anonymous" cannot get' in nobody.json["message"]
    kube.ctl.rbac(deny=[{"group": "apps", "resource": "deployments/scale", "verb": "patch", "namespace": "ads"}])
    no = kube.c.patch(WORKERS + "/scale", {"spec": {"replicas": 3}})
    assert no.status == 403 and no.json["message"] == (
        'deployments.apps "workers-prod" is forbidden: User "system:serviceaccount:opsd:opsd" cannot patch resource '
        '"deployments/scale" in API group "apps" in the namespace "ads"')
    as_ana = kube.c("GET", WORKERS, headers={"Impersonate-User": "ana"})
    assert as_ana.status == 403 and as_ana.json["message"] == (
        'deployments.apps "workers-prod" is forbidden: User "system:serviceaccount:opsd:opsd" cannot '
        'impersonate-on:user-info:get resource "deployments" in API group "apps" in the namespace "ads"')
    secret = kube.c.get(CORE + "ads/secrets")
    assert secret.status == 403 and secret.json["message"].startswith("secrets is forbidden: User")


def test_list_leaves_out_the_kind_of_builtin_items(kube):
    out = kube.c.get(APPS + "ads/deployments").json
    assert out["kind"] == "DeploymentList" and [d["metadata"]["name"] for d in out["items"]] == ["workers-dev",
                                                                                               "workers-prod"]
    assert "kind" not in out["items"][0] and "apiVersion" not in out["items"][0]
    kube.ctl.obstacle(what="keda")
    so = kube.c.get("/apis/keda.sh/v1alpha1/namespaces/ads/scaledobjects").json
    assert so["items"][0]["kind"] == "ScaledObject"


def test_selectors_and_paging(kube):
    tenants = kube.c.get("/api/v1/namespaces", labelSelector="opsd/tenant=true").json["items"]
    assert [n["metadata"]["name"] for n in tenants] == ["ads", "web"]
    assert len(kube.c.get("/api/v1/namespaces", labelSelector="opsd/tenant notin (true)").json["items"]) == 3
    assert len(kube.c.get("/api/v1/namespaces", labelSelector="!opsd/tenant").json["items"]) == 3
    one = kube.c.get(APPS + "ads/deployments", fieldSelector="metadata.name=workers-dev").json["items"]
    assert len(one) == 1
    bad = kube.c.get(APPS + "ads/deployments", fieldSelector="spec.replicas=1")
    assert bad.status == 400 and bad.json["message"].startswith('"spec.replicas" is not a known')
    page = kube.c.get("/apis/apps/v1/deployments", limit=2).json
    assert len(page["items"]) == 2 and page["metadata"]["remainingItemCount"] == 3
    rest = kube.c.get("/apis/apps/v1/deployments", limit=10, **{"continue": page["metadata"]["continue"]}).json
    assert len(rest["items"]) == 3 and "continue" not in rest["metadata"]
    kube.ctl.set(kind="Deployment", ns="ads", name="workers-dev", replicas=4)
    kube.ctl.watches(do="expire")
    gone = kube.c.get("/apis/apps/v1/deployments", limit=10, **{"continue": page["metadata"]["continue"]})
    assert gone.status == 410 and gone.json["reason"] == "Expired" and gone.json["metadata"]["continue"]
    again = kube.c.get("/apis/apps/v1/deployments", **{"continue": gone.json["metadata"]["continue"]})
    assert len(again.json["items"]) == 3


def test_table_and_metadata_only(kube):
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    t = kube.c("GET", APPS + "ads/deployments", headers=accept).json
    assert t["kind"] == "Table" and t["columnDefinitions"][0]["name"] == "Name"
    assert t["rows"][1]["cells"][:2] == ["workers-prod", "6/6"]
    assert t["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    none = kube.c("GET", APPS + "ads/deployments", headers=accept, includeObject="None").json
    assert "object" not in none["rows"][0]
    m = kube.c("GET", SETTINGS, headers={"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}).json
    assert m["kind"] == "PartialObjectMetadata" and "data" not in m
    assert kube.c("GET", SETTINGS, headers={"Accept": "text/plain"}).status == 406


def test_discovery(kube):
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}
    a = kube.c("GET", "/apis", headers=accept)
    assert "APIGroupDiscoveryList" in a.type
    apps = next(g for g in a.json["items"] if g["metadata"]["name"] == "apps")
    deploy = next(r for r in apps["versions"][0]["resources"] if r["resource"] == "deployments")
    assert {"subresource": "scale", "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
            "verbs": ["get", "patch", "update"]} in deploy["subresources"]
    assert [g["name"] for g in kube.c.get("/apis").json["groups"]][0] == "apps"
    names = [r["name"] for r in kube.c.get("/apis/apps/v1").json["resources"]]
    assert "deployments/scale" in names and "daemonsets/scale" not in names
    assert kube.c.get("/version").json["major"] == "1"


def test_reviews(kube):
    me = kube.c("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews",
                {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
    assert me.status == 201 and me.json["status"]["userInfo"]["username"] == "system:serviceaccount:opsd:opsd"

    def may(verb, resource, sub="", group="apps"):
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {
            "resourceAttributes": {"namespace": "ads", "verb": verb, "group": group, "resource": resource,
                                   "subresource": sub}}}
        return kube.c("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body).json["status"]["allowed"]
    assert may("patch", "deployments", "scale") and not may("delete", "deployments")
    assert not may("get", "secrets", "", "")


# Writing

def test_merge_patch_of_a_key_with_preconditions(kube):
    before = kube.c.get(SETTINGS).json
    stale = kube.c.patch(SETTINGS, {"data": {"LOG_LEVEL": "debug"}, "metadata": {"resourceVersion": "1"}})
    assert stale.status == 409 and stale.json["message"] == (
        'Operation cannot be fulfilled on configmaps "settings": the object has been modified; please apply your '
        'changes to the latest version and try again') and "causes" not in stale.json["details"]
    good = kube.c.patch(SETTINGS, {"data": {"LOG_LEVEL": "debug", "FEATURE_X": None}, "metadata": {
        "resourceVersion": before["metadata"]["resourceVersion"], "uid": before["metadata"]["uid"]}},
        fieldManager="opsd", fieldValidation="Strict")
    assert good.status == 200 and good.json["data"] == {"LOG_LEVEL": "debug", "BATCH_SIZE": "500"}
    mine = [m for m in good.json["metadata"]["managedFields"] if m["manager"] == "opsd"]
    assert mine[0]["operation"] == "Update" and mine[0]["fieldsV1"] == {"f:data": {"f:LOG_LEVEL": {}}}
    helm = next(m for m in good.json["metadata"]["managedFields"] if m["manager"] == "helm")
    assert "f:LOG_LEVEL" not in helm["fieldsV1"]["f:data"] and "f:BATCH_SIZE" in helm["fieldsV1"]["f:data"]
    other = kube.c.patch(SETTINGS, {"metadata": {"uid": "0-0"}, "data": {"A": "b"}})
    assert other.status == 422 and other.json["details"]["causes"][0]["field"] == "metadata.uid"
    same = kube.c.patch(SETTINGS, {"data": {"LOG_LEVEL": "debug"}}, fieldManager="opsd")
    assert same.json["metadata"]["resourceVersion"] == good.json["metadata"]["resourceVersion"]


def test_a_number_in_a_config_map_echoes_the_object(kube):
    bad = kube.c.patch(SETTINGS, {"data": {"PORT": 8080}})
    cause = bad.json["details"]["causes"][0]
    assert bad.status == 422 and cause["field"] == "patch" and "LOG_LEVEL" in cause["message"]
    assert cause["message"].endswith("json: cannot unmarshal number into Go struct field ConfigMap.data of type string")
    assert bad.json["message"].startswith(' "" is invalid: patch: Invalid value: "{')


def test_json_patch(kube):
    spec = {"op": "test", "path": "/spec/replicas", "value": 5}
    failed = kube.c.patch(WORKERS, [spec, {"op": "replace", "path": "/spec/replicas", "value": 9}], JSON_PATCH)
    assert failed.status == 422 and failed.body == OPAQUE
    missing = kube.c.patch(WORKERS, [{"op": "add", "path": "/spec/template/metadata/annotations/a~1b", "value": "c"}],
                           JSON_PATCH)
    assert missing.body == OPAQUE
    spec["value"] = 6
    good = kube.c.patch(WORKERS, [spec, {"op": "test", "path": "/metadata/generation", "value": 1},
                                  {"op": "replace", "path": "/spec/replicas", "value": 9}], JSON_PATCH)
    assert good.status == 200 and good.json["spec"]["replicas"] == 9 and good.json["metadata"]["generation"] == 2
    assert kube.c.patch(WORKERS, {"op": "test"}, JSON_PATCH).status == 400
    assert kube.c.patch(WORKERS, [{"op": "shout", "path": "/x"}], JSON_PATCH).status == 422
    assert kube.c.patch(WORKERS, b"{", MERGE).status == 400


def test_wrong_patch_type(kube):
    for ctype in ("application/json", "text/plain"):
        a = kube.c.patch(WORKERS, {}, ctype)
        assert a.status == 415 and a.json["reason"] == "UnsupportedMediaType" and a.json["details"] == {}
    assert kube.c.patch(WORKERS, {}, MERGE + "; charset=utf-8").status == 200
    kube.ctl.obstacle(what="keda")
    so = "/apis/keda.sh/v1alpha1/namespaces/ads/scaledobjects/workers-prod"
    a = kube.c.patch(so, {"spec": {}}, STRATEGIC)
    assert a.status == 415 and "strategic" not in a.json["message"]
    assert kube.c.patch(so, {"metadata": {"annotations": {"autoscaling.keda.sh/paused": "true"}}}).status == 200


def test_strategic_merges_containers_by_name_and_merge_does_not(kube):
    change = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "side:1"}]}}}}
    both = kube.c.patch(WORKERS, change, STRATEGIC, dryRun="All").json["spec"]["template"]["spec"]["containers"]
    assert [c["name"] for c in both] == ["side", "worker"]
    one = kube.c.patch(WORKERS, change, MERGE, dryRun="All").json["spec"]["template"]["spec"]["containers"]
    assert [c["name"] for c in one] == ["side"]
    assert len(kube.c.get(WORKERS).json["spec"]["template"]["spec"]["containers"]) == 1


def test_unknown_fields(kube):
    typo = {"spec": {"replica": 9}}
    strict = kube.c.patch(WORKERS, typo, fieldValidation="Strict")
    assert strict.status == 422
    assert strict.json["message"].endswith('strict decoding error: unknown field "spec.replica"')
    assert strict.json["details"]["causes"][0]["field"] == "patch"
    warn = kube.c.patch(WORKERS, typo)
    assert warn.status == 200 and warn.headers["warning"] == '299 - "unknown field \\"spec.replica\\""'
    assert "replica" not in kube.c.get(WORKERS).json["spec"]
    assert kube.c.patch(WORKERS, typo, fieldValidation="Ignore").headers.get("warning") is None
    wrong = kube.c.patch(WORKERS, typo, fieldValidation="strict")
    assert wrong.status == 422 and 'supported values: "", "Ignore", "Strict", "Warn"' in wrong.json["message"]


def test_dry_run_stores_nothing(kube):
    before = kube.c.get(WORKERS).json["metadata"]["resourceVersion"]
    dry = kube.c.patch(WORKERS, {"spec": {"replicas": 99}}, dryRun="All")
    assert dry.status == 200 and dry.json["spec"]["replicas"] == 99
    assert kube.c.get(WORKERS).json["metadata"]["resourceVersion"] == before
    assert kube.c.patch(WORKERS, {}, dryRun="Some").status == 422
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "try"}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}
    assert kube.c("POST", BATCH + "ads/jobs", job, dryRun="All").status == 201
    assert kube.c.get(BATCH + "ads/jobs/try").status == 404


def test_scale(kube):
    scale = kube.c.get(WORKERS + "/scale").json
    assert scale["kind"] == "Scale" and scale["apiVersion"] == "autoscaling/v1" and scale["spec"] == {"replicas": 6}
    assert scale["status"] == {"replicas": 6, "selector": "app=workers-prod"}
    assert kube.c.patch(WORKERS + "/scale", {"spec": {"replicas": -1}}).json["message"] == (
        'Scale.autoscaling "workers-prod" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal '
        'to 0')
    uid = kube.c.patch(WORKERS + "/scale", {"metadata": {"uid": "other"}, "spec": {"replicas": 1}})
    assert uid.status == 409 and "Precondition failed: UID in precondition: other, UID in object meta: " in \
        uid.json["message"] and 'deployments/scale.apps "workers-prod"' in uid.json["message"]
    zero = kube.c.patch(WORKERS + "/scale", {"spec": {"replicas": 0}}, fieldManager="opsd")
    assert zero.json["spec"] == {}
    assert b'"spec":{}' in kube.c.get(WORKERS + "/scale").body
    def mine():
        return [m for m in kube.c.get(WORKERS).json["metadata"]["managedFields"] if m["manager"] == "opsd"]
    assert mine() == []                         # a scale of zero has no field to own
    kube.c.patch(WORKERS + "/scale", {"spec": {"replicas": 1}}, fieldManager="opsd")
    assert mine()[0]["subresource"] == "scale" and mine()[0]["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    wait(kube, "Deployment", "workers-prod", want={"status": {"readyReplicas": 1}})
    zero = kube.c.patch(WORKERS + "/scale", {"spec": {"replicas": 0}})
    wait(kube, "Deployment", "workers-prod", want={"status": {"readyReplicas": None}})
    put = kube.c("PUT", WORKERS + "/scale", {**zero.json, "spec": {"replicas": 2}})
    assert put.status == 409                    # the status has changed since: the version is stale
    fresh = kube.c.get(WORKERS + "/scale").json
    assert kube.c("PUT", WORKERS + "/scale", {**fresh, "spec": {"replicas": 2}}).json["spec"] == {"replicas": 2}


def test_put_preconditions_and_custom_resources(kube):
    d = kube.c.get(WORKERS).json
    admin = Client(kube.base_url, "sandbox-admin-token")
    d["metadata"]["uid"] = "x"
    bad = admin("PUT", WORKERS, d)
    assert bad.status == 409 and "Precondition failed: UID in precondition: x" in bad.json["message"]
    kube.ctl.obstacle(what="keda")
    path = "/apis/keda.sh/v1alpha1/namespaces/ads/scaledobjects/workers-prod"
    so = admin.get(path).json
    del so["metadata"]["resourceVersion"]
    bad = admin("PUT", path, so)
    assert bad.status == 422 and "metadata.resourceVersion: Invalid value: 0: must be specified" in bad.json["message"]


def test_immutable_config_map(kube):
    kube.ctl.set(kind="ConfigMap", ns="ads", name="settings", patch={"immutable": True})
    a = kube.c.patch(SETTINGS, {"data": {"A": "b"}})
    assert a.status == 422 and a.json["details"]["causes"][0] == {
        "reason": "FieldValueForbidden", "message": "Forbidden: field is immutable when `immutable` is set",
        "field": "data"}


def test_apply(kube):
    mine = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "workers-prod"},
            "spec": {"replicas": 8}}
    assert kube.c.patch(WORKERS, mine, APPLY).status == 422     # no field manager
    clash = kube.c.patch(WORKERS, mine, APPLY, fieldManager="opsd")
    assert clash.status == 409 and clash.json["details"]["causes"][0]["reason"] == "FieldManagerConflict"
    assert clash.json["details"]["causes"][0]["field"] == ".spec.replicas"
    assert 'conflict with "helm" using apps/v1 at ' in clash.json["details"]["causes"][0]["message"]
    forced = kube.c.patch(WORKERS, mine, APPLY, fieldManager="opsd", force="true")
    assert forced.json["spec"]["replicas"] == 8
    assert kube.c.patch(WORKERS, {}, MERGE, force="true").status == 422
    ghost = {**mine, "metadata": {"name": "ghost", "uid": "u"}}
    assert "uid mismatch: the provided object specified uid u, and no existing object was found" in \
        kube.c.patch(APPS + "ads/deployments/ghost", ghost, APPLY, fieldManager="opsd").json["message"]


def test_create_exists_delete_preconditions(kube):
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once", "annotations": {"a": "b"}},
           "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}
    made = kube.c("POST", BATCH + "ads/jobs", job, fieldManager="opsd", fieldValidation="Strict")
    assert made.status == 201 and made.json["spec"]["backoffLimit"] == 6
    assert made.json["spec"]["selector"]["matchLabels"] == {"batch.kubernetes.io/controller-uid":
                                                            made.json["metadata"]["uid"]}
    again = kube.c("POST", BATCH + "ads/jobs", job)
    assert again.status == 409 and again.json["reason"] == "AlreadyExists" and \
        again.json["message"] == 'jobs.batch "once" already exists'
    wrong = kube.c("POST", BATCH + "ads/jobs", {**job, "spec": {**job["spec"], "parallel": 1}, "metadata": {
        "name": "two"}}, fieldValidation="Strict")
    assert wrong.status == 400 and wrong.json["message"] == (
        'Job in version "v1" cannot be handled as a Job: strict decoding error: unknown field "spec.parallel"')
    always = {**job, "metadata": {"name": "x"},
              "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}}
    assert 'Required value: valid values: "OnFailure", "Never"' in \
        kube.c("POST", BATCH + "ads/jobs", always).json["message"]
    assert kube.c("POST", BATCH + "none/jobs", job).json["message"] == 'namespaces "none" not found'
    kept = kube.c("DELETE", BATCH + "ads/jobs/once", {"preconditions": {"uid": "other"}})
    assert kept.status == 409 and "the UID in the precondition (other) does not match" in kept.json["message"]
    gone = kube.c("DELETE", BATCH + "ads/jobs/once", {"propagationPolicy": "Background"})
    assert gone.status == 200 and gone.json["status"] == "Success" and gone.json["details"]["kind"] == "jobs"


# Watches

def test_watch(kube):
    rv = kube.c.get(WORKERS).json["metadata"]["resourceVersion"]
    w = kube.c.stream(APPS + "ads/deployments", watch=1, resourceVersion=rv, fieldSelector="metadata.name=workers-prod",
                      allowWatchBookmarks="true", timeoutSeconds=30)
    kube.ctl.set(kind="Deployment", ns="ads", name="workers-dev", replicas=7)
    kube.ctl.set(kind="Deployment", ns="ads", name="workers-prod", replicas=7)
    first = w.event()
    assert first["type"] == "MODIFIED" and first["object"]["metadata"]["name"] == "workers-prod"
    assert first["object"]["spec"]["replicas"] == 7 and first["object"]["kind"] == "Deployment"
    last = first
    while last["object"]["status"].get("readyReplicas") != 7:
        last = w.event()
    kube.ctl.watches(do="bookmark")
    mark = w.event()
    assert mark["type"] == "BOOKMARK" and set(mark["object"]) == {"kind", "apiVersion", "metadata"}
    kube.ctl.delete(kind="Deployment", ns="ads", name="workers-prod")
    assert w.event()["type"] == "DELETED"
    kube.ctl.watches(do="close")
    assert w.event() is None
    again = kube.c.stream(APPS + "ads/deployments", watch=1, resourceVersion=rv)
    assert again.event()["object"]["spec"]["replicas"] == 7
    again.close()
    found(kube, watches=0)


def test_watch_expired_inside_the_200_and_by_status(kube):
    rv = kube.c.get(WORKERS).json["metadata"]["resourceVersion"]
    kube.ctl.set(kind="Deployment", ns="ads", name="workers-dev", replicas=7)
    kube.ctl.watches(do="expire")
    w = kube.c.stream(APPS + "ads/deployments", watch=1, resourceVersion=rv)
    e = w.event()
    assert e["type"] == "ERROR" and e["object"]["kind"] == "Status" and e["object"]["code"] == 410
    assert e["object"]["reason"] == "Expired" and w.event() is None
    kube.ctl.fault(mode="watch", how="gone_http", times=1)
    a = kube.c.get(APPS + "ads/deployments", watch=1, resourceVersion=rv)
    assert a.status == 410 and a.json["reason"] == "Expired"
    assert kube.c.get(APPS + "ads/deployments", resourceVersion="999999").status == 504


def test_watch_initial_objects_and_selector_moves(kube):
    w = kube.c.stream("/api/v1/namespaces", watch=1, labelSelector="opsd/tenant=true")
    assert {w.event()["object"]["metadata"]["name"], w.event()["object"]["metadata"]["name"]} == {"ads", "web"}
    kube.ctl.set(kind="Namespace", name="web", patch={"metadata": {"labels": {"opsd/tenant": None}}})
    assert w.event()["type"] == "DELETED"
    kube.ctl.set(kind="Namespace", name="core", patch={"metadata": {"labels": {"opsd/tenant": "true"}}})
    assert w.event()["type"] == "ADDED"
    w.close()


@pytest.mark.parametrize("how", ["split", "cut", "close", "abort", "mute", "garbage"])
def test_watch_faults(kube, how):
    kube.ctl.fault(mode="watch", how=how, times=1)
    w = kube.c.stream(APPS + "ads/deployments", watch=1)
    if how == "split":
        assert w.event()["type"] == "ADDED" and w.event()["type"] == "ADDED"
    elif how == "cut":
        with pytest.raises((http.client.HTTPException, OSError, ValueError)):
            while w.event():
                pass
    elif how in ("close", "abort"):
        events = []
        while (e := w.event()) is not None:
            events.append(e)
        assert len(events) <= 2
    elif how == "garbage":
        with pytest.raises(ValueError):
            w.event()
    else:
        found(kube, watches=1)
    w.close()


# Controllers

def test_rollout_by_steps_and_superseded(kube):
    w = kube.c.stream(APPS + "ads/deployments", watch=1, fieldSelector="metadata.name=workers-prod")
    note = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "t1"}}}}}
    a = kube.c.patch(WORKERS, note).json
    assert a["metadata"]["generation"] == 2 and a["status"]["observedGeneration"] == 1
    seen = w.event()["object"]
    while seen["status"]["observedGeneration"] < 2:
        seen = w.event()["object"]
    assert seen["status"].get("updatedReplicas", 0) < 6
    w.close()
    done = wait(kube, "Deployment", "workers-prod", want={"status": {"updatedReplicas": 6, "replicas": 6,
                                                                     "availableReplicas": 6,
                                                                     "unavailableReplicas": None}})
    assert done["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    assert any(c["reason"] == "NewReplicaSetAvailable" for c in done["status"]["conditions"])
    sets = [r for r in kube.c.get(APPS + "ads/replicasets", labelSelector="app=workers-prod").json["items"]]
    assert sorted(r["spec"]["replicas"] for r in sets) == [0, 6]
    pods = kube.c.get(CORE + "ads/pods", labelSelector="app=workers-prod").json["items"]
    assert len(pods) == 6 and {p["metadata"]["ownerReferences"][0]["kind"] for p in pods} == {"ReplicaSet"}


def test_stuck_rollout_paused_and_quota(kube):
    kube.ctl.set(kind="Deployment", ns="ads", name="workers-dev", patch={"spec": {"progressDeadlineSeconds": 0}})
    kube.ctl.stuck(ns="ads", name="workers-dev", reason="ImagePullBackOff")
    kube.c.patch(APPS + "ads/deployments/workers-dev", {"spec": {"template": {"spec": {"containers": [
        {"name": "worker", "image": "registry.example.com/worker:none"}]}}}})
    stuck = wait(kube, "Deployment", "workers-dev", want={"status": {"observedGeneration": 3, "updatedReplicas": 1}})
    assert stuck["status"]["readyReplicas"] == 2
    late = found(kube, kind="Deployment", ns="ads", name="workers-dev", want={"status": {"observedGeneration": 3}})
    assert late
    assert until(lambda: "ProgressDeadlineExceeded" in [
        c["reason"] for c in kube.c.get(APPS + "ads/deployments/workers-dev").json["status"]["conditions"]])
    pods = kube.c.get(CORE + "ads/pods", labelSelector="app=workers-dev").json["items"]
    assert [p for p in pods if p["status"]["containerStatuses"][0]["state"].get("waiting", {}).get("reason") ==
            "ImagePullBackOff"]
    kube.ctl.obstacle(what="quota", pods=10)
    kube.c.patch(WORKERS + "/scale", {"spec": {"replicas": 20}})
    full = wait(kube, "Deployment", "workers-prod", want={"status": {"observedGeneration": 2}})
    failure = next(c for c in full["status"]["conditions"] if c["type"] == "ReplicaFailure")
    assert failure["reason"] == "FailedCreate" and "exceeded quota: compute, requested: pods=1" in failure["message"]
    notes = kube.c.get("/apis/events.k8s.io/v1/namespaces/ads/events",
                       fieldSelector="reason=FailedCreate").json["items"]
    assert notes[0]["regarding"]["kind"] == "ReplicaSet" and notes[0]["eventTime"] is None and notes[0]["note"]
    kube.ctl.obstacle(what="pause", ns="web")
    web = APPS + "web/deployments/workers-prod"
    kube.c.patch(web, {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}})
    seen = wait(kube, "Deployment", "workers-prod", "web", want={"status": {"observedGeneration": 3}})
    assert not seen["status"].get("updatedReplicas")


def test_autoscalers(kube):
    kube.ctl.obstacle(what="hpa", low=3, high=8)
    kube.c.patch(WORKERS + "/scale", {"spec": {"replicas": 20}})
    back = wait(kube, "Deployment", "workers-prod", want={"spec": {"replicas": 8}})
    assert any(m["manager"] == "kube-controller-manager" and m.get("subresource") == "scale"
               for m in back["metadata"]["managedFields"])
    kube.c.patch(WORKERS + "/scale", {"spec": {"replicas": 0}})
    off = wait(kube, "HorizontalPodAutoscaler", "workers-prod", want={"status": {"currentReplicas": 0}})
    assert off["status"]["conditions"][0]["reason"] == "ScalingDisabled"
    hpa = "/apis/autoscaling/v2/namespaces/ads/horizontalpodautoscalers/workers-prod"
    assert kube.c.patch(hpa, {"spec": {"minReplicas": 9}}).status == 422
    assert kube.c.patch(hpa, {"spec": {"minReplicas": 9, "maxReplicas": 12}}).status == 200
    kube.ctl.obstacle(what="keda", ns="web", low=2, high=4)
    so = "/apis/keda.sh/v1alpha1/namespaces/web/scaledobjects/workers-prod"
    kube.c.patch(so, {"metadata": {"annotations": {"autoscaling.keda.sh/paused-replicas": "7"}}})
    wait(kube, "Deployment", "workers-prod", "web", want={"spec": {"replicas": 7}})
    so = wait(kube, "ScaledObject", "workers-prod", "web", want={"status": {"pausedReplicaCount": 7}})
    assert {"type": "Paused", "status": "True"} in so["status"]["conditions"]


def test_argo_heals(kube):
    kube.ctl.obstacle(what="argo")
    d = kube.c.get(WORKERS).json
    assert d["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] == \
        "ads-workers:apps/Deployment:ads/workers-prod"
    w = kube.c.stream("/apis/argoproj.io/v1alpha1/namespaces/argocd/applications", watch=1)
    kube.c.patch(WORKERS + "/scale", {"spec": {"replicas": 20}}, fieldManager="opsd")
    app = w.event()["object"]
    while app["status"]["sync"]["status"] != "OutOfSync":
        app = w.event()["object"]
    w.close()
    assert app["spec"]["syncPolicy"]["automated"]["selfHeal"] is True
    back = wait(kube, "Deployment", "workers-prod", want={"spec": {"replicas": 6}})
    owner = [m for m in back["metadata"]["managedFields"] if m["manager"] == "argocd-controller" and
             "f:spec" in m["fieldsV1"]]
    assert owner and kube.ctl.stats()["healed"] == 1


def test_argo_leaves_what_it_ignores(kube):
    kube.ctl.obstacle(what="argo", ns="web", ignore=["/spec/replicas"])
    kube.c.patch(APPS + "web/deployments/workers-prod/scale", {"spec": {"replicas": 9}})
    wait(kube, "Deployment", "workers-prod", "web", want={"status": {"readyReplicas": 9}})
    assert kube.ctl.stats()["healed"] == 0


JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "run"}, "spec": {"backoffLimit": 0, "template": {
    "spec": {"restartPolicy": "Never", "containers": [{"name": "task", "image": "i"}]}}}}


def test_job_and_its_log(kube):
    kube.ctl.job(name="run", lines=["one", "two", "three"], run_ms=90)
    w = kube.c.stream(BATCH + "ads/jobs", watch=1)
    kube.c("POST", BATCH + "ads/jobs", JOB)
    while w.event()["object"]["status"].get("ready") != 1:
        pass
    w.close()
    pod = kube.c.get(CORE + "ads/pods", labelSelector="batch.kubernetes.io/job-name=run").json["items"][0]
    log = kube.c.stream(CORE + f"ads/pods/{pod['metadata']['name']}/log", follow="true", timestamps="true")
    lines = []
    while line := log.line():
        lines.append(line)
    assert [x.split(b" ", 1)[1] for x in lines] == [b"one\n", b"two\n", b"three\n"]
    wait(kube, "Job", "run", want={"status": {"succeeded": 1}})
    assert until(lambda: "completionTime" in kube.c.get(BATCH + "ads/jobs/run").json["status"])
    done = kube.c.get(BATCH + "ads/jobs/run").json
    assert [c["type"] for c in done["status"]["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    tail = kube.c("GET", CORE + f"ads/pods/{pod['metadata']['name']}/log", headers={"Accept": "*/*"}, tailLines=1)
    assert tail.body == b"three\n" and tail.type == "text/plain"
    plain = {"Accept": "text/plain"}
    assert kube.c("GET", CORE + f"ads/pods/{pod['metadata']['name']}/log", headers=plain).status == 406
    none = kube.c.get(CORE + f"ads/pods/{pod['metadata']['name']}/log", previous="true")
    assert none.status == 400 and "previous terminated container" in none.json["message"]


def test_job_fails_and_cron_job_history(kube):
    kube.ctl.job(name="run", outcome="fail")
    kube.c("POST", BATCH + "ads/jobs", {**JOB, "spec": {**JOB["spec"], "backoffLimit": 1}})
    wait(kube, "Job", "run", want={"status": {"failed": 2}})
    assert until(lambda: len(kube.c.get(BATCH + "ads/jobs/run").json["status"].get("conditions", [])) == 2)
    status = kube.c.get(BATCH + "ads/jobs/run").json["status"]
    assert status["conditions"][1]["type"] == "Failed" and status["conditions"][1]["reason"] == "BackoffLimitExceeded"
    cron = kube.c.patch(BATCH + "ads/cronjobs/compaction", {"spec": {"suspend": True, "successfulJobsHistoryLimit": 0}})
    assert cron.json["spec"]["suspend"] is True
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "compaction", "uid": cron.json["metadata"]["uid"],
             "controller": True}
    kube.c("POST", BATCH + "ads/jobs", {**JOB, "metadata": {"name": "manual", "ownerReferences": [owner]}})
    wait(kube, "Job", "manual", gone=True)


def test_stateful_set_by_ordinals(kube):
    kube.c.patch(APPS + "core/statefulsets/queue/scale", {"spec": {"replicas": 5}})
    wait(kube, "StatefulSet", "queue", "core", want={"status": {"readyReplicas": 5, "observedGeneration": 2}})
    names = [p["metadata"]["name"] for p in kube.c.get(CORE + "core/pods").json["items"]]
    assert names == [f"queue-{i}" for i in range(5)]
    kube.c.patch(APPS + "core/statefulsets/queue", {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}})
    s = wait(kube, "StatefulSet", "queue", "core", want={"status": {"updatedReplicas": 5, "observedGeneration": 3}})
    assert s["status"]["updateRevision"].startswith("queue-")
    assert len(kube.c.get(APPS + "core/controllerrevisions").json["items"]) == 2
    no = kube.c.patch(APPS + "core/statefulsets/queue", {"spec": {"serviceName": "other"}})
    assert no.status == 422 and "are forbidden" in no.json["message"]


def test_a_deleted_pod_comes_back(kube):
    admin = Client(kube.base_url, "sandbox-admin-token")
    pods = kube.c.get(CORE + "ads/pods", labelSelector="app=workers-prod").json["items"]
    name, first = pods[0]["metadata"]["name"], kube.c.get(CORE + "core/pods/queue-1").json["metadata"]["uid"]
    assert admin("DELETE", CORE + f"ads/pods/{name}").status == 200
    assert admin("DELETE", CORE + "core/pods/queue-1").status == 200
    back = wait(kube, "Pod", "queue-1", "core", want={"status": {"phase": "Running"}})
    assert back["metadata"]["uid"] != first

    def names():
        return [p["metadata"]["name"] for p in kube.c.get(CORE + "ads/pods", labelSelector="app=workers-prod").json["items"]]
    assert until(lambda: len(names()) == 6 and name not in names())


# Faults

def test_canned_faults(kube):
    kube.ctl.fault(mode="throttle", retry_after=3, times=1, verb="patch")
    assert kube.c.get(WORKERS).status == 200
    a = kube.c.patch(WORKERS, {})
    assert a.status == 429 and a.type.startswith("text/plain") and a.headers["retry-after"] == "3"
    assert a.body == b"Too many requests, please try again later.\n"
    kube.ctl.fault(mode="html", times=1)
    a = kube.c.get(WORKERS)
    assert a.status == 502 and a.type == "text/html" and b"Bad Gateway" in a.body
    kube.ctl.fault(mode="status", code=503, reason="ServiceUnavailable", message="no", retry_after=1, times=1)
    a = kube.c.get(WORKERS)
    assert a.status == 503 and a.headers["retry-after"] == "1" and a.json["reason"] == "ServiceUnavailable"
    kube.ctl.fault(mode="conflict", times=2, resource="deployments/scale")
    assert [kube.c.patch(WORKERS + "/scale", {"spec": {"replicas": 3}}).status for _ in range(3)] == [409, 409, 200]
    kube.ctl.fault(mode="garbage", times=1)
    assert kube.c.get(WORKERS).body == b'{"kind":"Deployment","spec":'
    kube.ctl.fault(mode="webhook_denied", times=1, message="frozen", code=403, verb="patch")
    assert kube.c.patch(WORKERS, {}).json["message"].endswith("denied the request: frozen")
    with pytest.raises(ControlError):
        kube.ctl.fault(mode="no such")
    assert kube.ctl.faults()["struck"]["conflict"] == 2


def test_unknown_outcomes(kube):
    broken = (http.client.HTTPException, OSError)
    for mode, count in (("close", 6), ("close_after", 9)):
        kube.ctl.fault(mode=mode, times=1, verb="patch")
        with pytest.raises(broken):
            kube.c.patch(WORKERS + "/scale", {"spec": {"replicas": 9}})
        assert kube.c.get(WORKERS).json["spec"]["replicas"] == count
    kube.ctl.fault(mode="hang_after", times=1, verb="patch")
    with pytest.raises(broken):
        kube.c.patch(WORKERS + "/scale", {"spec": {"replicas": 4}}, timeout=0.2)
    wait(kube, "Deployment", "workers-prod", want={"spec": {"replicas": 4}})
    with ThreadPoolExecutor() as pool:
        kube.ctl.fault(mode="hold", times=1, verb="patch")
        late = pool.submit(kube.c.patch, WORKERS + "/scale", {"spec": {"replicas": 6}})
        assert until(lambda: kube.ctl.faults()["struck"].get("hold"))
        assert kube.c.get(WORKERS).json["spec"]["replicas"] == 4 and not late.done()
        kube.ctl.clear()
        assert late.result().status == 200
    assert kube.c.get(WORKERS).json["spec"]["replicas"] == 6
    kube.c.patch(WORKERS + "/scale", {"spec": {"replicas": 4}})
    assert kube.c.get(WORKERS).json["spec"]["replicas"] == 4
    kube.ctl.fault(mode="truncate", times=1)
    with pytest.raises(broken):
        kube.c.get(WORKERS)
    kube.ctl.fault(mode="timeout", applied=True, times=1)
    assert kube.c.patch(WORKERS + "/scale", {"spec": {"replicas": 5}}).status == 504
    assert kube.c.get(WORKERS).json["spec"]["replicas"] == 5


def test_refused_connections_and_a_new_token(kube, tmp_path):
    kube.ctl.listen(on=False)
    with pytest.raises(OSError):
        kube.c.get(WORKERS)
    kube.ctl.listen(on=True)
    assert kube.c.get(WORKERS).status == 200
    file = tmp_path / "token"
    fresh = kube.ctl.token(file=str(file))["token"]
    assert kube.c.get(WORKERS).status == 401
    assert fresh == file.read_text().strip() and Client(kube.base_url, fresh).get(WORKERS).status == 200


def test_what_was_asked_is_recorded(kube):
    kube.c.patch(WORKERS, {"spec": {"replicas": 6}}, fieldManager="opsd", headers={"Audit-ID": "r-1"})
    r = kube.ctl.requests(verb="patch")["requests"][-1]
    assert r["resource"] == "deployments" and r["ns"] == "ads" and r["name"] == "workers-prod"
    assert r["query"] == {"fieldManager": "opsd"} and r["body"] == {"spec": {"replicas": 6}} and r["status"] == 200
    assert r["headers"]["content-type"] == MERGE and r["headers"]["audit-id"] == "r-1"
    assert "authorization" not in r["headers"]
    assert kube.ctl.requests(verb="list")["requests"] == []
    view = kube.ctl.objects()["items"]
    assert {"LOG_LEVEL", "BATCH_SIZE", "FEATURE_X"} == set(next(o for o in view if o["kind"] == "ConfigMap")["data"])


def test_control_is_open_to_the_page(kube):
    conn = http.client.HTTPConnection(kube.control_url.partition("//")[2], timeout=60)
    conn.request("GET", "/_/objects")
    a = conn.getresponse()
    assert a.status == 200 and a.getheader("access-control-allow-origin") == "*" and b"workers-prod" in a.read()


def test_admission(kube):
    kube.ctl.admission(mutate={"metadata": {"labels": {"seen": "yes"}}}, kind="ConfigMap")
    assert kube.c.patch(SETTINGS, {"data": {"A": "b"}}).json["metadata"]["labels"] == {"seen": "yes"}
    kube.ctl.admission(deny="no changes at night", kind="ConfigMap")
    no = kube.c.patch(SETTINGS, {"data": {"A": "c"}}, dryRun="All")
    assert no.status == 403 and no.json["message"] == 'configmaps "settings" is forbidden: no changes at night'


def test_reset(kube):
    kube.c.patch(WORKERS + "/scale", {"spec": {"replicas": 9}})
    kube.ctl.fault(mode="hang")
    kube.ctl.reset()
    assert kube.c.get(WORKERS).json["spec"]["replicas"] == 6


def test_over_tls(loop_thread, tmp_path):
    cert, key = tls_cert.make(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)

    async def make():
        return await KubeStandin().start(tls=context)
    standin = loop_thread.run(make())
    try:
        assert standin.base_url.startswith("https://")
        assert Client(standin.base_url, standin.token, str(cert)).get(WORKERS).status == 200
    finally:
        loop_thread.run(standin.stop())
