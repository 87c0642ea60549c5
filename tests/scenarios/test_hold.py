# SPDX-License-Identifier: Apache-2.0
"""What holds a change back: freezes, and somebody else's change of the same object."""

import json

import pytest

from sandbox.world import eventually, request_id, words

DEV = 'workers scale team=ads role=dev count=%d reason="%s"'
PROD = 'workers scale team=ads role=prod count=8 reason="the backlog grows"'
ENDS = ("succeeded", "failed", "unknown", "denied", "rejected", "expired", "cancelled")


@pytest.fixture
def make(make_world):
    """make(...) gives a world in which small steps of workers-dev need no approval."""
    def made(**how):
        world = make_world(**how)
        world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
        return world
    return made


@pytest.fixture
def world(make):
    return make()


def freeze(world, text='reason="incident 7"', user="U0DIA"):
    """A freeze by command; its request."""
    since = world.last_ts(user)
    world.slash(user, f"freeze {text}")
    return request_id(world.see(user, ["freeze of"], since=since))


def unfreeze(world, text="reason=over", user="U0DIA"):
    preview = world.ask(user, f"unfreeze {text}")
    world.click(user, preview, "confirm")
    row = world.wait_state(request_id(preview), *ENDS)
    assert row["state"] == "succeeded", row


def scale(world, user, count, reason="load"):
    """Asked and confirmed; its request."""
    preview = world.ask(user, DEV % (count, reason))
    world.click(user, preview, "confirm")
    return request_id(preview)


def patches(world):
    return [p for p in world.kube.patches() if p["status"] is None or p["status"] < 300]


# freezes

def test_freeze_by_command(world):
    rid = freeze(world)
    assert "freeze of everything" in words(world.wait_audit(rid))
    preview = world.ask("U0ANA", DEV % (5, "load"))     # a plan can still be looked at, and says it
    for part in ("Changes are frozen (everything)", "Dia Sharma", "incident 7"):
        assert part in words(preview)
    world.click("U0ANA", preview, "confirm")
    row = world.wait_state(request_id(preview), *ENDS)
    assert (row["state"], row["code"]) == ("denied", "frozen")
    says = words(world.see("U0ANA", ["Nothing was done", request_id(preview)]))
    for part in ("Changes are frozen (everything)", "Dia Sharma", "incident 7", "unfreeze", "Reads go on"):
        assert part in says, says
    assert not patches(world)
    world.slash("U0ANA", "workers status team=ads")     # reads go on
    world.see("U0ANA", ["workers-dev"])
    assert "1" in world.command("freeze", "list").said

    unfreeze(world)
    rid = scale(world, "U0ANA", 5)
    assert world.wait_state(rid, *ENDS)["state"] == "succeeded"
    log = [r["event"] for r in world.audit_rows() if r["event"].startswith("freeze.")]
    assert log == ["freeze.set", "freeze.lifted"]


def test_who_may_not_freeze(world):
    world.told("U0ANA", "freeze reason=x", "You may not do this", "data-platform")
    assert not world.sql("select * from ops.freeze")


def test_some_of_it(world):
    freeze(world, "team=web hours=2 reason=migration")
    rid = scale(world, "U0ANA", 5)
    assert world.wait_state(rid, *ENDS)["state"] == "succeeded"
    freeze(world, "cluster=main name=workers-* reason=upgrade")
    rid = scale(world, "U0ANA", 6)
    assert world.wait_state(rid, *ENDS)["code"] == "frozen"
    since = world.last_ts("U0DIA")
    world.slash("U0DIA", "unfreeze reason=which")       # two: it must be said which
    says = words(world.see("U0DIA", ["There are several freezes"], since=since))
    assert "team=web" in says and "cluster=main" in says
    since = world.last_ts("U0DIA")
    world.slash("U0DIA", "freeze cluster=mian reason=typo")
    world.see("U0DIA", ["There is no cluster", "mian"], since=since)


def test_freeze_between_approval_and_start(world):
    preview = world.ask("U0ANA", PROD)
    rid = request_id(preview)
    world.click("U0ANA", preview, "confirm")
    card = world.slack.wait("message", channel="C0APPROVE", contains=[rid, '"action_id": "approve"'])
    world.kube.fault(mode="hold", verb="get", ns="ads")
    world.click("U0DIA", card, "approve")
    world.wait_state(rid, "allowed")                    # approved; its plan is being made again
    world.command("freeze", "reason=stop it")
    world.kube.clear()
    row = world.wait_state(rid, *ENDS)
    assert (row["state"], row["code"]) == ("denied", "frozen") and not patches(world)
    world.see("U0ANA", ["Nothing was done", "stop it", rid])


def test_card_shows_it_and_votes_are_kept(world):
    preview = world.ask("U0ANA", PROD)
    rid = request_id(preview)
    world.click("U0ANA", preview, "confirm")
    card = world.slack.wait("message", channel="C0APPROVE", contains=[rid, '"action_id": "approve"'])
    world.command("freeze", "team=ads", "reason=incident 7")
    world.slack.wait("message", channel="C0APPROVE", contains=[rid, "Changes are frozen (team=ads)"])
    world.click("U0DIA", card, "approve")
    world.slack.wait("message", channel="C0APPROVE", user="U0DIA", contains=["was not counted", "incident 7"])
    assert world.request(rid)["state"] == "approving"
    world.command("unfreeze", "reason=over")
    eventually(lambda: "Changes are frozen" not in words(next(
        m for m in world.slack.messages(channel="C0APPROVE")["messages"] if m["ts"] == card["ts"])), what="the card without it")
    world.click("U0DIA", card, "approve")
    assert world.wait_state(rid, *ENDS)["state"] == "succeeded"


def test_operator_without_slack(world):
    said = world.command("freeze", "action=workers.*", "hours=1", "reason=incident 7").said
    assert "action=workers.*" in said and "incident 7" in said and "It ends" in said
    assert "opsd_review" in words(world.wait_audit("Changes frozen", "incident 7"))
    rid = scale(world, "U0ANA", 5)
    assert world.wait_state(rid, *ENDS)["code"] == "frozen"
    listed = json.loads(world.command("--json", "freeze", "list").stdout)
    assert listed[0]["what"] == {"action": "workers.*"} and listed[0]["by"] == "opsd_review"
    world.command("freeze", "everything=", status=2)
    world.command("freeze", "team=ads", status=2)       # no reason
    world.command("unfreeze", listed[0]["id"], "reason=over")
    assert "over" in words(world.wait_audit("Freeze lifted"))
    world.command("unfreeze", "reason=again", status=1)
    rid = scale(world, "U0ANA", 5)
    assert world.wait_state(rid, *ENDS)["state"] == "succeeded"


def test_read_only_replica(make):
    world = make(start=0)
    world.start(config=world.write_config("read_only.yaml", read_only=True))
    rid = scale(world, "U0ANA", 5)
    assert world.wait_state(rid, *ENDS)["code"] == "frozen" and not patches(world)
    world.see("U0ANA", ["read_only is set in the configuration", rid])
    since = world.last_ts("U0DIA")
    world.slash("U0DIA", "unfreeze reason=no")
    world.see("U0DIA", ["take read_only out of it"], since=since)
    world.slash("U0ANA", "workers status team=ads")
    world.see("U0ANA", ["workers-dev"])


# somebody else's change

def waiting(world, rid):
    """The direct message that says what a request waits for, once Slack has it."""
    def check():
        rows = world.sql("select channel, ts from ops.message where request_id = $1 and kind = 'progress' and ts is not null", rid)
        return rows[0] if rows else None
    row = eventually(check, what="to be told of the wait")
    return next(m for m in world.slack.messages(channel=row["channel"])["messages"] if m["ts"] == row["ts"])


def test_second_change_waits_and_is_told(make):
    world = make(start=2)
    world.kube.fault(mode="hold", verb="patch", dry_run=False, times=1)
    first = scale(world, "U0ANA", 5, "the backlog")
    world.wait_state(first, "running")
    second = scale(world, "U0BEN", 6, "more of it")
    says = words(waiting(world, second))
    for part in ("Waiting", first, "Ana Ruiz", "the backlog", "Yours starts when that is over"):
        assert part in says, says
    world.kube.clear()
    assert world.wait_state(first, *ENDS)["state"] == "succeeded"
    row = world.wait_state(second, "confirming", *ENDS)
    if row["state"] == "confirming":        # 3 -> 6 was confirmed, 5 -> 6 is another change
        preview = world.see("U0BEN", ["Something changed since you confirmed", "replicas 5 → 6"])
        world.click("U0BEN", preview, "confirm")
    assert world.wait_state(second, *ENDS)["state"] == "succeeded"
    assert world.kube.replicas("ads", "workers-dev") == 6
    assert len(patches(world)) == 2


def test_lock_of_a_killed_replica(make):
    world = make(start=2)
    world.kube.fault(mode="hang", verb="patch", dry_run=False, times=1)
    first = scale(world, "U0ANA", 5)
    world.wait_state(first, "running")
    holder = world.db.value("select claimed_by from ops.request where id = $1", first)
    for opsd in list(world.running):
        if opsd.wait_log("serving")["boot"] == holder:
            world.kill(opsd)
    second = scale(world, "U0BEN", 6)
    assert first in words(waiting(world, second))
    world.kube.clear()
    world.sql("update ops.request set wake_at = clock_timestamp() where id = $1", first)    # its lease ends
    assert world.wait_state(first, *ENDS)["state"] == "succeeded"
    row = world.wait_state(second, "confirming", *ENDS)
    if row["state"] == "confirming":
        world.click("U0BEN", world.see("U0BEN", ["Something changed since you confirmed"]), "confirm")
    assert world.wait_state(second, *ENDS)["state"] == "succeeded"


def test_freeze_after_a_crash(world):
    """The intent is there, the effect is not: under a freeze it is not tried again."""
    world.kube.fault(mode="hang", verb="patch", dry_run=False, times=1)
    rid = scale(world, "U0ANA", 5)
    world.kube.wait(request={"verb": "patch", "dry_run": False})
    world.kill()
    world.kube.clear()
    world.command("freeze", "reason=incident 7")
    world.sql("update ops.request set wake_at = clock_timestamp() where id = $1", rid)
    world.start()
    row = world.wait_state(rid, *ENDS)
    assert row["state"] == "failed" and "incident 7" in row["error"] and world.kube.replicas("ads", "workers-dev") == 3


# what is unknown

def unknown(world):
    """A change of Ana's whose outcome nobody knows, and the message about it."""
    world.kube.fault(mode="hang", verb="patch", dry_run=False, times=1)
    rid = scale(world, "U0ANA", 5)
    world.kube.wait(request={"verb": "patch", "dry_run": False})
    world.kill()
    world.kube.clear()
    world.sql("update ops.request set attempts = 5, wake_at = clock_timestamp() where id = $1", rid)
    world.start()
    world.wait_state(rid, "unknown")
    return rid, world.slack.wait("message", channel="C0APPROVE", contains=[rid, '"action_id": "happened"'])


def said(world, user, *contains):
    return words(world.slack.wait("message", channel="C0APPROVE", user=user, contains=list(contains)))


def test_unknown_is_settled_by_a_button(world):
    rid, message = unknown(world)
    for part in ("Not known whether it happened: workers scale", "Deployment ads/workers-dev", "replicas 3 → 5",
                 "given up after five replicas", "Dia Sharma"):
        assert part in words(message), words(message)
    assert "buttons in the approval channel" in words(world.see("U0ANA", ["Not known whether it happened", rid]))
    second = scale(world, "U0BEN", 6)                   # nobody changes it meanwhile
    assert world.wait_state(second, *ENDS)["code"] == "busy"
    assert rid in words(world.see("U0BEN", ["it is not known what came of", second]))

    world.click("U0BEN", message, "happened")           # may ask, not approve
    said(world, "U0BEN", "those who may approve it")
    world.click("U0ANA", message, "happened")           # who asked
    said(world, "U0ANA", "those who may approve it")
    assert world.request(rid)["state"] == "unknown"

    world.slack.fault(name="api", method="chat.update", mode="error", error="internal_error")
    world.click("U0DIA", message, "not_happened")
    row = world.wait_state(rid, "succeeded", "failed")
    assert row["state"] == "failed" and "Dia Sharma looked and says" in row["error"]
    world.click("U0EVE", message, "happened")           # late: its buttons are still there
    said(world, "U0EVE", "Somebody has said already")
    world.slack.clear()
    world.make_time_pass()
    world.slack.wait("message", channel="C0APPROVE", contains=[rid, "It did not happen", "Dia Sharma"])
    eventually(lambda: '"action_id"' not in json.dumps(next(m for m in world.slack.messages(channel="C0APPROVE")["messages"]
                                                            if m["ts"] == message["ts"])["blocks"]), what="no buttons")
    assert "Dia Sharma looked and says that it did not happen" in words(world.see("U0ANA", ["Dia Sharma looked", rid]))
    refused = world.audit_rows(request=rid, event="resolve.refused")
    assert [r["says"]["facts"]["code"] for r in refused] == ["not_resolver", "not_resolver"]
    rid = scale(world, "U0BEN", 5)
    assert world.wait_state(rid, *ENDS)["state"] == "succeeded"


def test_unknown_is_tried_again(world):
    rid, message = unknown(world)
    world.click("U0DIA", message, "again")
    assert world.wait_state(rid, "succeeded", "failed")["state"] == "failed"
    preview = world.slack.wait("message", channel="C0APPROVE", user="U0DIA", contains=['"action_id": "confirm"'])
    fresh = request_id(preview)
    assert fresh != rid and "replicas 3 → 5" in words(preview)
    assert world.kube.replicas("ads", "workers-dev") == 3
    assert fresh in world.request(rid)["error"]
    world.click("U0DIA", preview, "confirm")
    assert world.wait_state(fresh, *ENDS)["state"] == "succeeded"
    assert world.kube.replicas("ads", "workers-dev") == 5
    assert "dia@example.com" in words(world.wait_audit(fresh))


def test_unknown_is_settled_by_a_command(world):
    rid, _ = unknown(world)
    since = world.last_ts("U0EVE")
    world.slash("U0EVE", f'resolve {rid} happened=no reason="three replicas are running"')
    world.see("U0EVE", ["Done", rid], since=since)
    row = world.wait_state(rid, "succeeded", "failed")
    assert row["state"] == "failed" and "Eve Lindqvist looked" in row["error"] and "three replicas" in row["error"]
    world.slack.wait("message", channel="C0APPROVE", contains=[rid, "It did not happen", "Eve Lindqvist"])
    since = world.last_ts("U0EVE")
    world.slash("U0EVE", f"resolve {rid} happened=yes reason=again")
    world.see("U0EVE", ["is failed, not unknown"], since=since)
    world.told("U0ANA", f"resolve {rid} happened=yes reason=x", "You may not do this")
