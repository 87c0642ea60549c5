# SPDX-License-Identifier: Apache-2.0
"""What people come for: change, read, be refused with a reason, be told what there is."""

import json
import time

import pytest

from sandbox.world import eventually, request_id, words

SCALE = 'workers scale team=ads role=dev count=5 reason="queue is growing"'


def events(world, rid):
    return [row["event"].removeprefix("request.") for row in world.audit_rows(request=rid)]


def test_scale_with_preview_and_confirm(world):
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
    preview = world.ask("U0ANA", SCALE)
    says = words(preview)
    assert "Deployment ads/workers-dev on main" in says and "replicas 3 → 5" in says
    assert preview.get("ephemeral_for") == "U0ANA"
    rid = request_id(preview)
    assert world.kube.replicas() == 3 and not world.kube.patches(), "nothing happens before Confirm"

    world.click("U0ANA", preview, "confirm")
    answer = world.see("U0ANA", ["✅", rid])
    assert "replicas 3 → 5" in words(answer)
    assert world.kube.replicas() == 5 and len(world.kube.patches()) == 1
    patch = world.kube.patches()[0]
    assert rid in json.dumps(patch["body"]), "the object carries the request that changed it"

    post = world.wait_audit(rid)
    for part in ("@U0ANA", "ana@example.com", "workers scale", "team=ads", "role=dev", "count=5", "replicas 3 → 5",
                 "Deployment ads/workers-dev on main", "queue is growing", rid):
        assert part in words(post), f"{part!r} is not in {words(post)!r}"
    world.wait_told()
    assert len(world.audit_posts(rid)) == 1
    row = world.request(rid)
    assert row["state"] == "succeeded" and row["response_url"] is None
    assert events(world, rid)[-4:] == ["offered", "confirmed", "started", "succeeded"]
    assert world.audit_rows(request=rid)[-1]["says"]["facts"]["changes"] == [
        {"field": "replicas", "from": 3, "to": 5}]


def test_cancel_does_nothing(town):
    before = town.kube.replicas("ads", "workers-dev")
    preview = town.ask("U0BEN", SCALE)
    rid = request_id(preview)
    town.click("U0BEN", preview, "cancel")
    town.see("U0BEN", ["🚫"], since=preview["ts"][:-1])
    town.wait_audit("🚫", rid)
    assert town.request(rid)["state"] == "cancelled" and town.kube.replicas("ads", "workers-dev") == before


def test_plan_that_changed_is_shown_again(world):
    preview = world.ask("U0ANA", SCALE)
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=4)
    world.click("U0ANA", preview, "confirm")
    again = world.see("U0ANA", ["Something changed since", "4 → 5", '"action_id": "confirm"'])
    assert world.kube.replicas() == 4 and not world.kube.patches()
    world.click("U0ANA", again, "confirm")
    world.see("U0ANA", ["✅", "4 → 5"])
    assert world.kube.replicas() == 5


def test_already_so_is_said(town):
    have = town.kube.replicas("web", "workers-dev")
    since = town.last_ts("U0CHO")
    town.slash("U0CHO", f"workers scale team=web role=dev count={have} reason=none")
    town.see("U0CHO", ["Nothing to do"], since=since)
    assert not town.kube.patches(ns="web")


def test_no_change_is_not_done_twice_by_two_previews(world):
    """Two previews of the same change: the second confirmed finds nothing left to do."""
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
    one, two = world.ask("U0ANA", SCALE), world.ask("U0ANA", SCALE)
    assert request_id(one) != request_id(two)
    for preview in (one, two):
        world.click("U0ANA", preview, "confirm")
        world.wait_state(request_id(preview), "succeeded")
    assert world.kube.replicas() == 5 and len(world.kube.patches()) == 1


def test_risk_one_needs_no_confirmation(town):
    since = town.last_ts("U0ANA")
    done = town.slash("U0ANA", 'workers nudge team=ads count=4 reason="a little more"')
    assert "recorded as" in done["text"] or done["ack"] is None
    answer = town.see("U0ANA", ["✅"], since=since)
    rid = request_id(answer)
    assert "confirm" not in json.dumps(answer)
    town.wait_audit(rid)
    assert town.request(rid)["risk"] == "1"


# Who may not

def test_outside_team_is_refused_with_the_reason(town):
    for known in (False, True):         # the second time it is said in the acknowledgement
        since = town.last_ts("U0CHO")
        town.slash("U0CHO", SCALE)
        answer = town.see("U0CHO", ["⛔"], since=since)
        says = words(answer)
        assert "You may not do this." in says and "team-ads-oncall" in says and "Ana Ruiz" in says, says
        rid = request_id(answer)
        post = town.wait_audit(rid, "⛔")
        assert "@U0CHO" in words(post) and "workers scale" in words(post)
        assert town.request(rid)["state"] == "denied" and town.request(rid)["code"] == "no_matching_grant"
    assert not town.kube.patches(ns="ads", name="workers-dev", verb="update")


@pytest.mark.parametrize("user,channel,code,part", [
    ("U0FAY", "C0OPS", "no_matching_grant", "You may not do this."),
    ("U0GUS", "C0OPS", "guest", "Guest accounts cannot ask for operations"),
    ("U0OUT", "C0SHARED", None, "members of its own workspace only"),
    ("UBOT01", "C0OPS", "bot", "Bots and workflows cannot ask"),
    ("U0UNC", "C0OPS", "unconfirmed", "e-mail address is not confirmed"),
])
def test_people_who_may_not(town, user, channel, code, part):
    since = town.last_ts(user, channel)
    town.slash(user, SCALE, channel=channel, force=True)
    answer = town.see(user, [part], channel=channel, since=since)
    row = town.request(request_id(answer))
    assert row["state"] == "denied" and (code is None or row["code"] == code)
    town.wait_audit(row["id"], "⛔", f'"user_id": "{user}"')


def test_deactivated_account_is_refused(world):
    world.slack.person(user="U0BEN", deleted=True)
    world.standin.work.users["U0BEN"].deleted = False       # the command was on its way when the account ended
    env_user = world.standin.work.users["U0BEN"]
    done = None
    try:
        real = env_user.api

        def gone(with_email):
            return {**real(with_email), "deleted": True}
        env_user.api = gone
        done = world.slash("U0BEN", SCALE)
        answer = world.see("U0BEN", ["This account is deactivated"])
        assert world.request(request_id(answer))["code"] == "deleted"
    finally:
        env_user.api = real
    assert done["outcome"] == "acked"


def test_person_that_left_the_company_is_refused(world):
    world.sql("update dir.person set state = 'suspended' where external_id = 'p-ana'")
    world.slash("U0ANA", SCALE)
    answer = world.see("U0ANA", ["your account is not active"])
    assert world.request(request_id(answer))["code"] == "person_not_active"


def test_membership_taken_away_between_preview_and_confirm(world):
    preview = world.ask("U0ANA", SCALE)
    world.sql("delete from dir.membership m using dir.person p where p.person_id = m.person_id "
              "and p.external_id = 'p-ana'")
    world.click("U0ANA", preview, "confirm")
    world.wait_state(request_id(preview), "denied")
    world.see("U0ANA", ["⛔"])
    assert not world.kube.patches()


def test_nobody_else_can_confirm(world):
    """A preview is for the eyes of its requester; a forged click of another person changes nothing."""
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
    preview = world.ask("U0ANA", SCALE)
    rid = request_id(preview)
    world.slash("U0BEN", "workers status team=ads")
    world.see("U0BEN", ["workers-dev"])                 # he is known now
    message = world.standin.store.get(preview["channel"], preview["ts"])
    message.only_for = None
    world.click("U0BEN", preview, "confirm")
    world.see("U0BEN", ["Only the person who asked"])
    assert world.request(rid)["state"] == "confirming"
    message.only_for = "U0ANA"
    world.click("U0ANA", preview, "confirm")
    world.wait_state(rid, "succeeded")
    assert world.audit_rows(request=rid, event="confirm.denied")


# Reading

def table_rows(message):
    return [b for b in message["blocks"] if b["type"] == "table"]


def test_datasets_pages_through_a_table(town):
    since = town.last_ts("U0DIA")
    town.slash("U0DIA", "datasets list owner=ads")
    page = town.see("U0DIA", ['"type": "table"'], since=since)
    seen, pages = set(), 1
    while True:
        names = {words(row[0]) for row in table_rows(page)[0]["rows"][1:]}
        assert names and not names & seen, "no row comes twice"
        seen |= names
        if '"action_id": "page"' not in json.dumps(page["blocks"]):
            break
        mark = sorted(names)[0]
        town.click("U0DIA", page, "page")
        page = town.see("U0DIA", ['"type": "table"'], missing=mark, since=since)
        pages += 1
        assert pages < 20
    owned = {d["name"] for d in town.platform.datasets.values() if d["owner"] == "ads"} \
        if isinstance(town.platform.datasets, dict) else \
        {d["name"] for d in town.platform.datasets if d["owner"] == "ads"}
    assert seen == owned and pages > 1


def test_describe_a_dataset(town):
    name = dataset_of(town, "ads")
    since = town.last_ts("U0ANA")
    town.slash("U0ANA", f"datasets describe name={name}")
    answer = town.see("U0ANA", [name], since=since)
    assert "ads" in words(answer)


def dataset_of(town, owner):
    rows = town.platform.datasets
    rows = rows.values() if isinstance(rows, dict) else rows
    return next(d["name"] for d in rows if d["owner"] == owner)


def test_unknown_dataset_is_said(town):
    since = town.last_ts("U0ANA")
    town.slash("U0ANA", "datasets describe name=no_such_set")
    answer = town.see("U0ANA", ["❌"], since=since)
    assert "404" in words(answer) or "not" in words(answer)


def test_workers_status(town):
    since = town.last_ts("U0ANA")
    town.slash("U0ANA", "workers status team=ads")
    answer = town.see("U0ANA", ["workers-dev"], since=since)
    assert "workers-prod" in words(answer)


def test_config_get_and_set(world):
    world.slash("U0ANA", "config get team=ads")
    world.see("U0ANA", ["LOG_LEVEL", "info"])
    preview = world.ask("U0ANA", "config set team=ads key=LOG_LEVEL value=debug reason=tracing")
    assert "info" in words(preview) and "debug" in words(preview)
    world.click("U0ANA", preview, "confirm")
    world.see("U0ANA", ["✅", request_id(preview)])
    data = world.kube.object("ConfigMap", "ads", "settings")["data"]
    assert data["LOG_LEVEL"] == "debug" and data["BATCH_SIZE"] == "500"
    world.wait_audit(request_id(preview))


# What there is

def test_help_lists_what_is_allowed(world):
    for user, yes in (("U0ANA", "workers scale"), ("U0DIA", "workers scale")):
        since = world.last_ts(user)
        world.slash(user, "workers status team=ads")    # makes the link
        world.see(user, ["workers-dev"], since=since)
        since = world.last_ts(user)
        world.slash(user, "help")
        assert yes in words(world.see(user, ["Commands that you may run"], since=since))
    since = world.last_ts("U0FAY")
    world.slash("U0FAY", SCALE)
    world.see("U0FAY", ["⛔"], since=since)
    since = world.last_ts("U0FAY")
    world.slash("U0FAY", "help")
    says = words(world.see("U0FAY", ["ommand"], since=since))
    assert "workers scale" not in says


def test_help_of_one_command_shows_an_example(town):
    since = town.last_ts("U0ANA")
    town.slash("U0ANA", "help workers scale")
    says = words(town.see("U0ANA", ["Example: workers scale"], since=since))
    assert "team" in says and "count" in says


def test_misspelt_command_gets_the_nearest(town):
    town.slash("U0ANA", "workers status team=ads")      # what she may run is known from here on
    town.see("U0ANA", ["workers-dev"])
    def asked():
        """Nobody waits for the names longer than 0.8 s; a machine that stood still so long answers without them."""
        began = time.monotonic()
        answer = town.told("U0ANA", "workers scael team=ads role=dev count=5 reason=x", "✏️")
        assert "workers scale" in words(answer) or time.monotonic() - began > 0.8, words(answer)
        return answer if "workers scale" in words(answer) else None
    assert "config" not in words(eventually(asked, what="the nearest"))
    assert not town.slack.state(user="U0ANA")["views"]


def test_missing_arguments_open_a_form(world):
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
    world.slash("U0ANA", "workers scale team=ads role=dev")
    view = world.slack.wait("view", user="U0ANA")
    assert "workers scale" in json.dumps(view)
    typed = json.dumps(view)
    assert '"ads"' in typed and "dev" in typed, "what was typed is filled in"
    wrong = world.slack.submit(user="U0ANA", values={"team": "ads", "role": "dev", "count": "5000", "reason": "x"})
    assert wrong.get("errors"), wrong
    since = world.last_ts()
    done = world.slack.submit(user="U0ANA", values={"team": "ads", "role": "dev", "count": "5", "reason": "by form"})
    assert done["outcome"] == "acked" and not done["errors"] and not done["banner"]
    world.slack.wait("no_view", user="U0ANA")
    preview = world.see("U0ANA", ['"action_id": "confirm"'], since=since)
    world.click("U0ANA", preview, "confirm")
    world.wait_state(request_id(preview), "succeeded")
    assert world.kube.replicas() == 5


def test_home_tab_shows_commands_and_opens_a_form(world):
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
    world.slash("U0ANA", "workers status team=ads")
    world.see("U0ANA", ["workers-dev"])
    world.slack.home(user="U0ANA", wait=True)
    home = world.slack.wait("home", user="U0ANA", contains="workers scale")
    block = next(b for b in home["blocks"] if b.get("accessory", {}).get("value") == "workers scale")
    world.slack.click(user="U0ANA", home=True, action_id="open_form", block_id=block["block_id"], wait=True)
    world.slack.wait("view", user="U0ANA", contains="workers scale")
    world.slack.submit(user="U0ANA", values={"team": "ads", "role": "dev", "count": "5", "reason": "from home"})
    preview = world.slack.wait("message", channel="dm:U0ANA", contains=['"action_id": "confirm"'])
    world.click("U0ANA", preview, "confirm")
    world.wait_state(request_id(preview), "succeeded")


def test_home_tab_of_somebody_who_may_nothing(town):
    town.slack.home(user="U0FAY", wait=True)
    home = town.slack.wait("home", user="U0FAY")
    assert home["blocks"]


def test_a_direct_message_works_too(town):
    since = town.last_ts("U0ANA", "dm:U0ANA")
    town.slash("U0ANA", "workers status team=ads", channel="dm:U0ANA")
    town.see("U0ANA", ["workers-dev"], channel="dm:U0ANA", since=since)
