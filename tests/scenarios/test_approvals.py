# SPDX-License-Identifier: Apache-2.0
"""Approval by a button: who may, what it is that they approve, and every way in which it is not what it was."""

import json

import pytest

from sandbox.slack.people import User
from sandbox.world import eventually, request_id, words

PROD = 'workers scale team=ads role=prod count=8 reason="the backlog grows"'
OPEN = '"action_id": "approve"'
ENDS = ("succeeded", "failed", "unknown", "denied", "rejected", "expired", "cancelled")


def known(world, *users):
    """People whom the service has seen once: it knows their Slack accounts."""
    for user in users:
        world.slash(user, "workers status team=ads")
    world.wait_told()


def card_of(world, rid, *contains, **more):
    return world.slack.wait("message", channel="C0APPROVE", contains=[rid, *contains], **more)


def cards(world, rid):
    return [m for m in world.slack.messages(channel="C0APPROVE")["messages"] if rid in words(m)
            and not m.get("thread_ts") and not m.get("ephemeral_for") and not m.get("deleted")]


def ask(world, user="U0ANA", text=PROD):
    """Asked, confirmed, on a card: the id and the card."""
    preview = world.ask(user, text)
    rid = request_id(preview)
    world.click(user, preview, "confirm")
    return rid, card_of(world, rid, OPEN)


def told(world, user, *contains):
    """What a click said to this person alone."""
    return words(world.slack.wait("message", channel="C0APPROVE", user=user, contains=list(contains)))


def events(world, rid):
    return [r["event"].removeprefix("request.") for r in world.audit_rows(request=rid)]


def votes(world, rid):
    return world.sql("select * from ops.vote where request_id = $1 order by voted_at", rid)


def finished(world, rid, state, patches):
    row = world.wait_state(rid, *ENDS)
    assert row["state"] == state, row
    world.wait_told()
    assert len([e for e in events(world, rid) if e in ENDS]) == 1
    assert len(world.audit_posts(rid)) == 1
    done = [p for p in world.kube.patches() if p["status"] is None or p["status"] < 300]
    assert len(done) == patches
    return row


def no_buttons(world, rid):
    def check():
        return all('"action_id"' not in json.dumps(m["blocks"]) for m in cards(world, rid))
    eventually(check, what="cards without buttons")


# the way


def test_approved_by_one_button(world):
    known(world, "U0DIA", "U0EVE")
    rid, card = ask(world)
    says = words(card)
    for part in ("Approval needed: workers scale", "@U0ANA", "ana@example.com", "Deployment ads/workers-prod on main",
                 "replicas 6 → 8", "the backlog grows", "Still needed: 1 of those who can approve workers.scale", "@U0DIA",
                 "@U0EVE"):
        assert part in says, f"{part!r} is not in {says!r}"
    told_requester = world.see("U0ANA", ["Waiting for approval", rid])
    assert "@U0DIA" in words(told_requester) and "@U0EVE" in words(told_requester)
    assert world.request(rid)["state"] == "approving" and not world.kube.patches()

    world.click("U0DIA", card, "approve")
    finished(world, rid, "succeeded", 1)
    assert world.kube.replicas("ads", "workers-prod") == 8
    assert events(world, rid)[-6:] == ["confirmed", "asked", "vote.approve", "approved", "started", "succeeded"]
    done = card_of(world, rid, "Approved and done")
    assert done["ts"] == card["ts"] and "@U0DIA" in words(done) and " approves" in words(done)
    no_buttons(world, rid)
    assert len(cards(world, rid)) == 1
    assert "✅" in words(world.see("U0ANA", ["✅", rid]))
    started = world.audit_rows(request=rid, event="request.started")[0]["says"]
    assert len(started["evidence"]["approved_by"]) == 1
    assert "Approved by Dia Sharma." in words(world.wait_audit(rid))
    assert world.audit_rows(request=rid)[-1]["says"]["facts"]["approved_by"] == ["Dia Sharma"]


def test_small_step_of_dev_needs_nobody(world):
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
    preview = world.ask("U0ANA", "workers scale team=ads role=dev count=5 reason=load")
    world.click("U0ANA", preview, "confirm")
    finished(world, request_id(preview), "succeeded", 1)


def test_large_step_of_dev_is_approved_too(world):
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
    rid, card = ask(world, text="workers scale team=ads role=dev count=9 reason=load")
    assert "replicas 3 → 9" in words(card)
    world.click("U0EVE", card, "approve")
    finished(world, rid, "succeeded", 1)


def test_denied_with_a_reason(world):
    rid, card = ask(world)
    world.click("U0EVE", card, "deny")
    world.slack.wait("view", user="U0EVE", callback_id="deny")
    done = world.slack.submit(user="U0EVE", values={"reason": "not tonight, <@U0ANA>"})
    assert done["outcome"] == "acked" and not done["errors"], done
    row = finished(world, rid, "denied", 0)
    assert row["code"] == "approver_denied"
    assert "Eve Lindqvist did not approve this: not tonight, <@U0ANA>" in words(world.see("U0ANA", ["did not approve", rid]))
    card_of(world, rid, "Not approved", "not tonight")
    no_buttons(world, rid)
    assert [v["decision"] for v in votes(world, rid)] == ["deny"]


def test_requester_cancels(world):
    rid, card = ask(world)
    world.click("U0BEN", card, "withdraw")
    assert "Only the person who asked" in told(world, "U0BEN", "Only the person")
    world.click("U0ANA", card, "withdraw")
    finished(world, rid, "cancelled", 0)
    no_buttons(world, rid)


# 12, 26: the plan is not what was approved

def test_state_moved_since_the_card(world):
    rid, card = ask(world)
    world.kube.set(kind="Deployment", ns="ads", name="workers-prod", replicas=7)
    world.click("U0DIA", card, "approve")
    fresh = card_of(world, rid, OPEN, "Something changed since", "replicas 6 → 8", "replicas 7 → 8")
    assert fresh["ts"] != card["ts"] and not world.kube.patches()
    old = card_of(world, rid, "Out of date")
    assert old["ts"] == card["ts"] and "action_id" not in json.dumps(old["blocks"])
    world.click("U0DIA", fresh, "approve")      # the vote of before is void, so a new one is possible and needed
    finished(world, rid, "succeeded", 1)
    assert [v["round"] for v in votes(world, rid)] == ["1", "2"]


def test_old_card_cannot_approve_the_new_plan(world):
    rid, card = ask(world)
    world.slack.fault(name="api", method="chat.update", mode="error", error="internal_error")
    world.kube.set(kind="Deployment", ns="ads", name="workers-prod", replicas=7)
    world.click("U0DIA", card, "approve")
    card_of(world, rid, OPEN, "Something changed since")
    world.click("U0EVE", card, "approve")       # its buttons are still there: the edit failed
    assert "out of date" in told(world, "U0EVE", "out of date")
    assert world.request(rid)["state"] == "approving" and not world.kube.patches()
    world.slack.clear()


# 13, 24: an approver is not one any more

def hold_plan(world):
    world.kube.fault(mode="hang", verb="get", ns="ads")
    return world.kube.requests()["total"]


@pytest.mark.parametrize("change", [
    "delete from dir.membership m using dir.person p where p.person_id = m.person_id and p.external_id = 'p-dia'",
    "update dir.person set state = 'suspended' where external_id = 'p-dia'",
    "delete from authz.permit_scope s using authz.permit g where g.grant_id = s.grant_id and g.capability = 'approve'"
    " and g.stable_key like 'platform-scale%'"])
def test_approver_left_between_approval_and_start(world, change):
    rid, card = ask(world)
    approved_not_started(world, rid, card)
    world.sql(change)
    world.kube.clear()
    lost(world, rid)
    assert world.request(rid)["state"] == "approving" and not world.kube.patches()
    card_of(world, rid, OPEN, "Still needed: 1")
    if "permit" not in change:
        world.click("U0EVE", card, "approve")
        finished(world, rid, "succeeded", 1)


def approved_not_started(world, rid, card):
    """The plan that is made again before the start waits for an answer of the cluster, until clear()."""
    world.kube.fault(mode="hold", verb="get", ns="ads")
    world.click("U0DIA", card, "approve")
    world.wait_state(rid, "allowed")


def lost(world, rid):
    """The start was refused, and the card is what it is to be from now on."""
    eventually(lambda: "approval_lost" in events(world, rid), what="the start to be refused")
    world.wait_told()


# 14, 15: the policy changes meanwhile

def rewrite(world, old, new):
    path = world.catalog / "workers.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    world.opsd.hup()


def test_policy_tightened_while_pending(world):
    rid, card = ask(world)
    rewrite(world, "need: 1, from", "need: 2, from")
    world.opsd.wait_log("catalog reloaded")
    world.click("U0DIA", card, "approve")
    lost(world, rid)
    card_of(world, rid, OPEN, "Still needed: 1")
    assert not world.kube.patches()
    world.click("U0EVE", card, "approve")
    finished(world, rid, "succeeded", 1)


def test_policy_that_cannot_be_read_keeps_the_old_one(world):
    rewrite(world, "need: 1, from", "need: lots, from")
    world.opsd.wait_log("catalog refused, the running one stays")
    rid, card = ask(world)
    assert world.request(rid)["state"] == "approving"
    world.click("U0DIA", card, "approve")
    finished(world, rid, "succeeded", 1)


# 16, 20: nobody could

def test_nobody_could_approve(world):
    world.sql("delete from authz.permit_scope s using authz.permit g where g.grant_id = s.grant_id and g.capability = 'approve'")
    world.sql("delete from authz.permit g where g.capability = 'approve'")
    preview = world.ask("U0ANA", PROD)
    world.click("U0ANA", preview, "confirm")
    row = finished(world, request_id(preview), "denied", 0)
    assert row["code"] == "too_few_approvers"
    assert "with a grant to approve workers.scale; there are 0" in words(world.see("U0ANA", ["too few people"]))
    said = world.command("check", "--policy", status=1).said
    assert "workers scale" in said and "role=prod" in said


def test_only_the_requester_could_approve(world):
    assert "everybody" in world.command("check", "--policy").said
    world.sql("update dir.person set state = 'suspended' where external_id = 'p-eve'")
    preview = world.ask("U0DIA", PROD)
    world.click("U0DIA", preview, "confirm")
    assert finished(world, request_id(preview), "denied", 0)["code"] == "too_few_approvers"
    said = world.command("check", "--policy", status=1).said
    assert "Dia Sharma" in said and "workers scale" in said


# 17, 18: at the same moment

def test_two_approvers_at_once(make_world):
    world = make_world(start=2)
    rid, card = ask(world)
    world.slack.click(user=["U0DIA", "U0EVE"], channel="C0APPROVE", ts=card["ts"], action_id="approve")
    finished(world, rid, "succeeded", 1)
    assert len(votes(world, rid)) == 1
    loser, winner = ("U0EVE", "Dia Sharma") if votes(world, rid)[0]["slack_user"] == "U0DIA" else ("U0DIA", "Eve Lindqvist")
    assert f"already approved by {winner}" in told(world, loser, "already approved")


def test_fifty_clicks_are_one(make_world):
    world = make_world(start=2)
    rid, card = ask(world)
    world.slack.click(user="U0DIA", channel="C0APPROVE", ts=card["ts"], action_id="approve", times=50, same=True)
    finished(world, rid, "succeeded", 1)
    assert len(votes(world, rid)) == 1


def crowd(world, n):
    """n more people of the data platform; each has a Slack account and a place in the channel."""
    world.sql("with p as (insert into dir.person (source_id, external_id, state, display_name, first_gen, last_gen) "
              "select s.source_id, 'p-x' || i, 'active', 'Person ' || i, 1, 1 from dir.source s, generate_series(1, $1::int) i "
              "returning person_id, external_id), "
              "e as (insert into dir.person_email select substr(external_id, 3) || '@example.com', person_id, true from p) "
              "insert into dir.membership select p.person_id, g.group_id, true, 1 from p, dir.grp g "
              "where g.name_key = 'data-platform'", str(n))
    work = world.standin.work
    users = [f"U0X{i}" for i in range(1, n + 1)]
    for i, user in enumerate(users, 1):
        work.users[user] = User(user, f"x{i}", f"Person {i}", f"x{i}@example.com")
        work.channels["C0APPROVE"].members[user] = None
    return users


def test_fifty_racing_approvers_are_one_decision(make_world):
    world = make_world(start=2)
    users = crowd(world, 50)
    rid, card = ask(world)
    world.slack.click(user=users, channel=card["channel"], ts=card["ts"], action_id="approve", times=2)
    finished(world, rid, "succeeded", 1)
    assert len(votes(world, rid)) == 1
    assert events(world, rid).count("approved") == 1 and events(world, rid).count("started") == 1
    world.wait_answered()
    winner = votes(world, rid)[0]["slack_user"]
    for user in users[:5]:
        if user != winner:      # whoever was late hears it, and who was first
            eventually(lambda: late(world, user), what=f"{user} to be told")


def late(world, user):
    """Told who was first; or that it was not to be known in time, when the many before took that long."""
    said = [words(m) for m in world.seen(user, "C0APPROVE") if m.get("ephemeral_for") == user]
    return [t for t in said if "already approved by Person" in t or "counts only if the card shows it" in t]


def test_racing_approvers_need_exactly_two(make_world):
    world = make_world(start=2)
    rewrite(world, "need: 1, from", "need: 2, from")
    world.running[1].hup()
    for opsd in world.running:
        opsd.wait_log("catalog reloaded")
    users = crowd(world, 6)
    rid, card = ask(world)
    world.slack.click(user=users, channel="C0APPROVE", ts=card["ts"], action_id="approve", times=5)
    finished(world, rid, "succeeded", 1)
    assert len(votes(world, rid)) == 2 and len({v["person_id"] for v in votes(world, rid)}) == 2
    assert events(world, rid).count("approved") == 1 and events(world, rid).count("started") == 1


def test_card_without_buttons_during_the_run(world):
    rid, card = ask(world)
    world.kube.fault(mode="hang", verb="patch", dry_run=False)
    world.click("U0DIA", card, "approve")
    world.kube.wait(request={"verb": "patch", "dry_run": False})
    assert world.request(rid)["state"] == "running"
    no_buttons(world, rid)
    world.kube.clear()
    world.wait_state(rid, *ENDS)
    assert len(votes(world, rid)) == 1


# 19, 21, 27: who clicks

def test_nobody_approves_their_own(world):
    rid, card = ask(world, "U0DIA")
    world.click("U0DIA", card, "approve")
    assert "somebody else has to approve it" in told(world, "U0DIA", "somebody else")
    # a second account of hers, in the channel
    world.slack.person(user="U0FAY", email="dia@example.com")
    world.click("U0FAY", card, "approve")
    assert "Another Slack account is already linked" in told(world, "U0FAY", "Another Slack account")
    assert world.request(rid)["state"] == "approving" and not votes(world, rid)
    assert len(world.audit_rows(request=rid, event="vote.refused")) == 2
    world.click("U0EVE", card, "approve")
    finished(world, rid, "succeeded", 1)


@pytest.mark.parametrize("user, person, says", [
    ("U0BEN", {}, "You may not approve this"),          # may ask, not approve
    ("U0FAY", {}, "You may not approve this"),          # may nothing
    ("U0EVE", {"is_restricted": True}, "Guest accounts cannot"),
    ("U0EVE", {"is_bot": True}, "Bots and workflows cannot"),
    ("U0EVE", {"team_id": "T0OTHER"}, "members of its own workspace"),
    ("U0EVE", {"is_email_confirmed": False}, "not confirmed"),
    ("U0EVE", {"email": "ana.ruiz@example.com"}, "Another Slack account")])
def test_who_may_not(world, user, person, says):
    rid, card = ask(world)
    if person:
        world.slack.person(user=user, **person)
    world.click(user, card, "approve")
    assert says in told(world, user, says)
    assert world.request(rid)["state"] == "approving" and not votes(world, rid) and not world.kube.patches()


def test_button_of_another_request(world):
    first, card = ask(world)
    second, other = ask(world, "U0BEN", "workers scale team=ads role=prod count=9 reason=more")
    assert world.request(first)["digest"] != world.request(second)["digest"]
    world.sql("update ops.approval set digest = $2 where request_id = $1", second, "0" * 64)
    world.click("U0DIA", other, "approve")
    assert "out of date" in told(world, "U0DIA", "out of date")
    assert world.request(second)["state"] == "approving" and not votes(world, second) and not votes(world, first)
    world.click("U0DIA", card, "approve")
    finished(world, first, "succeeded", 1)


# 22, 23: too late

def test_expired_yet_the_button_works(world):
    rid, card = ask(world)
    world.slack.fault(name="api", method="chat.update", mode="error", error="internal_error")
    world.approval_time(rid, 5)
    finished_row = world.wait_state(rid, "expired")
    assert finished_row["finished_at"]
    world.click("U0DIA", card, "approve")
    assert "This expired at 20" in told(world, "U0DIA", "This expired")
    assert not world.kube.patches() and not votes(world, rid)
    world.slack.clear()
    world.make_time_pass(requests=False)
    finished(world, rid, "expired", 0)
    card_of(world, rid, "Expired without approval")
    no_buttons(world, rid)


def test_approved_at_the_last_moment_but_not_started(world):
    """The window closed while the plan was made again: nothing runs."""
    rid, card = ask(world)
    approved_not_started(world, rid, card)
    world.sql("update ops.approval set expires_at = clock_timestamp() where request_id = $1", rid)
    world.sql("update ops.request set expires_at = clock_timestamp() where id = $1", rid)
    world.kube.clear()
    finished(world, rid, "expired", 0)


# 28: few are asked, then more

def test_few_are_asked_then_more(world):
    crowd(world, 20)
    rid, card = ask(world)
    asked = world.sql("select cardinality(asked) as n from ops.approval where request_id = $1", rid)[0]["n"]
    assert asked == "3"
    world.approval_time(rid, 2)
    note = world.slack.wait("message", channel="C0APPROVE", contains=["still waits for approval"])
    assert note.get("thread_ts") == card["ts"]
    row = world.sql("select cardinality(asked) as n from ops.approval where request_id = $1", rid)[0]
    assert 10 <= int(row["n"]) <= 13
    world.wait_told()
    assert events(world, rid).count("escalated") == 1
    world.approval_time(rid, 3)
    finished(world, rid, "expired", 0)
    assert events(world, rid).count("escalated") == 1


# 36, 37: the card is only a picture

def test_deleted_card_is_posted_again_once(world):
    rid, card = ask(world)
    world.wait_told()
    delete(world, card)
    world.approval_time(rid, 2)
    again = card_of(world, rid, OPEN)
    assert again["ts"] != card["ts"]
    world.wait_told()
    assert len(cards(world, rid)) == 1
    world.click("U0DIA", again, "approve")
    finished(world, rid, "succeeded", 1)
    card_of(world, rid, "Approved and done")


def delete(world, card):
    async def run():
        world.standin.store.delete(world.standin.store.get("C0APPROVE", card["ts"]))
    world.loop.run(run())


# crashes

def test_killed_while_it_waits(make_world):
    world = make_world(start=2)
    rid, card = ask(world)
    world.kill()
    world.kill()
    world.make_time_pass(requests=False)       # what a dead replica had claimed is sent by another one
    world.start()
    world.click("U0DIA", card, "approve")
    finished(world, rid, "succeeded", 1)


def test_killed_between_approval_and_start(world):
    rid, card = ask(world)
    world.wait_told()
    since = hold_plan(world)
    world.click("U0DIA", card, "approve")
    world.kube.wait(request={"verb": "get", "ns": "ads"}, since=since)
    world.kill()
    world.kube.clear()
    world.make_time_pass()
    world.start()
    finished(world, rid, "succeeded", 1)
    assert events(world, rid).count("taken_over") == 1


def test_killed_before_the_card_was_posted(world):
    preview = world.ask("U0ANA", PROD)
    rid = request_id(preview)
    world.slack.fault(name="api", method="chat.postMessage", mode="error", error="internal_error")
    world.click("U0ANA", preview, "confirm")
    world.wait_state(rid, "approving")
    world.kill()
    world.slack.clear()
    world.make_time_pass(requests=False)
    world.start()
    card = card_of(world, rid, OPEN)
    world.click("U0DIA", card, "approve")
    finished(world, rid, "succeeded", 1)
    assert len(cards(world, rid)) == 1


def test_redelivered_vote(world):
    rid, card = ask(world)
    world.slack.fault(name="duplicate", type="interactive", times=3)
    world.click("U0DIA", card, "approve")
    finished(world, rid, "succeeded", 1)
    assert len(votes(world, rid)) == 1


def test_database_away_at_the_click(world):
    """Nothing recorded means nothing happens; the next click counts."""
    rid, card = ask(world)
    world.wait_told()
    world.postgres.pause()
    assert world.click("U0DIA", card, "approve")["outcome"] == "acked", "within Slack's three seconds"
    world.postgres.resume()
    assert told(world, "U0DIA", "counts only if the card shows it")
    eventually(lambda: world.request(rid)["state"] in ("approving", "succeeded"), what="the row")
    world.opsd.wait_log("not recorded, made sure of")
    if world.request(rid)["state"] == "approving":
        world.wait_told()
        world.click("U0DIA", card_of(world, rid, OPEN), "approve")
    finished(world, rid, "succeeded", 1)
