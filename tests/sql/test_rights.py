# SPDX-License-Identifier: Apache-2.0
"""Who may approve what, under whatever identity; what an action demands whatever its command says; two halves of a
change in different hands; and the evidence that each decision leaves.

Run by with_postgres.py, as test_rules.py, whose session and seed it shares."""
import json

import pytest
from test_rules import ME, database, psql, pytestmark, receive  # noqa: F401

SERVICE = "opsd_service"
N = [0]


def person(name):
    return psql("select person_id from dir.person where display_name = '%s'" % name)


@pytest.fixture(autouse=True)
def fresh():
    """Sam and Tom of sre, Uma of audit; sre approves and audit executes restarts and drops; nobody is linked yet."""
    psql("""delete from authz.sod_use; delete from authz.sod_rule; delete from ops.vote; delete from ops.approval;
        delete from ops.proof; delete from ops.link; delete from ops.link_past; delete from dir.email_quarantine;
        delete from ops.message; delete from ops.request; delete from ops.delivery;
        delete from authz.permit where origin <> 'file' or stable_key like 't-%'; delete from authz.group_owner;
        update authz.action set min_approvals = 0, approver_may_execute = true;
        update ops.setting set proof_from_risk = 4, step_up_from_risk = 4, can_step_up = false;
        update dir.grp set in_scope_since_gen = 1, aside_since = null, blind_from = null;
        insert into dir.membership select p.person_id, g.group_id, true, 1 from dir.person p, dir.grp g
            where p.display_name = 'Sam' and g.name_key = 'sre' on conflict do nothing;
        update dir.person set state = 'active' where display_name in ('Ana', 'Ben', 'Sam', 'Tom', 'Uma');
        update dir.source set fetch_started_at = clock_timestamp() - interval '2 seconds'""")
    for name, group in (("Tom", "sre"), ("Uma", "audit")):
        psql("""insert into dir.grp (source_id, external_id, name_key, state, in_scope_since_gen, first_gen, last_gen)
                select source_id, 'g-%s', '%s', 'active', 1, 1, 1 from dir.source on conflict do nothing;
            insert into dir.person (source_id, external_id, state, display_name, first_gen, last_gen)
                select source_id, 'u-%s', 'active', '%s', 1, 1 from dir.source on conflict do nothing;
            insert into dir.person_email select lower(display_name) || '@example.com', person_id, true from dir.person
                where display_name = '%s' on conflict do nothing;
            insert into dir.membership select p.person_id, g.group_id, true, 5 from dir.person p, dir.grp g
                where p.display_name = '%s' and g.name_key = '%s' on conflict do nothing"""
             % (group, group, name.lower(), name, name, name, group))
    for can, group in (("approve", "sre"), ("execute", "audit")):
        psql("""with g as (insert into authz.permit (stable_key, capability, action_id, group_id, origin, revision)
                select 't-%s-' || a.name, '%s', a.action_id, x.group_id, 'file', 93 from authz.action a, dir.grp x
                where x.name_key = '%s' and a.name in ('workers.restart', 'workers.drop') returning grant_id)
            insert into authz.permit_scope (grant_id, param, any_value) select grant_id, 'team', true from g"""
             % (can, can, group))
    yield


def allowed(who="ana", action="workers.restart", risk=2, scope='{"team":"ads"}'):
    """A request that was decided: its id."""
    N[0] += 1
    rid = "RT%d" % N[0]
    sql = receive(rid, user="U-" + who, email=who + "@example.com", action=action, risk=risk, scope=scope)
    assert psql(sql, SERVICE) == "allowed allowed"
    return rid


def fence(rid):
    return psql("select fence from ops.request where id = '%s'" % rid)


def ask(rid, rules):
    """What ops.ask makes of it: state and code."""
    return psql("select state || ' ' || coalesce(code, '') from ops.ask(%s, '%s', %s, '{}', 'dig', '%s', null, 'CAPPROVE', 3600,"
                " 'CAUDIT', 0)" % (ME, rid, fence(rid), json.dumps(rules)), SERVICE)


def vote(rid, who, kind="approve", email=None, user=None):
    """Why it does not count, or the state after it."""
    N[0] += 1
    return psql("select coalesce(code, state) from ops.vote(%s, '%s', 'v%d', 'v%d', '%s', 'T1', '%s', 'ok', '%s', 'dig', null,"
                " 'CAUDIT', 0)" % (ME, rid, N[0], N[0], kind, user or "U-" + who, email or who + "@example.com"), SERVICE)


def start(rid, rules=None):
    rules = "null" if rules is None else "'%s'" % json.dumps(rules)
    return psql("select state || ' ' || coalesce(code, '') from ops.start(%s, '%s', %s, 'kube.restart', 'once', '{}', '{}', 'dig',"
                " %s, null, 0, 'CAUDIT', 0)" % (ME, rid, fence(rid), rules), SERVICE)


APPROVE = {"need": 1, "can_approve": "workers.restart"}
EXECUTE = {"need": 1, "can_execute": "workers.restart"}


# the requester, in every disguise

def test_other_account_of_the_same_person():
    """One live link a person: a second account is nobody, and so it approves nothing."""
    join("Ana", "sre")
    rid = allowed("ana")
    assert ask(rid, [APPROVE]) == "approving"
    assert vote(rid, "ana", user="U-other") == "second_account"
    leave("Ana", "sre")


def join(name, group):
    psql("insert into dir.membership select p.person_id, g.group_id, true, 5 from dir.person p, dir.grp g"
         " where p.display_name = '%s' and g.name_key = '%s' on conflict do nothing" % (name, group))


def leave(name, group):
    psql("delete from dir.membership where person_id = %s and group_id = (select group_id from dir.grp where name_key = '%s')"
         % (person(name), group))


def test_alias_address_of_the_same_person():
    join("Ana", "sre")
    psql("insert into dir.person_email values ('ana.alias@example.com', %s, false) on conflict do nothing" % person("Ana"))
    rid = allowed("ana")
    assert ask(rid, [APPROVE]) == "approving"
    assert vote(rid, "ana", email="ana.alias@example.com") == "own_request"
    assert person("Ana") not in psql("select asked from ops.approval").strip("{}").split(",")
    leave("Ana", "sre")


@pytest.mark.parametrize("how", [
    # the account was Sam's before an administrator gave it to Ana
    "insert into ops.link_past (slack_team, slack_user, person_id, email_key, how, bound_at, why)"
    " values ('T1', 'U-ana', {sam}, 'sam@example.com', 'email', now(), 'swapped')",
    # the same global account in another workspace
    "insert into ops.link (slack_team, slack_user, person_id, email_key, how) values ('T2', 'U-ana', {sam}, 'sam@example.com', 'email')",
    # the directory gave one address to both
    "insert into dir.email_quarantine (email_key, old_person, new_person, released_by, released_at)"
    " values ('a.b@example.com', {ana}, {sam}, 'dia', now())",
    "insert into dir.email_quarantine (email_key, old_person, new_person) values ('a.b@example.com', {sam}, {ana})",
])
def test_another_identity_of_the_same_human(how):
    rid = allowed("ana")
    psql(how.format(ana=person("Ana"), sam=person("Sam")))
    assert ask(rid, [APPROVE]) == "approving"  # Tom is left
    assert psql("select asked from ops.approval") == "{%s}" % person("Tom")
    assert vote(rid, "sam") == "own_request"
    assert ask(allowed("ana"), [{"need": 2, "can_approve": "workers.restart"}]) == "denied too_few_approvers"
    assert vote(rid, "tom") == "allowed"


def test_two_identities_make_one_approval():
    two = [{"need": 2, "can_approve": "workers.restart"}]
    rid = allowed("ana")
    assert ask(rid, two) == "approving"
    psql("insert into dir.email_quarantine (email_key, old_person, new_person) values ('a.b@example.com', %s, %s)"
         % (person("Sam"), person("Tom")))
    assert vote(rid, "sam") == "approving"
    assert vote(rid, "tom") == "voted_already"
    psql("delete from dir.email_quarantine")
    assert vote(rid, "tom") == "allowed"
    psql("insert into dir.email_quarantine (email_key, old_person, new_person) values ('a.b@example.com', %s, %s)"
         % (person("Sam"), person("Tom")))
    assert start(rid, two) == "approving"  # known only now: they count as one


def test_forbid_bites_approvers_by_group():
    group = [{"need": 1, "group": "sre"}]
    rid = allowed("ana")
    assert ask(rid, group) == "approving"
    psql("insert into authz.permit (stable_key, effect, capability, action_id, person_id, origin, valid) select 't-no', 'forbid',"
         " 'approve', action_id, %s, 'chat', tstzrange(now(), now() + interval '1 hour') from authz.action"
         " where name = 'workers.restart'" % person("Sam"))
    assert vote(rid, "sam") == "not_approver"
    assert vote(rid, "ben") == "not_approver"
    assert vote(rid, "tom") == "allowed"


def test_who_is_asked():
    """Those Slack knows come first, whatever the seed; nobody comes whom a grant or a forbid keeps away."""
    def named(seed, limit=5, rule='{"need":1,"can_approve":"workers.restart"}', scope='{"team":"ads"}'):
        return psql("select string_agg(name || coalesce('=' || slack_user, ''), ' ') from ops.approvers('%s', '%s', 'workers.restart',"
                    " '%s', 2, '{%s}', %d)" % (seed, rule, scope, person("Uma"), limit))
    psql("insert into ops.link (slack_team, slack_user, person_id, email_key, how) values ('T1', 'U-tom', %s, 'tom@example.com', 'email')"
         % person("Tom"))
    for seed in range(8):
        assert named(seed) == "Tom=U-tom Sam"
        assert named(seed, limit=1) == "Tom=U-tom"
    assert named(1, rule='{"need":1,"group":"sre"}') == "Tom=U-tom Sam"
    assert named(1, scope='{"team":"ads","nobody":"declared"}') == ""
    psql("update ops.link set state = 'suspended'")
    assert {named(seed) for seed in range(20)} == {"Tom Sam", "Sam Tom"}
    psql("""insert into authz.permit (stable_key, effect, capability, action_id, group_id, origin, revision) select 't-no', 'forbid',
        'request', a.action_id, g.group_id, 'file', 93 from authz.action a, dir.grp g
        where a.name = 'workers.restart' and g.name_key = 'sre'""")
    assert named(1) == named(1, rule='{"need":1,"group":"sre"}') == ""
    psql("""insert into authz.permit_scope (grant_id, param, values_) select grant_id, 'team', '{web}' from authz.permit
        where stable_key = 't-no'""")
    assert named(1) in ("Tom Sam", "Sam Tom")
    psql("update authz.permit_scope set any_value = false, values_ = '{web}' where grant_id in"
         " (select grant_id from authz.permit where stable_key = 't-approve-workers.restart')")
    assert named(1) == ""


# what an action demands whatever its command says

def test_least_approvals():
    psql("update authz.action set min_approvals = 2 where name = 'workers.restart'")
    rid = allowed("ana")
    assert start(rid) == "allowed needs_approval"  # the command has no rule at all
    assert psql("select count(*) from ops.step where request_id = '%s'" % rid) == "0"
    assert ask(rid, [APPROVE]) == "approving"
    assert json.loads(psql("select rules from ops.approval")) == [APPROVE, {"need": 2, "can_approve": "workers.restart"}]
    assert vote(rid, "sam") == "approving"
    assert vote(rid, "tom") == "allowed"
    assert start(rid) == "running allowed"


def test_least_approvals_that_nobody_can_give():
    psql("update authz.action set min_approvals = 3 where name = 'workers.restart'")
    assert ask(allowed("ana"), []) == "denied too_few_approvers"


def test_least_approvals_of_a_confirmed_request():
    psql("update authz.action set min_approvals = 1 where name = 'workers.restart'")
    rid = allowed("ana")
    psql("select ops.offer(%s, '%s', 1, '{}', 'dig', '{}', 0)" % (ME, rid), SERVICE)
    assert psql("select state from ops.confirm(%s, '%s', 'c-%s', 'c-%s', 'confirm', 'T1', 'U-ana', null, true, 'ok',"
                " 'ana@example.com', true, 'dig', 'CAUDIT', 0)" % (ME, rid, rid, rid), SERVICE) == "confirming"
    assert start(rid) == "confirming needs_approval"


def test_a_click_on_a_preview_needs_fresh_facts():
    rid = allowed("ana")
    psql("select ops.offer(%s, '%s', 1, '{}', 'dig', '{}', 0)" % (ME, rid), SERVICE)
    assert psql("select state || ' ' || code from ops.confirm(%s, '%s', 'c-%s', 'c-%s', 'confirm', 'T1', 'U-ana', null, false, null,"
                " null, true, 'dig', 'CAUDIT', 0)" % (ME, rid, rid, rid), SERVICE) == "denied not_a_member"
    assert psql("select state from ops.request where id = '%s'" % rid) == "confirming"


def test_three_people():
    psql("update authz.action set approver_may_execute = false where name = 'workers.restart'")
    rid = allowed("ana")
    assert start(rid) == "allowed needs_approval"
    assert ask(rid, [APPROVE]) == "approving"
    assert vote(rid, "uma", "execute") == "not_approved_yet"
    assert vote(rid, "uma") == "not_approver"
    assert vote(rid, "sam") == "approving"  # approved, and it does not start
    assert vote(rid, "sam", "execute") == "approver_may_not_start"
    assert vote(rid, "tom", "execute") == "not_approver"
    assert vote(rid, "ana", "execute") == "own_request"
    assert vote(rid, "uma", "execute") == "allowed"
    assert start(rid, [APPROVE]) == "running allowed"
    assert psql("select string_agg(decision, ' ' order by voted_at) from ops.vote") == "approve execute"


def test_three_people_that_are_not_there():
    """Whoever would execute would also have to approve."""
    psql("update authz.action set approver_may_execute = false where name = 'workers.restart';"
         "update authz.permit set group_id = (select group_id from dir.grp where name_key = 'audit')"
         " where stable_key = 't-approve-workers.restart'")
    assert ask(allowed("ana"), [APPROVE]) == "denied too_few_approvers"


def test_executor_who_left_stops_the_start():
    psql("update authz.action set approver_may_execute = false where name = 'workers.restart'")
    rid = allowed("ana")
    ask(rid, [APPROVE])
    vote(rid, "sam")
    vote(rid, "uma", "execute")
    leave("Uma", "audit")
    assert start(rid, [APPROVE]) == "approving"


def test_requester_removed_between_approval_and_start():
    rid = allowed("ana")
    ask(rid, [APPROVE])
    assert vote(rid, "sam") == "allowed"
    leave("Ana", "ads-oncall")
    assert start(rid, [APPROVE]) == "denied no_matching_grant"
    join("Ana", "ads-oncall")


# two halves of one change in different hands

def separate(a="workers.restart", b="workers.scale"):
    psql("insert into authz.sod_rule (a, b) select least(x.action_id, y.action_id), greatest(x.action_id, y.action_id)"
         " from authz.action x, authz.action y where x.name = '%s' and y.name = '%s'" % (a, b))


def decide(who, action="workers.scale", cap="request", scope='{"team":"ads","count":1}'):
    return psql("select (authz.decide(%s, '%s', '%s', '%s')).code" % (person(who), cap, action, scope))


def test_separation():
    separate()
    rid = allowed("ana")
    assert decide("Ana") == "allowed"  # asked for, not started: a change that is not there yet
    ask(rid, [APPROVE])
    vote(rid, "sam")
    assert start(rid, [APPROVE]) == "running allowed"
    assert decide("Ana") == "separated"
    assert decide("Ben") == "allowed"
    assert decide("Sam") == "separated"  # the approver took part too
    assert decide("Ana", action="workers.restart", scope='{"team":"ads"}') == "allowed"  # her own half again
    assert decide("Sam", scope='{"team":"web","count":1}') == "allowed"  # another change
    psql("update authz.sod_use set at = now() - interval '8 days'")
    assert decide("Ana") == "allowed"


def test_separation_sees_through_disguises():
    separate()
    assert start(allowed("ana")) == "running allowed"
    psql("insert into dir.email_quarantine (email_key, old_person, new_person) values ('a.b@example.com', %s, %s)"
         % (person("Ana"), person("Ben")))
    assert decide("Ben") == "separated"


def test_separation_at_the_start():
    """Both halves were allowed; the second start is refused, and says what stands in its way."""
    separate()
    one = allowed("ana")
    two = allowed("ana", "workers.scale", 1, '{"team":"ads","count":1}')
    assert start(one) == "running allowed"
    assert start(two) == "denied separated"
    assert json.loads(psql("select detail from ops.request where id = '%s'" % two))["separate"] == {
        "action": "workers.restart", "part": "request", "request": one}


def test_separation_of_approvers():
    separate("workers.restart", "workers.drop")
    assert start(allowed("sam", "workers.drop", 3)) == "running allowed"
    rid = allowed("ana")
    assert ask(rid, [APPROVE]) == "approving"
    assert psql("select asked from ops.approval where request_id = '%s'" % rid) == "{%s}" % person("Tom")
    assert vote(rid, "sam") == "not_approver"


# evidence

def test_evidence_of_a_decision():
    rid = allowed("ben")
    detail = json.loads(psql("select detail from ops.request where id = '%s'" % rid))
    assert detail["grant"] == "ads-oncall-workers.restart" and detail["generation"] == 7 and detail["revision"] == 93
    assert 0 <= detail["age_s"] < 60
    assert detail["via"] == {"direct": True, "group": "ads-oncall", "since": 1}
    assert detail["link"]["how"] == "email" and detail["link"]["proved"] is None and detail["link"]["since"].endswith("Z")
    entry = json.loads(psql("select body from ops.audit where request_id = '%s' and event = 'request.allowed'" % rid))
    assert entry["decision"] == detail


def test_evidence_of_start_and_votes():
    rid = allowed("ana")
    ask(rid, [APPROVE, {"need": 1, "group": "sre"}])
    psql("update dir.source set generation = 8")
    vote(rid, "tom")
    start(rid, [APPROVE])
    psql("update dir.source set generation = 7")
    seen = json.loads(psql("select evidence from ops.vote"))
    assert [x["rule"] for x in seen] == ["approve workers.restart", "group sre"]
    assert seen[0]["decision"]["grant"] == "t-approve-workers.restart" and seen[0]["decision"]["generation"] == 8
    assert [x["decision"]["via"] for x in seen] == [{"direct": True, "group": "sre", "since": 5}] * 2
    for event in ("vote.approve", "request.started"):
        body = psql("select body from ops.audit where request_id = '%s' and event = '%s'" % (rid, event))
        entry = json.loads(body)
        assert json.dumps(entry, sort_keys=True, separators=(",", ":")) == body
        assert (entry["facts"]["decisions"] == seen) if event == "vote.approve" else entry["decision"]["generation"] == 8


def test_evidence_of_a_refusal():
    psql("insert into authz.group_owner select group_id, 'dia@example.com' from dir.grp where name_key = 'sre'")
    rid = "RTno"
    assert psql(receive(rid, user="U-ben", email="ben@example.com", action="workers.restart", risk=2, scope='{"team":"web"}'),
                SERVICE) == "denied no_matching_grant"
    detail = json.loads(psql("select detail from ops.request where id = '%s'" % rid))
    assert detail["groups"] == ["sre"] and detail["owners"] == ["dia@example.com"] and detail["people"] == ["Sam", "Tom"]
    assert detail["scope"] == "team=ads" and detail["link"]["how"] == "email"


# groups of which nobody knows who is in them

def unread(group):
    psql("update dir.grp set in_scope_since_gen = null where name_key = '%s';"
         " delete from dir.membership where group_id = (select group_id from dir.grp where name_key = '%s')" % (group, group))


@pytest.mark.parametrize("rule", [{"need": 1, "group": "sre"}, {"need": 1, "can_approve": "workers.restart"}])
def test_approvers_whom_nobody_knows_yet(rule):
    """Who may approve is not known: it is said so, and nobody is taken for an approver or for none."""
    rid = allowed("ana")
    assert ask(rid, [rule]) == "approving"
    unread("sre")
    assert vote(rid, "sam") == "not_approver"
    assert start(rid, [rule]) == "approving"
    rid = allowed("ana")
    assert ask(rid, [rule]) == "denied too_few_approvers"
    detail = json.loads(psql("select detail from ops.request where id = '%s'" % rid))
    assert detail["rule"]["unread"] == ["sre"] and detail["rule"]["have"] == 0
    found = psql("select unread from ops.approval_deadlocks('[%s]')" % json.dumps(
        {"command": "c", "action": "workers.restart", "risk": 2, **rule}))
    assert "sre" in found


def test_a_vote_of_a_group_that_is_not_read_any_more_does_not_count():
    rid = allowed("ana")
    assert ask(rid, [{**APPROVE, "need": 2}]) == "approving"
    assert vote(rid, "sam") == "approving"
    assert vote(rid, "tom") == "allowed"
    unread("sre")
    assert start(rid, [{**APPROVE, "need": 2}]) == "approving"


def test_forbid_to_a_group_that_is_not_read_stops_the_start():
    rid = allowed("ana")
    unread("audit")
    psql("""insert into authz.permit (stable_key, effect, capability, action_id, group_id, origin, revision) select 't-no', 'forbid',
        'request', a.action_id, g.group_id, 'file', 93 from authz.action a, dir.grp g
        where a.name = 'workers.restart' and g.name_key = 'audit'""")
    assert start(rid) == "denied members_unknown"
    # nor may anybody approve, under any rule
    assert ask(allowed("ana", action="workers.scale", risk=1, scope='{"team":"ads","count":1}'), [APPROVE]) \
        == "denied too_few_approvers"
    assert "workers.restart" not in psql("select ops.may('T1', 'U-ana')", SERVICE)


def test_chat_gives_no_right_to_a_group_that_is_not_read():
    rid = allowed("ana")
    what = "select ops.access_plan(q, '%s', '{\"who\":\"group:audit\",\"action\":\"workers.scale\",\"for\":3600,"
    what += "\"where\":{\"team\":\"ads\"}}') from ops.request q where q.id = '%s'"
    assert "refused" not in json.loads(psql(what % ("grant", rid)))
    unread("audit")
    assert "Nobody knows yet who is in group audit" in json.loads(psql(what % ("grant", rid)))["refused"]
    assert "everybody is blocked" in json.loads(psql(what % ("suspend", rid)))["warnings"][0]


# roles, over everything that the catalog has

def may(role, what, where):
    """Tables of these schemas on which the role has one of these privileges."""
    return psql("select coalesce(string_agg(c.oid::regclass::text, ' ' order by 1), '') from pg_class c"
                " join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p', 'v') and n.nspname in (%s)"
                " and (has_table_privilege('%s', c.oid, '%s') or has_any_column_privilege('%s', c.oid, '%s'))"
                % (where, role, what, role, what.replace(",DELETE", "").replace(",TRUNCATE", ""))).split()


WRITE = "INSERT,UPDATE,DELETE,TRUNCATE"
ALL = "'dir', 'authz', 'ops'"


def test_service_reaches_no_table_at_all():
    assert int(psql("select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p')"
                    " and n.nspname in (%s)" % ALL)) > 40
    assert may("opsd_service", "SELECT," + WRITE, ALL) == []


def test_who_writes_what():
    assert may("opsd_sync", WRITE, "'authz', 'ops'") == []
    assert may("opsd_grants", WRITE, "'dir', 'ops'") == []
    assert may("opsd_auditor", WRITE, ALL) == []
    for role in ("opsd_service", "opsd_sync", "opsd_grants", "opsd_auditor"):
        assert [t for t in may(role, WRITE, "'ops'") if "audit" in t] == []
    assert "dir.membership" in may("opsd_sync", WRITE, "'dir'") and "authz.permit" in may("opsd_grants", WRITE, "'authz'")


def test_service_calls_nothing_of_the_directory_or_the_grants():
    called = psql("select coalesce(string_agg(p.oid::regprocedure::text, ' '), '') from pg_proc p join pg_namespace n"
                  " on n.oid = pronamespace where nspname in ('dir', 'authz') and has_function_privilege('opsd_service', p.oid,"
                  " 'execute')")
    assert called == ""
    assert psql("select coalesce(string_agg(p.oid::regprocedure::text, ' '), '') from pg_proc p join pg_namespace n"
                " on n.oid = pronamespace where nspname in ('authz') and has_function_privilege('opsd_sync', p.oid, 'execute')") == ""
