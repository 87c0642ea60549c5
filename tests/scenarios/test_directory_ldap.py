# SPDX-License-Identifier: Apache-2.0
"""LDAP on a real slapd: TLS both ways, pages, nested groups with circles, and what a server does when it will not;
and what Active Directory does differently, on a stand-in."""

import json

import pytest
from directory_desk import Desk

from sandbox.authority import Authority
from sandbox.directory import Company
from sandbox.directory import ad as ad_module
from sandbox.directory.ad import ActiveDirectory
from sandbox.directory.slapd import BASE, PASSWORD, PROGRAM, READER, Slapd, uuid_of


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def company_of(many=False):
    """With a circle of three groups, and a member that is nobody's."""
    it = Company.small()
    if many:
        for n in range(60):
            it.groups["g-all"].members.append(it.hire(f"x{n}", f"x{n}@example.com", f"X {n}").id)
    it.groups["g-ads"].groups.append("g-sre")
    it.groups["g-sre"].groups.append("g-web")       # sre > web > ads > sre
    it.groups["g-all"].outside.append("printer")
    return it


@pytest.fixture(scope="module")
def slapd(authority):
    if not PROGRAM.exists():
        pytest.skip("slapd is not installed")
    with Slapd(company_of(), authority) as server:
        yield server


@pytest.fixture
def make(postgres, migrated, authority):
    desks = []

    def build(server, **settings):
        desk = Desk(postgres, {"kind": "file"}, template=migrated)
        desks.append(desk)
        (desk.folder / "ldap").write_text(PASSWORD, encoding="utf-8")
        desk.write({"kind": "ldap", "schema": "openldap", "url": getattr(server, "tls_url", None) or server.url, "ca_file": str(authority.file),
                    "bind_dn": READER, "password": {"file": "ldap"}, "people_base": f"ou=people,{BASE}",
                    "groups_base": f"ou=groups,{BASE}", "page": 2, "domains": ["example.com"], "members": "all",
                    **settings})
        return desk
    yield build
    for desk in desks:
        desk.close()


def expected(company):
    def below(group, seen):
        for child in company.groups[group].groups:
            if child not in seen:
                seen.add(child)
                below(child, seen)
        return seen - {group}
    out = set()
    for g in company.groups.values():
        out |= {f"{g.name} {uuid_of(m)}" for m in g.members}
        out |= {f"{g.name} {uuid_of(m)}*" for c in below(g.id, set()) for m in company.groups[c].members
                if m not in g.members}
    return out


@pytest.mark.parametrize("way", ["tls_url", "url"])
def test_whole(make, slapd, way):
    """ldaps, and StartTLS: the server takes nothing without TLS."""
    company = company_of()
    company.who("ana").aliases = ["z.ana@example.com"]
    slapd.load(company)
    desk = make(slapd, url=getattr(slapd, way))
    said = desk.sync()
    assert "1 members are no person or group of this source: left out" in said
    people = desk.people()
    assert people[uuid_of(company.who("ana").id)] == ("active", "human", "ana@example.com z.ana@example.com*")
    assert len(people) == 12
    assert desk.members() == expected(company)
    assert "Nothing to change" in desk.sync()


def test_departure_and_new_name(make, slapd):
    """Somebody who marries is the same person: the id stays, the DN does not."""
    company = company_of()
    slapd.load(company)
    desk = make(slapd)
    desk.sync()
    desk.use("sre@example.com")
    assert desk.may("ben") == "allowed"
    company.who("ben").email = "ben.new@example.com"
    company.leave("cho")
    slapd.load(company)
    desk.sync()
    assert desk.may("ben.new") == "allowed" and desk.may("ben") == "unknown_person"
    assert desk.may("cho") == "person_not_active"


def test_posix_groups(make, slapd):
    """Members by their sign-in names, spelt as they are; a name that two people have is nobody's."""
    company = company_of()
    company.group("g-unix", "unix", [company.who(n).id for n in ("ana", "ben", "lea")]).posix = True
    company.groups["g-unix"].outside = ["a.ruiz", "ANA", "DIA", "nobody", "twin", f"uid=dia,ou=people,{BASE}"]
    company.who("ana").logins = ["a.ruiz"]
    company.who("eve").logins = company.who("fay").logins = ["twin"]
    company.groups["g-sre"].groups.append("g-unix")
    slapd.load(company)
    desk = make(slapd)
    said = desk.sync()
    assert {m for m in desk.members() if m.startswith("unix ")} == {f"unix {uuid_of(company.who(n).id)}" for n in ("ana", "ben", "lea")}
    assert f"sre@example.com {uuid_of(company.who('lea').id)}*" in desk.members(), "inside another group"
    assert "6 members are no person or group of this source: left out" in said, said
    desk.use("unix")
    assert desk.may("ben") == "allowed" and desk.may("eve") == desk.may("dia") == "no_matching_grant"
    company.groups["g-unix"].members.pop()
    slapd.load(company)
    desk.sync()
    assert desk.may("lea") == "no_matching_grant"


def seen_by_check(desk):
    """What `check --online` says of the source; nobody else is asked, since there are no tokens."""
    desk.config.write_text(desk.config.read_text().replace("env: TOKEN", "env: NONE"), encoding="utf-8")
    rows = json.loads(desk.opsd("--json", "check", "--online", status=1).stdout)
    return [(r["good"], r["says"]) for r in rows if r["what"] == "directory company"][1]


def test_check_reads_the_first_page_only(make, slapd, ad):
    company = company_of(many=True)
    slapd.load(company)
    assert seen_by_check(make(slapd, page=50)) == (True, "ldap can be read: 10 people and 4 groups at first sight")
    assert seen_by_check(at_ad(make, ad))[0]
    assert ad.searches == 2, "no range of a long list of members"
    good, said = seen_by_check(make(slapd, people_filter="(uid=nobody)"))
    assert not good and "lists no people" in said
    good, said = seen_by_check(make(slapd, bind_dn=f"cn=other,{BASE}"))
    assert not good and "check bind_dn and password" in said
    slapd.pause()
    good, said = seen_by_check(make(slapd, wait_seconds=2))
    slapd.end()
    slapd.start()
    assert not good and "check url" in said


def test_server_that_cuts_off(make, authority):
    """Entries that came before a limit are no directory."""
    if not PROGRAM.exists():
        pytest.skip("slapd is not installed")
    with Slapd(company_of(), authority, prtotal=7) as server:
        desk = make(server)
        said = desk.sync(status=4)
        assert "limit" in said and "raise its limit for bind_dn" in said, said
        assert desk.people() == {} and desk.told() == ["directory.failed"]


def refused(desk, *texts, before=None):
    said = desk.sync(status=4)
    for text in texts:
        assert text in said, said
    assert desk.copy() == (before or ({}, set(), []))


def test_what_is_refused(make, slapd, authority, tmp_path):
    slapd.load(company_of())
    desk = make(slapd)
    desk.sync()
    before = desk.copy()
    (desk.folder / "ldap").write_text("wrong", encoding="utf-8")
    refused(desk, "Invalid credentials", "check bind_dn and password", before=before)
    (desk.folder / "ldap").write_text(PASSWORD, encoding="utf-8")
    desk.write(people_base=f"ou=gone,{BASE}")
    refused(desk, "No such object", "check the base", before=before)
    desk.write(people_base=f"ou=secret,{BASE}")       # hidden: no right to see it
    refused(desk, "check the base", before=before)
    desk.write(people_base=f"ou=people,{BASE}", people_filter="(objectClass=inetOrgPerson")
    refused(desk, "Bad search filter", before=before)
    desk.write(people_filter="(objectClass=inetOrgPerson)", ca_file=str(Authority(tmp_path, "Other CA").file))
    refused(desk, "check url, ca_file", before=before)
    desk.write(ca_file=str(authority.file), url=slapd.tls_url.replace("127.0.0.1", "localhost"))
    refused(desk, "that the certificate names the host", before=before)
    desk.write(url=slapd.tls_url)
    assert "Nothing to change" in desk.sync()
    slapd.pause()       # takes connections and says nothing, as behind a broken network
    for url in (slapd.tls_url, slapd.url):
        desk.write(url=url, wait_seconds=1)
        refused(desk, "check url", before=before)
    slapd.end()
    refused(desk, "Can't contact LDAP server", before=before)
    slapd.start()


def test_half_a_directory_and_an_empty_one(make, slapd):
    company = company_of(many=True)
    slapd.load(company)
    desk = make(slapd, page=50)
    desk.sync()
    desk.use("sre@example.com")
    before = desk.copy()
    for n in range(40):
        company.leave(f"x{n}")
    slapd.load(company)
    assert "people_lost" in desk.sync(status=3)
    assert desk.copy() == before and desk.told() == ["directory.refused"]
    desk.write(people_filter="(uid=nobody)")
    assert "empty_source" in desk.sync(status=3)
    assert desk.copy() == before


def test_members_of_groups_in_use(make, slapd):
    """The list of groups comes without members; those of a group in use, and of what it contains, are read one by one."""
    company = company_of()
    company.groups["g-web"].groups.clear()      # sre > web, ads > sre
    company.group("g-other", "other@example.com", [company.who("lea").id])
    slapd.load(company)
    desk = make(slapd, members=[])
    assert "Members are read of 0 of 5 groups" in desk.sync()
    assert desk.members() == set() and len(desk.people()) == 12
    desk.use("sre@example.com")
    assert "Members are read of 2 of 5 groups" in desk.sync()
    assert desk.members() == {m for m in expected(company) if m.startswith(("sre@", "web@"))}
    assert desk.may("ana") == "allowed" and desk.may("ivy") == "allowed" and desk.may("lea") == "allowed"
    desk.write(members=["other@example.com"])
    desk.sync()
    assert f"other@example.com {uuid_of(company.who('lea').id)}" in desk.members()
    desk.write(members=[], set_aside=[uuid_of("g-sre")])
    said = desk.sync()
    assert "SET ASIDE group sre@example.com" in said
    assert desk.may("ana") == "allowed", "as last known"
    assert desk.members() == {m for m in expected(company) if m.startswith("sre@")}, "web is in use through sre only"


# Active Directory, which is no Debian package

@pytest.fixture
def ad(authority):
    with ActiveDirectory(Company.small(), authority) as server:
        yield server


def at_ad(make, ad, **settings):
    desk = make(ad, schema="ad", bind_dn=ad_module.READER, people_base=f"OU=Staff,{ad_module.BASE}",
                groups_base=f"OU=Groups,{ad_module.BASE}", **settings)
    (desk.folder / "ldap").write_text(ad_module.PASSWORD, encoding="utf-8")
    return desk


def test_active_directory(make, ad):
    """GUIDs in their usual spelling, members in ranges, who is disabled, addresses by their prefix."""
    ad.company.who("ana").aliases = ["a.ruiz@example.com"]
    ad.company.who("hal").state = "suspended"
    desk = at_ad(make, ad)
    desk.sync()
    people = desk.people()
    assert people[str(ad.guid(ad.company.who("ana").id))] == ("active", "human", "ana@example.com a.ruiz@example.com*")
    assert people[str(ad.guid(ad.company.who("hal").id))][0] == "suspended"
    members = {m.rstrip("*") for m in desk.members() if m.startswith("all@example.com ")}
    assert members == {f"all@example.com {ad.guid(p)}" for p in ad.company.people}, "all ranges"
    assert f"web@example.com {ad.guid(ad.company.who('eve').id)}*" in desk.members()
    assert "Nothing to change" in desk.sync()
    desk.write(members=[])
    desk.use("all@example.com")
    desk.sync()
    assert {m for m in desk.members()} == {f"all@example.com {ad.guid(p)}" for p in ad.company.people}, "all ranges"


@pytest.mark.parametrize("code, text", [(3, "Time limit exceeded"), (4, "Size limit exceeded"), (11, "limit"), (51, "busy"),
                                        (52, "unavailable"), (53, "unwilling")])
def test_result_code_decides(make, ad, code, text):
    """Entries that came before a failure are no directory."""
    desk = at_ad(make, ad)
    desk.sync()
    before = desk.copy()
    ad.fault = {"mode": "code", "code": code, "after": ad.searches + 2}
    said = desk.sync(status=4)
    assert text in said and f"({code})" in said, said
    assert desk.copy() == before and desk.told() == ["directory.failed"]


def test_ad_that_goes_away_or_in_circles(make, ad):
    desk = at_ad(make, ad)
    desk.sync()
    before = desk.copy()
    ad.fault = {"mode": "close", "after": ad.searches + 1}
    refused(desk, "Can't contact LDAP server", before=before)
    ad.fault = {"mode": "circle"}
    refused(desk, "the ranges of member go in circles", before=before)
    ad.fault = None
    assert "Nothing to change" in desk.sync()
