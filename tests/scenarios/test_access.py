# SPDX-License-Identifier: Apache-2.0
"""Rights for a time: asked for and approved, ended by themselves or by hand; blocks; break-glass and its review."""

import pytest

from sandbox.world import eventually, request_id, words

ROSTER = """
  - { key: bg-ana, who: "person:ana@example.com", can: request, action: access.break_glass, where: { action: [workers.scale] },
      from: 2026-11-01, until: %s }
"""


def told(world, user, *contains, **more):
    return words(world.see(user, list(contains), **more))


def ask_access(world, user="U0CHO", text="access request action=workers.scale team=ads role=dev time=2h reason=helping"):
    """Asked, confirmed, on a card."""
    preview = world.ask(user, text)
    rid = request_id(preview)
    world.click(user, preview, "confirm")
    return rid, world.slack.wait("message", channel="C0APPROVE", contains=[rid, '"action_id": "approve"'])


def given(world, user="U0CHO", **more):
    rid, card = ask_access(world, user, **more)
    world.click("U0DIA", card, "approve")
    assert world.wait_state(rid, "succeeded", "failed", "denied")["state"] == "succeeded"
    return rid


def tick(world):
    """What a replica does every quarter of a minute; a row that one is just at is left to it."""
    world.sql("select ops.access_tick('{\"boot\":\"test\"}', 50)")


def events(world, rid):
    return [r["event"] for r in world.audit_rows(request=rid)]


def test_just_in_time(world):
    world.slash("U0CHO", "workers scale team=ads role=dev count=4 reason=helping")
    told(world, "U0CHO", "You may not do this", "team-ads-oncall")
    rid, card = ask_access(world)
    for part in ("rights of Cho Min-ji (cho@example.com)", "right to request workers.scale where role in dev; team in ads",
                 "for 2 h"):
        assert part in words(card), words(card)
    assert not world.sql("select 1 from authz.permit where origin = 'chat'")
    world.click("U0DIA", card, "approve")
    assert world.wait_state(rid, "succeeded", "failed")["state"] == "succeeded"
    row = world.sql("select stable_key, extract(epoch from upper(valid) - lower(valid))::int as s, d.display_name as by, origin"
                    " from authz.permit p join dir.person d on d.person_id = p.created_by where origin = 'chat'")
    assert [(r["stable_key"], r["s"], r["by"]) for r in row] == [(f"chat-{rid}", "7200", "Dia Sharma")]
    assert "access.grant" in events(world, rid)
    world.wait_audit("right to request workers.scale", rid)
    # it is used as any other
    preview = world.ask("U0CHO", "workers scale team=ads role=dev count=4 reason=helping")
    world.click("U0CHO", preview, "confirm")
    used = request_id(preview)
    assert world.wait_state(used, "succeeded", "failed", "denied")["state"] == "succeeded"
    assert world.audit_rows(request=used, event="request.started")[0]["says"]["decision"]["grant"] == f"chat-{rid}"
    world.slash("U0DIA", "access list")
    listed = told(world, "U0DIA", "Rights that are in no file")
    assert f"chat-{rid}" in listed and "in force" in listed and "Cho Min-ji" in listed
    world.slash("U0CHO", "whoami")
    told(world, "U0CHO", "For a time: workers.scale until")
    # and ends by itself
    world.sql("update authz.permit set valid = tstzrange(lower(valid), clock_timestamp()) where origin = 'chat'")
    world.slash("U0CHO", "workers scale team=ads role=dev count=5 reason=helping")
    eventually(lambda: [r for r in world.requests(command="workers scale") if r["state"] == "denied" and r["id"] > used],
               what="the right to be gone")
    tick(world)
    eventually(lambda: "access.ended" in events(world, rid), what="the end of the right")
    tick(world)
    assert events(world, rid).count("access.ended") == 1
    world.wait_audit("The right of Cho Min-ji (cho@example.com) on workers.scale has ended")


@pytest.mark.parametrize("text, why", [
    ("action=workers.scale team=ads time=2h reason=x", "is limited by role: say which"),
    ("action=workers.status team=ads role=dev time=2h reason=x", "is not limited by role"),
])
def test_what_cannot_be_asked_for(town, text, why):
    since = town.last_ts("U0CHO")
    town.slash("U0CHO", "access request " + text)
    told(town, "U0CHO", why, since=since)


def test_not_longer_than_a_day_and_never_risk_3(world):
    world.slash("U0CHO", "access request action=workers.scale team=ads role=dev time=25h reason=x")
    told(world, "U0CHO", "time must be")
    world.sql("update authz.action set risk = 3 where name = 'workers.scale'")
    world.slash("U0CHO", "access request action=workers.scale team=ads role=dev time=2h reason=x")
    told(world, "U0CHO", "by the reviewed file only")


def test_nobody_approves_their_own(world):
    rid, card = ask_access(world, "U0DIA", "access request action=workers.scale team=ads role=dev time=2h reason=x")
    world.click("U0DIA", card, "approve")
    assert "somebody else has to approve" in words(world.slack.wait("message", channel="C0APPROVE", user="U0DIA",
                                                                    contains=["somebody else"]))
    assert world.request(rid)["state"] == "approving"


def test_two_people_even_if_the_command_asks_for_nobody(world):
    path = world.catalog / "access.yaml"
    text = path.read_text(encoding="utf-8")
    rule = "    approval:\n      - { need: 1, from: { can_approve: access.request } }\n"
    tests = text[text.index("team=web role=dev time=2h"):]
    assert rule in text and tests
    text = text.replace(rule, "").replace("expect: { approval: 1 } }\n      - { as: [team-ads-oncall], text: action=access.end",
                                          "expect: allow }\n      - { as: [team-ads-oncall], text: action=access.end")
    path.write_text(text, encoding="utf-8")
    world.running[0].hup()
    world.running[0].wait_log("catalog reloaded")
    preview = world.ask("U0CHO", "access request action=workers.scale team=ads role=dev time=2h reason=x")
    world.click("U0CHO", preview, "confirm")
    row = world.wait_state(request_id(preview), "failed", "succeeded")
    assert row["state"] == "failed" and "takes two people" in row["error"]
    assert not world.sql("select 1 from authz.permit where origin = 'chat'")


def test_ended_by_hand(world):
    rid = given(world)
    preview = world.ask("U0DIA", f"access end grant=chat-{rid} reason=done")
    world.click("U0DIA", preview, "confirm")
    assert world.wait_state(request_id(preview), "succeeded", "failed")["state"] == "succeeded"
    assert world.sql("select upper(valid) <= clock_timestamp() as over from authz.permit where origin = 'chat'")[0]["over"] == "t"
    tick(world)
    eventually(lambda: events(world, rid)[-1] == "access.ended", what="the end of the right")


def test_grant_of_the_file_is_blocked_for_a_day(world):
    preview = world.ask("U0DIA", "access end grant=ads-scale reason=migration")
    assert "blocked for 24 h" in words(preview) and "comes back after 24 hours" in words(preview)
    world.click("U0DIA", preview, "confirm")
    world.wait_state(request_id(preview), "succeeded")
    world.slash("U0ANA", "workers scale team=ads role=dev count=4 reason=x")
    told(world, "U0ANA", "blocked for you at the moment")
    plan = world.command("grants", "plan")          # the file is as it was; what chat did is shown beside it
    assert "0 changes" in plan.said and "not of this file, for a time: chat-" in plan.said and "must not request" in plan.said


def test_suspended_person(world):
    world.slash("U0DIA", 'access suspend who=@U0ANA time=2h reason="lost a laptop"')
    told(world, "U0DIA", "The directory does not know @U0ANA")       # nobody is linked to that account yet
    world.slash("U0ANA", "workers status team=ads")
    told(world, "U0ANA", "workers-dev")
    preview = world.ask("U0DIA", 'access suspend who=@U0ANA time=2h reason="lost a laptop"')
    assert "rights of Ana Ruiz (ana@example.com)" in words(preview)
    world.click("U0DIA", preview, "confirm")
    world.wait_state(request_id(preview), "succeeded")
    since = world.last_ts("U0ANA")
    world.slash("U0ANA", "workers status team=ads")
    told(world, "U0ANA", "blocked for you at the moment", since=since)


def test_relink(world):
    world.slash("U0ANA", "workers status team=ads")
    told(world, "U0ANA", "workers-dev")
    world.sql("update ops.link set state = 'suspended' where slack_user = 'U0ANA'")
    since = world.last_ts("U0ANA")
    world.slash("U0ANA", "workers status team=ads")
    told(world, "U0ANA", "is suspended", since=since)
    rid, card = ask_access(world, "U0DIA", 'access relink user=@U0ANA reason="same person, new address"')
    world.click("U0EVE", card, "approve")
    world.wait_state(rid, "succeeded")
    assert [r["why"] for r in world.sql("select why from ops.link_past")] == [f"request {rid}"]
    since = world.last_ts("U0ANA")
    world.slash("U0ANA", "workers status team=ads")
    told(world, "U0ANA", "workers-dev", since=since)


# break-glass

@pytest.fixture
def roster(make_world):
    """Ana is on it by name, and her link is proved; the directory has been down for three days."""
    world = make_world(start=0)
    path = world.folder / "grants.yaml"
    until = world.sql("select to_char(now() + interval '20 days', 'YYYY-MM-DD') as d")[0]["d"]
    since = world.sql("select to_char(now() - interval '2 days', 'YYYY-MM-DD') as d")[0]["d"]
    from sandbox.world import COMPANY
    path.write_text((COMPANY / "grants.yaml").read_text(encoding="utf-8")
                    + (ROSTER % until).replace("2026-11-01", since), encoding="utf-8")
    plan = world.command("grants", "plan", path, status=1)
    sha = plan.said.split("--plan ")[1].split()[0]
    world.command("grants", "apply", path, status=1)        # risk 3: a second person
    env = world.env(DATABASE_GRANTS_URL=world.postgres.url(world.database, "opsd_second"))
    world.command("grants", "approve", path, "--plan", sha, env=env)
    world.command("grants", "apply", path, "--plan", sha)
    world.start()
    for user in ("U0ANA", "U0DIA"):
        world.slash(user, "whoami")
        told(world, user, "You are")
    world.sql("update ops.link set how = 'idp', proved_at = now()")
    world.sql("update dir.source set fetch_started_at = clock_timestamp() - interval '80 hours'")
    return world


def test_break_glass(roster):
    world = roster
    world.slash("U0ANA", "workers scale team=ads role=prod count=9 reason=flood")
    told(world, "U0ANA", "last read too long ago")
    preview = world.ask("U0ANA", 'access break-glass action=workers.scale team=ads reason="queue floods, directory down"')
    assert "without asking anybody" in words(preview) and "Everybody in the audit channel is told" in words(preview)
    world.click("U0ANA", preview, "confirm")
    rid = request_id(preview)
    assert world.wait_state(rid, "succeeded", "failed", "denied")["state"] == "succeeded"
    loud = world.wait_audit("BREAK GLASS", "queue floods, directory down")
    assert '"type": "broadcast"' in str(loud["blocks"]).replace("'", '"') and "@U0ANA" in words(loud)
    # the change runs: no approval although the command asks for one, and in spite of the stale directory
    preview = world.ask("U0ANA", "workers scale team=ads role=prod count=9 reason=flood")
    world.click("U0ANA", preview, "confirm")
    used = request_id(preview)
    assert world.wait_state(used, "succeeded", "failed", "denied", "approving")["state"] == "succeeded"
    started = world.audit_rows(request=used, event="request.started")[0]["says"]
    assert started["decision"]["grant"] == f"bg-{rid}" and started["decision"]["via"] == {"origin": "break_glass"}
    # not beyond its scope
    since = world.last_ts("U0ANA")
    world.slash("U0ANA", "workers scale team=web role=dev count=4 reason=flood")
    told(world, "U0ANA", "last read too long ago", since=since)
    # and it is reviewed by somebody else
    world.sql("update dir.source set fetch_started_at = clock_timestamp()")
    world.sql("update authz.permit set valid = tstzrange(lower(valid), clock_timestamp()) where origin = 'break_glass'")
    world.sql("update ops.review set ends_at = clock_timestamp(), remind_at = clock_timestamp()")
    tick(world)
    card = world.slack.wait("message", channel="C0APPROVE", contains=["to be reviewed", rid, used, "I have reviewed it"])
    world.click("U0ANA", card, "review")
    world.slack.wait("message", channel="C0APPROVE", user="U0ANA", contains=["somebody else has to review"])
    world.click("U0BEN", card, "review")
    world.slack.wait("message", channel="C0APPROVE", user="U0BEN", contains=["You may not review this"])
    world.sql("update ops.review set remind_at = clock_timestamp()")
    tick(world)
    again = world.slack.wait("message", channel="C0APPROVE", contains=["Still not reviewed", rid])
    world.click("U0DIA", again, "review")
    world.wait_audit("reviewed the break-glass", rid)
    row = world.sql("select reviewed_by is not null as done, remind_at from ops.review")[0]
    assert row["done"] == "t" and row["remind_at"] is None
    assert {"access.break_glass", "access.ended", "access.review_due", "access.reviewed"} <= set(events(world, rid))
    world.click("U0EVE", card, "review")
    world.slack.wait("message", channel="C0APPROVE", user="U0EVE", contains=["reviewed already by Dia Sharma"])


def test_break_glass_hangs_on_no_group(roster):
    world = roster
    world.sql("update dir.source set fetch_started_at = clock_timestamp()")
    world.sql("update authz.permit set person_id = null, valid = tstzrange(null, null), group_id ="
              " (select group_id from dir.grp where name_key = 'team-ads-oncall') where stable_key = 'bg-ana'")
    world.slash("U0ANA", "access break-glass action=workers.scale reason=x")
    told(world, "U0ANA", "must not hang on a group")


def test_break_glass_is_not_above_a_forbid(roster):
    world = roster
    preview = world.ask("U0ANA", "access break-glass action=workers.scale team=ads reason=flood")
    world.click("U0ANA", preview, "confirm")
    world.wait_state(request_id(preview), "succeeded")
    world.sql("insert into authz.permit (stable_key, effect, capability, action_id, person_id, origin, valid)"
              " select 'h', 'forbid', 'request', action_id, person_id, 'chat', tstzrange(now(), now() + '1 hour'::interval)"
              " from authz.action, dir.person"
              " where name = 'workers.scale' and external_id = 'p-ana'")
    world.sql("update dir.source set fetch_started_at = clock_timestamp()")
    since = world.last_ts("U0ANA")
    world.slash("U0ANA", "workers scale team=ads role=prod count=9 reason=flood")
    told(world, "U0ANA", "blocked for you at the moment", since=since)
