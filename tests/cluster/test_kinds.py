# SPDX-License-Identifier: Apache-2.0
"""Every kind of action on both servers: planned, done, found done, followed to its end and set back."""

import json
import time
from base64 import b64decode

import pytest
from driver import SECRET, Driver, every, follow, request_id, sow
from kube_client import JSON_PATCH, MERGE
from sandbox.kube.access import User
from servers import SERVICE, wait
from test_answers import HPAS, NUMBERS, hpa, job, part, workload
from test_rbac import ACCOUNT, allowed, generate, grant

CHANGES = ["scale", "queue", "restart", "agents", "image", "requests", "undo", "undo-queue", "config", "config-restart",
           "secret", "secret-restart", "autoscale", "keda", "suspend", "run", "task", "delete", "patch", "cordon", "drain"]
READS = ["show", "list", "tenants", "events", "logs", "status", "one", "nodes", "schedule", "tasks"]


@pytest.fixture(scope="module", params=["standin", "real"])
def place(request, tmp_path_factory):
    """(server, namespace with the objects, driver as an administrator)"""
    server = request.getfixturevalue(request.param)
    if not server.own:
        pytest.skip("our images cannot be pulled, and nodes are not cordoned, on a cluster that is not ours")
    ns = f"opsd-kinds-{next(NUMBERS)}-{int(time.time())}"
    server.admin("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
    for other in ("argocd", "flux-system"):
        server.admin("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    if request.param == "standin":
        for n in (1, 2):
            server.admin("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{n}"}})
    sow(server.admin, ns)
    token = tmp_path_factory.mktemp("kinds") / "token"
    token.write_text(server.admin.token, encoding="ascii")
    driver = Driver({"main": {"server": server.url, "token_file": str(token),
                              **({"ca_file": server.ca_file} if server.ca_file else {})}})
    for turn in ("a", "b"):
        for path in ("deployments/web", "statefulsets/queue"):
            server.admin.patch(f"/apis/apps/v1/namespaces/{ns}/{path}",
                               {"spec": {"template": {"metadata": {"annotations": {"turn": turn}}}}})
            settled(server, ns, path)
    yield server, ns, driver
    driver.close()
    server.admin("DELETE", f"/api/v1/namespaces/{ns}")
    server.admin.patch("/api/v1/nodes/node-2", {"spec": {"unschedulable": None}})
    server.admin("DELETE", "/api/v1/nodes/spare")


@pytest.fixture(scope="module")
def least(place, tmp_path_factory):
    """The driver as an account that may do what `opsd catalog rbac` makes of the commands, and nothing else."""
    server, ns, _ = place
    docs, token = generate(ns), tmp_path_factory.mktemp("least") / "token"
    if server.name == "stand-in":
        rules = [(rule["apiGroups"][0], rule["resources"], rule["verbs"]) for doc in docs for rule in doc.get("rules") or []]
        server.server.access.tokens["least-token"] = User(f"system:serviceaccount:{SERVICE[0]}:{ACCOUNT}", "least", rules=rules)
        token.write_text("least-token", encoding="ascii")
    else:
        token.write_text(server.plane.service_account(ACCOUNT, SERVICE[0]), encoding="ascii")
        grant(server.admin, docs)
        allowed(server, True, ns, "", "secrets", "patch", "keys")
        allowed(server, True, "argocd", "argoproj.io", "applications", "get", None)
    driver = Driver({"main": {"server": server.url, "token_file": str(token),
                              **({"ca_file": server.ca_file} if server.ca_file else {})}})
    yield driver
    driver.close()


def settled(server, ns, path):
    def check():
        o = server.admin.get(f"/apis/apps/v1/namespaces/{ns}/{path}").json
        s, n = o.get("status") or {}, o["spec"]["replicas"]
        return s.get("observedGeneration") == o["metadata"]["generation"] and s.get("readyReplicas") == n and \
            s.get("updatedReplicas") == n and s.get("replicas") == n
    wait(check, path)


def secret_is(key, value):
    def check(server, ns):
        data = server.admin.get(f"/api/v1/namespaces/{ns}/secrets/keys").json["data"]
        return b64decode(data[key]).decode() == value
    return check


def emptied(server, ns):
    node = server.admin.get("/api/v1/nodes/spare").json
    return node["spec"].get("unschedulable") and server.admin.get(f"/api/v1/namespaces/{ns}/pods/alone").status == 404


def ran(server, ns):
    """The job that was made of the template, and not the template."""
    jobs = server.admin.get(f"/apis/batch/v1/namespaces/{ns}/jobs").json["items"]
    made = [j for j in jobs if j["metadata"]["name"].startswith("template-")]
    return len(made) == 1 and made[0]["status"].get("succeeded") == 1 and \
        next(j for j in jobs if j["metadata"]["name"] == "template")["spec"]["suspend"]


# What the cluster itself says at the end of the use.
TRUTH = {
    "config-restart": lambda server, ns: server.admin.get(f"/api/v1/namespaces/{ns}/configmaps/settings").json["data"]["N"] == "7",
    "secret": secret_is("TOKEN", SECRET),
    "secret-restart": secret_is("OTHER", SECRET),
    "drain": emptied,
    "task": ran,
    "delete": lambda server, ns: server.admin.get(f"/apis/batch/v1/namespaces/{ns}/jobs/spent").status == 404,
}


def restarted(server, ns):
    return part(server.admin.get(f"/apis/apps/v1/namespaces/{ns}/deployments/web").json, "spec.template.metadata.annotations")


@pytest.mark.parametrize("use", CHANGES)
def test_done_and_set_back(place, least, use):
    (server, ns, _), driver = place, least
    kind, given = every(ns)[use]
    rid, back_id = request_id(next(NUMBERS)), request_id(10 ** 9 + next(NUMBERS))
    before = restarted(server, ns)
    plan = driver.good(kind, "plan", given, id=rid)
    assert plan["changes"], plan
    assert driver.good(kind, "look", given, plan=plan, id=rid)["state"] == "not_done"
    outcome = driver.good(kind, "apply", given, plan=plan, id=rid)
    assert driver.good(kind, "look", given, plan=plan, id=rid)["state"] == "done"
    if "error" not in driver(kind, "follow", given, plan=plan, since=outcome, id=rid):
        end = follow(driver, kind, given, plan, outcome, id=rid)
        assert end["state"] == "done", (end, outcome, plan)
    if use in TRUTH:
        wait(lambda: TRUTH[use](server, ns), f"what {use} makes of the cluster", 5)
    if use.endswith("-restart"):
        assert restarted(server, ns) != before
        settled(server, ns, "deployments/web")
    assert SECRET not in json.dumps([plan, outcome])
    assert not any("could not see" in text for text in plan["warnings"]), plan
    back = driver(kind, "revert", given, plan=plan, id=back_id)
    if back.get("error") == "none":
        return                                      # there is no way back
    assert "result" in back, back
    assert not back["result"].get("foreign") and back["result"]["changes"], back
    driver.good(kind, "apply", given, plan=back["result"], id=back_id)
    left = driver.good(kind, "revert", given, plan=plan, id=request_id(10 ** 9 + next(NUMBERS)))
    assert not left["changes"]                      # it is as it was


@pytest.mark.parametrize("use", READS)
def test_reads(place, least, use):
    kind, given = every(place[1])[use]
    answer = least.good(kind, "apply", given)
    assert answer.get("rows") is not None or answer.get("text") or answer.get("fields"), answer


def test_status_of_each(place, least):
    """What the cluster counts is what is shown, of kinds that keep it in different fields."""
    server, ns, _ = place
    here = {"cluster": "main", "namespace": ns}
    apps = f"/apis/apps/v1/namespaces/{ns}/"
    server.admin("POST", f"/apis/batch/v1/namespaces/{ns}/jobs", job("once"))
    agents = wait(lambda: (o := server.admin.get(apps + "daemonsets/agent").json.get("status") or {}).get("numberReady") and
                  o["numberReady"] == o["desiredNumberScheduled"] and o, "the agents")
    wait(lambda: any(c["type"] == "Complete" for c in
                     part(server.admin.get(f"/apis/batch/v1/namespaces/{ns}/jobs/once").json, "status.conditions") or []), "once")
    n = agents["numberReady"]
    rows = least.good("kube.status", "apply", {**here, "kind": "DaemonSet"})["rows"]
    assert [r[:3] for r in rows if r[0] == "agent"] == [["agent", f"{n}/{n}", "complete"]], rows
    answer = least.good("kube.status", "apply", {**here, "kind": "Job"})
    assert answer["columns"] == ["Name", "State", "Succeeded", "Failed", "Started"]
    assert [r[:4] for r in answer["rows"] if r[0] == "once"] == [["once", "complete", "1/1", "0"]], answer
    fields = dict(least.good("kube.status", "apply", {**here, "kind": "CronJob", "name": "nightly"})["fields"])
    spec = server.admin.get(f"/apis/batch/v1/namespaces/{ns}/cronjobs/nightly").json["spec"]
    assert fields["Schedule"] == spec["schedule"] and fields["Suspended"] == ("yes" if spec["suspend"] else "no"), fields


def refused(driver, kind, step, given, **more):
    answer = driver(kind, step, given, **more)
    assert "error" in answer, answer
    return answer["error"], answer["says"]


def test_refusals(place):
    """Each says what, why and what to do; the same sentences on both."""
    server, ns, driver = place
    here = {"cluster": "main", "namespace": ns}
    core = f"/api/v1/namespaces/{ns}/"
    scale = {**here, "name": "web", "replicas": 4}
    plan = driver.good("kube.scale", "plan", scale)
    server.admin.patch(f"/apis/apps/v1/namespaces/{ns}/deployments/web/scale", {"spec": {"replicas": 2}})
    assert refused(driver, "kube.scale", "apply", scale, plan=plan) == (
        "invalid", f"Deployment {ns}/web on cluster main was changed by somebody else meanwhile: replicas is now 2 (was "
                   f"{plan['changes'][0]['from']}). Ask again if it still should be changed.")
    settled(server, ns, "deployments/web")
    kind, said = refused(driver, "kube.scale", "plan", {**scale, "name": "wbe"})
    assert kind == "invalid" and said.endswith("does not exist; did you mean web?"), said
    kind, said = refused(driver, "kube.autoscale", "plan", {**here, "name": "scaled", "min": 9, "max": 2})
    assert kind == "invalid" and "9" in said and "2" in said, said
    for path, obj in (("configmaps", {"kind": "ConfigMap", "data": {"a": "b"}}),
                      ("secrets", {"kind": "Secret", "data": {"a": "b2xk"}})):
        made = server.admin("POST", core + path, {"apiVersion": "v1", "metadata": {"name": "fixed"}, "immutable": True, **obj})
        assert made.status == 201, made.body
    fixed = {**here, "name": "fixed", "key": "a", "value": SECRET}
    kind, said = refused(driver, "kube.config", "plan", fixed)
    assert kind == "invalid" and said.endswith("it is immutable; a new one under another name is needed"), said
    kind, said = refused(driver, "kube.secret", "plan", fixed)
    assert kind == "invalid" and "the cluster refuses it" in said and SECRET not in said, said
    assert refused(driver, "kube.secret", "plan", {**fixed, "name": "kyes"}) == (
        "invalid", f"cluster main: Secret {ns}/kyes does not exist")


def test_secret_conflict(place):
    """Another key is nobody's matter; the same key set by somebody else meanwhile is left alone."""
    server, ns, driver = place
    given = {"cluster": "main", "namespace": ns, "name": "keys", "key": "SHARED", "value": SECRET}
    path = f"/api/v1/namespaces/{ns}/secrets/keys"
    plan = driver.good("kube.secret", "plan", given, id=request_id(next(NUMBERS)))
    assert server.admin.patch(path, {"data": {"ELSE": "YQ=="}}).status == 200
    driver.good("kube.secret", "apply", given, plan=plan, id=request_id(next(NUMBERS)))
    assert secret_is("SHARED", SECRET)(server, ns) and secret_is("ELSE", "a")(server, ns)
    plan = driver.good("kube.secret", "plan", given, id=request_id(next(NUMBERS)))
    time.sleep(1.1)                                 # who wrote a field is on record by the second
    assert server.admin.patch(path, {"data": {"SHARED": "YQ=="}}).status == 200
    kind, said = refused(driver, "kube.secret", "apply", given, plan=plan, id=request_id(next(NUMBERS)))
    assert kind == "invalid" and "was changed by somebody else meanwhile" in said, said
    assert secret_is("SHARED", "a")(server, ns)


def test_drain_heeds_budgets(place):
    """Without force a pod that nobody makes again is no reason to begin; a budget holds the drain up until it allows it."""
    server, ns, driver = place
    sow(server.admin, ns)
    given = {"cluster": "main", "name": "spare"}
    kind, said = refused(driver, "kube.drain", "plan", given)
    assert kind == "invalid" and said.endswith("like alone; they are evicted only with force"), said
    pod, budgets = f"/api/v1/namespaces/{ns}/pods/alone", f"/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets"
    assert server.admin.patch(pod, {"metadata": {"labels": {"kept": "yes"}}}).status == 200
    made = server.admin("POST", budgets, {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "one"},
                                          "spec": {"minAvailable": 1, "selector": {"matchLabels": {"kept": "yes"}}}})
    assert made.status == 201, made.body
    given, rid = {**given, "force": True}, request_id(next(NUMBERS))
    if server.name == "stand-in":           # which runs only pods that it made
        server.admin.patch(f"{pod}/status", {"status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True"}]}}, MERGE)
    else:
        wait(lambda: part(server.admin.get(f"{budgets}/one").json, "status.currentHealthy") == 1, "the budget")
    plan = driver.good("kube.drain", "plan", given, id=rid)
    since = outcome = driver.good("kube.drain", "apply", given, plan=plan, id=rid)
    since = driver.good("kube.drain", "follow", given, plan=plan, since=since, id=rid)
    assert since["state"] == "stuck" and "The disruption budget one needs 1 healthy pods and has 1 currently" in since["why"], since
    assert server.admin.get(pod).status == 200
    server.admin("DELETE", f"{budgets}/one")
    assert follow(driver, "kube.drain", given, plan, outcome, id=rid)["state"] == "done"
    back = driver.good("kube.drain", "revert", given, plan=plan, id=request_id(next(NUMBERS)))
    driver.good("kube.drain", "apply", given, plan=back, id=request_id(next(NUMBERS)))
    assert not server.admin.get("/api/v1/nodes/spare").json["spec"].get("unschedulable")


def make_quota(server, ns, name, **spec):
    quotas = f"/api/v1/namespaces/{ns}/resourcequotas"
    made = server.admin("POST", quotas, {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec})
    assert made.status == 201, made.body
    return wait(lambda: part(server.admin.get(f"{quotas}/{name}").json, "status.used"), "the quota's count", 60)


def drop_quota(server, ns, name):
    server.admin("DELETE", f"/api/v1/namespaces/{ns}/resourcequotas/{name}")


def test_quota_refuses(place):
    """A quota of objects that is used up refuses the object itself: the preview asks, and so does nobody in vain."""
    server, ns, driver = place
    make_quota(server, ns, "jobless", hard={"count/jobs.batch": "0"})
    given = {"cluster": "main", "namespace": ns, "name": "nightly"}
    kind, said = refused(driver, "kube.job", "plan", given)
    assert kind == "denied" and "the cluster refuses it: exceeded quota: jobless, requested: count/jobs.batch=1" in said, said
    drop_quota(server, ns, "jobless")
    plan = driver.good("kube.job", "plan", given)
    make_quota(server, ns, "jobless", hard={"count/jobs.batch": "0"})       # meanwhile
    kind, said = refused(driver, "kube.job", "apply", given, plan=plan)
    drop_quota(server, ns, "jobless")
    assert kind == "denied" and "the cluster refuses it: exceeded quota: jobless, requested: count/jobs.batch=1" in said, said


QUOTA_TAIL = ". The change is accepted, but pods beyond the quota do not start."


def forecasts(plan):
    return [w for w in plan["warnings"] if w.startswith("Quota")]


def test_forbidden_says_what_is_missing(place, tmp_path):
    server, ns, _ = place
    (tmp_path / "token").write_text(server.service.token, encoding="ascii")
    driver = Driver({"main": {"server": server.url, "token_file": str(tmp_path / "token"),
                              **({"ca_file": server.ca_file} if server.ca_file else {})}})
    vpa = {"cluster": "main", "namespace": ns, "kind": "VerticalPodAutoscaler", "name": "web", "value": "Off",
           "path": "/spec/updatePolicy/updateMode", "allow": ["/spec/updatePolicy/updateMode"]}
    assert refused(driver, "kube.patch", "plan", vpa) == (
        "denied", f"cluster main: VerticalPodAutoscaler {ns}/web: opsd may not patch verticalpodautoscalers in namespace {ns} here; a cluster "
                  'administrator can allow it (RBAC: apiGroups ["autoscaling.k8s.io"], resources ["verticalpodautoscalers"], '
                  'verbs ["patch"])')
    driver.close()


def owner(plan, begins):
    found = [o for o in plan["owners"] if o["who"].startswith(begins)]
    assert len(found) == 1, plan["owners"]
    return found[0]


def pull(driver, lever):
    """What the person is offered in place of the scale."""
    rid = request_id(next(NUMBERS))
    plan = driver.good(lever["kind"], "plan", lever["with"], id=rid)
    outcome = driver.good(lever["kind"], "apply", lever["with"], plan=plan, id=rid)
    assert follow(driver, lever["kind"], lever["with"], plan, outcome, id=rid)["state"] == "done"


def scaled_workload(server, ns, name, **more):
    made = server.admin("POST", f"/apis/apps/v1/namespaces/{ns}/deployments", workload(name=name, replicas=2))
    assert made.status == 201, made.body
    for path, obj in more.values():
        made = server.admin("POST", path.replace("{ns}", ns), obj)
        assert made.status == 201, made.body
    settled(server, ns, f"deployments/{name}")
    return {"cluster": "main", "namespace": ns, "name": name, "replicas": 6}


def test_lever_of_an_autoscaler(place):
    """6 is out of 2 to 5: the autoscaler would take it back; its range, which is offered, brings it there."""
    server, ns, driver = place
    given = scaled_workload(server, ns, "elastic", hpa=(HPAS, hpa(2, 5, "elastic")))
    says = owner(driver.good("kube.scale", "plan", given), "HorizontalPodAutoscaler elastic (2 to 5)")
    assert "sets the replicas back into its range within a minute" in says["says"], says
    assert says["lever"] == {"kind": "kube.autoscale", "with": {"cluster": "main", "namespace": ns, "name": "elastic",
                                                               "min": 6, "max": 6}}
    pull(driver, says["lever"])
    wait(lambda: server.admin.get(f"/apis/apps/v1/namespaces/{ns}/deployments/elastic").json["spec"]["replicas"] == 6,
         "the autoscaler", 30)
    server.admin("DELETE", f"/apis/apps/v1/namespaces/{ns}/deployments/elastic")


def test_lever_of_keda(place):
    server, ns, driver = place
    scaled = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "events"},
              "spec": {"scaleTargetRef": {"name": "fed"}}}
    given = scaled_workload(server, ns, "fed", keda=("/apis/keda.sh/v1alpha1/namespaces/{ns}/scaledobjects", scaled))
    says = owner(driver.good("kube.scale", "plan", given), "KEDA ScaledObject events")
    assert "will undo this; pause it" in says["says"], says
    assert says["lever"] == {"kind": "kube.keda", "with": {"cluster": "main", "namespace": ns, "name": "events", "pause": True,
                                                          "replicas": 6}}
    pull(driver, says["lever"])
    notes = server.admin.get(f"/apis/keda.sh/v1alpha1/namespaces/{ns}/scaledobjects/events").json["metadata"]["annotations"]
    assert notes["autoscaling.keda.sh/paused-replicas"] == "6"
    says = owner(driver.good("kube.scale", "plan", {**given, "replicas": 3}), "KEDA ScaledObject events")
    assert "is paused at 6 replicas and keeps them there; change that instead" in says["says"], says
    pull(driver, says["lever"])
    notes = server.admin.get(f"/apis/keda.sh/v1alpha1/namespaces/{ns}/scaledobjects/events").json["metadata"]["annotations"]
    assert notes["autoscaling.keda.sh/paused-replicas"] == "3"
    server.admin("DELETE", f"/apis/apps/v1/namespaces/{ns}/deployments/fed")


@pytest.mark.parametrize("policy, says", [
    ({"automated": {"selfHeal": True}}, "heals itself: the value is set back within seconds; change it in Git instead"),
    ({"automated": {}}, "syncs by itself: the value stays until the next change in Git; change it there for good"),
    ({}, "syncs only when somebody says so: the value stays until then; change it in Git for good")])
def test_argo_says_what_it_does(place, policy, says):
    """Git is the lever, which is not ours to pull: the sentence says what becomes of the change."""
    server, ns, driver = place
    apps = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/fleet"
    assert server.admin.patch(apps, [{"op": "replace", "path": "/spec/syncPolicy", "value": policy}],
                              JSON_PATCH).status == 200
    plan = driver.good("kube.scale", "plan", {"cluster": "main", "namespace": ns, "name": "web", "replicas": 9})
    found = owner(plan, "Argo CD application fleet")
    assert found["says"] == says and "lever" not in found, found


@pytest.mark.parametrize("spec, status, says", [
    ({"interval": "5m0s"}, "main@sha1:1a2b3c4d5e6f",
     "sets it back within 5m if Git holds this field, now at main@sha1:1a2b3c4; change it in Git for good"),
    ({"interval": "5m0s", "suspend": True}, None, "is suspended: the change stays until somebody resumes it")])
def test_flux_says_when_it_puts_it_back(place, least, spec, status, says):
    """As the account with the least rights: they are enough to read it."""
    server, ns, _ = place
    path = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/fleet"
    sow(server.admin, ns)
    assert server.admin.patch(path, {"spec": {"suspend": None, **spec}}).status == 200
    assert server.admin.patch(path + "/status", {"status": {"lastAppliedRevision": status}}).status == 200
    plan = least.good("kube.scale", "plan", {"cluster": "main", "namespace": ns, "kind": "StatefulSet", "name": "queue",
                                             "replicas": 9})
    found = owner(plan, "Flux Kustomization flux-system/fleet")
    assert found["says"] == says and "lever" not in found, found


def test_argo_cd_elsewhere(place, tmp_path):
    """Argo CD in a namespace of another name, and an application outside of it."""
    server, ns, _ = place
    (tmp_path / "token").write_text(server.admin.token, encoding="ascii")
    driver = Driver({"main": {"server": server.url, "token_file": str(tmp_path / "token"), "argocd_namespace": "gitops",
                              **({"ca_file": server.ca_file} if server.ca_file else {})}})
    heals = {"project": "default", "syncPolicy": {"automated": {"selfHeal": True}}}
    for where, name in (("gitops", "home"), (ns, "away")):
        server.admin("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": where}})
        made = server.admin("POST", f"/apis/argoproj.io/v1alpha1/namespaces/{where}/applications", {
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name}, "spec": heals})
        assert made.status == 201, made.body
    for app, who in (("home", "Argo CD application home"), (f"{ns}_away", f"Argo CD application {ns}/away")):
        server.admin.patch(f"/apis/apps/v1/namespaces/{ns}/statefulsets/queue", {"metadata": {"annotations": {
            "argocd.argoproj.io/tracking-id": f"{app}:apps/StatefulSet:{ns}/queue"}}})
        plan = driver.good("kube.scale", "plan", {"cluster": "main", "namespace": ns, "kind": "StatefulSet", "name": "queue",
                                                  "replicas": 9})
        assert owner(plan, who)["says"].startswith("heals itself"), plan
    server.admin.patch(f"/apis/apps/v1/namespaces/{ns}/statefulsets/queue", {"metadata": {"annotations": {
        "argocd.argoproj.io/tracking-id": None}}})
    driver.close()


def test_quota_is_why_it_is_stuck(place):
    """What the preview foresees in numbers is what happens, and the follower's reason."""
    server, ns, driver = place
    server.admin("POST", f"/apis/apps/v1/namespaces/{ns}/deployments", workload(name="wide", replicas=1))
    settled(server, ns, "deployments/wide")
    used = make_quota(server, ns, "few", hard={"pods": "1"})["pods"]
    given = {"cluster": "main", "namespace": ns, "name": "wide", "replicas": 3}
    plan = driver.good("kube.scale", "plan", given)
    assert forecasts(plan) == [f"Quota few: pods {used} of 1 used, this needs 2 more" + QUOTA_TAIL], plan
    since = outcome = driver.good("kube.scale", "apply", given, plan=plan)
    end = time.monotonic() + 120
    while since.get("state") != "stuck":
        assert time.monotonic() < end, since
        since = driver.good("kube.scale", "follow", given, plan=plan, since=since if since is not outcome else outcome)
        time.sleep(0.1)
    assert "exceeded quota: few" in since["why"], since
    drop_quota(server, ns, "few")


def sized(server, ns, name, replicas, **resources):
    made = workload(name=name, replicas=replicas)
    made["spec"]["template"]["spec"]["containers"][0]["resources"] = resources
    answer = server.admin("POST", f"/apis/apps/v1/namespaces/{ns}/deployments", made)
    assert answer.status == 201, answer.body
    settled(server, ns, f"deployments/{name}")
    return {"cluster": "main", "namespace": ns, "name": name}


def test_quota_of_amounts(real):
    """On the server that counts them: scopes, what a limit makes of a request, containers that run before; the forecast of
    a scale is right in both directions, pod for pod."""
    if not real.own:
        pytest.skip("our images cannot be pulled on a cluster that is not ours")
    ns = f"opsd-quota-{next(NUMBERS)}-{int(time.time())}"
    real.admin("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
    driver = Driver({"main": {"kubeconfig": {"file": str(real.plane.folder / "admin.kubeconfig"), "context": "main"}}})
    given = sized(real, ns, "sized", 1, limits={"cpu": "500m", "memory": "256Mi"}, requests={"cpu": "300m"})
    used = make_quota(real, ns, "amounts", hard={"requests.cpu": "1", "requests.memory": "1Gi", "limits.cpu": "4"},
                      scopes=["NotBestEffort"])
    assert used == {"requests.cpu": "300m", "requests.memory": "256Mi", "limits.cpu": "500m"}
    make_quota(real, ns, "others", hard={"pods": "0"}, scopes=["BestEffort"])
    make_quota(real, ns, "ends", hard={"pods": "0"}, scopes=["Terminating"])
    make_quota(real, ns, "first", hard={"pods": "0"}, scopeSelector={"matchExpressions": [
        {"scopeName": "PriorityClass", "operator": "In", "values": ["first"]}]})
    fits, not_fits = {**given, "replicas": 3}, {**given, "replicas": 5}
    assert forecasts(driver.good("kube.scale", "plan", fits)) == []
    assert forecasts(driver.good("kube.scale", "plan", not_fits)) == [
        "Quota amounts: requests.cpu 300m of 1 used, this needs 1200m more; requests.memory 256Mi of 1Gi used, this needs 1Gi "
        "more" + QUOTA_TAIL]
    plan = driver.good("kube.scale", "plan", not_fits)
    driver.good("kube.scale", "apply", not_fits, plan=plan, id=request_id(next(NUMBERS)))
    path = f"/apis/apps/v1/namespaces/{ns}/deployments/sized"
    wait(lambda: any(c["type"] == "ReplicaFailure" for c in part(real.admin.get(path).json, "status.conditions") or []),
         "the refusal")
    wait(lambda: part(real.admin.get(path).json, "status.replicas") == 3, "what fits")      # 3 × 300m, and no fourth
    driver.good("kube.scale", "apply", fits, plan=driver.good("kube.scale", "plan", fits), id=request_id(next(NUMBERS)))
    settled(real, ns, "deployments/sized")
    # Of three none may be missing: 400m have to fit in beside 900m, and do not.
    more = {**given, "requests": {"cpu": "400m"}}
    plan = driver.good("kube.set", "plan", more)
    assert forecasts(plan) == ["Quota amounts: requests.cpu 900m of 1 used, this needs 600m more" + QUOTA_TAIL], plan
    rid = request_id(next(NUMBERS))
    since = outcome = driver.good("kube.set", "apply", more, plan=plan, id=rid)

    def stuck():
        nonlocal since
        since = {**driver.good("kube.set", "follow", more, plan=plan, since=since, id=rid), "evidence": outcome["evidence"]}
        return since["state"] == "stuck" and since
    assert "exceeded quota: amounts" in wait(stuck, "the refusal")["why"]
    driver.close()
    real.admin("DELETE", f"/api/v1/namespaces/{ns}")


def test_api_server_dies_while_followed(real, tmp_path):
    """Killed in the middle of a rollout: the looks fail as what may be tried again, and then it ends right."""
    if not real.own:
        pytest.skip("nobody kills a cluster that is not theirs")
    ns = f"opsd-dies-{int(time.time())}"
    real.admin("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
    real.admin("POST", f"/apis/apps/v1/namespaces/{ns}/deployments", workload(replicas=2))
    settled(real, ns, "deployments/web")
    (tmp_path / "token").write_text(real.admin.token, encoding="ascii")
    driver = Driver({"main": {"server": real.url, "ca_file": real.ca_file, "token_file": str(tmp_path / "token")}})
    given = {"cluster": "main", "namespace": ns, "name": "web", "image": "registry.example.com/web:2"}
    real.admin.patch(f"/apis/apps/v1/namespaces/{ns}/deployments/web", {"spec": {"template": {"metadata": {"annotations": {
        "opsd.test/never": "ImagePullBackOff"}}}}}, MERGE)
    plan = driver.good("kube.set", "plan", given)
    since = driver.good("kube.set", "apply", given, plan=plan)
    since = driver.good("kube.set", "follow", given, plan=plan, since=since)
    assert since["state"] in ("going", "stuck"), since
    real.plane.kill_api()
    down = driver("kube.set", "follow", given, plan=plan, since=since)
    assert down["error"] in ("retry", "timeout"), down
    real.plane.start_api()
    since = driver.good("kube.set", "follow", given, plan=plan, since=since)
    assert since["state"] in ("going", "stuck"), since
    status = {"phase": "Running", "conditions": [{"type": t, "status": "True"} for t in
                                                  ("Initialized", "Ready", "ContainersReady", "PodScheduled")],
              "containerStatuses": [{"name": "web", "image": "x", "imageID": "", "ready": True, "started": True,
                                     "restartCount": 0, "state": {"running": {}}}]}

    def ready():                                    # the image can be pulled now
        for pod in real.admin.get(f"/api/v1/namespaces/{ns}/pods").json["items"]:
            if pod["status"].get("phase") == "Pending":
                real.admin.patch(f"/api/v1/namespaces/{ns}/pods/{pod['metadata']['name']}/status", {"status": status}, MERGE)
        return driver.good("kube.set", "follow", given, plan=plan, since=since)["state"] == "done"
    wait(ready, "the rollout")
    driver.close()
    real.admin("DELETE", f"/api/v1/namespaces/{ns}")
