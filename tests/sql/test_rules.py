# SPDX-License-Identifier: Apache-2.0
"""The rules that live in SQL: who may touch what, what decide() says, who a Slack user is.

Run by with_postgres.py, which names the server in OPSD_TEST_DB_URL.
"""
import glob
import json
import os
import subprocess
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
URL = os.environ.get("OPSD_TEST_DB_URL", "")
ME = "'00000000-0000-4000-8000-00000000000a', '{\"boot\":\"a\"}'"
pytestmark = pytest.mark.skipif(not URL, reason="run it by with_postgres.py")


END = "--end--"
session = []


def psql(sql, role=None, script=False):
    """The text that came of sql; raises RuntimeError with the server's words.  One psql for all."""
    if not session:
        session.append(subprocess.Popen(["psql", "-X", "-q", "-At", URL], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, universal_newlines=True))
    word = ["\\set VERBOSITY sqlstate", "set role %s;" % role if role else ""]
    word += ["begin;", sql, "commit;"] if script else [sql + ";"]
    word += ["\\echo", "\\echo " + END, "reset role;", ""]
    session[0].stdin.write("\n".join(word))
    session[0].stdin.flush()
    lines = []
    for line in session[0].stdout:
        if line.rstrip("\n") == END:
            break
        lines.append(line.rstrip("\n"))
    text = "\n".join(lines).strip()
    if "ERROR:" in text:
        raise RuntimeError(text)
    return text


def refused(sql, role, state="42501"):
    with pytest.raises(RuntimeError) as caught:
        psql(sql, role)
    assert state in str(caught.value), caught.value


@pytest.fixture(scope="module", autouse=True)
def database():
    psql("drop schema if exists ops, dir, authz cascade")
    for name in sorted(glob.glob(os.path.join(HERE, "../../sql/migrations/*.sql"))):
        with open(name) as f:
            psql(f.read(), script=True)
    with open(os.path.join(HERE, "store_seed.sql")) as f:
        psql(f.read(), script=True)
    psql(receive("R0", user="U-first", email="ben@example.com"), "opsd_service")
    yield
    session[0].stdin.close()
    session.pop().wait(timeout=10)


def receive(ident, user="U-x", email="ana@example.com", action="workers.scale", scope='{"count":1,"team":"ads"}',
            verdict="ok", risk=1):
    return ("select state || ' ' || coalesce(code, '') from ops.receive(%s, '%s', 'env-%s', 'd-%s', 'slash', 'T1', '%s', 'C1',"
            " null, 'typed', 'a command', '%s', %d::smallint, '{}', null, '%s', null, 'digest', null, true, '%s', %s,"
            " 'name', true, 'CAUDIT', 0, null)"
            % (ME, ident, ident, ident, user, action, risk, scope, verdict, "'%s'" % email if email else "null"))


# privileges

TABLES = ["dir.person", "dir.person_email", "dir.membership", "dir.source", "authz.permit", "authz.action", "ops.request",
          "ops.delivery", "ops.message", "ops.audit", "ops.audit_rest", "ops.link", "ops.step", "ops.replica", "ops.setting",
          "ops.migration"]


@pytest.mark.parametrize("table", TABLES)
def test_service_touches_no_table(table):
    refused("select * from %s" % table, "opsd_service")
    refused("insert into %s default values" % table, "opsd_service")
    refused("delete from %s" % table, "opsd_service")
    refused("truncate %s" % table, "opsd_service")


def test_no_role_reaches_a_helper():
    helpers = psql("select string_agg(p.oid::regprocedure::text, ';') from pg_proc p join pg_namespace n on n.oid = pronamespace"
                   " where nspname in ('ops', 'authz', 'dir') and has_function_privilege('public', p.oid, 'execute')")
    assert helpers == ""
    refused("select ops.audit_note(null, 1, 'U', '{}', 'x', 'success', '{}')", "opsd_service")
    refused("select ops.audit_partition('2031-01-01')", "opsd_service")
    refused("select authz.decide(1, 'request', 'workers.scale', '{}')", "opsd_service")


def test_definer_functions_fix_their_search_path():
    assert psql("select count(*) from pg_proc p join pg_namespace n on n.oid = pronamespace where nspname in"
                " ('ops', 'authz', 'dir') and prosecdef and not (proconfig::text like '%search_path=pg_catalog%pg_temp%')") == "0"


@pytest.mark.parametrize("sql", [
    "update ops.audit set body = '{}'", "delete from ops.audit", "truncate ops.audit", "truncate ops.audit_rest",
    "truncate dir.membership_change", "update dir.membership_change set op = '+'"])
def test_the_owner_is_stopped_too(sql):
    if "membership_change set" in sql:
        psql("insert into dir.membership_change (generation, op, person_id, group_id) values (1, '+', 1, 1) on conflict do nothing")
    refused(sql, "opsd_owner", "OP009")


def test_every_partition_is_guarded():
    parts = psql("select inhrelid::regclass from pg_inherits where inhparent = 'ops.audit'::regclass").split("\n")
    assert len(parts) >= 13
    for part in parts:
        refused("truncate %s" % part, "opsd_owner", "OP009")
    assert psql("select count(*) from ops.audit_rest") == "0"
    assert int(psql("select count(*) from ops.audit")) > 0


def test_roles_keep_to_their_part():
    refused("insert into authz.permit (stable_key, capability, action_id, group_id, origin, revision)"
            " values ('x', 'request', 1, 1, 'file', 93)", "opsd_sync")
    refused("delete from dir.person", "opsd_sync")
    refused("delete from dir.membership_change", "opsd_sync")
    refused("insert into dir.membership values (1, 2, true, 1)", "opsd_grants")
    refused("select * from ops.request", "opsd_grants")
    refused("update ops.request set state = 'succeeded'", "opsd_auditor")
    refused("insert into ops.audit default values", "opsd_auditor")
    assert psql("select count(*) > 0 from ops.audit_recent", "opsd_auditor") == "t"
    assert psql("select count(*) from authz.explain(1, 'request', 'workers.scale', '{\"team\":\"ads\"}')", "opsd_auditor") != "0"
    assert psql("select dir.refresh_statistics() is not null", "opsd_sync") == "t"
    refused("select ops.receive(%s)" % ME, "opsd_sync", "42883")


# forced states

@pytest.mark.parametrize("sql, why", [
    ("update ops.request set wake_at = null where id = 'R0'", "23514"),
    ("update ops.request set finished_at = now() where id = 'R0'", "23514"),
    ("update ops.request set state = 'succeeded' where id = 'R0'", "23514"),
    ("update ops.request set state = 'running', claimed_by = null where id = 'R0'", "23514"),
    ("update ops.request set state = 'nonsense' where id = 'R0'", "22P02"),
    ("insert into ops.message (request_id, kind) values ('R0', 'audit')", "23514"),
    ("insert into ops.message (request_id, kind, delivered_at, response_url) values ('R0', 'audit', now(), 'u')", "23514"),
    ("insert into authz.permit (stable_key, capability, action_id, group_id, origin, valid)"
     " values ('long', 'request', 1, 1, 'chat', tstzrange(null, now() + interval '10 years'))", "23514"),
    ("insert into authz.permit (stable_key, capability, action_id, person_id, origin, revision)"
     " values ('for ever', 'request', 1, 1, 'file', 93)", "23514"),
    ("insert into dir.person_email values ('\u212aelvin@example.com', 1, false)", "23514"),
    ("insert into dir.person_email values ('Ana@example.com', 1, false)", "23514"),
])
def test_forced_states(sql, why):
    refused(sql, "opsd_owner", why)


# decide

def decide(scope, person="Ana", action="workers.scale", risk=0):
    scope = "null" if scope is None else "'%s'" % scope
    return psql("select (authz.decide((select person_id from dir.person where display_name = '%s'), 'request', '%s', %s::jsonb,"
                " %d)).code" % (person, action, scope, risk))


@pytest.mark.parametrize("scope, code", [
    ('{"team":"ads","count":5}', "allowed"),
    ('{"team":"ads","count":50}', "allowed"),
    ('{"team":"ads","count":-3}', "allowed"),  # only a maximum was given
    ('{"team":"ads","count":51}', "no_matching_grant"),
    ('{"team":"ads","count":"5"}', "no_matching_grant"),  # text for a number
    ('{"team":"ads","count":5.5}', "no_matching_grant"),
    ('{"team":"ads","count":123456789012345678901234}', "no_matching_grant"),
    ('{"team":"ads","count":null}', "no_matching_grant"),
    ('{"team":"ads"}', "no_matching_grant"),  # the grant limits count, and it is missing
    ('{"team":"ADS","count":5}', "no_matching_grant"),
    ('{"team":"*","count":5}', "no_matching_grant"),
    ('{"team":null,"count":5}', "no_matching_grant"),
    ('{"team":["ads"],"count":5}', "no_matching_grant"),
    ('{"team":{"ads":1},"count":5}', "no_matching_grant"),
    ('{"team":1,"count":5}', "no_matching_grant"),
    ('{"count":5}', "no_matching_grant"),
    ('{}', "no_matching_grant"),
    ('null', "no_matching_grant"),
    (None, "no_matching_grant"),
    ('[]', "no_matching_grant"),
    ('{"team":"ads","count":5,"role":"prod"}', "undeclared_scope"),
])
def test_decide_scope(scope, code):
    assert decide(scope) == code


@pytest.mark.parametrize("person, action, code", [
    ("Sam", "workers.scale", "allowed"),  # any team, and no limit on count
    ("Sue", "workers.scale", "person_not_active"),
    ("Gus", "workers.scale", "person_not_active"),
    ("Rob", "workers.scale", "person_not_active"),
    ("Nobody", "workers.scale", "unknown_person"),
    ("Ana", "workers.off", "unknown_action"),
    ("Ana", "workers.nothing", "unknown_action"),
])
def test_decide_state(person, action, code):
    assert decide('{"team":"ads","count":1}', person, action) == code


@pytest.mark.parametrize("age, risk, code", [
    ("71 hours", 0, "allowed"), ("73 hours", 0, "directory_stale"), ("23 hours", 1, "allowed"), ("25 hours", 1, "directory_stale"),
    ("5 hours", 2, "allowed"), ("7 hours", 2, "directory_stale"), ("119 minutes", 3, "allowed"), ("121 minutes", 3, "directory_stale"),
    ("-4 minutes", 0, "allowed"), ("-6 minutes", 0, "directory_stale"),
])
def test_decide_age(age, risk, code):
    psql("update dir.source set fetch_started_at = clock_timestamp() - interval '%s'" % age)
    try:
        assert decide('{"team":"ads"}', action="datasets.list", risk=risk) == code
    finally:
        psql("update dir.source set fetch_started_at = clock_timestamp()")


def test_decide_never_fetched():
    psql("update dir.source set fetch_started_at = null")
    try:
        assert decide('{"team":"ads"}', action="datasets.list") == "directory_stale"
    finally:
        psql("update dir.source set fetch_started_at = clock_timestamp()")


def permit(effect, scope=None, valid="tstzrange(now(), now() + interval '1 hour')"):
    psql("with g as (insert into authz.permit (stable_key, effect, capability, action_id, group_id, origin, valid)"
         " select 'tmp', '%s', 'request', a.action_id, g.group_id, 'chat', %s from authz.action a, dir.grp g"
         " where a.name = 'workers.scale' and g.name_key = 'ads-oncall' returning grant_id)"
         " %s select 1" % (effect, valid, (", s as (insert into authz.permit_scope (grant_id, param, %s) select grant_id, %s from g)"
                                            % scope) if scope else ""))


@pytest.fixture
def clean_permit():
    yield
    psql("delete from authz.permit where stable_key = 'tmp'")


def test_forbid_beats_allow(clean_permit):
    permit("forbid")
    assert decide('{"team":"ads","count":1}') == "forbidden"
    assert decide('{"team":"ads","count":1}', "Sam") == "allowed"
    assert "workers.scale" not in (psql("select ops.may('T1', 'U-first')", "opsd_service"))


def test_forbid_bites_when_it_cannot_be_evaluated(clean_permit):
    permit("forbid", ("values_", "'count', '{1}'::text[]"))
    assert decide('{"team":"ads","count":1}') == "forbidden"  # a number where a list of texts was written


def test_forbid_of_another_scope(clean_permit):
    permit("forbid", ("values_", "'team', '{web}'::text[]"))
    assert decide('{"team":"ads","count":1}') == "allowed"


def test_allow_without_its_scope_is_void(clean_permit):
    permit("allow")
    assert decide('{"team":"web","count":1}') == "no_matching_grant"


def test_times(clean_permit):
    permit("allow", ("any_value", "'team', true"), "tstzrange(now() - interval '2 hours', now() - interval '1 hour')")
    assert decide('{"team":"web"}') == "no_matching_grant"
    psql("update authz.permit set valid = tstzrange(now() - interval '1 hour', now() + interval '1 hour') where stable_key = 'tmp'")
    assert decide('{"team":"web"}') == "allowed"
    psql("update authz.permit set valid = tstzrange(now() + interval '1 hour', now() + interval '2 hours') where stable_key = 'tmp'")
    assert decide('{"team":"web"}') == "no_matching_grant"


# identify

counter = [0]


def ask(**kw):
    counter[0] += 1
    return psql(receive("R-i%d" % counter[0], **kw), "opsd_service")


@pytest.fixture
def links():
    psql("delete from ops.link")
    psql("update ops.setting set proof_from_risk = 3")
    yield
    psql("delete from dir.email_quarantine")
    psql("update dir.person_email set person_id = (select person_id from dir.person where display_name = 'Ana')"
         " where email_key = 'ana@example.com'")


@pytest.mark.parametrize("kw, answer", [
    ({}, "allowed allowed"),
    ({"verdict": "guest"}, "denied guest"),
    ({"verdict": "deleted"}, "denied deleted"),
    ({"email": None}, "denied no_usable_address"),
    ({"email": "ana@other.com"}, "denied no_usable_address"),  # the directory has it; its domain is not ours
    ({"email": "nobody@example.com"}, "denied unknown_address"),
    ({"email": "ana@evilexample.com"}, "denied unknown_address"),
    ({"email": "sue@example.com"}, "denied person_not_active"),
    ({"email": "gus@example.com"}, "denied person_not_active"),
    ({"email": "rob@example.com"}, "denied person_not_active"),
    ({"action": "workers.drop", "risk": 3, "scope": '{"team":"ads"}'}, "denied needs_proof"),
    ({"action": "workers.restart", "risk": 2, "scope": '{"team":"ads"}'}, "allowed allowed"),
])
def test_first_sight(links, kw, answer):
    assert ask(**kw) == answer
    made = answer.startswith("allowed") or answer.endswith("needs_proof")
    assert psql("select count(*) from ops.link") == ("1" if made else "0")


def test_quarantined_address(links):
    psql("insert into dir.email_quarantine (email_key, old_person, new_person) values ('ana@example.com', 1, 2)")
    assert ask() == "denied quarantined"
    psql("update dir.email_quarantine set released_by = 'sam', released_at = now()")
    assert ask() == "allowed allowed"


def test_address_moved_to_another_person(links):
    assert ask() == "allowed allowed"
    psql("update dir.person_email set is_primary = false, person_id = (select person_id from dir.person where display_name = 'Ben')"
         " where email_key = 'ana@example.com'")
    assert ask() == "denied binding_changed"
    assert psql("select state from ops.link") == "suspended"
    assert psql("select count(*) from ops.audit where event = 'link.suspended'") != "0"
    psql("update dir.person_email set person_id = (select person_id from dir.person where display_name = 'Ana')"
         " where email_key = 'ana@example.com'")
    assert ask() == "denied binding_suspended"  # never released by time or by going back
    psql("update dir.person_email set is_primary = true where email_key = 'ana@example.com'")


def test_one_person_one_account(links):
    assert ask(user="U-one") == "allowed allowed"
    assert ask(user="U-two") == "denied second_account"
    assert psql("select count(*) from ops.link") == "1"


def test_another_account_takes_the_address_of_a_linked_user(links):
    assert ask(user="U-one") == "allowed allowed"
    assert ask(user="U-one", email="ben@example.com") == "denied binding_changed"


def test_proved_link(links):
    psql("insert into ops.link (slack_team, slack_user, person_id, email_key, how, proved_at) select 'T1', 'U-x', person_id,"
         " 'ana@example.com', 'idp', now() - interval '89 days' from dir.person where display_name = 'Ana'")
    drop = {"action": "workers.drop", "risk": 3, "scope": '{"team":"ads"}'}
    assert ask(**drop) == "allowed allowed"
    assert ask(email="nobody@example.com", **drop) == "allowed allowed"  # a trip-wire only
    psql("update ops.link set proved_at = now() - interval '91 days'")
    assert ask(**drop) == "denied needs_proof"
    assert ask(email="ben@example.com", **drop) == "denied binding_changed"


def test_proof_demanded_earlier(links):
    psql("update ops.setting set proof_from_risk = 1")
    assert ask() == "denied needs_proof"
    psql("update ops.setting set proof_from_risk = 4")
    assert ask(action="workers.drop", risk=3, scope='{"team":"ads"}') == "allowed allowed"


# the entry

def test_entries_are_canonical_json():
    psql(receive("R-q", user='U-q"\\\u00e9', email="ana@example.com", verdict="ok"), "opsd_service")
    rows = psql("select body from ops.audit order by id").split("\n")
    assert len(rows) > 10
    for row in rows:
        entry = json.loads(row)
        assert json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False) == row
        assert entry["v"] == 1 and entry["time"].endswith("Z") and entry["observer"] == {"boot": "a"}


def test_explain_and_list_answer_json():
    answer = json.loads(psql("select ops.explain_request('ben@example.com', 'workers.scale', '{\"team\":\"web\",\"count\":1}')",
                             "opsd_service"))
    assert answer["allowed"] is False and answer["code"] == "no_matching_grant"
    assert answer["grants"][0]["mine"] is True and answer["grants"][0]["verdict"].startswith("only for")
    assert answer["person"]["groups"] == ["ads-oncall"]
    listed = json.loads(psql("select ops.audit_list('R0', null, null, null, null, 10)", "opsd_auditor"))
    assert [e["event"] for e in listed] == ["request.allowed"]
    assert listed[0]["actor"] == "ben@example.com" and listed[0]["at"].endswith("Z")
    assert json.loads(psql("select ops.audit_list(null, 'U-none', null, null, null, 10)", "opsd_service")) == []
    assert json.loads(psql("select ops.health()", "opsd_service"))["migration"] is None


def test_resolve():
    psql(receive("R-u"), "opsd_service")
    psql("select ops.start(%s, 'R-u', 1, 'kube.scale', 'once', '{}', '{}', 'digest', null, 'main/ads/Deployment/w', 0, 'CAUDIT', 0)" % ME, "opsd_service")
    refused("select ops.resolve('R-u', 'succeeded', 'looked')", "opsd_grants", "OP011")  # it is running
    psql("select ops.settle(%s, 'R-u', 1, 'unknown', null, null, 'no answer', null, null, '{}', '{}', 'CAUDIT', 0)" % ME,
         "opsd_service")
    refused("select ops.resolve('R-u', 'succeeded', 'looked')", "opsd_service")
    refused("select ops.resolve('R-u', 'succeeded', '')", "opsd_grants", "OP011")
    refused("select ops.resolve('R-u', 'denied', 'looked')", "opsd_grants", "OP011")
    assert psql("select ops.resolve('R-u', 'failed', 'looked')", "opsd_grants") == "failed"
    assert psql("select state from ops.step where request_id = 'R-u'") == "not_applied"
    assert psql("select body::json #>> '{facts,why}' || (body::json #>> '{observer,login}') from ops.audit where request_id = 'R-u'"
                " order by id desc limit 1") == "lookedowner"
    assert psql("select count(*) from ops.message where request_id = 'R-u' and kind = 'audit' and channel = 'CAUDIT'") == "2"


def test_warming_leaves_nothing():
    tables = "(select count(*) from ops.%s)"
    counted = "select " + " || ' ' || ".join(tables % t for t in ("request", "delivery", "audit", "message", "step", "link"))
    before = psql(counted)
    assert psql("select ops.warm()", "opsd_service") == ""
    assert psql(counted) == before


# what is indexed is used, whatever the plans cached

@pytest.mark.parametrize("sql, index", [
    ("select id from ops.request where wake_at <= now() order by wake_at limit 10", "request_due"),
    ("select id from ops.message where lane = 0 and due_at <= now() order by due_at limit 10", "message_due"),
    ("update ops.request q set fence = 1 where q.id = 'R0' and q.fence = 1 and q.state in ('allowed')", "request_pkey"),
    ("update ops.message m set ts = '' from (select * from unnest('{1}'::bigint[]) u(id)) x where m.id = x.id"
     " and m.delivered_at is null", "message_pkey"),
])
def test_plans(sql, index):
    plan = psql("set enable_seqscan = off; set plan_cache_mode = force_generic_plan; explain " + sql)
    assert index in plan, plan


def test_a_change_of_what_changes_often_reads_no_more():
    """The end of a change reads what is followed of its object now, not each change that was followed since the last vacuum."""
    psql("set plan_cache_mode = force_generic_plan")
    psql("""do $$ begin for i in 1..600 loop
            insert into ops.step (request_id, attempt, kind, effect, fence, state, done_at, target)
                values ('R0OFTEN' || i, 1, 'kube.scale', 'conditional', 1, 'applied', now(), 'often');
            perform ops.follow_begin('R0OFTEN' || i, json_build_object('done', repeat('as long as it is', 60)));
            commit;
        end loop; end $$""")
    try:
        assert psql("select count(*) from ops.follow where target = 'often' and wake_at is not null") == "1"
        seen = json.loads(psql("explain (analyze, buffers, format json) select ops.follow_begin('R0OFTEN600', '{}')"))
        plan = seen[0]["Plan"]
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 100, plan
    finally:
        psql("reset plan_cache_mode; delete from ops.follow where target = 'often'; delete from ops.step where target = 'often'")


# what is read under a lock

def second(sql):
    """Another session, which runs sql and ends; its output is read later."""
    return subprocess.Popen(["psql", "-X", "-q", "-At", "-c", sql, URL], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, universal_newlines=True)


def test_card_is_of_the_version_that_is_marked():
    """The request changes after the claim began and before the card's row was locked: the card shows the change."""
    psql(receive("R0CARD"), "opsd_service")
    psql("""
        create function ops.test_wait() returns trigger language plpgsql as $f$
            begin perform pg_advisory_xact_lock(77); return new; end $f$;
        create trigger test_wait before update on ops.message for each row when (new.request_id = 'R0OLD')
            execute function ops.test_wait();
        insert into ops.message (request_id, kind, body, due_at, rev) values
            ('R0OLD', 'card', '{}', clock_timestamp() - interval '2 s', 0),
            ('R0CARD', 'card', '{}', clock_timestamp() - interval '1 s', 1);
        select pg_advisory_lock(77)""")
    try:
        child = second("select 'card ' || coalesce(body::json ->> 'state', '?') from ops.outbox_claim(%s, '{20,20,20}') where request_id = 'R0CARD'"
                       % ME.split(",")[0])
        end = time.monotonic() + 60
        while psql("select count(*) from pg_locks where locktype = 'advisory' and not granted") != "1":
            assert time.monotonic() < end, "the claim did not come to the lock"
        psql("update ops.request set state = 'cancelled', finished_at = now(), wake_at = null, claimed_by = null "
             "where id = 'R0CARD'; select ops.redraw('R0CARD')")
    finally:
        psql("select pg_advisory_unlock(77)")
    assert "card cancelled" in child.communicate(timeout=60)[0]
    assert psql("select shown || ' ' || rev from ops.message where request_id = 'R0CARD' and kind = 'card'") == "2 2"
    psql("drop trigger test_wait on ops.message; drop function ops.test_wait()")
