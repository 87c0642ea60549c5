# SPDX-License-Identifier: Apache-2.0
"""Members of groups in use only: what is asked of a source, and what is known while a group is new to it."""

import re
import threading

import pytest
from directory_desk import Desk

from sandbox.directory import Company, DirectoryStandin
from sandbox.world import eventually

PER_GROUP = ("google", "graph", "okta")         # whose members are a list of each group
NESTED = ("google", "graph")
WHOLE = ("scim", "slack", "file")               # which have everything in one document
REFUSAL = {"mode": "status", "code": 403, "body": {"error": {"code": 403, "message": "Not Authorized"}}}


@pytest.fixture
def make(loop, postgres, migrated):
    made = []

    def build(kind, company=None, source=None, **settings):
        desk = Desk(postgres, {"kind": "file"}, template=migrated)
        desk.source = source or DirectoryStandin(company or Company.small())
        loop.run(desk.source.start())
        made.append(desk)
        desk.company = desk.source.company
        desk.write({**desk.source.settings(kind, desk.folder, members=None), **settings})
        return desk
    yield build
    for desk in made:
        desk.close()
        loop.run(desk.source.stop())


def asked(desk):
    """The groups whose members were asked for, in pages, and forgets them."""
    found = [m[1] for r in desk.source.requests if (m := re.search(r"/groups/([^/]+)/(?:members|users)", r))]
    desk.source.requests.clear()
    return found


def of(desk, *groups):
    return {m for m in desk.members() if m.partition(" ")[0].partition("@")[0] in groups}


@pytest.mark.parametrize("kind", PER_GROUP)
def test_only_groups_in_use(make, kind):
    desk = make(kind)
    said = desk.sync()
    assert asked(desk) == [] and desk.members() == set()
    assert "Members are read of 0 of 4 groups" in said
    assert len(desk.people()) == 12 and len(desk.copy()[2]) == 4, "everybody and every group is known"
    desk.use("sre@example.com")
    assert desk.may("ana") == "no_matching_grant"
    plan = desk.plan()
    assert "* group sre@example.com (g-sre) comes into use: its 6 members are read" in plan["lines"]
    assert plan["brakes"] == [] and plan["counts"]["members_in"] == 6
    assert set(asked(desk)) == {"g-sre"} and desk.may("ana") == "no_matching_grant"
    assert "1 come into use (6 members)" in desk.sync()
    assert set(asked(desk)) == {"g-sre"} and len(of(desk, "sre")) == 6 == len(desk.members())
    assert desk.may("ana") == "allowed"
    assert "Nothing to change" in desk.sync()
    desk.db.run("delete from authz.permit")
    said = desk.sync()
    assert "* group sre@example.com (g-sre) is not in use any more: its 6 members are not kept" in said
    assert desk.members() == set() and desk.told() == []


@pytest.mark.parametrize("kind", NESTED)
def test_nested_only_through_its_parent(make, kind):
    """What is inside is read, too, when it is listed later than its parent was read, and in circles."""
    company = Company.small()
    for n in range(9):          # some pages
        company.group(f"g-{n}", f"team-{n}@example.com", [company.who("kim").id])
    company.group("g-deep", "zz-deep@example.com", [company.who("lea").id], ["g-web"])
    company.groups["g-ads"].groups.append("g-deep")         # web > ads > deep > web
    desk = make(kind, company)
    desk.sync()
    desk.use("web@example.com")
    asked(desk)
    desk.sync()
    assert set(asked(desk)) == {"g-web", "g-ads", "g-deep"}
    for person in ("eve", "ivy", "lea"):
        assert desk.may(person) == "allowed"
    assert desk.may("ana") == "no_matching_grant"


@pytest.mark.parametrize("kind", WHOLE)
def test_in_one_document_all_is_read(make, kind):
    desk = make(kind)
    assert "Members are read of 4 of 4 groups" in desk.sync()
    assert len(of(desk, "sre")) == 6
    desk.use("sre" if kind == "slack" else "sre@example.com")
    assert desk.may("ana") == "allowed"
    assert "Nothing to change" in desk.sync()


def test_calls_of_a_large_company(make):
    """300 groups, of which four are in use: as many questions as four groups take."""
    company = Company.large(500, 300, 6000)
    for group in company.groups.values():
        group.groups.clear()
    desk = make("okta", source=DirectoryStandin(company, page=200))
    desk.sync()
    names = list(company.groups)[10:14]
    for name in names:
        desk.use(company.groups[name].name)
    asked(desk)
    said = desk.sync()
    assert set(asked(desk)) == set(names)
    assert "Members are read of 4 of 300 groups" in said
    assert {m.partition(" ")[0] for m in desk.members()} == {company.groups[n].name for n in names}


def test_more_than_those_in_use(make):
    """By name or id: for what else the groups are wanted, as by a cluster that acts for people."""
    desk = make("google", members=["ads@example.com", "g-all"])
    desk.sync()
    assert set(asked(desk)) == {"g-ads", "g-all"}
    assert len(of(desk, "ads")) == 4 and len(of(desk, "all")) == 12 and not of(desk, "sre", "web")


@pytest.mark.parametrize("kind", PER_GROUP)
def test_renamed_while_in_use(make, kind):
    """It is read under its new name; a group that takes the old one is read by nobody's wish."""
    desk = make(kind)
    desk.sync()
    desk.use("sre@example.com")
    desk.sync()
    desk.company.groups["g-sre"].name = "reliability@example.com"
    desk.company.group("g-evil", "sre@example.com", [desk.company.who("kim").id])
    asked(desk)
    desk.sync()
    assert set(asked(desk)) == {"g-sre"}
    assert desk.may("ana") == "allowed" and desk.may("kim") == "no_matching_grant"


@pytest.mark.parametrize("effect", ["allow", "forbid"])
def test_comes_into_use_while_the_sync_runs(make, effect):
    """The run that is under way knows nothing of it: no half of the group is taken for the group."""
    desk = make("google")
    desk.sync()
    desk.use("all@example.com")
    desk.sync()
    assert desk.may("ivy") == "allowed"

    def grant():
        desk.use("web@example.com")
        desk.db.run(f"update authz.permit set effect = '{effect}' where stable_key = 'k-web@example.com'")
    desk.source.faults.append({"mode": "expire", "path": "/users", "times": 1, "then": grant})
    asked(desk)
    desk.sync()
    assert set(asked(desk)) == {"g-all"} and not of(desk, "web")
    # ivy is in web: allowed by all@ meanwhile, and blocked with everybody else while web@ is unknown
    assert [desk.may(p) for p in ("ivy", "ana")] == ["allowed" if effect == "allow" else "members_unknown"] * 2
    desk.sync()
    assert set(asked(desk)) == {"g-all", "g-web", "g-ads"}
    assert [desk.may(p) for p in ("ivy", "ana")] == ["allowed" if effect == "allow" else "forbidden", "allowed"]


def test_two_syncs_of_which_the_older_ends_last(make, loop, postgres):
    """The older one asked before the grant which groups are in use: what it knows less is not taken for less."""
    desk = make("google", tries=7)
    desk.sync()
    desk.source.faults.append({"mode": "hold", "path": "/users"})
    older = {}
    thread = threading.Thread(target=lambda: older.update(done=desk.opsd("sync", status=None)))
    thread.start()
    try:
        eventually(lambda: desk.source.struck["hold"], what="the older run to be held up")
        desk.use("sre@example.com")
        other = DirectoryStandin(desk.company)
        loop.run(other.start())
        try:
            desk.write(other.settings("google", desk.folder, members=None))
            desk.sync()
        finally:
            loop.run(other.stop())
        assert desk.may("ana") == "allowed"
    finally:
        desk.source.faults.clear()
        thread.join()
    assert older["done"].returncode == 5 and "A newer snapshot was first" in older["done"].said
    assert desk.may("ana") == "allowed" and len(of(desk, "sre")) == 6


def test_group_that_cannot_be_read(make):
    """Three runs in a row, then set aside: a day as last known, then empty; every plan says so."""
    desk = make("google")
    desk.sync()
    desk.use("sre@example.com")
    desk.use("web@example.com")
    desk.sync()
    desk.source.faults.append({**REFUSAL, "path": "/groups/g-sre/members"})
    for n in range(3):
        said = desk.sync(status=4)
        assert "members of sre@example.com (g-sre), page 1: it answers 403: Not Authorized" in said
        assert "it is the members of group g-sre" in said
        assert ('set_aside: [ "g-sre" ]' in desk.run()["error"]) == (n == 2)
    assert desk.may("ana") == "allowed"
    desk.write(set_aside=["g-sre"])
    desk.company.groups["g-sre"].members.remove(desk.company.who("ana").id)     # not to be known
    assert "SET ASIDE group sre@example.com (g-sre) is set aside: its members are as read at 2" in desk.sync("--plan")
    desk.sync()
    assert desk.may("ana") == "allowed" and desk.may("ivy") == "allowed" and desk.age_moved()
    desk.db.run("update dir.grp set aside_since = aside_since - interval '24 hours' where name_key = 'sre@example.com'")
    assert "it counts as empty, without its 6 members" in desk.sync("--plan", status=2)
    said = desk.sync()
    assert "SET ASIDE group sre@example.com (g-sre) is set aside: it counts as empty" in said
    assert desk.may("ana") == "no_matching_grant" and desk.may("ivy") == "allowed"
    assert "SET ASIDE" in desk.sync(), "as long as it is so"
    desk.source.faults.clear()
    desk.write(set_aside=[])
    assert "SET ASIDE" not in desk.sync()
    assert desk.may("ben") == "allowed" and desk.may("ana") == "no_matching_grant"


COMMANDS = """
prefix: jobs
about: Jobs
commands:
  restart:
    about: Restarts the worker
    action: jobs.restart
    risk: 2
    approval: [{ need: 1, from: { group: ads@example.com } }, { need: 1, from: { group: nobody@example.com } }]
    do: { kube.restart: { cluster: main, namespace: jobs, kind: Deployment, name: worker } }
"""
GRANTS = """
grants:
  - { key: sre-restart, who: "group:sre@example.com", can: request, action: jobs.restart }
  - { key: web-stop, who: "group:web@example.com", effect: forbid, can: request, action: jobs.restart, reason: migration }
"""


def test_from_nothing_to_a_right(make):
    """Sync, grants, sync: the plan of the grants says what it cannot know, and the second sync brings it."""
    desk = make("google")
    (desk.folder / "commands").mkdir()
    (desk.folder / "commands" / "jobs.yaml").write_text(COMMANDS, encoding="utf-8")
    (desk.folder / "grants.yaml").write_text(GRANTS, encoding="utf-8")
    desk.sync()
    said = desk.opsd("grants", "plan", "grants.yaml", status=1).said
    for line in (
            "The members of sre@example.com (sre-restart: can request jobs.restart) are unknown until the next sync, and until "
            "then nobody gains by it",
            "The members of web@example.com (web-stop: must not request jobs.restart) are unknown until the next sync, and "
            "until then it is forbidden to everybody",
            "+ approving group ads@example.com: id g-ads",
            "Commands want approval by the group nobody@example.com, and the directory has no single group of that name"):
        assert line in said, said
    assert "people gain" not in said
    assert "Run `opsd sync` now" in desk.opsd("grants", "apply", "grants.yaml").said
    asked(desk)
    desk.sync()
    assert set(asked(desk)) == {"g-sre", "g-web", "g-ads"}
    may = "select (authz.decide((select person_id from dir.person_email where email_key = $1), 'request', 'jobs.restart', '{}')).code"
    assert [desk.db.value(may, f"{p}@example.com") for p in ("ana", "eve", "ivy")] == ["allowed", "forbidden", "forbidden"]
    said = desk.opsd("grants", "plan", "grants.yaml").said
    assert "unknown until" not in said and "Nothing to change" in said


@pytest.mark.parametrize("wrong, text", [
    ({"members": "some"}, "members is all, or a list of names or ids"),
    ({"members": [7]}, "members is all, or a list of names or ids"),
    ({"set_aside": "g-sre"}, "set_aside is a list of ids"),
])
def test_settings(make, wrong, text):
    desk = make("okta", **wrong)
    assert text in desk.sync(status=1)


def test_settings_that_a_document_does_not_have(make):
    desk = make("scim", members="all")
    assert 'unknown setting "members"' in desk.sync(status=1)
