# SPDX-License-Identifier: Apache-2.0
"""What becomes of a change in a real cluster, as the message to its requester tells it, with the privileges that opsd
catalog rbac makes: through the death of the API server, a quota, an autoscaler, somebody else's deploy."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from kube_client import APPS, CORE
from sandbox.kube import kinds, seed
from sandbox.postgres import Postgres
from sandbox.world import ROOT, World, binary, eventually, request_id, words
from servers import SERVICE, Real, wait
from test_rbac import grant

pytestmark = pytest.mark.skipif(not Path("/usr/lib/postgresql").is_dir(), reason="no PostgreSQL server is installed")

ACCOUNT = "follower"
NEVER = "opsd.test/never"       # kwok: the state that the containers wait in
RUNS = {"phase": "Running", "conditions": [{"type": t, "status": "True"} for t in
                                           ("Initialized", "Ready", "ContainersReady", "PodScheduled")],
        "containerStatuses": [{"name": "worker", "image": "x", "imageID": "", "ready": True, "started": True, "restartCount": 0,
                               "state": {"running": {}}}]}
AT = APPS + "ads/deployments/workers-dev"
SCALE = "workers scale team=ads role=dev count={} reason=load"
SECONDS = 90            # for a word of the message: the machine may have much else to do


class Town(World):
    """A World whose cluster is the control plane."""

    def __init__(self, loop, postgres, kubeconfig):
        self.kubeconfig = kubeconfig
        super().__init__(loop, postgres, config={"follow": {"stays_seconds": 15}})

    def settings(self):
        return {**super().settings(), "clusters": {"main": {"kubeconfig": {"file": str(self.kubeconfig), "context": "main"}}}}


@pytest.fixture(scope="module")
def postgres():
    with Postgres(fsync=False) as server:
        yield server


@pytest.fixture(scope="module")
def account(real):
    """The kubeconfig of an account with the least privileges."""
    if not isinstance(real, Real):
        pytest.skip("the namespaces of the catalog are made on a control plane of our own")
    for ns in ("ads", "web"):
        real.plane.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
    made = subprocess.run([binary(), "catalog", "rbac", "--dir", ROOT / "commands", "--cluster", "main", "--namespace", "ads",
                           "--namespace", "web", "--account", f"{SERVICE[0]}/{ACCOUNT}"], capture_output=True, text=True,
                          check=True)
    docs = [d for d in yaml.safe_load_all(made.stdout) if d]
    grant(real.admin, [d for d in docs if d["metadata"].get("namespace", "ads") in ("ads", "web") and "rbac" in d["apiVersion"]])
    config = real.plane.folder / "follower.kubeconfig"
    token = real.plane.service_account(ACCOUNT, SERVICE[0])
    config.write_text(yaml.safe_dump(real.plane.kubeconfig(token)), encoding="utf-8")
    yield config
    for ns in ("ads", "web"):
        real.admin("DELETE", f"/api/v1/namespaces/{ns}")


@pytest.fixture
def town(real, account, loop_thread, postgres):
    """Two workers; what is made beside them is under way until the test has it started."""
    seeded = next(o for o in seed.objects() if o["kind"] == "Deployment" and o["metadata"]["name"] == "workers-dev")
    obj = {"apiVersion": kinds.named("Deployment").api_version, **seeded}
    obj["spec"] = {**obj["spec"], "replicas": 2}
    obj["spec"]["template"]["metadata"].setdefault("annotations", {})[NEVER] = "ContainerCreating"
    obj.pop("status", None)
    wait(lambda: real.admin.get(AT).status == 404, "the last test's workers to be gone", SECONDS)
    real.plane.make(obj)
    wait(lambda: start(real) or available(real) == 2, "two workers", SECONDS)
    with Town(loop_thread, postgres, account) as world:
        world.start()
        yield world
    real.admin("DELETE", AT, {"propagationPolicy": "Foreground"})


def start(real):
    """The pods that wait run now."""
    pods = CORE + "ads/pods"
    for pod in real.admin.get(pods).json["items"]:
        if pod["status"].get("phase") == "Pending" and pod["status"].get("containerStatuses"):
            real.admin.patch(f"{pods}/{pod['metadata']['name']}/status", {"status": RUNS})


def available(real):
    return real.admin.get(AT).json["status"].get("availableReplicas")


def change(town, count):
    preview = town.ask("U0ANA", SCALE.format(count))
    town.click("U0ANA", preview, "confirm")
    rid = request_id(preview)
    town.wait_state(rid, "succeeded")
    return rid


def says(town, rid, *parts, starts=None):
    """Waits until the one message of this request says so; its words. starts: the plane, whose pods are started meanwhile."""
    def mine():
        if starts:
            start(starts)
        found = [words(m) for m in town.slack.messages(channel="D00ANA")["messages"] if rid in words(m)]
        assert len(found) <= 1, found
        return found[0] if found and all(p in found[0] for p in parts) else None
    try:
        return eventually(mine, SECONDS, parts)
    except AssertionError as e:
        found = [words(m) for m in town.slack.messages(channel="D00ANA")["messages"] if rid in words(m)]
        raise AssertionError(f"{e}: {found}\n{town.opsd.tail(12)}") from None


def ended(town, rid):
    return eventually(lambda: town.sql("select ended from ops.follow where request_id = $1", rid)[0]["ended"], SECONDS,
                      "the end of the following")


def streams(real, since):
    """(resource, status) of each watch that the account opened, by the cluster's own audit log from an offset on."""
    out = set()
    with open(real.plane.folder / "audit.log", encoding="utf-8") as log:
        log.seek(since)
        for line in log:
            entry = json.loads(line) if line.endswith("}\n") else {}
            if entry.get("verb") == "watch" and entry["user"]["username"].endswith(f":{ACCOUNT}"):
                out.add((entry["objectRef"]["resource"], entry["responseStatus"]["code"]))
    return out


def test_api_server_dies_in_between(town, real):
    since = (real.plane.folder / "audit.log").stat().st_size
    rid = change(town, 4)
    assert "░" in says(town, rid, "Under way", "2 of 4")
    eventually(lambda: {("deployments", 200), ("pods", 200)} <= streams(real, since), SECONDS, "both watches")
    real.plane.kill_api()
    since = (real.plane.folder / "audit.log").stat().st_size
    real.plane.start_api()          # it refuses everything until it has read the roles
    says(town, rid, "Complete", "4 of 4", starts=real)
    eventually(lambda: ("deployments", 200) in streams(real, since), SECONDS, "the watch to go on")
    says(town, rid, "still so after 15 seconds")
    assert ended(town, rid) == "done"
    assert not town.opsd.logs("followed by asking now and then, for it cannot be watched")


def test_api_server_stays_away(town, real):
    """The message says that nothing is known, and ends right when it is there again."""
    rid = change(town, 4)
    says(town, rid, "Under way", "2 of 4")
    real.plane.kill_api()
    try:
        says(town, rid, "Not known how far it is")
    finally:
        real.plane.start_api()
    says(town, rid, "4 of 4", "still so", starts=real)
    assert ended(town, rid) == "done"


def test_quota(town, real):
    real.plane.make({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small", "namespace": "ads"},
                     "spec": {"hard": {"pods": "3"}}})
    wait(lambda: "used" in real.admin.get(CORE + "ads/resourcequotas/small").json.get("status", {}), "the quota", SECONDS)
    try:
        rid = change(town, 4)
        says(town, rid, "Stuck", "exceeded quota: small", "has used up its quota", f"undo {rid}")
        real.admin("DELETE", CORE + "ads/resourcequotas/small")
        real.admin.patch(AT, {"metadata": {"labels": {"nudged": "yes"}}})      # else it tries again after a while
        says(town, rid, "Complete", starts=real)
    finally:
        real.admin("DELETE", CORE + "ads/resourcequotas/small")


def test_autoscaler_undoes_it(town, real):
    """Who did it is named by the cluster's record of the field."""
    rid = change(town, 4)
    says(town, rid, "Under way", "2 of 4")
    says(town, rid, "Complete", starts=real)
    real.plane.make({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                     "metadata": {"name": "workers-dev", "namespace": "ads"},
                     "spec": {"minReplicas": 1, "maxReplicas": 3,
                              "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "workers-dev"}}})
    try:
        says(town, rid, "Undone: replicas is 3 now, not 4", "set by kube-controller-manager (scale)")
        assert ended(town, rid) == "undone"
    finally:
        real.admin("DELETE", "/apis/autoscaling/v2/namespaces/ads/horizontalpodautoscalers/workers-dev")


def test_somebody_deploys_on_top(town, real):
    """Not failed: another change took its place. What they deploy cannot start, which is theirs to look after."""
    rid = change(town, 4)
    says(town, rid, "Under way")
    done = real.admin.patch(AT, {"spec": {"template": {"metadata": {"annotations": {NEVER: "ImagePullBackOff"}}}}},
                            fieldManager="deployer")
    assert done.status == 200, done.body
    says(town, rid, "Not followed any more: another change came on top", "by deployer at 2")
    assert ended(town, rid) == "superseded"


def test_image_cannot_be_pulled(town, real):
    """The reason is of a pod of the new revision, while the old ones go on running."""
    done = real.admin.patch(AT, {"spec": {"template": {"metadata": {"annotations": {NEVER: "ImagePullBackOff"}}}}})
    assert done.status == 200, done.body
    wait(lambda: real.admin.get(AT).json["status"].get("updatedReplicas"), "a pod of the new revision", SECONDS)
    rid = change(town, 4)
    text = says(town, rid, "Stuck", "worker: ImagePullBackOff", "image and its tag exist")
    assert "0 of 4" in text, "those that run are not of the new revision"
