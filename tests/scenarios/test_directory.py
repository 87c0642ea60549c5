# SPDX-License-Identifier: Apache-2.0
"""Every source as it is, and with everything it is known for: the whole directory or nothing of it."""

import time

import pytest
from directory_desk import Desk

from sandbox.directory import Company, DirectoryStandin

KINDS = ("google", "graph", "okta", "scim", "slack", "file")
FLAT = ("okta", "slack")        # their groups hold no groups


@pytest.fixture(scope="module")
def build(loop, postgres, migrated):
    """build(kind) gives a desk with its stand-in as `source`; build(kind, company, path, …settings)."""
    made = []

    def start(kind, company=None, path=None, **settings):
        source = DirectoryStandin(company or Company.small())
        loop.run(source.start())
        desk = Desk(postgres, {"kind": "file"}, template=migrated)
        made.append((source, desk))
        desk.source, desk.company = source, source.company
        desk.write({**source.settings(kind, desk.folder), **({"url": f"{source.base}/{path}"} if path else {}), **settings})
        return desk
    yield start
    for source, desk in made:
        desk.close()
        loop.run(source.stop())


make = build        # a name that reads better in a test


def expected(company, flat):
    """What the copy must hold, from the company itself."""
    names = {g.id: g.name for g in company.groups.values()}

    def below(group, seen):
        for child in company.groups[group].groups:
            if child not in seen:
                seen.add(child)
                below(child, seen)
        return seen
    out = set()
    for g in company.groups.values():
        out |= {f"{names[g.id]} {m}" for m in g.members}
        if not flat:
            out |= {f"{names[g.id]} {m}*" for c in below(g.id, set()) for m in company.groups[c].members
                    if m not in g.members}
    return out


def group_name(kind, name):
    return name.partition("@")[0] if kind == "slack" else name


@pytest.mark.parametrize("kind", KINDS)
def test_whole(make, kind):
    desk = make(kind)
    for p in list(desk.company.people.values())[:3]:
        p.aliases = [f"{p.id[-2:]}.alias@example.com"]
    desk.company.who("hal").state = "suspended"
    assert "+ member" in desk.sync("--plan", status=2)
    assert desk.people() == {}, "a plan changes nothing"
    desk.sync()
    people = desk.people()
    assert set(people) == set(desk.company.people)
    # Slack lists who is deactivated, and knows no suspension; the aliases are the directory's own
    assert people[desk.company.who("hal").id][0] == ("active" if kind == "slack" else "suspended")
    ana = desk.company.who("ana")
    aliases = "" if kind in ("okta", "slack") else f" {ana.aliases[0]}*"
    assert people[ana.id] == ("active", "human", "ana@example.com" + aliases)
    assert desk.members() == {group_name(kind, m.split(" ")[0]) + " " + m.split(" ")[1]
                              for m in expected(desk.company, kind in FLAT)}
    assert desk.run()["state"] == "applied"
    desk.source.requests.clear()
    assert "Nothing to change" in desk.sync()
    assert desk.age_moved()


@pytest.mark.parametrize("kind", KINDS)
def test_suspended_at_once_and_gone(make, kind):
    desk = make(kind)
    desk.sync()
    desk.use(group_name(kind, "sre@example.com"))
    assert desk.may("ben") == "allowed"
    desk.company.who("ben").state = "gone" if kind == "slack" else "suspended"
    desk.company.leave("cho")
    desk.sync()
    assert desk.may("ben") == "person_not_active" and desk.may("cho") == "person_not_active"
    assert desk.may("ana") == "allowed"
    if kind == "okta":      # the plain list leaves them out; they are asked for
        desk.company.who("dia").state = "gone"
        for g in desk.company.groups.values():
            g.members = [m for m in g.members if m != desk.company.who("dia").id]
        desk.sync()
        assert desk.people()[desk.company.who("dia").id][0] == "archived"


# What is wrong with the answers: none of it may be taken for a directory.

COMMON = [
    ({"mode": "html"}, 4, "it answers 200 with text/html"),
    ({"mode": "garbage", "after": 2}, 4, "cut off or no JSON"),
    ({"mode": "shape", "after": 2}, 4, "this is no page of"),
    ({"mode": "status", "code": 500}, 4, "it answers 500: trouble"),
    ({"mode": "status", "code": 503, "retry_after": 0}, 4, "it answers 503: trouble"),
    ({"mode": "status", "code": 403, "after": 3}, 4, "it answers 403: trouble"),
    ({"mode": "status", "code": 302, "after": 1}, 4, "it answers 302"),
    ({"mode": "close", "after": 2}, 4, "tried 2 times"),
    ({"mode": "cut", "after": 3}, 4, "tried 2 times"),
]
OWN = {
    "google": [
        ({"mode": "loop", "path": "/users"}, 4, "its next page is one that was read before"),
        ({"mode": "empty", "path": "/users"}, 4, 'it has no list "users"'),
        ({"mode": "empty", "path": "/groups[?]"}, 3, "empty_source"),
        ({"mode": "short", "path": "/users"}, 3, "people_lost"),
        ({"mode": "skip_page", "path": "/users", "after": 1, "times": 1}, 3, "people_lost"),
        ({"mode": "partial", "path": "/users"}, 4, "without primaryEmail or suspended"),
        ({"mode": "repeat", "path": "/users", "after": 1}, 4, "contradicted itself: users, page"),
        ({"mode": "status", "code": 404, "path": "/members", "after": 2,
          "body": {"error": {"code": 404, "message": "Resource Not Found: groupKey"}}}, 4, "contradicted itself"),
        ({"mode": "status", "code": 404, "path": "/groups[?]",
          "body": {"error": {"code": 404, "message": "Domain not found."}}}, 4, "admin is not an account"),
        ({"mode": "status", "code": 403, "path": "/users", "body": {"error": {
            "code": 403, "message": "Quota exceeded", "errors": [{"reason": "quotaExceeded"}]}}}, 4, "tried 2 times"),
        ({"mode": "status", "code": 401, "path": "/users", "body": {"error": {"message": "Invalid Credentials"}}}, 4,
         "it answers 401: Invalid Credentials"),
        ({"mode": "status", "code": 401, "path": "/token", "body": {"error": "unauthorized_client"}}, 4,
         "Domain-wide delegation"),
        ({"mode": "shape", "path": "/token"}, 4, "holds no access_token"),
    ],
    "graph": [
        ({"mode": "loop", "path": "/users"}, 4, "its next page is one that was read before"),
        ({"mode": "foreign", "path": "/users"}, 4, "at another address (https://graph.evil.example"),
        ({"mode": "skip_page", "path": "/users", "after": 1}, 4, "contradicted itself: users, page"),
        ({"mode": "short", "path": "/users"}, 4, "it says that there are 12, and lists"),
        ({"mode": "empty", "path": "/users"}, 4, "it says that there are 12, and lists 0"),
        ({"mode": "total", "path": "/groups[?]"}, 4, "it says that there are 5, and lists 4"),
        ({"mode": "short", "path": "/members"}, 4, "contradicted itself"),
        ({"mode": "partial", "path": "/users"}, 4, "only a part may be read"),
        ({"mode": "repeat", "path": "/users", "after": 1}, 4, "is listed twice, and not alike"),
        ({"mode": "status", "code": 403, "path": "/members", "body": {"error": {"message": "Insufficient privileges"}}}, 4,
         "Insufficient privileges; the application needs User.Read.All"),
        ({"mode": "status", "code": 401, "path": "/token", "body": {"error": "invalid_client"}}, 4, "has expired"),
    ],
    "okta": [
        ({"mode": "loop", "path": "/api/v1/users"}, 4, "its next page is one that was read before"),
        ({"mode": "foreign", "path": "/api/v1/users"}, 4, "at another address (https://okta.evil.example"),
        ({"mode": "short", "path": "/api/v1/users", "after": 1}, 4, "has a member that is not listed"),
        ({"mode": "skip_page", "path": "/api/v1/users", "after": 2, "times": 1}, 0, "read again"),
        ({"mode": "empty", "path": "/groups[?]"}, 3, "empty_source"),
        ({"mode": "status", "code": 429, "reset": 1}, 4, "tried 2 times"),
        ({"mode": "status", "code": 400, "path": "/token", "body": {"error": "invalid_dpop_proof"}}, 4, "Require DPoP"),
        ({"mode": "status", "code": 403, "path": "/groups", "body": {"errorSummary": "You do not have permission"}}, 4,
         "okta.users.read okta.groups.read"),
    ],
    "scim": [
        ({"mode": "total", "path": "/Users"}, 4, "it says that there are 13, and lists 12 different ones"),
        ({"mode": "short", "path": "/Users", "after": 1}, 4, "different ones"),
        ({"mode": "skip_page", "path": "/Users", "after": 1}, 4, "different ones"),
        ({"mode": "total", "path": "/Users", "after": 1, "times": 1}, 0, "read again"),
        ({"mode": "empty", "path": "/Groups"}, 3, "empty_source"),
        ({"mode": "repeat", "path": "/Users", "after": 1}, 4, "is listed twice, and not alike"),
        ({"mode": "status", "code": 401, "body": {"detail": "Authentication failed"}}, 4,
         "it answers 401: Authentication failed; the credentials are refused"),
    ],
    "slack": [
        ({"mode": "loop", "path": "/users.list"}, 4, "its next page is one that was read before"),
        ({"mode": "short", "path": "/users.list", "after": 1}, 4, "has a member that is not listed"),
        ({"mode": "total", "path": "/usergroups.list"}, 4, "is said to have"),
        ({"mode": "empty", "path": "/usergroups.list"}, 3, "empty_source"),
        ({"mode": "status", "code": 200, "body": {"ok": False, "error": "missing_scope"}, "path": "/usergroups"}, 4,
         "the bot needs usergroups:read"),
    ],
}
CASES = [(kind, fault, status, text) for kind in OWN for fault, status, text in COMMON + OWN[kind]] + [
    ("file", {"mode": "html"}, 4, "answers 200 with text/html"),
    ("file", {"mode": "short"}, 4, "is the file cut off?"),
    ("file", {"mode": "status", "code": 500}, 4, "answers 500"),
    ("file", {"mode": "status", "code": 302}, 4, "answers 302"),
    ("file", {"mode": "close"}, 4, "closed the connection"),
    ("file", {"mode": "cut"}, 4, ""),
]


def name_of(case):
    return "-".join([case[0], case[1]["mode"], str(case[1].get("code", "")), case[1].get("path", "")]).strip("-")


@pytest.fixture(scope="module")
def loaded(build):
    """loaded(kind, many): a desk that was loaded once; many: enough people for the brakes of large directories."""
    desks = {}

    def get(kind, many):
        if (kind, many) not in desks:
            company = Company.small()
            for n in range(12, 60 if many else 12):
                person = company.hire(f"{100000000000000000001 + n}", f"x{n}@example.com", f"X {n}")
                company.groups["g-all"].members.append(person.id)
            desk = desks[kind, many] = build(kind, company)
            desk.source.page = 30 if many else 4
            desk.sync()
            desk.use(group_name(kind, "all@example.com"))
            desk.before = desk.copy()
        return desks[kind, many]
    return get


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_hostile(loaded, case):
    """The fault, which leaves the copy as it is, and a good run again."""
    kind, fault, status, text = case
    desk = loaded(kind, status == 3)
    told, struck = len(desk.told()), desk.source.struck[fault["mode"]]
    desk.source.faults.append(dict(fault))
    try:
        said = desk.sync(status=status)
    finally:
        desk.source.faults.clear()
    assert text in said, said
    assert desk.copy() == desk.before, "nobody gains or loses anything"
    assert desk.source.struck[fault["mode"]] > struck, "the fault was met"
    run = desk.run()
    if status == 4:
        assert run["state"] == "failed" and text in run["error"] and not desk.age_moved(), run
        assert "was not read whole; nothing was changed" in said
        assert desk.told()[told:] == ["directory.failed"]
    elif status == 3:
        assert run["state"] == "refused" and not desk.age_moved() and desk.told()[told:] == ["directory.refused"]
        assert "--accept" in said
    assert "Nothing to change" in desk.sync()
    assert desk.age_moved() and desk.copy() == desk.before
    assert desk.told()[told + 1:] == (["directory.clear"] if status else [])


def test_token_that_ends_half_way(make):
    """Renewed once for a page; a source that goes on refusing is refused."""
    for kind in ("google", "graph", "okta"):
        desk = make(kind)
        desk.source.faults.append({"mode": "expire", "path": "/users", "times": 1, "after": 1})
        desk.sync()
        assert desk.source.issued == 2 and desk.run()["state"] == "applied"
        before = desk.copy()
        desk.source.faults.append({"mode": "expire", "path": "/users"})
        assert "it answers 401" in desk.sync(status=4)
        assert desk.copy() == before


def test_throttling_is_waited_for(make):
    desk = make("graph", tries=3)
    desk.source.faults += [{"mode": "status", "code": 429, "retry_after": 1, "path": "/users", "times": 1},
                           {"mode": "status", "code": 503, "path": "/groups", "times": 1}]
    began = time.monotonic()
    desk.sync()
    assert time.monotonic() - began >= 1, "Retry-After is kept"
    desk = make("okta", tries=3)
    desk.source.faults.append({"mode": "status", "code": 429, "reset": 2, "path": "/users", "times": 1})
    began = time.monotonic()
    desk.sync()
    assert time.monotonic() - began >= 1, "X-Rate-Limit-Reset is kept"


@pytest.mark.parametrize("kind, per_minute", [("slack", None), ("google", 300)])
def test_pace_is_kept(make, kind, per_minute):
    """Questions come no closer together than the source's setting says; Slack's own pace is one a second."""
    desk = make(kind)
    settings = {k: v for k, v in desk.settings.items() if k != "per_minute"}
    desk.write({**settings, **({"per_minute": per_minute} if per_minute else {})})
    began = time.monotonic()
    desk.sync()
    took, asked = time.monotonic() - began, [r for r in desk.source.requests if "/token" not in r]
    assert len(asked) >= 4
    assert took >= (len(asked) - 1) * 60 / (per_minute or 60), f"{asked} in {took} s"


def test_scim_by_cursor(make):
    desk = make("scim", paging="cursor")
    desk.sync()
    assert set(desk.people()) == set(desk.company.people)
    assert any("cursor=4" in r for r in desk.source.requests)
    before = desk.copy()
    desk.source.faults.append({"mode": "short", "path": "/Users"})
    assert "different ones" in desk.sync(status=4)
    assert desk.copy() == before


def test_okta_scope_that_was_not_granted(make):
    desk = make("okta")
    desk.source.scopes = "okta.users.read"
    assert 'grants "okta.users.read" only' in desk.sync(status=4)


def test_document_that_has_not_changed(make):
    """An ETag saves the reading, for the document that was applied and no longer than a day."""
    desk = make("file")
    asked = desk.source.requests
    desk.sync()
    assert asked == ["GET /document/company.csv -"]
    desk.sync()
    assert asked[1].endswith('"') and desk.run()["state"] == "unchanged" and desk.age_moved()
    desk.sync("--plan")
    assert asked[2].endswith("-"), "a plan reads everything"
    desk.db.run("update dir.source set read_at = read_at - interval '25 hours'")
    desk.sync()
    assert asked[3].endswith("-")
    # a document that a brake has stopped is not fresh because it is the same again
    desk.use("sre@example.com")
    desk.company.groups["g-sre"].members.clear()
    desk.sync(status=3)
    desk.sync(status=3)
    assert all(a.endswith("-") for a in asked[5:])
    assert not desk.age_moved()


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_document_forms(make, form):
    desk = make("file", path=f"document/company.{form}")
    desk.sync()
    assert desk.members() == expected(desk.company, False)


def test_document_ceiling_and_age(make):
    desk = make("file", Company.large(20000, 2, 100), max_mib=1)
    assert "is larger than 1048576 bytes" in desk.sync(status=4)
    desk = make("file")
    desk.sync()
    desk.source.generated_at = "2026-11-24T05:00:00Z"
    assert "A newer snapshot was first" in desk.sync(status=5)
