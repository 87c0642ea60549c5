# SPDX-License-Identifier: Apache-2.0
"""kill -9 at the worst moments: each request ends once and is announced once, each effect happens once."""

import json

import pytest

from sandbox.world import eventually, request_id, words

STATUS = "workers status team=ads"
NUDGE = "workers nudge team=ads count=4 reason=queue"
SCALE = "workers scale team=ads role=dev count=4 reason=queue"
ENDS = ("succeeded", "failed", "unknown", "denied", "rejected", "expired", "cancelled")


def known(world, user="U0ANA"):
    """The asker's facts are known to the service from here on, so the next command is decided at once."""
    world.slash(user, STATUS)
    world.see(user, ["workers-dev"])
    world.wait_told()


def restart(world):
    world.kill()
    world.kube.clear()
    world.slack.clear()
    world.make_time_pass()
    world.start()


def once(world, rid, state="succeeded", patches=1):
    """The request has ended like this, once, and was announced once to both sides."""
    row = world.wait_state(rid, *ENDS)
    assert row["state"] == state, row
    world.wait_told()
    ends = [r for r in world.audit_rows(request=rid) if r["event"].removeprefix("request.") in ENDS]
    assert len(ends) == 1, [r["event"] for r in ends]
    assert len(world.audit_posts(rid)) == 1
    done = [r for r in world.kube.patches() if r["status"] is None or r["status"] < 300]
    assert len(done) == patches, [(r["status"], r["body"]) for r in world.kube.patches()]
    replies = [m for m in world.seen("U0ANA") if rid in words(m) and "⏳" not in words(m)
               and "Nothing happens before" not in words(m)]
    assert len(replies) == 1, [words(m) for m in replies]


def nudge(world):
    world.slack.slash(user="U0ANA", channel="C0OPS", text=NUDGE, wait=True)
    return world.requests(command="workers nudge")[-1]["id"]


def asked_again(world):
    """Nobody knows what the requester was told: nothing is done, they are asked, and say Run."""
    preview = world.see("U0ANA", ["you may have been told that nothing was recorded", '"action_id": "confirm"'])
    assert not world.kube.patches()
    world.click("U0ANA", preview, "confirm")
    return request_id(preview)


def test_killed_while_it_plans(world):
    known(world)
    world.kube.fault(mode="hang", verb="get", resource="deployments/scale")
    world.kube.fault(mode="hang", verb="get", resource="deployments")
    since = world.kube.requests()["total"]
    rid = nudge(world)
    world.kube.wait(request={"verb": "get", "ns": "ads"}, since=since)
    restart(world)
    assert asked_again(world) == rid
    once(world, rid)
    assert world.kube.replicas() == 4


def test_killed_long_after_it_was_heard(world):
    """Leases that were renewed say that the acknowledgement was sent: the work is carried on by itself."""
    known(world)
    world.kube.fault(mode="hang", verb="get", ns="ads")
    since = world.kube.requests()["total"]
    rid = nudge(world)
    world.kube.wait(request={"verb": "get", "ns": "ads"}, since=since)
    row = world.request(rid)
    world.sql("select ops.renew($1, '{}', array[$2], array[$3::bigint])", row["claimed_by"], rid, row["fence"])
    restart(world)
    once(world, rid)


@pytest.mark.parametrize("run", [True, False])
def test_killed_when_it_had_said_that_nothing_was_recorded(world, run):
    """The record got in, its answer did not, and who knew is dead: the person decides, by a button."""
    known(world)
    world.sql("alter function ops.disown rename to unheard_of")     # the question what became of it leads to nothing
    world.postgres.pause()
    assert "Nothing was recorded" in world.slash("U0ANA", NUDGE, once=True)["text"]
    world.kill()
    world.postgres.resume()
    rid = eventually(lambda: world.requests(command="workers nudge"), what="the record")[0]["id"]
    world.wait_heard()
    world.sql("alter function ops.unheard_of rename to disown")
    world.make_time_pass()
    world.start()
    if run:
        assert asked_again(world) == rid
        once(world, rid)
        return
    preview = world.see("U0ANA", ["you may have been told that nothing was recorded"])
    world.click("U0ANA", preview, "cancel")
    once(world, rid, "cancelled", 0)


def test_killed_before_the_effect(world):
    known(world)
    world.kube.fault(mode="hang", verb="patch", dry_run=False)
    rid = nudge(world)
    world.kube.wait(request={"verb": "patch", "dry_run": False})
    restart(world)
    row = world.wait_state(rid, *ENDS)
    assert row["state"] == "succeeded", row
    assert world.kube.replicas() == 4
    world.wait_told()
    assert len(world.audit_posts(rid)) == 1


def test_killed_after_the_effect_before_it_was_recorded(world):
    known(world)
    world.kube.fault(mode="hang_after", verb="patch", dry_run=False)
    rid = nudge(world)
    eventually(lambda: world.kube.replicas() == 4, what="the effect")
    restart(world)
    once(world, rid)


def test_killed_after_the_effect_and_somebody_changed_it_since(world):
    """Whether it was us cannot be seen any more in the value; our mark on the object tells, or it is unknown."""
    known(world)
    world.kube.fault(mode="hang_after", verb="patch", dry_run=False)
    rid = nudge(world)
    eventually(lambda: world.kube.replicas() == 4, what="the effect")
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=9)
    restart(world)
    row = world.wait_state(rid, *ENDS)
    assert row["state"] in ("succeeded", "unknown"), row
    assert world.kube.replicas() == 9, "nobody's later change is undone"
    assert len(world.kube.patches()) == 1


def test_killed_between_click_and_effect(world):
    preview = world.ask("U0ANA", SCALE)
    rid = request_id(preview)
    world.wait_told()
    world.kube.fault(mode="hang", verb="get", ns="ads")
    since = world.kube.requests()["total"]
    world.click("U0ANA", preview, "confirm")
    world.kube.wait(request={"verb": "get", "ns": "ads"}, since=since)
    restart(world)
    assert asked_again(world) == rid
    row = world.wait_state(rid, *ENDS)
    assert row["state"] == "succeeded" and world.kube.replicas() == 4
    assert len(world.kube.patches()) == 1
    world.wait_told()
    assert len(world.audit_posts(rid)) == 1


def test_offer_outlives_the_replica_that_made_it(world):
    preview = world.ask("U0ANA", SCALE)
    world.wait_told()
    restart(world)
    world.click("U0ANA", preview, "confirm")
    world.wait_state(request_id(preview), "succeeded")
    assert world.kube.replicas() == 4


def test_offer_that_nobody_takes_expires(world):
    preview = world.ask("U0ANA", SCALE)
    rid = request_id(preview)
    world.wait_told()
    world.make_time_pass(offers=True)
    world.wait_state(rid, "expired")
    world.wait_audit(rid, "⌛")
    world.see("U0ANA", ["⌛", rid])
    world.click("U0ANA", preview, "confirm")
    world.see("U0ANA", ["already taken", "expired"])
    assert not world.kube.patches()


def test_killed_during_a_read(world):
    known(world)
    world.kube.fault(mode="hang", verb="list")
    world.kube.fault(mode="hang", verb="get")
    since = world.kube.requests()["total"]
    ts = world.last_ts()
    world.slash("U0ANA", STATUS)
    world.kube.wait(request={"ns": "ads"}, since=since)
    restart(world)
    world.see("U0ANA", ["workers-dev"], since=ts)
    world.wait_told()
    rows = [m for m in world.seen("U0ANA") if m["ts"] > ts and "workers-dev" in words(m)]
    assert len(rows) == 1


def test_killed_before_the_asker_was_known(world):
    """Acknowledged, recorded, and killed while Slack was asked who this is."""
    world.slack.fault(name="api", method="users.info", mode="hang")
    rid = nudge(world)
    world.slack.wait("call", method="users.info")
    restart(world)
    assert asked_again(world) == rid
    once(world, rid)


@pytest.mark.parametrize("mode,posted", [("lost", True), ("hang", False)])
def test_killed_between_outcome_and_audit_line(world, mode, posted):
    """lost: the line was posted and its answer never came; hang: it never was. Both: exactly one line."""
    known(world)
    world.slack.fault(name="api", method="chat.postMessage", mode=mode)
    rid = nudge(world)
    world.wait_state(rid, "succeeded")
    eventually(lambda: [c for c in world.slack.calls(method="chat.postMessage")["calls"]
                        if "C0AUDIT" in json.dumps(c) and rid in json.dumps(c)], what="the line to be sent")
    assert len(world.audit_posts(rid)) == (1 if posted else 0)
    restart(world)
    world.wait_audit(rid)
    world.wait_told()
    assert len(world.audit_posts(rid)) == 1
    assert len(world.kube.patches()) == 1


def test_killed_with_many_lines_owed(world):
    known(world)
    world.slack.fault(name="api", method="chat.postMessage", mode="hang")
    for i in range(6):
        world.slash("U0ANA", f"workers nudge team=ads count={3 + i % 2} reason=r{i}")
    eventually(lambda: all(r["state"] in ENDS for r in world.requests(command="workers nudge")), what="all to end")
    restart(world)
    world.wait_told()
    for row in world.requests(command="workers nudge"):
        assert len(world.audit_posts(row["id"])) == 1


def test_terminated_while_an_effect_is_under_way(world):
    """SIGTERM waits for what has begun: recorded, told, then out."""
    known(world)
    world.kube.fault(mode="hold", verb="patch", dry_run=False)
    rid = nudge(world)
    eventually(lambda: world.kube.faults()["struck"].get("hold"), what="the patch to arrive")
    world.opsd.child.terminate()
    world.opsd.wait_log("stopping")
    world.kube.clear()
    assert world.stop() == 0
    row = world.request(rid)
    assert row["state"] == "succeeded", row
    assert world.kube.replicas() == 4


def test_frozen_replica_is_fenced_off(make_world):
    """A replica that was frozen past its lease, with the effect done, comes back when another has ended the request."""
    world = make_world()
    known(world)
    world.kube.fault(mode="hold", verb="patch", dry_run=False, times=1)
    rid = nudge(world)
    eventually(lambda: world.kube.faults()["struck"].get("hold"), what="the patch to arrive")
    first = world.opsd
    first.pause()
    world.kube.clear()
    eventually(lambda: world.kube.replicas() == 4, what="the effect")
    world.make_time_pass()
    second = world.start()
    world.wait_state(rid, "succeeded")
    world.wait_audit(rid)
    first.resume()
    world.slack.wait("sockets", count=2)
    world.wait_told()
    assert second.alive() and first.alive()
    assert len(world.kube.patches()) == 1 and len(world.audit_posts(rid)) == 1
    ends = [r for r in world.audit_rows(request=rid) if r["event"] == "request.succeeded"]
    assert len(ends) == 1
    assert world.request(rid)["state"] == "succeeded"
    # what the first one wrote under its old fencing number was refused, and that is on record
    first.wait_log("run over", request=rid, error=f"Request {rid} was taken over by another replica.")
    late = world.audit_rows(request=rid, event="request.late_answer")
    assert [r["says"]["observer"]["boot"] for r in late] == [first.logs("serving")[0]["boot"]]


def test_replica_frozen_before_the_start_starts_nothing(make_world):
    """Frozen while it plans; when it is back, the one who took over has let the requester decide."""
    world = make_world()
    known(world)
    world.kube.fault(mode="hold", verb="get", ns="ads", times=1)
    rid = nudge(world)
    eventually(lambda: world.kube.faults()["struck"].get("hold"), what="the plan to read its target")
    first = world.opsd
    first.pause()
    world.kube.clear()
    world.make_time_pass()
    world.start()
    assert asked_again(world) == rid
    once(world, rid)
    first.resume()
    first.wait_log("run over", request=rid, error=f"Request {rid} was taken over by another replica.")
    once(world, rid)
    steps = world.sql("select fence from ops.step where request_id = $1", rid)
    assert len(steps) == 1 and int(steps[0]["fence"]) > 1


def test_second_replica_takes_over_without_a_restart(make_world):
    world = make_world(2)
    known(world)
    world.kube.fault(mode="hang", verb="patch", dry_run=False, times=1)
    rid = nudge(world)
    world.kube.wait(request={"verb": "patch", "dry_run": False})
    boot = world.request(rid)["claimed_by"]
    owner = next(o for o in world.running if o.wait_log("serving")["boot"] == boot)
    world.kill(owner)
    world.make_time_pass()
    row = world.wait_state(rid, *ENDS)
    assert row["state"] == "succeeded" and world.kube.replicas() == 4
    world.wait_audit(rid)


def test_given_up_after_five_replicas_is_unknown_and_says_so(world):
    known(world)
    world.kube.fault(mode="hang", verb="patch", dry_run=False)
    rid = nudge(world)
    world.kube.wait(request={"verb": "patch", "dry_run": False})
    world.kill()
    world.kube.clear()
    world.make_time_pass()
    world.sql("update ops.request set attempts = 5 where id = $1", rid)
    world.start()
    row = world.wait_state(rid, "unknown")
    assert "given up" in row["error"]
    world.wait_audit(rid, "⚠️")
