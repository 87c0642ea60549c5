# SPDX-License-Identifier: Apache-2.0
"""The home tab: what is temporary or waits, what waits for one's approval, and freezes, with their buttons."""

import json

from sandbox.world import eventually, request_id, words
from test_later import at_zone

NUDGE = "workers nudge team=ads count=4 for=2h reason=queue"
PROD = "workers scale team=ads role=prod count=8 reason=load"


def home(world, user, *contains, not_=None):
    """Open the tab; what it shows once it shows all of these."""
    def check():
        world.slack.home(user=user, wait=True)
        view = world.slack.wait("home", user=user)
        text = json.dumps(view["blocks"], ensure_ascii=False)
        return view if all(c in text for c in contains) and (not_ is None or not_ not in text) else None
    return eventually(check, what=f"the tab of {user} to show {contains}")


def button(view, action, value=""):
    """The block that holds it."""
    return next(b for b in view["blocks"] if b["type"] == "actions"
                and any(e["action_id"] == action and value in e["value"] for e in b["elements"]))["block_id"]


def press(world, user, view, action, value, says):
    """A button of the tab; the tab as it is drawn anew, with what came of it on top."""
    world.slack.click(user=user, home=True, action_id=action, block_id=button(view, action, value), wait=True)
    return world.slack.wait("home", user=user, contains=says)


def temporary(world):
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
    world.slash("U0ANA", NUDGE)
    rid = eventually(lambda: world.requests(command="workers nudge"), what="the request")[0]["id"]
    world.wait_state(rid, "succeeded")
    return rid


def test_temporary_change_is_steered_from_the_tab(world):
    rid = temporary(world)
    view = home(world, "U0ANA", "What is temporary, and what waits", "Set back ", rid, "extend", "keep", "back")
    before = world.sql("select starts_at from ops.request where undoes = $1", rid)[0]["starts_at"]
    view = press(world, "U0ANA", view, "extend", rid, "Extended: it is set back")
    assert world.sql("select starts_at from ops.request where undoes = $1", rid)[0]["starts_at"] > before
    assert "Extended" in words(view["blocks"][0])          # what came of it stands on top
    view = press(world, "U0ANA", view, "back", rid, "It is being set back now.")
    eventually(lambda: world.kube.replicas() == 3, what="the change to be set back")
    home(world, "U0ANA", "What you can run", not_="What is temporary")


def test_keep_and_cancel(world):
    rid = temporary(world)
    preview = world.ask("U0ANA", f"workers scale team=ads role=dev count=6 at={at_zone(2)[1]} reason=tonight")
    world.click("U0ANA", preview, "confirm")
    waiting = request_id(preview)
    world.wait_state(waiting, "scheduled")
    view = home(world, "U0ANA", rid, waiting, "Starts ")
    world.slack.click(user="U0ANA", home=True, action_id="stop", block_id=button(view, "stop", waiting), wait=True)
    world.wait_state(waiting, "cancelled")
    view = home(world, "U0ANA", rid, not_=waiting)
    world.slack.click(user="U0ANA", home=True, action_id="keep", block_id=button(view, "keep", rid), wait=True)
    eventually(lambda: world.sql("select state::text from ops.request where undoes = $1", rid)[0]["state"] == "cancelled", what="kept")
    home(world, "U0ANA", "What you can run", not_="What is temporary")
    assert world.kube.replicas() == 4
    # a stranger to it sees none of it
    home(world, "U0GUS", "What you can run", not_=rid)


def test_what_waits_for_my_approval(world):
    for user in ("U0EVE", "U0DIA", "U0CHO"):
        world.slash(user, "whoami")
        world.see(user, ["You are"])
    preview = world.ask("U0ANA", PROD)
    rid = request_id(preview)
    world.click("U0ANA", preview, "confirm")
    card = world.slack.wait("message", channel="C0APPROVE", contains=[rid, '"action_id": "approve"'])
    link = f"https://ops.slack.example/archives/C0APPROVE/p{card['ts'].replace('.', '')}"
    home(world, "U0EVE", "Waits for your approval", rid, link, "Open the card", "U0ANA")
    home(world, "U0CHO", "What you can run", not_=rid)          # may not approve it
    home(world, "U0ANA", rid, "Waits for approval", not_="Waits for your approval")     # her own
    world.click("U0EVE", card, "approve")
    world.wait_state(rid, "succeeded")
    home(world, "U0EVE", "What you can run", not_="Waits for your approval")


def test_freezes_are_shown(world):
    world.slash("U0ANA", "whoami")
    world.see("U0ANA", ["You are"])
    world.sql("select ops.freeze_by_login($1::jsonb, 'inventory night', 3600)", '{"team": "ads"}')
    home(world, "U0ANA", "Changes are frozen (team=ads)", "inventory night")
    world.sql("select ops.unfreeze_by_login(null, 'done')")
    home(world, "U0ANA", "What you can run", not_="frozen")


def test_many_things_stay_within_what_slack_takes(world):
    """More of everything than is shown: what is left out is said, and the view has at most 100 blocks."""
    rid = temporary(world)
    world.sql("insert into ops.request select (jsonb_populate_record(r, jsonb_build_object('id', 'RMANY' || lpad(n::text, 11, '0'), "
              "'undoes', 'RCHNG' || lpad(n::text, 11, '0')))).* from ops.request r, generate_series(1, 40) n where r.undoes = $1", rid)
    for n in range(8):
        world.sql("select ops.freeze_by_login($1::jsonb, $2, 3600)", json.dumps({"name": f"x{n}"}), f"reason {n}")
    view = home(world, "U0ANA", "There is more: the word active lists it.", "More freezes are in force.", "What you can run")
    assert len(view["blocks"]) <= 100
    assert sum(b["type"] == "actions" and b["elements"][0]["action_id"] == "extend" for b in view["blocks"]) == 6


def test_database_that_does_not_answer(world):
    world.slash("U0ANA", "whoami")
    world.see("U0ANA", ["You are"])
    with world.postgres.session(world.database) as blocker:
        blocker.run("begin; lock table ops.freeze in access exclusive mode")
        world.slack.home(user="U0ANA", wait=True)
        eventually(lambda: world.sql("select 1 from pg_stat_activity where query like '%ops.home%' and wait_event_type = 'Lock'"),
                   what="the question")
        world.cut_connections()
        view = world.slack.wait("home", user="U0ANA", contains="is not known now")
        blocker.run("rollback")
    assert "What you can run" in json.dumps(view["blocks"])
