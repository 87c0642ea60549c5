# SPDX-License-Identifier: Apache-2.0
"""What is temporary and what waits: the end of a change, whoever is there to carry it on, and every way in which it is not
what it was; schedules, undo and cancel."""

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from sandbox.world import eventually, request_id, words

ENDS = ("succeeded", "failed", "unknown", "denied", "rejected", "expired", "cancelled")
NUDGE = "workers nudge team=ads count=6 reason=load"
ZONE = ZoneInfo("Europe/Amsterdam")     # of everybody in the stand-in


def revert_of(world, rid):
    return world.db.row("select * from ops.request where undoes = $1 and kind = 'revert'", rid)


def nudge(world, times="for=2h", user="U0ANA", text=NUDGE):
    """A temporary change without a preview, done: its id and the message with its buttons."""
    world.slash(user, f"{text} {times}")
    told = world.see(user, ["✅", '"action_id": "extend"'])
    rid = request_id(told)
    assert world.kube.replicas() == 6
    return rid, told


def wait_revert(world, rid, *states):
    return world.wait_state(revert_of(world, rid)["id"], *states)


def its_time(world, rid):
    """The end of the temporary change comes now."""
    world.sql("update ops.request set starts_at = clock_timestamp(), wake_at = clock_timestamp() "
              "where undoes = $1 and kind = 'revert' and state = 'scheduled'", rid)


def writes(world):
    """Replicas that were set, in order."""
    return [r["body"]["spec"]["replicas"] for r in world.kube.patches() if r["status"] is None or r["status"] < 300]


def private(world, user, *contains):
    """What the app told this person in a direct message."""
    return world.slack.wait("message", channel="D0" + user[1:], contains=list(contains))


def click_dm(world, user, message, action):
    return world.slack.click(user=user, channel=message["channel"], ts=message["ts"], action_id=action, wait=True)


def events(world, rid):
    return [r["event"].removeprefix("request.") for r in world.audit_rows(request=rid)]


def rest(world):
    world.wait_told()


def known(world, user, team="ads"):
    """Somebody whom the service has seen once: it knows their Slack account."""
    world.slash(user, f"workers status team={team}")
    world.see(user, ["deployments in " + team])


# the end

@pytest.fixture
def before(world):
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
    return world


def test_set_back_at_its_end(before):
    world = before
    rid, told = nudge(world)
    assert "then it is set back" in words(told)
    revert = revert_of(world, rid)
    assert revert["state"] == "scheduled" and revert["claimed_by"] is None
    two_hours = world.db.value("select extract(epoch from v.starts_at - p.finished_at)::int from ops.request v "
                               "join ops.request p on p.id = v.undoes where v.id = $1", revert["id"])
    assert 7000 <= int(two_hours) <= 7200       # its intent is older than its end
    its_time(world, rid)
    wait_revert(world, rid, "succeeded")
    assert world.kube.replicas() == 3 and writes(world) == [6, 3]
    assert events(world, revert["id"]) == ["scheduled", "due", "started", "succeeded"]
    rest(world)
    assert "Set back: Deployment ads/workers-dev on main, replicas 6 → 3" in words(world.wait_audit(revert["id"]))
    assert "Set back" in words(private(world, "U0ANA", "Set back", revert["id"]))


def test_nothing_was_changed_nothing_is_set_back(before):
    world = before
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=6)
    world.slash("U0ANA", f"{NUDGE} for=2h")
    rid = request_id(world.see("U0ANA", ["Nothing to do"]))
    assert world.request(rid)["state"] == "succeeded"
    assert not world.sql("select 1 from ops.request where undoes = $1", rid)


def test_it_is_so_already(before):
    world = before
    rid, _ = nudge(world)
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
    its_time(world, rid)
    wait_revert(world, rid, "succeeded")
    assert writes(world) == [6]
    rest(world)


@pytest.mark.parametrize("answer", ["keep", "back"])
def test_somebody_else_has_changed_it(before, answer):
    world = before
    rid, _ = nudge(world)
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=9)
    its_time(world, rid)
    wait_revert(world, rid, "confirming")
    asked = private(world, "U0ANA", "Set back?", '"action_id": "keep"')
    assert "replicas is now 9, not 6" in words(asked) and "replicas 9 → 3" in words(asked)
    assert writes(world) == [6] and world.kube.replicas() == 9
    click_dm(world, "U0ANA", asked, answer)
    if answer == "keep":
        wait_revert(world, rid, "cancelled")
        assert world.kube.replicas() == 9 and writes(world) == [6]
    else:
        # a third of it, so the rules of the command have nothing against it
        row = wait_revert(world, rid, "succeeded", "approving")
        assert row["state"] == "succeeded" and world.kube.replicas() == 3
    rest(world)


def test_changed_again_after_the_question(before):
    world = before
    rid, _ = nudge(world)
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=9)
    its_time(world, rid)
    wait_revert(world, rid, "confirming")
    asked = private(world, "U0ANA", "Set back?", '"action_id": "keep"')
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=8)
    click_dm(world, "U0ANA", asked, "back")
    private(world, "U0ANA", "replicas is now 8")
    assert writes(world) == [6] and world.kube.replicas() == 8


# who carries it on

def test_killed_before_its_end(before):
    world = before
    rid, _ = nudge(world)
    rest(world)
    world.kill()
    its_time(world, rid)
    world.start()
    wait_revert(world, rid, "succeeded")
    assert writes(world) == [6, 3]
    rest(world)


def test_killed_while_setting_back(before):
    world = before
    rid, _ = nudge(world)
    rest(world)
    world.kube.fault(mode="hang", verb="patch", dry_run=False, times=1)
    its_time(world, rid)
    eventually(lambda: revert_of(world, rid)["state"] == "running", what="the intent")
    world.kill()
    world.kube.clear()
    world.make_time_pass()
    world.start()
    wait_revert(world, rid, *ENDS)
    assert revert_of(world, rid)["state"] == "succeeded"
    done = [r["body"]["spec"]["replicas"] for r in world.kube.patches() if r["status"] == 200]
    assert world.kube.replicas() == 3 and done == [6, 3]
    rest(world)


def test_two_replicas_set_it_back_once(make_world):
    world = make_world(start=2)
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
    rid, told = nudge(world)
    for _ in range(20):
        world.slack.click(user="U0ANA", channel=told["channel"], ts=told["ts"], action_id="back")
    its_time(world, rid)
    wait_revert(world, rid, "succeeded")
    assert writes(world) == [6, 3] and world.kube.replicas() == 3
    assert events(world, revert_of(world, rid)["id"]).count("started") == 1
    rest(world)


def test_cluster_out_of_reach_at_its_end(before):
    world = before
    rid, _ = nudge(world)
    world.kube.fault(mode="status", status=503, verb="get", ns="ads")
    its_time(world, rid)
    vid = revert_of(world, rid)["id"]
    eventually(lambda: "postponed" in events(world, vid), what="another try to be owed")
    assert world.kube.replicas() == 6
    world.kube.clear()
    its_time(world, rid)
    wait_revert(world, rid, "succeeded")
    assert world.kube.replicas() == 3
    rest(world)


def test_right_is_gone_at_its_end(before):
    world = before
    rid, _ = nudge(world)
    world.sql("delete from dir.membership m using dir.person p where p.person_id = m.person_id and p.external_id = 'p-ana'")
    its_time(world, rid)
    wait_revert(world, rid, "denied")
    assert world.kube.replicas() == 6
    rest(world)
    said = words(world.wait_audit(revert_of(world, rid)["id"]))
    assert "You may not do this" in said and f"undo {rid}" in said
    # somebody who may do it sets it back
    world.slash("U0DIA", f"undo {rid}")
    eventually(lambda: world.kube.replicas() == 3, what="the undo")
    rest(world)


# the buttons

def test_extend_and_keep(before):
    world = before
    rid, told = nudge(world, "for=1h")
    first = revert_of(world, rid)["starts_at"]
    world.click("U0ANA", told, "extend")
    world.see("U0ANA", ["Extended: it is set back"])
    assert world.db.value("select starts_at - $2::timestamptz = '1 hour' from ops.request where undoes = $1", rid, first) == "t"
    world.click("U0ANA", told, "extend")     # the button speaks of the end that was
    world.see("U0ANA", ["It ends at another time now"])
    assert world.db.value("select starts_at - $2::timestamptz = '1 hour' from ops.request where undoes = $1", rid, first) == "t"
    world.wait_audit("Extended", "It is set back")
    world.click("U0ANA", told, "keep")
    world.see("U0ANA", ["Kept: it is not set back"])
    assert revert_of(world, rid)["state"] == "cancelled"
    world.click("U0ANA", told, "back")
    world.see("U0ANA", ["This is over already"])
    assert world.kube.replicas() == 6 and writes(world) == [6]
    rest(world)


def test_set_back_now(before):
    world = before
    rid, told = nudge(world)
    world.click("U0ANA", told, "back")
    wait_revert(world, rid, "succeeded")
    assert world.kube.replicas() == 3 and writes(world) == [6, 3]
    rest(world)


def test_others_see_and_end_it(before):
    world = before
    rid, _ = nudge(world)
    known(world, "U0CHO", "web")
    known(world, "U0DIA")
    world.slash("U0CHO", "active")
    world.see("U0CHO", ["Nothing is temporary"])
    world.slash("U0DIA", "active")
    shown = world.see("U0DIA", ["replicas 6 → 3", rid])
    assert "Set back " in words(shown) and "@U0ANA" in words(shown)
    world.click("U0DIA", shown, "back")
    row = wait_revert(world, rid, "succeeded")
    assert row["slack_user"] == "U0DIA" and world.kube.replicas() == 3
    rest(world)


def test_a_stranger_cannot_keep_it(before):
    world = before
    rid, _ = nudge(world)
    world.told("U0CHO", f"cancel {rid}", "You may not do this")
    assert revert_of(world, rid)["state"] == "scheduled"
    assert world.audit_rows(event="steer.refused")
    rest(world)


# approved for a time

def approved(world, times):
    world.kube.set(kind="Deployment", ns="ads", name="workers-prod", replicas=6)
    preview = world.ask("U0ANA", f"workers scale team=ads role=prod count=8 reason=backlog {times}")
    rid = request_id(preview)
    assert ("then it is set back" in words(preview)) == ("for=" in times)
    world.click("U0ANA", preview, "confirm")
    card = world.slack.wait("message", channel="C0APPROVE", contains=[rid, '"action_id": "approve"'])
    return rid, card


def test_longer_than_approved(world):
    rid, card = approved(world, "for=2h")
    assert "For 2h from its start" in words(card)
    world.click("U0DIA", card, "approve")
    world.wait_state(rid, "succeeded")
    rest(world)
    told = world.see("U0ANA", ['"action_id": "extend"', rid])
    since = told["ts"]
    for action in ("extend", "keep"):
        world.click("U0ANA", told, action)
        since = world.see("U0ANA", ["takes somebody who may approve it"], since=since)["ts"]
    assert revert_of(world, rid)["state"] == "scheduled"
    known(world, "U0EVE")
    world.slash("U0EVE", "active")
    world.click("U0EVE", world.see("U0EVE", ["replicas 8 → 6"]), "keep")
    assert revert_of(world, rid)["state"] == "cancelled"
    rest(world)


def test_its_end_needs_no_approval(world):
    rid, card = approved(world, "for=2h")
    world.click("U0DIA", card, "approve")
    world.wait_state(rid, "succeeded")
    its_time(world, rid)
    wait_revert(world, rid, "succeeded")
    assert world.kube.replicas("ads", "workers-prod") == 6
    rest(world)


# times

def at_zone(hours):
    """A time of day so many hours from now, one more in the nights in which the clocks are changed; with its date."""
    when = (datetime.now(timezone.utc) + timedelta(hours=hours)).astimezone(ZONE)
    other = when.replace(tzinfo=None) + timedelta(hours=1)
    if when.fold or other.replace(tzinfo=ZONE).utcoffset() != when.utcoffset():
        return at_zone(hours + (2 if hours > 0 else -2))
    return when, when.strftime("%H:%M")


def day_of(world, rid):
    """The asker's date when it was asked."""
    row = world.db.row("select (created_at at time zone $2)::date::text as day from ops.request where id = $1", rid, ZONE.key)
    return date.fromisoformat(row["day"])


def test_until_is_of_the_askers_zone(before):
    world = before
    when, clock = at_zone(3)
    rid, told = nudge(world, f"until={clock}")
    shown = when.strftime("%a %d %b ") + clock + " (Europe/Amsterdam)"
    assert shown in words(told)
    ends = int(world.db.value("select extract(epoch from starts_at)::bigint from ops.request where undoes = $1", rid))
    assert ends == int(when.replace(second=0, microsecond=0).timestamp())


def test_a_time_that_is_over_means_tomorrow(world):
    when, clock = at_zone(-1)
    preview = world.ask("U0ANA", f"workers scale team=ads role=dev count=3 reason=load until={clock}")
    tomorrow = (when + timedelta(days=1)).strftime("%a %d %b ") + clock
    if when.date() == day_of(world, request_id(preview)):
        assert f"Until {tomorrow} (Europe/Amsterdam), since that time is over today" in words(preview)
    else:
        assert f"Until {tomorrow}" in words(preview)


@pytest.mark.parametrize("times, says", [
    ("for=2h until=18:00", "Say either for or until"),
    ("for=2", "a unit is missing"),
    ("until=2020-01-01T08:00", "is over (by the clocks of Europe/Amsterdam)"),
    ("until=2099-03-29T02:30", "does not exist in Europe/Amsterdam"),
    ("at=2099-01-01T08:00", "more than 30 days ahead"),
    ("until=2098-01-01T08:00", "this change may last 7d at most")])
def test_times_that_cannot_be(before, times, says):
    world = before
    world.told("U0ANA", f"{NUDGE} {times}", says)
    rest(world)
    assert not world.kube.patches()
    assert {r["state"] for r in world.requests()} == {"rejected"}


# schedules

def scheduled(world, text, user="U0ANA"):
    _, clock = at_zone(2)
    world.slash(user, f"{text} at={clock}")
    told = world.see(user, ["Scheduled", '"action_id": "stop"'])
    return request_id(told), told


def start_now(world, rid, late="0"):
    world.sql("update ops.request set starts_at = clock_timestamp() - make_interval(mins => $2::int), wake_at = clock_timestamp() "
              "where id = $1", rid, late)


def test_starts_at_its_time(before):
    world = before
    rid, told = scheduled(world, NUDGE)
    assert "Starts " in words(told) and not world.kube.patches()
    assert world.request(rid)["state"] == "scheduled"
    start_now(world, rid)
    world.wait_state(rid, "succeeded")
    assert world.kube.replicas() == 6
    assert events(world, rid)[-4:] == ["scheduled", "due", "started", "succeeded"]
    rest(world)
    private(world, "U0ANA", "✅", rid)


def test_the_state_moved_before_its_time(world):
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=5)
    _, clock = at_zone(2)
    preview = world.ask("U0ANA", f"workers scale team=ads role=dev count=7 reason=load at={clock}")
    rid = request_id(preview)
    assert "Starts " in words(preview)
    world.click("U0ANA", preview, "confirm")
    world.wait_state(rid, "scheduled")
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=4)
    start_now(world, rid)
    asked = private(world, "U0ANA", "Something changed since", "replicas 5 → 7", "replicas 4 → 7")
    assert not world.kube.patches()
    click_dm(world, "U0ANA", asked, "confirm")
    world.wait_state(rid, "succeeded")
    assert world.kube.replicas() == 7
    rest(world)


def test_approved_before_its_time(world):
    _, clock = at_zone(2)
    rid, card = approved(world, f"at={clock} for=1h")
    assert "Starts " in words(card) and "For 1h from its start" in words(card)
    world.click("U0DIA", card, "approve")
    world.wait_state(rid, "scheduled")
    assert not world.kube.patches()
    start_now(world, rid)
    world.wait_state(rid, "succeeded")
    assert world.kube.replicas("ads", "workers-prod") == 8
    assert revert_of(world, rid)["state"] == "scheduled"
    rest(world)


def test_approver_gone_before_its_time(world):
    _, clock = at_zone(2)
    rid, card = approved(world, f"at={clock}")
    world.click("U0DIA", card, "approve")
    world.wait_state(rid, "scheduled")
    world.sql("update dir.person set state = 'suspended' where external_id = 'p-dia'")
    start_now(world, rid)
    eventually(lambda: "approval_lost" in events(world, rid), what="the approvals to be counted again")
    assert not world.kube.patches()


def test_requester_gone_before_its_time(before):
    world = before
    rid, _ = scheduled(world, NUDGE)
    world.sql("delete from dir.membership m using dir.person p where p.person_id = m.person_id and p.external_id = 'p-ana'")
    start_now(world, rid)
    world.wait_state(rid, "denied")
    rest(world)
    assert not world.kube.patches()
    world.wait_audit("Refused", rid)


def test_nobody_was_there_at_its_time(before):
    world = before
    rid, _ = scheduled(world, NUDGE)
    rest(world)
    world.kill()
    start_now(world, rid, late="30")
    world.start()
    world.wait_state(rid, "expired")
    rest(world)
    assert not world.kube.patches()
    assert "nobody was there at its time" in words(private(world, "U0ANA", rid, "Expired"))


# cancel

def test_cancel_what_waits(before):
    world = before
    rid, told = scheduled(world, NUDGE)
    world.told("U0BEN", f"cancel {rid}", "Only the person who asked")
    assert world.request(rid)["state"] == "scheduled"
    world.click("U0ANA", told, "stop")
    world.see("U0ANA", ["Cancelled; nothing was done"])
    assert world.request(rid)["state"] == "cancelled"
    world.told("U0ANA", f"cancel {rid.lower()}", "This is over already: it is cancelled")
    rest(world)
    assert not world.kube.patches()
    world.wait_audit("Cancelled", rid)


def test_cancel_by_words(world):
    preview = world.ask("U0ANA", "workers scale team=ads role=dev count=3 reason=load")
    rid = request_id(preview)
    world.told("U0ANA", f"cancel {rid}", "Cancelled; nothing was done")
    assert world.request(rid)["state"] == "cancelled"
    world.told("U0ANA", "cancel R000000000000000", "There is no such request")
    world.told("U0ANA", "cancel that", "Say which request")
    rest(world)


# undo

def test_undo_by_a_button(world):
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
    preview = world.ask("U0ANA", "workers scale team=ads role=dev count=5 reason=load")
    rid = request_id(preview)
    world.click("U0ANA", preview, "confirm")
    world.wait_state(rid, "succeeded")
    done = world.see("U0ANA", ["✅", '"action_id": "undo"'])
    world.click("U0ANA", done, "undo")
    offered = world.see("U0ANA", ['"action_id": "confirm"', "replicas 5 → 3"], since=done["ts"])
    assert f"undo of {rid}" in words(offered)
    world.click("U0ANA", offered, "confirm")
    uid = world.db.value("select id from ops.request where undoes = $1", rid)
    world.wait_state(uid, "succeeded")
    assert world.kube.replicas() == 3 and world.request(uid)["undoes"] == rid
    rest(world)
    world.told("U0ANA", f"undo {rid}", "is undone already", uid)
    rest(world)


def test_undo_of_what_is_not_so_any_more(before):
    world = before
    world.slash("U0ANA", NUDGE)
    rid = request_id(world.see("U0ANA", ["✅", '"action_id": "undo"']))
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=9)
    world.slash("U0ANA", f"undo {rid}")     # of risk 1, and asked all the same
    offered = world.see("U0ANA", ['"action_id": "confirm"', "replicas is now 9, not 6"])
    assert world.kube.replicas() == 9
    world.click("U0ANA", offered, "cancel")
    rest(world)
    assert writes(world) == [6]


def test_undo_is_decided_like_any_request(before):
    world = before
    world.slash("U0ANA", NUDGE)
    rid = request_id(world.see("U0ANA", ["✅", '"action_id": "undo"']))
    world.told("U0CHO", f"undo {rid}", "You may not do this")
    rest(world)
    assert writes(world) == [6]
    for text, says in (("undo", "Say which request"), ("undo R000000000000000", "There is no request")):
        world.told("U0ANA", text, says)
    rest(world)
