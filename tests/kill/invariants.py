# SPDX-License-Identifier: Apache-2.0
"""What must hold whenever all is at rest, whatever was killed before; docs/invariants.md has the same names.

check(town, since, envelopes) gives the violations of everything since that time of the database: what the tables say,
what Slack, the cluster and the platform have on record, and whether they agree."""

import json
from collections import Counter

from sandbox.world import words

from kill.town import APPROVERS

ENDS = ("succeeded", "failed", "denied", "rejected", "expired", "cancelled")
# The state that an entry of the audit log leaves behind.
LEAVES = {"request.received": "received", "request.allowed": "allowed", "request.offered": "confirming",
          "request.confirmed": "confirming", "request.asked": "approving", "request.escalated": "approving",
          "request.approved": "allowed", "request.approval_lost": "approving", "request.started": "running", "request.repeated": "running",
          "request.scheduled": "scheduled", "request.postponed": "scheduled", "request.extended": "scheduled", "request.due": "allowed",
          "request.unknown": "unknown", "request.reminded": "unknown", **{f"request.{s}": s for s in ENDS}}
TAKEN_BACK = "request.disowned"     # a click: confirming; a vote: approving

# name -> rows that must not be; $1: since when
SQL = {
    "open-has-timer": """
        select id, state::text from ops.request where created_at >= $1
        and ((state <= 'unknown') <> (wake_at is not null) or (state <= 'unknown') <> (finished_at is null))""",
    "ends": """
        select id, state::text, text from ops.request where created_at >= $1 and state < 'unknown'
        and not (kind = 'revert' and state in ('scheduled', 'confirming'))""",
    "one-undo": """
        select undoes as id, count(*) from ops.request where created_at >= $1 and kind = 'undo' and state <= 'succeeded'
        group by undoes having count(*) > 1""",
    "one-request-per-intent": """
        select text as id, count(*) from ops.request where created_at >= $1 and text like 'kill %' group by text
        having count(*) > 1""",
    "request-has-delivery": """
        select id, envelope_id from ops.request r where created_at >= $1 and not exists (
            select 1 from ops.delivery d where d.request_id = case r.kind when 'revert' then r.undoes else r.id end
            and d.envelope_id = r.envelope_id)""",
    "unknown-has-evidence": """
        select id, error from ops.request r where created_at >= $1 and state = 'unknown' and not exists (
            select 1 from ops.step s where s.request_id = r.id and s.state = 'unknown')""",
    "success-has-evidence": """
        select id, text from ops.request r where created_at >= $1 and state = 'succeeded' and risk > 0 and exists (
            select 1 from ops.step s where s.request_id = r.id and s.state <> 'applied')""",
    "step-is-over": """
        select s.request_id as id, s.attempt, s.state::text from ops.step s join ops.request r on r.id = s.request_id
        where r.created_at >= $1 and s.state = 'intent'""",
    "one-step-per-claim": """
        select request_id as id, count(*) from ops.step where intent_at >= $1 group by request_id, fence having count(*) > 1""",
    "one-change-per-target": """
        select target as id, count(*) from ops.step where intent_at >= $1 and state in ('intent', 'unknown') and target is not null
        group by target having count(*) > 1""",
    "step-has-entry": """
        select s.request_id as id, s.attempt from ops.step s where s.intent_at >= $1 and not exists (
            select 1 from ops.audit a where a.request_id = s.request_id and a.event = 'request.started'
            and a.xid = (select b.xid from ops.audit b where b.request_id = s.request_id and b.event = 'request.started'
                         order by b.id offset s.attempt - 1 limit 1))""",
    "started-was-allowed": """
        select a.request_id as id from ops.audit a join ops.request r on r.id = a.request_id
        where a.at >= $1 and a.event = 'request.started' and not exists (
            select 1 from ops.audit b where b.request_id = case r.kind when 'revert' then r.undoes else r.id end
            and b.event = 'request.allowed' and b.id < a.id)""",
    "confirmed-before-started": """
        select a.request_id as id from ops.audit a join ops.request r on r.id = a.request_id
        where a.at >= $1 and a.event = 'request.started' and r.risk >= 2 and not exists (
            select 1 from ops.audit b where b.request_id = case when r.kind = 'revert' and r.plan -> 'foreign' is null
            then r.undoes else r.id end and b.event = 'request.confirmed' and b.id < a.id)""",
    "temporary-has-revert": """
        select id, state::text from ops.request r where created_at >= $1 and ends_at is not null and state in ('succeeded', 'unknown')
        and exists (select 1 from ops.step s where s.request_id = r.id)
        and 1 <> (select count(*) from ops.request v where v.undoes = r.id and v.kind = 'revert')""",
    "revert-in-time": """
        select a.request_id as id from ops.audit a join ops.request r on r.id = a.request_id
        where a.at >= $1 and a.event = 'request.started' and r.kind = 'revert' and a.at < r.starts_at and not exists (
            select 1 from ops.audit b where b.request_id = r.id and b.event = 'request.due' and b.body::json -> 'evidence' -> 'person'
            is not null)""",
    "frozen-starts-nothing": """
        select a.request_id as id, f.at from ops.audit f join ops.audit a on a.event = 'request.started' and a.id > f.id
        join ops.request r on r.id = a.request_id
        where f.at >= $1 and f.event = 'freeze.set'
        and r.plan -> 'target' ->> 'namespace' = f.body::json -> 'facts' -> 'what' ->> 'namespace'
        and not exists (select 1 from ops.audit u where u.event = 'freeze.lifted' and u.request_id = f.request_id and u.id < a.id)""",
    # an approval counts for one person, one plan, one round, in time
    "approvals-are-enough": """
        select a.request_id as id, s.approved_by from ops.audit a
        cross join lateral (select a.body::json -> 'evidence' as e) y
        cross join lateral (select coalesce(e ->> 'approved_by', '[]') as approved_by, e ->> 'digest' as digest) s
        where a.at >= $1 and a.event = 'request.started' and a.body::json -> 'facts' ->> 'command' = 'kill gate' and 2 > (
            select count(distinct v.person_id) from json_array_elements_text(s.approved_by::json) p
            join ops.vote v on v.request_id = a.request_id and v.person_id = p::bigint and v.decision = 'approve'
                and v.digest = s.digest and v.voted_at < a.at and v.person_id <> a.person_id)""",
    "approval-of-this-plan": """
        select v.request_id as id, v.round, v.slack_user from ops.vote v join ops.approval a using (request_id, round)
        join ops.request r on r.id = v.request_id where r.created_at >= $1 and v.digest <> a.digest""",
    "approval-in-time": """
        select v.request_id as id, v.round, v.slack_user, v.voted_at, a.expires_at, r.finished_at from ops.vote v
        join ops.approval a using (request_id, round) join ops.request r on r.id = v.request_id
        where r.created_at >= $1 and (v.voted_at > a.expires_at or v.voted_at > r.finished_at)""",
    "nobody-approves-their-own": """
        select v.request_id as id, v.slack_user from ops.vote v join ops.request r on r.id = v.request_id
        where r.created_at >= $1 and v.person_id = r.person_id""",
    "vote-has-entry": """
        select v.request_id as id, v.slack_user from ops.vote v join ops.request r on r.id = v.request_id
        where r.created_at >= $1 and not exists (select 1 from ops.audit a where a.request_id = v.request_id
            and a.person_id = v.person_id and a.event = 'vote.' || v.decision
            and a.body::json -> 'facts' ->> 'envelope' = v.envelope_id)""",
    "plans-were-asked": """
        select r.id from ops.request r where r.created_at >= $1 and exists (
            select 1 from ops.step s where s.request_id = r.id) and exists (
            select 1 from ops.approval a where a.request_id = r.id) and r.digest is distinct from (
            select a.digest from ops.approval a where a.request_id = r.id order by a.round desc limit 1)""",
    "secrets-are-gone": """
        select id, state::text from ops.request where created_at >= $1 and response_url is not null and wake_at is null""",
    "nothing-owed": """
        select id, kind::text, request_id, last_error from ops.message where created_at >= $1 and due_at is not null""",
    "nothing-dead": """
        select id, kind::text, request_id, last_error from ops.message where created_at >= $1 and dead_at is not null""",
    "delivered-has-time": """
        select id, kind::text from ops.message where created_at >= $1 and kind = 'audit' and ts is null""",
    "fence-grows": """
        select request_id as id from (select request_id, (body::json ->> 'fence')::bigint as fence, lag((body::json ->> 'fence')::bigint)
            over (partition by request_id order by id) as before from ops.audit
            where at >= $1 and event like 'request.%' and event <> 'request.late_answer') x where fence < before""",
    "claims-differ": """
        select request_id as id, fence from (select request_id, body::json ->> 'fence' as fence from ops.audit
            where at >= $1 and event = 'request.taken_over') x group by request_id, fence having count(*) > 1""",
}


def entries(town, since):
    """What the audit log says of each request, oldest first."""
    out = {}
    for row in town.sql("select request_id, event, at, extract(epoch from at) as s from ops.audit where at >= $1 "
                        "and request_id is not null order by id", since):
        out.setdefault(row["request_id"], []).append((row["event"], float(row["s"])))
    return out


def audit_agrees(requests, log):
    """Each request: its last entry leaves its state, and it ended once."""
    for r in requests:
        events = [e for e, _ in log.get(r["id"], [])]
        states = [LEAVES.get(e) or ("approving" if "request.asked" in events else "confirming")
                  for e in events if e in LEAVES or e == TAKEN_BACK]
        if not states or states[0] not in ("received", "allowed", "denied", "rejected", "scheduled"):
            yield "begins-in-audit", f"{r['id']} {events}"
            continue
        last = states[-1]
        if last != r["state"] and not (r["state"] == "running" and r["risk"] == "0" and last == "allowed"):
            yield "state-is-last-entry", f"{r['id']} is {r['state']}, its log says {events}"
        ended = [s for s in states if s in ENDS]
        if len(ended) > 1 or (ended and states[-1] not in ENDS):
            yield "ends-once", f"{r['id']} {events}"


def effects(town):
    """(request, what, when, key) of everything that was done outside."""
    for r in list(town.cluster.requests):
        if r["verb"] in ("patch", "update", "create", "delete") and not r["dry_run"] and (r["status"] or 599) < 300:
            notes = ((r["body"] or {}).get("metadata") or {}).get("annotations") or {}
            yield notes.get("opsd/last-request"), f"{r['verb']} {r['ns']}/{r['name']}", r["at"], "conditional"
    for r in list(town.platform.requests):
        if r["method"] == "POST":
            yield r["headers"].get("idempotency-key"), f"POST {r['path']}", r["at"], "call"


def effects_agree(town, requests, log, since):
    rows = {r["id"]: r for r in requests}
    steps = {}
    for s in town.sql("select request_id, effect::text as effect, state::text as state, extract(epoch from intent_at) as s "
                      "from ops.step where intent_at >= $1 order by attempt", since):
        steps.setdefault(s["request_id"], []).append(s)
    done = {}
    for rid, what, at, kind in effects(town):
        if at < town.began:
            continue
        if rid not in rows:
            yield "effect-has-request", f"{what} was done for {rid}, of which there is no row"
            continue
        done.setdefault(rid, []).append((what, at, kind))
    for rid, what in done.items():
        first = min(at for _, at, _ in what)
        mine = steps.get(rid, [])
        effect = mine[0]["effect"] if mine else "none"
        if not mine or float(mine[0]["s"]) > first:
            yield "intent-before-effect", f"{rid} {rows[rid]['text']}: {what} without an intent before it"
        if not any(e == "request.started" and s <= first for e, s in log.get(rid, [])):
            yield "entry-before-effect", f"{rid} {rows[rid]['text']}: {what} without an entry before it"
        if effect in ("conditional", "once") and len(what) > 1:
            yield "effect-once", f"{rid} ({effect}) {rows[rid]['text']}: {what}"
        if rows[rid]["state"] in ("denied", "rejected", "expired", "cancelled"):
            yield "no-effect-of-refused", f"{rid} is {rows[rid]['state']}: {what}"
        if rows[rid]["state"] == "failed" and effect == "conditional":
            yield "failed-means-not-done", f"{rid} failed: {what}"
    for rid, mine in steps.items():
        if rid in rows and rows[rid]["state"] == "succeeded" and mine and rid not in done:
            yield "success-has-effect", f"{rid} {rows[rid]['text']} succeeded and nothing was done"
    tasks = Counter(k for k in town.platform.keys)
    for key, n in tasks.items():
        if n > 1:
            yield "key-once", f"{key} made {n} tasks"


def set_back(town, requests):
    """A change is set back once, by itself or by hand; and what somebody else has set since only when its owner says so."""
    rows = {r["id"]: r for r in requests}
    last, done = {}, Counter()
    foreign = [(at, name, None) for at, name in town.foreign]
    ours = [(at, what.partition(" ")[2], rid) for rid, what, at, kind in effects(town) if kind == "conditional" and at >= town.began]
    for at, name, rid in sorted(foreign + ours, key=lambda x: x[0]):
        row = rows.get(rid) or {}
        if row.get("undoes"):
            done[row["undoes"]] += 1
            if last.get(name) != row["undoes"] and not town.sql(
                    "select 1 from ops.audit where request_id = $1 and event = 'request.confirmed' and at < to_timestamp($2::float8)",
                    rid, repr(at)):
                yield "set-back-is-ours", f"{rid} set {name} back, which {last.get(name)} had set, not {row['undoes']}"
        last[name] = rid
    for rid, n in done.items():
        if n > 1:
            yield "set-back-once", f"{rid} was set back {n} times"


def told(town, since, requests):
    """The audit channel and the people."""
    posts = Counter()
    for m in list(town.standin.store.of("C0AUDIT").values()):
        if m.deleted:
            continue
        payload = (m.body.get("metadata") or {}).get("event_payload") or {}
        posts.update(payload.get("messages") or [])
    owed = town.sql("select id, request_id, kind::text as kind, delivered_at from ops.message where created_at >= $1", since)
    for row in owed:
        if row["kind"] == "audit" and row["delivered_at"] and posts[int(row["id"])] != 1:
            yield "audit-post-once", f"message {row['id']} of {row['request_id']} was posted {posts[int(row['id'])]} times"
    mine = Counter((row["request_id"], row["kind"]) for row in owed)
    heard = "\n".join(words(m.body) for channel in ("C0OPS", "D00ANA") for m in list(town.standin.store.of(channel).values()))
    for r in requests:
        if r["state"] in ENDS or r["state"] == "unknown":
            if mine[r["id"], "audit"] < 1 and r["error"] != "disowned":
                disowned = r["state"] == "cancelled" and not mine[r["id"], "reply"]
                if not disowned:
                    yield "outcome-is-announced", f"{r['id']} {r['text']} ({r['state']}) owes nothing to the audit channel"
        if mine[r["id"], "reply"] and r["id"] not in heard and r["state"] != "succeeded":
            yield "requester-is-answered", f"{r['id']} {r['text']} ({r['state']}): nobody was told"


def votes_are_clicks(town, since):
    """Behind each vote is a click of that person, on a button of that request and that plan."""
    for v in town.sql("select v.* from ops.vote v join ops.request r on r.id = v.request_id where r.created_at >= $1", since):
        env = town.envelope(v["envelope_id"])
        if env is None:
            yield "vote-has-click", f"{v['request_id']}: nobody clicked {v['envelope_id']}"
            continue
        form = env.payload.get("view") or {}
        button = form.get("private_metadata") or env.payload["actions"][0]["value"]
        action = "deny" if form else env.payload["actions"][0]["action_id"]
        if (env.who, button, action) != (v["slack_user"], f"{v['request_id']} {v['digest']}", v["decision"]):
            yield "vote-has-click", f"{v} is not what {env.who} clicked: {action} {button}"
        if v["slack_user"] not in APPROVERS:
            yield "approver-is-entitled", f"{v}"


def cards(town, since, requests):
    """Each card was posted once, and says what became of the request."""
    posts, open_ = Counter(), set()
    for m in list(town.standin.store.of("C0APPROVE").values()):
        if m.deleted or m.only_for:
            continue
        ids = ((m.body.get("metadata") or {}).get("event_payload") or {}).get("messages") or []
        posts.update(ids)
        if '"action_id": "approve"' in json.dumps(m.body.get("blocks") or []):
            open_.update(ids)
    rows = {r["id"]: r for r in requests}
    for row in town.sql("select id, request_id, delivered_at from ops.message where created_at >= $1 and kind = 'card'", since):
        if row["delivered_at"] and posts[int(row["id"])] != 1:
            yield "card-post-once", f"card {row['id']} of {row['request_id']} was posted {posts[int(row['id'])]} times"
        if int(row["id"]) in open_ and rows.get(row["request_id"], {}).get("state") in ENDS:
            yield "card-says-the-end", f"card {row['id']} of {row['request_id']} still has buttons"


def acknowledged(town, since, envelopes, requests, log):
    """What Slack was told at once must be so; that nothing happens, until the person says otherwise by a button."""
    by_envelope = {}
    for d in town.sql("select envelope_id, request_id, disowned from ops.delivery where received_at >= $1", since):
        by_envelope[d["envelope_id"]] = d
    rows = {r["id"]: r for r in requests}
    touched = {rid for rid, _, at, _ in effects(town) if at >= town.began}
    # the acknowledgement of a click carries no words: they come as a message
    said = any("othing was recorded" in words(m.body) for m in list(town.standin.store.of("C0OPS").values()))
    for eid in envelopes:
        env = town.envelope(eid)
        if env is None or env.acked is None or env.late:
            continue
        says = words(env.ack)
        d = by_envelope.get(eid)
        if "othing was recorded" in says:
            row = rows.get(d["request_id"]) if d else None
            asked = row and any(e == "request.confirmed" for e, _ in log.get(row["id"], []))
            if row and row["envelope_id"] == eid and row["id"] in touched and not asked:
                yield "unrecorded-stays-undone", f"{eid} was told that nothing was recorded, and {row['id']} is {row['state']}"
        elif d is None and not (said and env.type != "slash_commands") and not any(r["text"] and r["text"] in env.payload.get("text", "") for r in requests):
            yield "acknowledged-is-recorded", f"{eid} {env.payload.get('text')} was acknowledged: {says!r}"


def check(town, since, envelopes=()):
    out = []
    for name, query in SQL.items():
        out += [f"{name}: {json.dumps(row)}" for row in town.sql(query, since)]
    requests = town.sql("select * from ops.request where created_at >= $1 order by created_at", since)
    log = entries(town, since)
    out += [f"entry-is-canonical: {odd}" for odd in town.odd_entries(since)]
    for name, what in [*audit_agrees(requests, log), *effects_agree(town, requests, log, since),
                       *set_back(town, requests), *told(town, since, requests), *votes_are_clicks(town, since),
                       *cards(town, since, requests), *acknowledged(town, since, envelopes, requests, log)]:
        out.append(f"{name}: {what}")
    return out
