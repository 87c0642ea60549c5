# SPDX-License-Identifier: Apache-2.0
"""Who somebody is to the service, why they may or may not, and what happens when Slack and the directory disagree."""

import pytest

from sandbox.world import eventually, request_id, words


def told(world, user, *contains):
    return words(world.see(user, list(contains)))


def become(world, user, **changes):
    """Slack changes the account and says so."""
    now = world.slack.person(user=user, **changes)["user"]
    world.slack.event(event={"type": "user_change", "user": now, "event_ts": "1.1"}, wait=True)


def test_whoami(world):
    world.slash("U0ANA", "whoami")
    says = told(world, "U0ANA", "You are Ana Ruiz")
    for part in ("ana@example.com", "linked by its e-mail address", "up to risk 2", "team-ads-oncall", "everyone",
                 "The company directory was read", "min ago (generation 1)"):
        assert part in says, says
    assert "now linked to ana@example.com" in words(world.slack.wait("message", channel="D00ANA", contains=["now linked"]))
    assert [r["says"]["event"] for r in world.audit_rows(event="link.created")] == ["link.created"]


@pytest.mark.parametrize("user, why", [
    ("U0GUS", "I do not know you. Guest accounts"), ("U0UNC", "is not confirmed"),
])
def test_whoami_of_those_who_are_nobody(town, user, why):
    town.slash(user, "whoami")
    says = told(town, user, "I do not know you", why)
    assert "directory was read" not in says and "Groups" not in says


def test_why_yes_and_who_approves(town):
    town.slash("U0ANA", "why workers scale team=ads role=prod count=8 reason=load")
    says = told(town, "U0ANA", "Yes: workers scale team=ads role=prod count=8")
    for part in ("Grant ads-scale, as a member of team-ads-oncall", "needs approval by 1 of those who can approve workers.scale",
                 "Dia Sharma", "Eve Lindqvist", "Grants revision 1"):
        assert part in says, says
    assert not town.requests(command="workers scale")      # a question is no request


def test_why_no_and_who_could(town):
    town.slash("U0CHO", "why workers scale team=ads role=dev count=3 reason=load")
    says = told(town, "U0CHO", "No: workers scale")
    for part in ("It takes membership of", "team-ads-oncall", "Ana Ruiz", "Your grant web-scale through team-web",
                 "only for role=dev,prod team=web"):
        assert part in says, says


def test_why_of_what_cannot_be_read(town):
    town.slash("U0ANA", "why workers scal team=ads")
    told(town, "U0ANA", "has no command")
    town.slash("U0ANA", "why workers scale team=ads count=many")
    told(town, "U0ANA", "count must be")
    town.slash("U0ANA", "why")
    told(town, "U0ANA", "Say which command")


def test_why_with_what_is_given(town):
    """Nothing has to be given that decides nothing; what could change the answer is named."""
    town.slash("U0ANA", "why workers scale team=ads role=prod")
    says = told(town, "U0ANA", "Yes: workers scale team=ads role=prod. ")
    for part in ("needs approval by 1", "could change this: count (whether a rule of the command refuses it).",
                 "makes no difference here: reason."):
        assert part in says, says
    town.slash("U0ANA", "why workers scale team=ads")
    says = told(town, "U0ANA", "workers scale team=ads. ", "could change this: role (who may, whether it needs approval), count")
    assert "is missing" not in says
    town.slash("U0ANA", "why workers scale team=ads role=dev count=0")
    told(town, "U0ANA", "A rule of the command refuses it, whoever asks: Scaling to zero")


def test_group_of_which_nobody_knows_who_is_in_it(world):
    """As after a grant that names it first and before the sync: said so, and neither yes nor no is made up."""
    world.db.run("""with g as (update dir.grp set in_scope_since_gen = null where name_key = 'team-ads-oncall' returning group_id)
        delete from dir.membership m using g where m.group_id = g.group_id""")
    world.slash("U0ANA", "workers status team=ads")
    says = told(world, "U0ANA", "You may not do this")
    assert "The members of team-ads-oncall are read at the next sync." in says, says
    world.db.run("""insert into authz.permit (stable_key, effect, capability, action_id, group_id, origin, revision)
        select 'stop', 'forbid', 'request', a.action_id, g.group_id, 'file', 1 from authz.action a, dir.grp g
        where a.name = 'workers.status' and g.name_key = 'team-ads-oncall'""")
    world.slash("U0DIA", "workers status team=ads")
    says = told(world, "U0DIA", "nobody knows yet who is in it")
    assert "The members of team-ads-oncall are read at the next sync." in says, says
    done = world.command("explain", "dia@example.com", "workers.status", "team=ads", status=1)
    assert "its members are read at the next sync" in done.said


def test_why_button_on_a_refusal(town):
    town.slash("U0CHO", "workers status team=ads")
    refusal = town.see("U0CHO", ["You may not do this", '"action_id": "why"'])
    rid = request_id(refusal)
    town.click("U0CHO", refusal, "why")
    says = told(town, "U0CHO", f"No: request {rid}")
    assert "team-ads-oncall" in says and "Your grant web-status through team-web" in says


def test_a_stranger_has_no_why(town):
    since = town.last_ts("U0GUS")
    town.slash("U0GUS", "workers status team=ads")
    refusal = town.see("U0GUS", ["Guest accounts"], since=since)
    assert "why" not in str(refusal["blocks"])


def test_explain_says_the_same(town):
    town.slash("U0CHO", "why workers status team=ads")
    says = told(town, "U0CHO", "No: workers status team=ads")
    done = town.command("explain", "cho@example.com", "workers.status", "team=ads", status=1)
    assert says.split(". ", 1)[1].splitlines()[0] in done.said
    assert "would be enough" in done.said


def test_address_that_moves_suspends_the_link_and_says_so(world):
    world.slash("U0ANA", "workers status team=ads")
    world.see("U0ANA", ["workers-dev"])
    world.sql("update dir.person_email set is_primary = false, person_id = (select person_id from dir.person where external_id = 'p-cho')"
              " where email_key = 'ana@example.com'")
    world.slash("U0ANA", "workers status team=ads")
    told(world, "U0ANA", "no longer agree on who you are")
    alarm = words(world.wait_audit("was suspended"))
    assert "@U0ANA" in alarm
    world.slash("U0ANA", "whoami")
    told(world, "U0ANA", "I do not know you", "is suspended")


def test_old_directory_warns_on_reads_and_refuses_changes(world):
    world.slash("U0ANA", "workers status team=ads")
    world.see("U0ANA", ["workers-dev"])
    since = world.last_ts("U0ANA")
    world.sql("update dir.source set fetch_started_at = clock_timestamp() - interval '25 hours'")
    world.slash("U0ANA", "workers status team=ads")
    assert "was last read 25 h ago" in words(world.see("U0ANA", ["workers-dev"], since=since))
    world.slash("U0ANA", "workers scale team=ads role=dev count=4 reason=load")
    told(world, "U0ANA", "last read too long ago to allow changes")


def test_account_deactivated_between_approval_and_start(world):
    preview = world.ask("U0ANA", 'workers scale team=ads role=prod count=8 reason="the backlog grows"')
    rid = request_id(preview)
    world.click("U0ANA", preview, "confirm")
    card = world.slack.wait("message", channel="C0APPROVE", contains=[rid, '"action_id": "approve"'])
    become(world, "U0ANA", deleted=True)
    world.click("U0DIA", card, "approve")
    row = world.wait_state(rid, "denied")
    assert row["code"] == "deleted"
    assert not world.kube.patches()


def test_account_became_a_guest_before_the_click_on_the_preview(world):
    preview = world.ask("U0ANA", "workers scale team=ads role=dev count=4 reason=load")
    rid = request_id(preview)
    become(world, "U0ANA", is_restricted=True)
    world.click("U0ANA", preview, "confirm")
    eventually(lambda: world.audit_rows(request=rid, event="confirm.denied"), what="the click to be refused")
    assert world.request(rid)["state"] == "confirming" and not world.kube.patches()
