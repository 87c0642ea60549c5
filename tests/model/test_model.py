# SPDX-License-Identifier: Apache-2.0
"""The model holds, sees what is left out of it, and agrees with the table; the table agrees with the code and the SQL."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))

import states  # noqa: E402
from sandbox.postgres import Postgres, PostgresError  # noqa: E402

TABLE = states.table()
MODEL = (HERE / "request.pml").read_text(encoding="utf-8")
BOOT = "00000000-0000-4000-8000-000000000001"
HOW_LONG = 600


def verify(folder, *options, model="request.pml"):
    """What pan says; options: the -D of the model."""
    def run(*args):
        done = subprocess.run(args, cwd=folder, capture_output=True, text=True, timeout=HOW_LONG, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    run("spin", "-a", *options, str(HERE / model))
    run("gcc", "-O1", "-w", "-DSAFETY", "-o", "pan", "pan.c")
    return run("./pan", "-m200000")


@pytest.mark.parametrize("rule", [[], ["-DRULE"]], ids=["alone", "approved"])
def test_the_protocol_holds(tmp_path, rule):
    said = verify(tmp_path, *rule)
    assert "errors: 0" in said and "Search not completed" not in said, said[-3000:]
    assert int(re.search(r"(\d+) states, stored", said)[1]) > 50_000
    lost = re.findall(r"request.pml:\d+, state \d+, \"effects = .*", said)
    assert not lost, "the effect is never reached"


LEFT_OUT = re.findall(r"^ \*   (-D[-A-Z D]+?)  +", MODEL.partition("Left out,")[2], re.M)


@pytest.mark.parametrize("without", LEFT_OUT)
def test_what_is_left_out_is_found(tmp_path, without):
    said = verify(tmp_path, *without.split())
    assert "errors: 1" in said and "assertion violated" in said


def test_a_revert_holds(tmp_path):
    said = verify(tmp_path, model="revert.pml")
    assert "errors: 0" in said and "Search not completed" not in said, said[-3000:]
    assert not re.findall(r"revert.pml:\d+, state \d+, \"value = 0", said), "the effect is never reached"


@pytest.mark.parametrize("without", ["NOFOREIGN", "NOMARK", "NOFENCE"])
def test_what_a_revert_lacks_is_found(tmp_path, without):
    said = verify(tmp_path, "-D" + without, model="revert.pml")
    assert "errors: 1" in said and "assertion violated" in said


def test_what_holds_changes_back_holds(tmp_path):
    said = verify(tmp_path, model="hold.pml")
    assert "errors: 0" in said and "Search not completed" not in said, said[-3000:]


@pytest.mark.parametrize("without", ["NOLOCK", "NOINDEX"])
def test_what_is_left_out_of_holding_is_found(tmp_path, without):
    said = verify(tmp_path, "-D" + without, model="hold.pml")
    assert "errors: 1" in said and "assertion violated" in said


def test_model_has_the_moves_of_the_table():
    begun = set(re.findall(r"MOVE\(none, (\w+)\)", MODEL))
    assert begun == set(TABLE["begin"]) - {"running", "scheduled"}     # a read is not in the model, a revert in revert.pml
    mine = {(a, b) for a, b in re.findall(r"MOVE\((\w+), (\w+)\)", MODEL) if a in TABLE["states"] and b in TABLE["states"]}
    ends = set(re.findall(r"settle\((\w+)\)", MODEL)) - {"to_state"}
    for begin in re.findall(r"MOVE\((\w+), to_state\)", MODEL):
        mine |= {(begin, end) for end in ends if end != "unknown" or begin == "running"}
    known = {(a, b) for _, a, b in states.moves()}
    assert not mine - known, f"moves of the model that the table does not have: {mine - known}"
    # what the model leaves out: reads, and ends that have no effect either way
    left = {(a, b) for a, b in known - mine if a != b}
    assert {b for _, b in left} <= {"running", "failed", "denied", "rejected", "expired", "cancelled", "unknown"}, left


def test_page_is_fresh():
    assert states.PAGE.read_text(encoding="utf-8") == states.page(), "run tests/model/states.py --write"


def test_names_agree():
    names = list(TABLE["states"])
    header = (ROOT / "include/core/request.h").read_text(encoding="utf-8")
    body = re.search(r"enum request_state \{(.*?)\n\};", header, re.S)[1]
    assert [n.lower() for n in re.findall(r"REQUEST_([A-Z]+)", body)] == names
    sql = "".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "sql/migrations").glob("*.sql")))
    enum = re.search(r"create type ops.state as enum \((.*?)\)", sql, re.S)[1]
    words = re.findall(r"'(\w+)'", enum)
    for word, after in re.findall(r"alter type ops.state add value '(\w+)' after '(\w+)'", sql):
        words.insert(words.index(after) + 1, word)
    assert words == names
    assert set(re.search(r"mtype = \{(.*?)\}", MODEL, re.S)[1].replace(" ", "").split(",")) == {"none", *names}


def test_steps_agree():
    op = (ROOT / "src/core/op.c").read_text(encoding="utf-8")
    body = re.search(r"static enum op_step next_of_state\(.*?\n\}", op, re.S)[0]
    found, waiting = {}, []
    for line in body.splitlines():
        case = re.search(r"case REQUEST_(\w+):", line)
        step = re.search(r"return OP_(\w+);", line)
        if case:
            waiting.append(case[1].lower())
        elif waiting and (step or "break" in line):
            found.update((s, step[1].lower() if step else "done") for s in waiting)
            waiting = []
    assert {s: step for s, step in found.items() if step != "done"} == {s: a for s, (a, _) in TABLE["steps"].items()}
    assert set(found) == set(TABLE["states"])
    assert {e.lower() for e in re.findall(r"end_as\(op, REQUEST_(\w+)\)", op)} == set(TABLE["ends"])
    ports = (ROOT / "src/app/ports.c").read_text(encoding="utf-8")
    body = re.search(r"static enum op_step first_step\(.*?\n\}", ports, re.S)[0]
    assert re.search(r"case REQUEST_RECEIVED:\s+return OP_PEOPLE;", body)
    assert re.search(r"case REQUEST_ALLOWED:[^;]*return OP_PEOPLE;", body)
    assert re.search(r"case REQUEST_RUNNING:.*?return OP_ACT;.*?return OP_LOOK;", body, re.S)
    assert body.rstrip().endswith("return OP_PLAN;\n}")


# The functions of the database, tried from every state

@pytest.fixture(scope="module")
def db():
    build = Path(os.environ.get("BUILD") or ROOT / "build")
    with Postgres(fsync=False) as postgres:
        name = postgres.create()
        config = postgres.home / "opsd.yaml"
        config.write_text("slack: {app_token: {env: A}, bot_token: {env: B}, audit_channel: C0AUDIT}\n"
                          "database: {url: {env: D}, owner_url: {env: D}}\ncatalog: commands/\n", encoding="utf-8")
        done = subprocess.run([build / "opsd", "--config", config, "migrate"], capture_output=True, text=True, check=False,
                              timeout=HOW_LONG, env={**os.environ, "A": "xapp-1", "B": "xoxb-1", "D": postgres.url(name, "owner")})
        assert done.returncode == 0, done.stdout + done.stderr
        with postgres.session(name) as session:
            # somebody who is known and may nothing; the source is not needed
            session.run("set session_replication_role = replica; "
                        "insert into dir.person (person_id, source_id, external_id, state, first_gen, last_gen) "
                        "overriding system value values (1, 1, 'x', 'active', 1, 1); "
                        "insert into ops.link (slack_team, slack_user, person_id, email_key, how) "
                        "values ('T', 'U', 1, 'x@example.com', 'idp')")
            yield session


ENDS = list(TABLE["states"])[list(TABLE["states"]).index("unknown"):]
RULES = '[{"need": 1, "group": "g"}]'


def calls():
    """function: every way to call it, as SQL; $id is the row's."""
    head = f"'{BOOT}', '{{}}', '$id'"
    settle = [f"ops.settle({head}, 1, '{end}', null, '{{}}', null, null, null, '{{}}', '{{}}', 'C', 2)"
              for end in ENDS]
    confirm = [f"ops.confirm({head}, 'e2', 'd2', 'confirm', 'T', 'U', null, true, 'ok', null, {yes}, 'dig', 'C', 0)"
               for yes in ("true", "false")]
    return {
        "decide_request": [f"ops.decide_request({head}, 1, '{says}', null, 'n', 'C', 0)" for says in ("ok", "guest")],
        "offer": [f"ops.offer({head}, 1, '{{}}', 'dig', '{{}}', 0)"],
        "confirm": confirm,
        "ask": [f"ops.ask({head}, 1, '{{}}', 'dig', '{RULES}', null, 'C', 60, 'C', 0)"],
        "vote": [f"ops.vote({head}, 'e3', 'd3', '{kind}', 'T', 'U', 'ok', null, 'dig', null, 'C', 0)"
                 for kind in ("approve", "deny", "withdraw")],
        "schedule": [f"ops.schedule({head}, 1, '{{}}', 'dig', {error}, 0)" for error in ("null", "'no answer'")],
        "steer": [f"ops.steer({head}, 'e4', 'd4', '{kind}', 'T', 'U', 'ok', null, 'dig', 'C', 0)"
                  for kind in ("extend", "keep", "back", "stop")],
        "start": [f"ops.start({head}, 1, 'k', 'once', null, null, 'dig', {rules}, null, 0, 'C', 0)" for rules in ("null", f"'{RULES}'")],
        "settle": settle,
        "claim_due": [f"ops.claim_due('{BOOT}', '{{}}', 5, 'C')"],
        "disown": [f"ops.disown({head}, 'e', 'd', '{kind}', {click}, false)"
                   for kind, click in (("slash", "true"), ("slash", "false"), ("approve", "true"), ("back", "true"))],
        "resolve_click": [f"ops.resolve_click({head}, 'e4', 'd4', '{kind}', 'T', 'U', null, null, 'ok', null, 'n', 'R2', 'C', 0)"
                          for kind in ("happened", "not_happened", "again")],
        "resolve": [f"ops.resolve('$id', '{end}', 'looked')" for end in ("succeeded", "failed")],
    }


def rows(state):
    """Rows in this state that differ in what the functions look at."""
    open_ = state not in ENDS[1:]
    for risk, claimed, attempts in itertools.product((0, 2), (True, False), (0, 5)):
        if (state == "running" and not claimed) or (state in ("approving", "scheduled") and claimed):
            continue
        for kind in ("slash", "revert"):
            yield {"risk": risk, "claimed": claimed and open_, "attempts": attempts, "open": open_, "kind": kind}


def put(db, state, row):
    db.run("delete from ops.vote; delete from ops.approval; delete from ops.request; delete from ops.delivery; delete from ops.step; delete from ops.message")
    db.rows("""insert into ops.request (id, state, team, slack_user, kind, envelope_id, person_id, command, action, risk, args, scope,
            digest, fence, claimed_by, attempts, wake_at, expires_at, finished_at, starts_at, times, unheard)
        values ('R1', $1::ops.state, 'T', 'U', $7, 'e', 1, 'c', 'a', $2, '{}', '{}', 'dig', 1, $3::uuid, $4,
            case when $5 then clock_timestamp() + $6::interval end, clock_timestamp() + $6::interval,
            case when not $5 then clock_timestamp() end,
            case when $1 = 'scheduled' or $7 = 'revert' then clock_timestamp() + $6::interval end, '{"tz": "UTC", "max_s": 86400}', $7 = 'revert')""",
            state, row["risk"], BOOT if row["claimed"] else None, row["attempts"], row["open"], row["due"], row["kind"])
    db.rows("insert into ops.delivery (dedup, envelope_id, request_id, kind, boot_id) values ('d', 'e', 'R1', 'slash', $1)", BOOT)
    if state in ("allowed", "approving"):
        db.rows("insert into ops.approval (request_id, round, digest, rules, expires_at) "
                "values ('R1', 1, 'dig', $1::jsonb, clock_timestamp() + $2::interval)", RULES, row["due"])
        db.run("insert into ops.vote (request_id, round, person_id, digest, decision, slack_team, slack_user, envelope_id) "
               "values ('R1', 1, 2, 'dig', 'approve', 'T', 'U2', 'e')")
    if state in ("running", "unknown"):
        db.rows("insert into ops.step (request_id, attempt, kind, effect, fence, state, done_at) values ('R1', 1, 'k', 'once', 1, "
                "$1::ops.step_state, case when $1 = 'unknown' then clock_timestamp() end)", "intent" if state == "running" else "unknown")


def test_functions_move_as_the_table_says(db):
    known = states.moves()
    seen = set()
    for state in TABLE["states"]:
        for row, due in itertools.product(list(rows(state)), ("1 hour", "-1 hour")):
            for name, ways in calls().items():
                for way in ways:
                    put(db, state, {**row, "due": due})
                    db.run("begin")
                    try:
                        db.rows(f"select {way.replace('$id', 'R1')}" if name != "decide_request" else
                                f"select * from {way.replace('$id', 'R1')}")
                        after = db.value("select state from ops.request where id = 'R1'")
                    except PostgresError as e:
                        assert "OP011" in str(e) or "is not" in str(e) or "constraint" in str(e) or "end" in str(e), (name, state, e)
                        after = state
                    db.run("rollback")
                    if after != state:
                        seen.add((name, state, after))
                        assert (name, state, after) in known, f"ops.{name} moves {state} to {after}: not in states.yaml ({row}, {due})"
    wanted = {m for m in known if m[1] != m[2]}
    # nobody may anything here: what needs a yes of authz.decide, or to be known to Slack afresh, is seen by tests/kill
    # and tests/sql, as what takes a freeze or a click that nobody heard; arm_revert moves the row beside
    unseen = {m for m in wanted - seen if m[2] not in ("allowed", "running") and m[0] not in ("vote", "steer", "arm_revert", "resolve_click")
              and not (m[0] == "ask" and m[2] == "approving") and not (m[0] in ("start", "claim_due") and m[2] == "scheduled")}
    assert not unseen, f"in states.yaml, and no call did it: {sorted(unseen)}"
