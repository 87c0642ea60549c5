# SPDX-License-Identifier: Apache-2.0
"""What becomes of a change: one message that is edited until it is complete, stuck, undone or not ours any more."""

import json

import pytest

from sandbox.world import eventually, request_id, words

DM = "D00ANA"           # where the app speaks to Ana alone
STAYS = 2
SCALE = "workers scale team=ads role=dev count=4 reason=load"
SLOW = {"step_ms": 8000}


@pytest.fixture
def make(make_world):
    def build(kube=None, **how):
        config = {"follow": {"stays_seconds": STAYS}}
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


def followed(world, rid, ended):
    """The end is on record, once."""
    def check():
        return world.sql("select ended from ops.follow where request_id = $1", rid)[0]["ended"] is not None
    eventually(check, 20, "the end of the following")
    assert world.sql("select ended from ops.follow where request_id = $1", rid)[0]["ended"] == ended
    rows = world.audit_rows(request=rid, event="request.followed")
    assert len(rows) == 1
    assert world.request(rid)["state"] == "succeeded"
    return rows[0]["says"]


def test_rollout_in_one_message(make):
    world = make(kube=SLOW)
    rid = change(world)
    text = says(world, rid, "Under way", "of 4", "░")
    assert "Deployment ads/workers-dev on main" in text and "workers scale" in text
    says(world, rid, "Complete", f"watches for {STAYS} seconds")
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
    says(world, rid, "Undone: replicas is 3 again, not 4", "kube-controller-manager (scale)")
    assert followed(world, rid, "undone")["outcome"] == "failure"
    post = words(world.wait_audit(rid, "undone since"))
    assert "replicas is 3 again, not 4" in post


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
    world.sql("update ops.follow set wake_at = clock_timestamp()")      # its lease is over
    world.start()
    says(world, rid, "still so")
    followed(world, rid, "done")
    assert len(messages(world, rid)) == 1


def test_message_is_edited_not_repeated(make):
    world = make(kube=SLOW)
    rid = change(world)
    says(world, rid, "still so")
    calls = world.slack.calls(method="chat.postMessage")["calls"]
    posts = [c for c in calls if "progress" not in c and DM in json.dumps(c) and rid in json.dumps(c)]
    assert len(posts) == 1
