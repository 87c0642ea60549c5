# SPDX-License-Identifier: Apache-2.0
"""opsd check before the night, and a reload with mistakes: each is named with its place."""

import json
import os
import re
from collections import Counter

import pytest
import yaml

from sandbox.directory import Company, DirectoryStandin
from sandbox.openid import OpenidStandin
from sandbox.world import eventually, words


@pytest.fixture(scope="module")
def quiet(build_world):
    """A world without a running service, for commands that leave it as it was."""
    world = build_world()
    yield world
    problems = world.close()
    assert not problems, problems


@pytest.fixture
def place(quiet):
    yield quiet
    quiet.slack.token(which="bot", state=None, add_scopes=["chat:write", "users:read", "users:read.email", "channels:history", "groups:history"])
    quiet.slack.token(which="app", state=None)
    quiet.slack.channel(channel="C0AUDIT", is_archived=False, is_private=False, join=["U0OPSD"])
    quiet.slack.clear()
    quiet.kube.clear()
    quiet.kube.rbac(reset=True)
    quiet.write_config()


def finding(world, *parts, online=True, **wishes):
    """What check says, which must hold these parts, and exit 1."""
    if wishes:
        world.write_config(**wishes)
    done = world.command("check", *(["--online"] if online else []), status=None)
    assert done.returncode == 1, f"{done.returncode}: {done.said}"
    for part in parts:
        assert part.lower() in done.said.lower(), f"{part!r} is not in\n{done.said}"
    for secret in (world.standin.bot_token, world.standin.app_token, "correct-horse", world.platform.token):
        assert secret not in done.said, "a secret was printed"
    return done.said


def test_all_is_well(place):
    done = place.command("check")
    assert "7" in done.said or "commands" in done.said
    done = place.command("check", "--online")
    for part in ("slack", "main", "platform", "database"):
        assert part in done.said.lower(), done.said


def test_json(place):
    done = place.command("--json", "check", "--online")
    assert json.loads(done.stdout)


def test_print_masks_secrets(place):
    said = place.command("check", "--print").said
    assert "***" in said and place.standin.bot_token not in said


def test_token_file_that_is_not_there(place):
    finding(place, "bot_token", "none.token", slack={"bot_token": {"file": str(place.folder / "none.token")}})


def test_token_in_an_unset_variable(place):
    finding(place, "bot_token", "NO_SUCH_VARIABLE", slack={"bot_token": {"env": "NO_SUCH_VARIABLE"}})


def test_literal_secret_is_refused(place):
    said = finding(place, "bot_token", "never the secret itself", online=False, slack={"bot_token": "some-text"})
    assert "opsd.yaml:" in said


def test_unknown_setting_is_placed(place):
    finding(place, "opsd.yaml:", "audit_chanel", "did you mean", online=False, slack={"audit_chanel": "C0AUDIT"})


@pytest.mark.parametrize("state", ["token_revoked", "invalid_auth", "account_inactive"])
def test_refused_bot_token(place, state):
    place.slack.token(which="bot", state=state)
    finding(place, state)


def test_refused_app_token(place):
    place.slack.token(which="app", state="invalid_auth")
    finding(place, "invalid_auth", "app")


@pytest.mark.parametrize("scope", ["chat:write", "users:read", "users:read.email", "channels:history"])
def test_missing_scope(place, scope):
    """users:read.email does not stand in for users:read."""
    place.slack.token(which="bot", remove_scopes=[scope])
    finding(place, f"The bot token lacks {scope}:")


def test_scope_for_a_private_channel(place):
    place.slack.token(which="bot", remove_scopes=["groups:history"])
    assert "lacks" not in place.command("check", "--online").said, "both channels are public"
    place.slack.channel(channel="C0AUDIT", is_private=True)
    finding(place, "The bot token lacks groups:history:")


def test_archived_audit_channel(place):
    place.slack.channel(channel="C0AUDIT", is_archived=True)
    finding(place, "#ops-audit", "archived")


def test_bot_is_not_in_the_audit_channel(place):
    place.slack.channel(channel="C0AUDIT", kick=["U0OPSD"])
    finding(place, "#ops-audit", "/invite")


def test_audit_channel_that_does_not_exist(place):
    finding(place, "C0NONE", "channel_not_found", slack={"audit_channel": "C0NONE"})


def test_database_out_of_reach(place):
    env = place.env(DATABASE_URL="postgresql://opsd_app:x@127.0.0.1:9/none")
    done = place.command("check", "--online", status=1, env=env)
    assert "database" in done.said.lower() and "127.0.0.1" in done.said
    assert "check database.url and the way there" in done.said


def test_database_of_a_wrong_role(place):
    env = place.env(DATABASE_URL=place.postgres.url(place.database, "opsd_cron"))
    done = place.command("check", "--online", status=1, env=env)
    assert "permission" in done.said.lower() or "privilege" in done.said.lower(), done.said


def test_database_without_the_migrations(place):
    name = place.postgres.create()
    env = place.env(DATABASE_URL=place.postgres.url(name, "opsd_app"))
    done = place.command("check", "--online", status=1, env=env)
    assert "migrate" in done.said, done.said


def test_cluster_out_of_reach(place):
    file = place.folder / "kubeconfig.yaml"
    before = file.read_text()
    try:
        file.write_text(before.replace(place.cluster.base_url, "http://127.0.0.1:9"))
        done = place.command("check", "--online", status=1)
        assert "main" in done.said and "127.0.0.1" in done.said
        assert "check clusters.main and the way there" in done.said
    finally:
        file.write_text(before)


def test_cluster_that_does_not_know_us(place):
    place.kube.fault(mode="unauthorized")
    finding(place, "main", "credentials")


def test_cluster_where_we_may_not(place):
    place.kube.rbac(deny=[{"group": "apps", "resource": "deployments", "verb": "patch"}])
    """It may be allowed in some namespaces: said, not counted."""
    said = place.command("check", "--online").said
    assert "not allowed in every namespace: patch deployments" in said, said


# The company directory, company sign-ins and the logins of other jobs

@pytest.fixture
def directory(loop):
    made = []

    def start(company=None):
        source = DirectoryStandin(company or Company.small())
        loop.run(source.start())
        made.append(source)
        return source
    yield start
    for source in made:
        loop.run(source.stop())


def rows(world, what, status=None):
    """Lines of check about `what`: [(good, text)]."""
    done = world.command("--json", "check", "--online", status=status)
    return [(r["good"], r["says"]) for r in json.loads(done.stdout) if r["what"] == what]


def set_directory(world, settings):
    """In the place of the source that all worlds have."""
    world.write_config()
    text = yaml.safe_load(world.config.read_text())
    text["directory"]["sources"]["company"] = settings
    world.config.write_text(yaml.safe_dump(text), encoding="utf-8")


KINDS = [("google", "metadata"), ("google", None), ("graph", "certificate"), ("okta", None), ("scim", None), ("slack", None),
         ("file", None)]


@pytest.mark.parametrize("kind, proof", KINDS)
def test_directory_can_be_read(place, directory, kind, proof):
    """A token and the first pages, not the whole; two lists of members are not asked for."""
    source = directory()
    source.page = 3
    set_directory(place, source.settings(kind, place.folder, proof))
    settings, online = rows(place, "directory company", status=0)
    assert settings == (True, kind)
    assert online[0] and online[1].startswith(f"{kind} can be read: "), online
    if kind != "file":
        assert re.search(r"[3-6] people and [34] groups at first sight", online[1]), online
        assert not any(re.search("pageToken|skiptoken|after=|cursor=|startIndex=[^1]", r) for r in source.requests), source.requests
        assert sum("/members" in r or "/users?limit=1000" in r for r in source.requests) <= 1, source.requests


@pytest.mark.parametrize("kind, fault, text", [
    ("google", {"mode": "status", "code": 401, "path": "/token", "body": {"error": "unauthorized_client"}}, "Domain-wide delegation"),
    ("google", {"mode": "status", "code": 403, "path": "/members"}, "admin lacks the role"),
    ("graph", {"mode": "status", "code": 403, "path": "/users"}, "User.Read.All"),
    ("okta", {"mode": "status", "code": 429, "path": "/users"}, "the quota is used up"),
    ("scim", {"mode": "html"}, "a proxy or a sign-in page"),
    ("scim", {"mode": "empty", "path": "/Users"}, "lists no people"),
    ("slack", {"mode": "status", "code": 200, "path": "/usergroups", "body": {"ok": False, "error": "missing_scope"}},
     "usergroups:read"),
    ("file", {"mode": "status", "code": 404}, "answers 404"),
])
def test_directory_that_cannot_be_read(place, directory, kind, fault, text):
    source = directory()
    set_directory(place, source.settings(kind, place.folder))
    source.faults.append(fault)
    online = rows(place, "directory company", status=1)[1]
    assert not online[0] and text in online[1], online
    asked = Counter(source.requests)
    assert all(n == 1 for n in asked.values()), "one try"


def test_what_nobody_answers_at(place):
    """Each says where it is set."""
    place.write_config(slack={"api_url": "http://127.0.0.1:9/api/"}, apis={"platform": {"url": "http://127.0.0.1:9/"}})
    text = yaml.safe_load(place.config.read_text())
    text["directory"]["sources"]["company"] = {"kind": "scim", "url": "http://127.0.0.1:9", "domains": ["example.com"],
                                               "bearer": {"env": "SLACK_BOT_TOKEN"}}
    place.config.write_text(yaml.safe_dump(text), encoding="utf-8")
    for what, text in (("Slack bot token", "check slack.api_url and the way there"), ("API platform", "check apis.platform and"),
                       ("audit channel", "check slack.api_url"), ("directory company", "check the address and the way there")):
        good, said = rows(place, what, status=1)[-1]
        assert not good and "refused" in said and text in said, said


def test_directory_that_says_nothing(place, directory):
    """It is not waited for, and what comes after is asked all the same."""
    source = directory()
    set_directory(place, source.settings("okta", place.folder))
    source.faults.append({"mode": "hang"})
    online = rows(place, "directory company", status=1)[1]
    assert online == (False, "No answer within 20 seconds: check the address and the way there.")
    set_directory(place, source.settings("scim", place.folder))
    assert rows(place, "cluster main", status=1)[0][0]


def test_several_sources(place, directory):
    source = directory()
    place.write_config(directory={"sources": {"second": source.settings("scim", place.folder),
                                              "third": {"kind": "scim", "domains": ["example.com"]}}})
    done = place.command("check", "--online", status=1)
    assert "ok   directory company" in done.said and "scim can be read: 4 people" in done.said, done.said
    assert done.said.count("directory third") == 1 and "url is missing" in done.said, done.said


def test_company_sign_in(place, loop):
    provider = loop.run(OpenidStandin().start())
    (place.folder / "openid").write_text(provider.client_secret, encoding="utf-8")
    identity = {"issuer": provider.issuer, "client_id": provider.client_id, "client_secret": {"file": str(place.folder / "openid")},
                "source": "company"}
    place.write_config(identity=identity)
    try:
        assert rows(place, "company sign-in", status=0) == [(True, f"{provider.issuer} offers device sign-ins")]
        for fault, text in ((("other_issuer", "discovery"), "by another name than identity.issuer"),
                            (("elsewhere", "discovery"), "at a host that is not named in identity.hosts"),
                            (("html", "discovery"), "the answer is not what a provider says"),
                            (("garbage", "keys"), "the answer is no set of keys")):
            provider.fault(*fault)
            (good, said), = rows(place, "company sign-in", status=1)
            assert not good and text in said and "identity.*" in said, said
        place.write_config(identity={**identity, "client_secret": {"file": str(place.folder / "none")}})
        (good, said), = rows(place, "company sign-in", status=1)
        assert not good and "identity.client_secret" in said, said
    finally:
        loop.run(provider.stop())
    place.write_config(identity=identity)
    (good, said), = rows(place, "company sign-in", status=1)
    assert not good and "127.0.0.1" in said, said


def test_logins_of_the_other_jobs(place):
    assert rows(place, "database.sync_url", status=0)[-1] == (True, "is in opsd_sync")
    assert rows(place, "database.grants_url", status=0)[-1] == (True, "is in opsd_grants")
    env = place.env(DATABASE_SYNC_URL=place.postgres.url(place.database, "opsd_review"),
                    DATABASE_GRANTS_URL="postgresql://opsd_review:x@127.0.0.1:9/none")
    said = place.command("check", "--online", status=1, env=env).said
    assert "Not in opsd_sync, so its command may not: make it a member." in said and "127.0.0.1" in said, said


def test_the_rest_is_asked_without_tokens_of_slack(place, directory):
    place.write_config(slack={"bot_token": {"env": "NO_SUCH_VARIABLE"}})
    said = place.command("check", "--online", status=1).said
    assert "Slack bot token" not in said
    for part in ("file can be read: 10 people", "cluster main", "database role"):
        assert part in said, said


BROKEN = {
    "not_yaml": ("prefix: workers\n  about: [", "workers.yaml:"),
    "unknown_key": ("prefix: workers\nabout: x\ncommands:\n  scale:\n    abuot: x\n    action: a.b\n    risk: 0\n"
                    "    do: { kube.status: { cluster: main, namespace: ads } }\n", "workers.yaml:5:5"),
    "unknown_kind": ("prefix: workers\nabout: x\ncommands:\n  scale:\n    about: x\n    action: a.b\n    risk: 0\n"
                     "    do: { kube.statsu: { cluster: main, namespace: ads } }\n", "kube.status"),
    "unknown_cluster": ("prefix: workers\nabout: x\ncommands:\n  scale:\n    about: x\n    action: a.b\n    risk: 0\n"
                        "    do: { kube.status: { cluster: mian, namespace: ads } }\n", "did you mean main"),
    "bad_jq": ("prefix: workers\nabout: x\ncommands:\n  scale:\n    about: x\n    action: a.b\n    risk: 0\n"
               "    params: { count: { type: integer } }\n    guard: [ { when: '.count ==', deny: x } ]\n"
               "    do: { kube.status: { cluster: main, namespace: ads } }\n", "workers.yaml:9"),
    "empty": ("", "workers.yaml"),
    "tabs": ("prefix:\tworkers\n\tabout: x\n", "workers.yaml:"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_mistake_in_a_declaration(place, name):
    text, part = BROKEN[name]
    folder = place.folder / f"commands-{name}"
    folder.mkdir()
    (folder / "workers.yaml").write_text(text)
    finding(place, part, online=False, catalog=str(folder))


def test_reload_with_a_mistake_keeps_the_running_catalog(world):
    file = world.catalog / "workers.yaml"
    good = file.read_text()
    file.write_text(good.replace("risk: 2", "risk: 9"))
    world.opsd.hup()
    line = world.opsd.wait_log("catalog refused, the running one stays")
    assert "workers.yaml:" in line["at"] and "risk" in line["at"]
    world.slash("U0ANA", "workers status team=ads")
    world.see("U0ANA", ["workers-dev"])

    file.write_text(good.replace("  nudge:\n", "  shove:\n"))
    world.opsd.hup()
    world.opsd.wait_log("catalog reloaded")
    since = world.last_ts()
    world.slash("U0ANA", "help workers shove")
    world.see("U0ANA", ["Example: workers shove"], since=since)
    since = world.last_ts()
    world.slash("U0ANA", "workers nudge team=ads count=4 reason=x")
    world.see("U0ANA", ["✏️"], since=since)


def test_command_that_is_gone_when_its_preview_is_confirmed(world):
    preview = world.ask("U0ANA", "workers scale team=ads role=dev count=4 reason=queue")
    file = world.catalog / "workers.yaml"
    file.write_text(file.read_text().replace("  scale:\n", "  resize:\n"))
    world.opsd.hup()
    world.opsd.wait_log("catalog reloaded")
    world.click("U0ANA", preview, "confirm")
    eventually(lambda: any("not declared any more" in words(m) for m in world.seen("U0ANA")), what="the reason")
    assert not world.kube.patches()


def test_reload_twice_at_once(world):
    for _ in range(5):
        world.opsd.hup()
    world.opsd.wait_log("catalog reloaded")
    world.slash("U0ANA", "workers status team=ads")


def test_serve_says_what_is_wrong_and_does_not_start(make_world):
    world = make_world(start=0)
    (world.catalog / "workers.yaml").write_text("prefix: [\n")
    opsd = world.start(ready=False, ASAN_OPTIONS="detect_leaks=0")     # a start that fails tidies nothing up
    opsd.expected = 3
    assert opsd.wait() == 3
    assert "workers.yaml:" in opsd.tail()


def test_port_that_is_taken(make_world):
    world = make_world(start=0)
    world.write_config(http={"listen": f"127.0.0.1:{world.standin.port}"})
    opsd = world.start(ready=False, ASAN_OPTIONS="detect_leaks=0")     # a start that fails tidies nothing up
    opsd.expected = 3
    assert opsd.wait() == 3
    assert "http.listen" in opsd.tail() and "in use" in opsd.tail().lower(), opsd.tail()


def test_usage(place):
    assert place.command("no-such-command", status=2).said
    assert place.command("serve", "extra", status=2).said
    assert "serve" in place.command("--help", status=0).said
    missing = place.command("check", status=None, config=place.folder / "none.yaml")
    assert missing.returncode in (1, 3) and "none.yaml" in missing.said
    assert os.access(place.binary, os.X_OK)
