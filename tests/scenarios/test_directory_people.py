# SPDX-License-Identifier: Apache-2.0
"""What happens to people and groups in a company: nobody gains a right by it that nobody gave, whatever the source."""

import json

import pytest
from directory_desk import Desk

from sandbox.directory import Company, DirectoryStandin
from sandbox.world import eventually, words

NAMES = {"google": "sre@example.com", "graph": "sre@example.com", "scim": "sre@example.com", "file": "sre@example.com"}


@pytest.fixture
def make(loop, postgres, migrated):
    """make(kind): loaded, and sre@example.com (ana … fay) named by a grant."""
    made = []

    def build(kind, **settings):
        source = DirectoryStandin(Company.small())
        loop.run(source.start())
        desk = Desk(postgres, {"kind": "file"}, template=migrated)
        made.append((source, desk))
        desk.source, desk.company = source, source.company
        desk.write({**source.settings(kind, desk.folder), **settings})
        desk.sync()
        desk.use("sre@example.com")
        assert desk.may("ana") == "allowed" and desk.may("kim") == "no_matching_grant"
        return desk
    yield build
    for source, desk in made:
        desk.close()
        loop.run(source.stop())


@pytest.mark.parametrize("kind", NAMES)
def test_group_renamed_and_another_takes_its_name(make, kind):
    """A grant is to the group, not to its name: who makes a new group of the old name gains nothing."""
    desk = make(kind)
    desk.company.groups["g-sre"].name = "reliability@example.com"
    desk.company.group("g-evil", "sre@example.com", [desk.company.who("kim").id])
    lines = desk.plan()["lines"]
    assert "! group sre@example.com now means another id: g-sre -> g-evil" in lines
    desk.sync()
    assert desk.may("kim") == "no_matching_grant" and desk.may("ana") == "allowed"


@pytest.mark.parametrize("kind", NAMES)
def test_two_groups_of_one_name(make, kind):
    if kind == "file":
        desk = make(kind)
        desk.company.group("g-evil", "sre@example.com", [desk.company.who("kim").id])
        assert 'two groups have the name "sre@example.com"' in desk.sync(status=4)
        return
    desk = make(kind)
    desk.company.group("g-evil", "sre@example.com", [desk.company.who("kim").id])
    desk.sync()
    assert desk.may("kim") == "no_matching_grant" and desk.may("ana") == "allowed"
    assert {g["name_key"] for g in desk.copy()[2]} >= {"sre@example.com (g-sre)", "sre@example.com (g-evil)"}


@pytest.mark.parametrize("kind", NAMES)
def test_nested_in_a_circle(make, kind):
    """It ends; and a nesting that lets many into a group in use waits for two people."""
    desk = make(kind)
    desk.company.groups["g-sre"].groups.append("g-web")         # web holds ads: both come in
    desk.company.groups["g-ads"].groups.append("g-sre")         # and round
    said = desk.sync(status=3)
    assert "in_use_group_surge: group sre@example.com had 6 members and would gain" in said
    assert "newly nested group (these are held, the rest is not)" in said
    assert desk.may("kim") == "no_matching_grant"
    assert "ads@example.com " + desk.company.who("ana").id + "*" in desk.members(), "what nobody holds a grant by goes on"
    assert desk.told() == ["directory.held"]
    plan = desk.plan(status=3)
    assert f"--accept {plan['sha256']}" in said, "what is left is what can be accepted"
    assert "not the accepted one" in desk.sync("--accept", "0" * 64, "--by", "ana@example.com", "--by", "ben@example.com",
                                               status=1)
    assert "two active people" in desk.sync("--accept", plan["sha256"], "--by", "ana@example.com", status=1)
    desk.sync("--accept", plan["sha256"], "--by", "ana@example.com", "--by", "ben@example.com")
    assert desk.may("kim") == "allowed" and desk.told() == ["directory.held", "directory.clear"]
    assert json.loads(desk.run()["brakes"]) and "ana@example.com" in desk.run()["override_by"]


@pytest.mark.parametrize("kind", NAMES)
def test_address_moved_to_a_new_hire(make, kind):
    """Another id is another person: the address finds nobody until somebody has looked."""
    desk = make(kind)
    desk.company.leave("ana")
    desk.company.hire("200000000000000000001", "ana@example.com", "Ana Other")
    assert "moves from 100000000000000000001 to 200000000000000000001: quarantine" in desk.sync()
    assert desk.may("ana") == "unknown_person", "neither the one nor the other"
    desk.sync()
    assert desk.may("ana") == "unknown_person"
    said = desk.opsd("directory", "held").said
    assert "ana@example.com, since 20" in said and "1 in quarantine" in said
    assert "is now that of Ana Other (200000000000000000001, active)" in said
    assert "say why" in desk.opsd("directory", "release", "ana@example.com", status=2).said
    assert "not in quarantine" in desk.opsd("directory", "release", "ben@example.com", "reason=x", status=1).said
    desk.opsd("directory", "release", "Ana@example.com", "reason=the first Ana left")
    assert desk.may("ana") == "no_matching_grant", "the new person, without the rights of the old one, at once"
    assert "was released before, by owner" in desk.opsd("directory", "release", "ana@example.com", "reason=x", status=1).said
    assert "Nothing to change" in desk.sync()
    assert desk.people()["200000000000000000001"] == ("active", "human", "ana@example.com")
    note = json.loads(desk.db.value("select body from ops.audit where event = 'directory.address_released'"))
    assert note["facts"]["by"] == "owner" and note["facts"]["reason"] == "the first Ana left"
    assert note["person"] == note["facts"]["to"]


@pytest.mark.parametrize("kind", NAMES)
def test_two_people_with_one_address(make, kind):
    desk = make(kind)
    desk.company.hire("200000000000000000002", "ana@example.com", "Ana Twice")
    assert "! address ana@example.com is listed for several people: nobody's" in desk.sync()
    assert desk.may("ana") == "unknown_person"
    assert "repair the source" in desk.opsd("directory", "release", "ana@example.com", "reason=x", status=1).said
    assert desk.may("ana") == "unknown_person"
    desk.company.who("kim").aliases.append("ben@example.com")       # an alias that is somebody's address
    if kind != "google":        # Google knows no address twice; the others do not promise it
        desk.sync()
        assert desk.may("ben") == "unknown_person"


LOOKALIKES = ["\u0430na@example.com", "an\u0430@example.com", "ana@ex\u0430mple.com", "\uff41na@example.com", "ana@example.com\u200b",
              "d\u0131a@example.com", "D\u0130A@example.com", "ANA\u212a@example.com", "ana@example.com.evil.example",
              "ana@evilexample.com", "ana@sub.example.com", "ana@xn--exmple-cua.com", "\"ana\"@example.com", "ana@@example.com",
              "a.na@example.com", "ana+x@example.com"]


@pytest.mark.parametrize("kind", NAMES)
def test_lookalikes(make, kind):
    """Cyrillic, full-width, dotless and dotted i, Kelvin, invisible, other domains, dots and tags: nobody's but their own."""
    desk = make(kind)
    for n, address in enumerate(LOOKALIKES):
        desk.company.hire(f"3000{n}", address, f"Look {n}")
        desk.company.who("lea").aliases.append(address)
    desk.sync()
    owner = {r["email_key"]: r["id"] for r in desk.db.rows(
        "select e.email_key, p.external_id as id from dir.person_email e join dir.person p using (person_id)")}
    assert owner["ana@example.com"] == "100000000000000000001" and owner["dia@example.com"] == "100000000000000000004"
    assert desk.may("ana") == "allowed" and desk.may("dia") == "allowed"
    assert all(key.isascii() and key.endswith("@example.com") for key in owner)
    # what is plain ASCII of our domain is an address of its own; listed for two, it is nobody's
    assert {k for k, v in owner.items() if v.startswith("3000")} == set()


def test_mass_loss_is_braked_and_told(make):
    """Half a directory, an empty one; departures that are said aloud go through."""
    desk = make("google")
    for n in range(80):
        desk.company.groups["g-all"].members.append(desk.company.hire(f"4{n:03}", f"y{n}@example.com", f"Y {n}").id)
    desk.sync()
    for n in range(40):
        desk.company.leave(f"y{n}")
    desk.company.who("ben").state = "suspended"
    said = desk.sync(status=3)
    assert "BRAKE people_lost: 41 of 92 active people" in said and "opsd sync company --accept" in said
    assert desk.may("ben") == "person_not_active" and desk.people()["4000"][0] == "active"
    desk.company.people.clear()
    assert 'it has no list "users"' in desk.sync(status=4)
    assert desk.may("ana") == "allowed"


def test_members_from_outside_are_guests(make):
    desk = make("google")
    desk.company.groups["g-sre"].outside.append("900000000000000000009")
    assert "Note: 1 members from outside are kept as guests" in desk.sync()
    assert desk.people()["900000000000000000009"] == ("active", "guest", "")


def test_alarm_in_the_audit_channel(make_world, postgres):
    """The service posts what the sync owes; the sync's role can do no more than that."""
    world = make_world()
    plain = world.config.read_text(encoding="utf-8")
    empty = world.folder / "empty.yaml"
    empty.write_text("format: dirsnap/1\ngenerated_at: 2027-01-01T00:00:00Z\npeople: []\ngroups: []\n"
                     "counts: { people: 0, groups: 0, members: 0 }\n", encoding="utf-8")
    world.write_config(directory={"sources": {"company": {"path": str(empty)}}})
    world.command("sync", status=3)
    post = world.wait_audit("was stopped by a brake")
    assert "the source lists no people" in words(post) and "opsd sync --plan company" in words(post)
    empty.write_text("format: dirsnap/1\n", encoding="utf-8")
    world.command("sync", status=4)
    world.wait_audit("failed, nothing was changed")
    world.config.write_text(plain, encoding="utf-8")
    world.command("sync")
    world.wait_audit("works again")
    eventually(lambda: world.opsd.metrics().get('opsd_directory_sync_failing{source="company"}') == 0)
    assert world.opsd.metrics()['opsd_directory_source_age_seconds{source="company"}'] < 60
    with postgres.session(world.database, "opsd_cron") as db:
        for statement in ("insert into ops.message (request_id, kind, channel) values ('x', 'audit', 'C0')",
                          "select * from ops.message", "select * from ops.audit",
                          "insert into ops.audit (at, event, outcome, body) values (now(), 'x', 'success', '{}')",
                          "delete from authz.permit", "update authz.permit set reason = 'x'",
                          "delete from dir.membership_change"):
            with pytest.raises(Exception, match="permission denied"):
                db.run(statement)
