# SPDX-License-Identifier: Apache-2.0
"""What becomes of a change: one message that is edited until it is complete, stuck, undone or not ours any more."""

import json
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.world import eventually, request_id, words
from stall import stalled

DM = "D00ANA"           # where the app speaks to Ana alone
STAYS = 2
SCALE = "workers scale team=ads role=dev count=4 reason=load"
SLOW = {"step_ms": 8000}


@pytest.fixture
def make(make_world):
    def build(kube=None, stays=STAYS, **how):
        config = {"follow": {"stays_seconds": stays}}
        return make_world(kube={"observe_ms": 5, "hpa_ms": 100, "argo_ms": 100, **(kube or {})}, config=config, **how)
    return build


def change(world, text=SCALE, user="U0ANA"):
    preview = world.ask(user, text)
    world.click(user, preview, "confirm")
    rid = request_id(preview)
    world.wait_state(rid, "succeeded")
    return rid


def messages(world, rid):
    return [m for m in world.slack.messages(channel=DM)["messages"] if rid in words(m)]


def says(world, rid, *parts):
    """Waits until the one message of this request says so."""
    def check():
        found = messages(world, rid)
        assert len(found) <= 1, [words(m) for m in found]
        return found and all(p in words(found[0]) for p in parts)
    try:
        eventually(check, what="the message")
    except AssertionError as e:
        raise AssertionError(f"{e}: wanted {parts}, got {[words(m) for m in messages(world, rid)]}") from None
    return words(messages(world, rid)[0])


def said(world, rid, *parts):
    """Waits until the one message of this request says so, or has said so before: what it says next may follow at once."""
    def check():
        found = messages(world, rid)
        assert len(found) <= 1, [words(m) for m in found]
        return next((words(m) for m in versions(found) if all(p in words(m) for p in parts)), None)
    return eventually(check, what=f"the message to say {parts}")


def versions(found):
    """What a message says, and what it said before that, newest first."""
    return [*found, *({"blocks": e["blocks"], "text": e["text"]} for m in found for e in reversed(m.get("edits", [])))]


def followed(world, rid, ended):
    """The end is on record, once."""
    def check():
        return world.sql("select ended from ops.follow where request_id = $1", rid)[0]["ended"] is not None
    eventually(check, what="the end of the following")
    assert world.sql("select ended from ops.follow where request_id = $1", rid)[0]["ended"] == ended
    rows = world.audit_rows(request=rid, event="request.followed")
    assert len(rows) == 1
    assert world.request(rid)["state"] == "succeeded"
    return rows[0]["says"]


def test_rollout_in_one_message(make):
    world = make(kube=SLOW)
    rid = change(world)
    text = said(world, rid, "Under way", "of 4", "░")
    assert "Deployment ads/workers-dev on main" in text and "workers scale" in text
    said(world, rid, "Complete", f"watches for {STAYS} seconds")
    text = says(world, rid, f"still so after {STAYS} seconds")
    assert "follows what happens" not in text
    assert followed(world, rid, "done")["outcome"] == "success"
    assert len(world.audit_posts(rid)) == 1, "the audit channel hears of it once"


def test_what_is_complete_at_once_is_no_message(make):
    world = make(kube={"workloads": "instant"})
    rid = change(world)
    followed(world, rid, "done")
    assert not messages(world, rid)


def test_stuck_says_why_and_recovers(make):
    world = make(kube={"step_ms": 5})
    world.kube.stuck(ns="ads", name="workers-dev", reason="ImagePullBackOff", message="Back-off pulling image")
    rid = change(world)
    says(world, rid, "Stuck", "ImagePullBackOff", "2 of 4")
    world.kube.stuck(ns="ads", name="workers-dev", off=True)
    says(world, rid, "Complete")
    followed(world, rid, "done")


def test_quota_is_named(make):
    world = make(kube={"step_ms": 5})
    world.kube.obstacle(what="quota", ns="ads", pods=9)
    rid = change(world)
    says(world, rid, "Stuck", "exceeded quota: compute")


def test_autoscaler_undoes_it(make):
    world = make(kube={"workloads": "instant"})
    world.kube.obstacle(what="hpa", ns="ads", name="workers-dev", low=2, high=3)
    rid = change(world)
    says(world, rid, "Undone: replicas is 3 now, not 4", "kube-controller-manager (scale)")
    assert followed(world, rid, "undone")["outcome"] == "failure"
    post = words(world.wait_audit(rid, "undone since"))
    assert "replicas is 3 now, not 4" in post


def test_another_change_on_top(make):
    world = make(kube={"step_ms": 5})
    world.kube.stuck(ns="ads", name="workers-dev", reason="ImagePullBackOff")
    rid = change(world)
    says(world, rid, "Stuck")
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", manager="deployer", patch={"spec": {
        "minReadySeconds": 1}})
    says(world, rid, "Not followed any more", "another change came on top", "deployer")
    followed(world, rid, "superseded")
    assert len(world.audit_posts(rid)) == 1, "it did not fail"


def test_cluster_goes_away_in_between(make):
    world = make(kube=SLOW)
    rid = change(world)
    says(world, rid, "Under way")
    world.kube.listen(on=False)
    says(world, rid, "does not answer")
    world.kube.listen(on=True)
    says(world, rid, "still so")
    followed(world, rid, "done")


def test_replica_dies_in_between(make):
    world = make(kube=SLOW)
    rid = change(world)
    says(world, rid, "Under way")
    world.wait_told()
    world.kill()
    world.wait_heard()
    world.sql("update ops.follow set wake_at = clock_timestamp()")      # its lease is over
    world.start()
    says(world, rid, "still so")
    followed(world, rid, "done")
    assert len(messages(world, rid)) == 1


def asked(world, since=0, **match):
    """(verb, resource) of each request to the cluster, oldest first."""
    rows = world.kube.requests(since=since, limit=5000, **match)["requests"]
    return [(r["verb"], r["resource"]) for r in rows]


def follow_one(world):
    """A rollout of 12 s followed to its end; (requests to the cluster since the change, seconds to the message's end)."""
    rid = change(world)
    done = [r["n"] for r in world.kube.patches()]
    assert len(done) == 1
    since = done[0]

    def available():
        o = world.kube.object("Deployment", "ads", "workers-dev")
        return o["status"].get("observedGeneration") == o["metadata"]["generation"] and \
            o["status"].get("availableReplicas") == o["spec"]["replicas"] == 4
    eventually(available, what="the rollout")
    over = time.monotonic()
    says(world, rid, "Complete")
    took = time.monotonic() - over
    followed(world, rid, "done")
    return asked(world, since), took


def test_what_it_costs_to_follow(make):
    """A watch tells of the steps; asking for them every two seconds takes more requests the longer it lasts."""
    watched, polled = make(kube={"step_ms": 12000}), make(kube={"step_ms": 12000})
    polled.kube.rbac(deny=[{"resource": "deployments", "verb": "watch"}])
    late = stalled()
    with ThreadPoolExecutor() as pool:
        by_watch, by_asking = [f.result() for f in [pool.submit(follow_one, w) for w in (watched, polled)]]
    print(f"requests: {len(by_watch[0])} watched, {len(by_asking[0])} polled; "
          f"to the end of the message: {by_watch[1]:.2f} s watched, {by_asking[1]:.2f} s polled")
    each = Counter(by_watch[0])
    assert each["watch", "deployments"] == each["watch", "pods"] == 1
    # the look before it was watched, and the one that makes sure of the end; on a machine that has no time for the watch
    # another one every two seconds until it is open
    more = (stalled() - late) / 2
    assert each["get", "deployments"] <= 3 + more and each["list", "replicasets"] <= 1 + more, each
    assert len(by_watch[0]) < len(by_asking[0])
    assert watched.kube.wait(watches=0), "nobody follows, nothing is watched"


def test_watching_is_not_allowed(make):
    world = make(kube={"step_ms": 5})
    world.kube.rbac(deny=[{"resource": "pods", "verb": "watch"}])
    world.kube.stuck(ns="ads", name="workers-dev", reason="ImagePullBackOff")
    for _ in range(2):
        rid = change(world)
        says(world, rid, "Stuck", "ImagePullBackOff")
        world.kube.stuck(ns="ads", name="workers-dev", off=True)
        says(world, rid, "Complete")
        followed(world, rid, "done")
        world.kube.stuck(ns="ads", name="workers-dev", reason="ImagePullBackOff")
        world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=2)
        eventually(lambda: world.kube.object("Deployment", "ads", "workers-dev")["status"].get("availableReplicas") == 2)
    lines = world.opsd.logs("followed by asking now and then, for it cannot be watched")
    assert len(lines) == 1 and lines[0]["where"] == "main/ads" and "watch pods" in lines[0]["error"]


def test_undone_is_heard_of_at_once(make):
    """Between the looks by time, which are half a minute apart by then."""
    world = make(kube={"workloads": "instant"}, stays=300)
    rid = change(world)

    def complete_for(seconds):
        return world.sql("select 1 from ops.follow where request_id = $1 and done_at < clock_timestamp() "
                         "- make_interval(secs => $2::int)", rid, str(seconds))
    eventually(lambda: complete_for(8), what="the look at 5 s to be over")
    assert world.kube.wait(watches=1)
    since = world.kube.requests()["total"]
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=1, manager="kubectl-scale")
    says(world, rid, "Undone: replicas is 1 now, not 4", "set by kubectl-scale at 2", "speak with them")
    assert not complete_for(28), "it was found by the look at 30 s"
    assert asked(world, since).count(("get", "deployments")) == 1, "it was made sure of"
    followed(world, rid, "undone")
    assert world.kube.wait(watches=0)


def test_stream_is_cut_a_hundred_times(make):
    """Status by status, with the stream cut before and after each: the message ends with the last."""
    world = make(kube={"workloads": "off"})
    rid = change(world)
    generation = world.kube.object("Deployment", "ads", "workers-dev")["metadata"]["generation"]

    def report(n):
        world.kube.set(kind="Deployment", ns="ads", name="workers-dev", status={
            "observedGeneration": generation, "replicas": 4, "updatedReplicas": 4, "readyReplicas": n % 4,
            "availableReplicas": n % 4})
    report(1)
    says(world, rid, "1 of 4 available")
    assert world.kube.wait(watches=2)
    since = world.kube.requests()["total"]
    for n in range(100):
        before = world.kube.requests()["total"]
        world.kube.watches(do="abort" if n % 4 < 2 else "close")
        if n % 2:                       # while it is cut, or once it is open again
            report(n)
        world.kube.wait(request={"verb": "watch", "resource": "deployments"}, since=before)
        report(n)
        if n % 20 == 3:                 # nothing else comes for a while: it is told
            says(world, rid, "3 of 4 available")
    report(2)
    says(world, rid, "2 of 4 available")
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", status={"availableReplicas": 4, "readyReplicas": 4})
    says(world, rid, "Complete")
    followed(world, rid, "done")
    seen = Counter(asked(world, since))
    assert seen["watch", "deployments"] >= 100, seen


def holder(world, rid):
    return world.sql("select claimed_by from ops.follow where request_id = $1", rid)[0]["claimed_by"]


def boots(world):
    return {opsd.wait_log("serving")["boot"]: opsd for opsd in world.running}


def test_replica_stops_in_between(make):
    """What it holds is another's at once."""
    world = make(kube=SLOW, start=2)
    rid = change(world)
    says(world, rid, "Under way")
    first = eventually(lambda: holder(world, rid), what="a replica to hold it on")
    world.stop(boots(world)[first])
    second = eventually(lambda: holder(world, rid), what="the other replica to follow it")
    assert second != first and second in boots(world)
    says(world, rid, "still so")
    followed(world, rid, "done")
    assert len(messages(world, rid)) == 1


@pytest.mark.parametrize("reason, message, why, following", [
    ("ImagePullBackOff", "Back-off pulling image", "worker: ImagePullBackOff: Back-off pulling image", "image and its tag exist"),
    ("Unschedulable", "0/3 nodes are available: 3 Insufficient cpu.", "no node for it: 0/3 nodes", "No node has room"),
    ("CrashLoopBackOff", "", "worker: CrashLoopBackOff, last ended by Error (1)", "read the log of that pod"),
    ("CreateContainerConfigError", 'secret "db" not found', 'secret "db" not found', "names a ConfigMap, a Secret"),
])
def test_reason_and_next_step(make, reason, message, why, following):
    world = make(kube={"step_ms": 5})
    world.kube.stuck(ns="ads", name="workers-dev", reason=reason, message=message)
    rid = change(world)
    says(world, rid, "Stuck", "2 of 4", why, "and 1 more that are not ready", following, f"undo {rid}")


def test_probe_fails(make):
    """It runs, and is not ready: what its events say, and that nothing moves, make it stuck."""
    world = make(kube={"step_ms": 5})
    world.kube.stuck(ns="ads", name="workers-dev", reason="Unready")
    rid = change(world)
    # both of the new ones are there: which one the message is about stays
    text = says(world, rid, "Under way", "worker runs, but is not ready", "and 1 more that are not ready")
    pod = re.search(r"(workers-dev-\w+-\w+): worker runs", text)[1]
    uid = world.kube.object("Pod", "ads", pod)["metadata"]["uid"]
    # the newest counts, to the second: a minute ahead of what the stand-in's kubelet goes on saying
    world.kube.create(object={
        "apiVersion": "v1", "kind": "Event", "metadata": {"namespace": "ads", "name": pod + ".1"}, "type": "Warning",
        "reason": "Unhealthy", "message": "Readiness probe failed: HTTP probe failed with statuscode: 503",
        "involvedObject": {"kind": "Pod", "namespace": "ads", "name": pod, "uid": uid},
        "lastTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))})
    says(world, rid, "Under way", "Readiness probe failed: HTTP probe failed with statuscode: 503")


def test_message_is_edited_not_repeated(make):
    world = make(kube=SLOW)
    rid = change(world)
    says(world, rid, "still so")
    calls = world.slack.calls(method="chat.postMessage")["calls"]
    posts = [c for c in calls if "progress" not in c and DM in json.dumps(c) and rid in json.dumps(c)]
    assert len(posts) == 1
