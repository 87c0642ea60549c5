# SPDX-License-Identifier: Apache-2.0
"""tests/bench/run.sh --rights [OPTIONS]: what a decision and the choice of approvers cost beside the directory of a
large company. It is made in SQL: how it comes there is what --directory measures."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from sandbox.postgres import Postgres

ROOT = Path(__file__).resolve().parent.parent.parent
AIMS_MS = {"decide": 1, "approvers": 15}    # of the mean; the second wherever at most 1,000 people could be asked
SETTINGS = "shared_buffers = 512MB\nmax_wal_size = 4GB\nautovacuum = off\n"
CONFIG = """
slack: {app_token: {env: A}, bot_token: {env: B}, audit_channel: C0AUDIT}
database: {url: {env: D}, owner_url: {env: D}}
"""
# Groups of 100 on average, but for three: team-1 has 1,000 members, team-2 10,000, team-3 100 that Slack does not know.
# Nine of ten people have a link; one in twenty has left.
FILL = """
insert into dir.source (name, kind, generation, fetch_started_at) values ('company', 'file', 1, clock_timestamp());
insert into dir.person (source_id, external_id, state, kind, display_name, first_gen, last_gen)
	select s.source_id, 'u' || n, case when n %% 20 = 0 then 'suspended' else 'active' end, 'human', 'Person ' || n, 1, 1
	from dir.source s, generate_series(1, %(people)d) n order by n;
insert into dir.grp (source_id, external_id, name_key, state, in_scope_since_gen, first_gen, last_gen)
	select s.source_id, 'g' || n, 'team-' || n, 'active', 1, 1, 1 from dir.source s, generate_series(1, %(groups)d) n order by n;
select setseed(0.5);
insert into dir.membership (person_id, group_id, direct, since_gen)
	select 1 + floor(random() * %(people)d)::bigint, z.n, true, 1
	from (select n, (1 - ln(1 - random()) * (%(memberships)d / %(groups)d - 1))::integer as size
			from generate_series(4, %(groups)d) n offset 0) z, generate_series(1, z.size) on conflict do nothing;
insert into dir.membership (person_id, group_id, direct, since_gen)
	select 7 * n, 1, true, 1 from generate_series(1, 1000) n union all
	select 3 * n, 2, true, 1 from generate_series(1, 10000) n union all
	select 10 * n + 1, 3, true, 1 from generate_series(1, 100) n;
insert into ops.link (slack_team, slack_user, person_id, email_key, how)
	select 'T1', 'U' || n, n, 'p' || n || '@example.com', 'email' from generate_series(1, %(people)d) n where n %% 10 <> 1;
insert into authz.action (name, risk) select 'act.n' || n, 1 from generate_series(1, 200) n;
insert into authz.action_param (action_id, param, type) select action_id, 'team', 'enum' from authz.action;
insert into authz.revision values (1, 'abc', '{sam}', 'ben', default, '\\x01');
-- act.n1 to act.n3: approved by team-1 to team-3; act.n4: by team-2, of which team-1 is forbidden; act.n5: by team-4, and by
-- team-2 elsewhere; every other by ten groups
insert into authz.permit (stable_key, effect, capability, action_id, group_id, origin, revision)
	select 'request-' || a.action_id || '-' || g, 'allow', 'request', a.action_id, 10 * a.action_id + g, 'file', 1
		from authz.action a, generate_series(1, 10) g
	union all
	select 'approve-' || a.action_id || '-' || g, 'allow', 'approve', a.action_id, 20 * a.action_id + g, 'file', 1
		from authz.action a, generate_series(1, 10) g where a.action_id > 5
	union all
	select 'approve-' || x.a || '-' || x.g, x.effect, 'approve', x.a, x.g, 'file', 1 from (values (1, 1, 'allow'), (2, 2, 'allow'),
		(3, 3, 'allow'), (4, 2, 'allow'), (4, 1, 'forbid'), (5, 4, 'allow'), (5, 2, 'allow')) x(a, g, effect);
insert into authz.permit_scope (grant_id, param, any_value, values_)
	select grant_id, 'team', case when stable_key <> 'approve-5-2' then true else false end,
		case when stable_key = 'approve-5-2' then '{elsewhere}'::text[] end from authz.permit;
"""
ASK = "ops.approvers('R{n}', '{rule}', '{action}', '{{\"team\":\"ads\"}}', 1, '{{1}}', 5)"
RULE = '{{"need":1,"can_approve":"{0}"}}'
# name -> (people who could be asked, rule, action)
APPROVERS = {
    "approvers: 10 groups of 100": (1000, RULE.format("act.n9"), "act.n9"),
    "approvers: 1,000 members": (1000, RULE.format("act.n1"), "act.n1"),
    "approvers: 10,000 members": (10000, RULE.format("act.n2"), "act.n2"),
    "approvers: unknown to Slack": (100, RULE.format("act.n3"), "act.n3"),
    "approvers: with a forbid": (10000, RULE.format("act.n4"), "act.n4"),
    "approvers: a scope elsewhere": (100, RULE.format("act.n5"), "act.n5"),
    "approvers: a rule's group": (1000, '{"need":1,"group":"team-1"}', "act.n9"),
}


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh --rights")
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--memberships", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--strict", action="store_true", help="exit 1 when an aim is missed")
    options = parser.parse_args()
    if options.people < 30_000 or options.groups < 5_000:
        parser.error("not fewer than 30000 people and 5000 groups: the grants name some of each")
    return options


def make(postgres, options):
    database = postgres.create()
    config = postgres.home / "opsd.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    subprocess.run([os.environ.get("OPSD") or ROOT / "build" / "opsd", "--config", config, "migrate"], check=True, timeout=60,
                   stdout=subprocess.DEVNULL, env={**os.environ, "A": "xapp-1", "B": "xoxb-1", "D": postgres.url(database, "owner")})
    postgres.psql(FILL % vars(options), database, timeout=600)
    postgres.psql("vacuum analyze", database, timeout=600)
    return database


def timed(session, call, calls):
    """Milliseconds of each call; each one asks about something else."""
    taken = []
    for n in range(calls):
        text = call(n)
        begun = time.perf_counter_ns()
        session.rows(text)
        taken.append((time.perf_counter_ns() - begun) / 1e6)
    return taken


def decide(n):
    return f"select * from authz.decide({1 + n * 997 % 29_000}, 'request', 'act.n{1 + n % 200}', '{{\"team\":\"ads\"}}', 1)"


def measure(session, options):
    calls = {"decide": decide}
    for name, (_, rule, action) in APPROVERS.items():
        calls[name] = lambda n, rule=rule, action=action: "select * from " + ASK.format(n=n, rule=rule, action=action)
    rows = []
    for name, call in calls.items():
        timed(session, call, 10)        # plans and pages are there
        taken = sorted(timed(session, call, options.calls))
        judged = name == "decide" or APPROVERS[name][0] <= 1000
        rows.append({"what": name, "mean_ms": round(statistics.mean(taken), 2), "median_ms": round(statistics.median(taken), 2),
                     "p99_ms": round(taken[int(len(taken) * 0.99) - 1], 2),
                     "aim_ms": AIMS_MS[name.partition(":")[0]] if judged else None})
    return rows


def main():
    options = arguments()
    with Postgres(fsync=False, settings=SETTINGS) as postgres:
        database = make(postgres, options)
        with postgres.session(database) as session:
            session.run("set jit = off; set plan_cache_mode = force_generic_plan")
            there = session.row("select (select count(*) from dir.person) as people, (select count(*) from dir.grp) as groups, "
                                "(select count(*) from dir.membership) as memberships")
            rows = measure(session, options)
    if options.json:
        print(json.dumps({"rows": rows, **there}))
    else:
        print(f"{there['people']} people, {there['groups']} groups, {there['memberships']} memberships; "
              f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        for r in rows:
            print(f"{r['what']:<32}mean {r['mean_ms']:>7.2f} ms   median {r['median_ms']:>7.2f}   p99 {r['p99_ms']:>7.2f}"
                  + (f"   aim {r['aim_ms']} ms" if r["aim_ms"] else ""))
    missed = [r for r in rows if r["aim_ms"] and r["mean_ms"] > r["aim_ms"]]
    for r in missed:
        print(f"MISSED {r['what']}: {r['mean_ms']} ms, aim {r['aim_ms']} ms", file=sys.stderr)
    return 1 if missed and options.strict else 0


if __name__ == "__main__":
    sys.exit(main())
