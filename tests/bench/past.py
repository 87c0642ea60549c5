# SPDX-License-Identifier: Apache-2.0
"""What a year of past requests costs the next one: tests/bench/past.sh [--rows 1000000] [--strict | --firm]

Two databases on one server, one empty, one with that many requests that have ended. Each function of a request's life,
and each search of the log, is timed in the server, in turns, so that whatever else the machine does meets both; buffers
are what one call touches, which no busy machine changes. --strict: exit 1 when one takes more than 1.2 times as long
(and 50 us more); --firm: when one touches more than twice as many buffers (and 100 more: trees are higher)."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from sandbox.postgres import Postgres

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RATIO, GRACE_US = 1.2, 50
FIRM, FIRM_GRACE = 2, 100
BOOT = "'00000000-0000-4000-8000-00000000000a'"
ME = f"{BOOT}, '{{\"boot\":\"a\"}}'"
SERVER = """
shared_buffers = 256MB
max_wal_size = 8GB
checkpoint_timeout = 30min
autovacuum = off
jit = off
"""
CONFIG = """
slack: {app_token: {env: A}, bot_token: {env: B}, audit_channel: C0AUDIT}
database: {url: {env: D}, owner_url: {env: D}}
catalog: commands/
"""

# name -> SQL of one call; $n: a number that is new each time; prepare runs before each, untimed
LIFE = {
    "receive and decide": (None, f"""ops.receive({ME}, 'R$n', 'env-r$n', 'd-r$n', 'slash', 'T1', 'U-ana', 'C1', null, 'typed',
        'workers scale', 'workers.scale', 1::smallint, '{{"team":"ads","count":4}}', null, '{{"team":"ads","count":4}}', null,
        'digest', null, true, 'ok', 'ana@example.com', 'Ana', true, 'C0AUDIT', 0, null)"""),
    "a redelivery": (None, f"""ops.receive({ME}, 'RX$n', 'env-r$n', 'd-r$n', 'slash', 'T1', 'U-ana', 'C1', null, 'typed',
        'workers scale', 'workers.scale', 1::smallint, '{{}}', null, '{{}}', null, 'digest', null, true, 'ok',
        'ana@example.com', 'Ana', true, 'C0AUDIT', 0, null)"""),
    "start": (None, f"""ops.start({ME}, 'R$n', 1, 'kube.scale', 'conditional', '{{}}',
        '{{"target":{{"name":"w"}},"changes":[]}}', 'dig', null, null, 0, 'C0AUDIT', 0)"""),
    "renew": (None, f"ops.renew({ME}, array['R$n'], array[1::bigint])"),
    "settle": (None, f"""ops.settle({ME}, 'R$n', 1, 'succeeded', null, '{{"done":"x"}}', null, null, null,
        '{{"request":"R$n"}}', '{{"request":"R$n"}}', 'C0AUDIT', 0)"""),
    "claim what is owed": (None, f"ops.outbox_claim({BOOT}, array[2, 2, 2])"),
    "mark as delivered": (f"create temp table if not exists owed as select 0::bigint as id; truncate owed; insert into owed "
                          f"select id from ops.message where due_at is not null order by due_at desc limit 2",
                          f"""ops.outbox_mark({ME}, (select array_agg(id) from owed), array['delivered', 'delivered'],
        array['$n.1', '$n.2'], array[0, 0], array['', ''], array['', ''])"""),
    "claim, nothing due": (None, f"ops.claim_due({ME}, 20, 'C0AUDIT')"),
    "claim of a dead one's": ("""insert into ops.request (id, state, team, slack_user, kind, envelope_id, person_id, command, action,
        risk, args, fence, claimed_by, wake_at) values ('Z$n', 'allowed', 'T1', 'U-ana', 'slash', 'z', 1, 'workers scale',
        'workers.scale', 1, '{}', 1, gen_random_uuid(), clock_timestamp())""", f"ops.claim_due({ME}, 20, 'C0AUDIT')"),
    "list what is active": (None, "ops.active('T1', 'U-ana', 50)"),
    "sweep": (None, f"ops.sweep('{{}}', 500)"),
    "health": (None, "ops.health()"),
}
SEARCH = {
    "the newest": "null, null, null, null, null",
    "of a request": "'R$n', null, null, null, null",
    "of a person": "null, 'ana@example.com', null, null, null",
    "of a person who asked for nothing": "null, 'sam@example.com', null, null, null",
    "of an action": "null, null, 'workers.scale', null, null",
    "of an action that nobody used": "null, null, 'workers.drop', null, null",
    "since yesterday": "null, null, null, now() - interval '1 day', null",
    "what is unknown": "null, null, null, null, 'unknown'",
    "what was taken over, of a person": "null, 'ana@example.com', null, null, 'taken_over'",
}
# Once a minute, and once in fifteen seconds: nobody waits for them, so their time is not judged.
HOUSEKEEPING = ("sweep", "health")
CALLS = {**LIFE, **{f"search: {k}": (None, f"ops.audit_list({v}, 50)") for k, v in SEARCH.items()}}


def make(postgres, opsd, name):
    database = postgres.create(name)
    config = postgres.home / "opsd.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    subprocess.run([opsd, "--config", config, "migrate"], check=True, timeout=60, stdout=subprocess.DEVNULL,
                   env={**os.environ, "A": "xapp-1", "B": "xoxb-1", "D": postgres.url(database, "owner")})
    script(postgres, database, ROOT / "tests" / "sql" / "store_seed.sql")
    # both have run for a year: one of them without being asked for anything
    postgres.psql("select ops.audit_partition((now() - make_interval(months => i))::date) from generate_series(1, 13) i", database)
    return database


def script(postgres, database, path, **variables):
    argv = [postgres.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", path, postgres.url(database)]
    argv += [x for k, v in variables.items() for x in ("-v", f"{k}={v}")]
    subprocess.run(argv, check=True, timeout=1200, stdout=subprocess.DEVNULL)


class Side:
    """One of the two databases: times by call, in microseconds."""

    def __init__(self, postgres, database):
        self.session = postgres.session(database)
        self.session.run("set client_min_messages = warning; set plan_cache_mode = force_generic_plan; set jit = off; set synchronous_commit = off")
        self.times = {name: [] for name in CALLS}
        self.n = 0

    def turn(self, calls=10):
        """A few times the whole life; of each call the median."""
        taken = {name: [] for name in CALLS}
        for _ in range(calls):
            self.n += 1
            for name, (prepare, call) in CALLS.items():
                if prepare:
                    self.session.run(prepare.replace("$n", str(self.n)))
                taken[name].append(self.timed(call.replace("$n", str(self.n))))
        for name, values in taken.items():
            self.times[name].append(statistics.median(values))

    def timed(self, call):
        begun = time.perf_counter_ns()
        self.session.rows(f"select {call}")
        return (time.perf_counter_ns() - begun) / 1000

    def best(self, name):
        return min(self.times[name])

    def buffers(self, name):
        self.n += 1
        for each, (prepare, call) in CALLS.items():     # in the order of a life
            if prepare:
                self.session.run(prepare.replace("$n", str(self.n)))
            statement = f"select {call.replace('$n', str(self.n))}"
            if each == name:
                plan = self.session.value(f"explain (analyze, buffers, format json) {statement}")
                top = json.loads(plan)[0]["Plan"]
                return top["Shared Hit Blocks"] + top["Shared Read Blocks"]
            self.session.rows(statement)
        raise KeyError(name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--strict", action="store_true", help="exit 1 when past requests cost more than they may")
    parser.add_argument("--firm", action="store_true", help="the same by buffers, on any machine")
    parser.add_argument("--opsd", default=os.environ.get("OPSD") or ROOT / "build" / "opsd")
    options = parser.parse_args()
    with Postgres(fsync=False, settings=SERVER) as postgres:
        begun = time.monotonic()
        names = [make(postgres, options.opsd, "empty"), make(postgres, options.opsd, "past")]
        script(postgres, names[1], HERE / "past.sql", rows=options.rows)
        for name in names:
            postgres.psql("vacuum analyze", name, timeout=600)
        size = postgres.value("select pg_size_pretty(pg_database_size('past'))")
        print(f"{options.rows} past requests, {size}, made in {time.monotonic() - begun:.0f} s", flush=True)
        sides = [Side(postgres, name) for name in names]
        for _ in range(options.turns):
            for side in sides:
                side.turn()
        slow, wide = show(sides)
    return 1 if (options.strict and slow) or (options.firm and wide) else 0


def show(sides):
    empty, past = sides
    slow = wide = 0
    print(f"{'':44}{'empty us':>10}{'past us':>10}{'ratio':>8}{'buffers':>16}")
    for name in CALLS:
        a, b = empty.best(name), past.best(name)
        touched = empty.buffers(name), past.buffers(name)
        long, much = b > RATIO * a + GRACE_US and name not in HOUSEKEEPING, touched[1] > FIRM * touched[0] + FIRM_GRACE
        slow, wide = slow + long, wide + much
        print(f"{name:44}{a:10.0f}{b:10.0f}{b / a:8.2f}{touched[0]:8} {touched[1]:7}{'  slower' if long else ''}{'  MORE' if much else ''}")
    return slow, wide


if __name__ == "__main__":
    sys.exit(main())
