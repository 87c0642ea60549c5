# SPDX-License-Identifier: Apache-2.0
"""Every kind of action on both servers: planned, done, found done, followed to its end and set back."""

import time

import pytest
from driver import Driver, every, follow, request_id, seeds
from kube_client import MERGE
from servers import wait
from test_answers import NUMBERS, part, workload

APPLY = "application/apply-patch+yaml"
CHANGES = ["scale", "queue", "restart", "agents", "image", "requests", "undo", "undo-queue", "config", "autoscale", "keda",
           "suspend", "run", "delete", "patch", "cordon"]
READS = ["show", "list", "tenants", "events", "logs", "status", "one"]


@pytest.fixture(scope="module", params=["standin", "real"])
def place(request, tmp_path_factory):
    """(server, namespace with the objects, driver as an administrator)"""
    server = request.getfixturevalue(request.param)
    if not server.own:
        pytest.skip("our images cannot be pulled, and nodes are not cordoned, on a cluster that is not ours")
    ns = f"opsd-kinds-{next(NUMBERS)}-{int(time.time())}"
    server.admin("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
    server.admin("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}})
    if request.param == "standin":
        for n in (1, 2):
            server.admin("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{n}"}})
    for path, obj in seeds(ns):
        made = server.admin("PATCH", f"{path.replace('{ns}', ns)}/{obj['metadata']['name']}", obj, APPLY,
                            fieldManager="helm")
        assert made.status == 201, made.body
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


def settled(server, ns, path):
    def check():
        o = server.admin.get(f"/apis/apps/v1/namespaces/{ns}/{path}").json
        s, n = o.get("status") or {}, o["spec"]["replicas"]
        return s.get("observedGeneration") == o["metadata"]["generation"] and s.get("readyReplicas") == n and \
            s.get("updatedReplicas") == n and s.get("replicas") == n
    wait(check, path)


@pytest.mark.parametrize("use", CHANGES)
def test_done_and_set_back(place, use):
    server, ns, driver = place
    kind, given = every(ns)[use]
    rid, back_id = request_id(next(NUMBERS)), request_id(10 ** 9 + next(NUMBERS))
    plan = driver.good(kind, "plan", given, id=rid)
    assert plan["changes"], plan
    assert driver.good(kind, "look", given, plan=plan, id=rid)["state"] == "not_done"
    outcome = driver.good(kind, "apply", given, plan=plan, id=rid)
    assert driver.good(kind, "look", given, plan=plan, id=rid)["state"] == "done"
    if "error" not in driver(kind, "follow", given, plan=plan, since=outcome, id=rid):
        assert follow(driver, kind, given, plan, outcome, id=rid)["state"] == "done"
    back = driver(kind, "revert", given, plan=plan, id=back_id)
    if back.get("error") == "none":
        return                                      # there is no way back
    assert "result" in back, back
    assert not back["result"].get("foreign") and back["result"]["changes"], back
    driver.good(kind, "apply", given, plan=back["result"], id=back_id)
    left = driver.good(kind, "revert", given, plan=plan, id=request_id(10 ** 9 + next(NUMBERS)))
    assert not left["changes"]                      # it is as it was


@pytest.mark.parametrize("use", READS)
def test_reads(place, use):
    server, ns, driver = place
    kind, given = every(ns)[use]
    answer = driver.good(kind, "apply", given)
    assert answer.get("rows") is not None or answer.get("text") or answer.get("fields"), answer


def test_refusals(place):
    """Conflict, policy of values, missing objects: the same sentences from both."""
    server, ns, driver = place
    scale = {"cluster": "main", "namespace": ns, "name": "web", "replicas": 4}
    plan = driver.good("kube.scale", "plan", scale)
    server.admin.patch(f"/apis/apps/v1/namespaces/{ns}/deployments/web/scale", {"spec": {"replicas": 2}})
    lost = driver("kube.scale", "apply", scale, plan=plan)
    assert lost["error"] == "invalid" and "web" in lost["says"], lost
    gone = driver("kube.scale", "plan", {**scale, "name": "wbe"})
    assert gone["error"] == "invalid" and "does not exist; did you mean web?" in gone["says"], gone
    bad = driver("kube.autoscale", "plan", {"cluster": "main", "namespace": ns, "name": "scaled", "min": 9, "max": 2})
    assert bad["error"] == "invalid", bad
    fixed = server.admin("POST", f"/api/v1/namespaces/{ns}/configmaps", {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fixed"}, "immutable": True, "data": {"a": "b"}})
    assert fixed.status == 201
    stone = driver("kube.config", "plan", {"cluster": "main", "namespace": ns, "name": "fixed", "key": "a", "value": "c"})
    assert stone["error"] == "invalid" and "immutable" in stone["says"], stone


def test_quota_is_why_it_is_stuck(place):
    server, ns, driver = place
    server.admin("POST", f"/apis/apps/v1/namespaces/{ns}/deployments", workload(name="wide", replicas=1))
    settled(server, ns, "deployments/wide")
    server.admin("POST", f"/api/v1/namespaces/{ns}/resourcequotas", {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}})
    wait(lambda: part(server.admin.get(f"/api/v1/namespaces/{ns}/resourcequotas/few").json, "status.hard.pods"), "quota")
    given = {"cluster": "main", "namespace": ns, "name": "wide", "replicas": 3}
    plan = driver.good("kube.scale", "plan", given)
    since = outcome = driver.good("kube.scale", "apply", given, plan=plan)
    end = time.monotonic() + 15
    while since.get("state") != "stuck":
        assert time.monotonic() < end, since
        since = driver.good("kube.scale", "follow", given, plan=plan, since=since if since is not outcome else outcome)
        time.sleep(0.1)
    assert "exceeded quota: few" in since["why"], since
    server.admin("DELETE", f"/api/v1/namespaces/{ns}/resourcequotas/few")


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
