# SPDX-License-Identifier: Apache-2.0
"""Work that somebody else made due: found at once when a notification says so, and all the same when none comes."""

import statistics
import time

from sandbox.world import eventually, request_id
from stall import stalled

ENDS = ("succeeded", "failed", "unknown", "denied", "rejected", "expired", "cancelled")


NOTIFIED = 'opsd_db_notified_total{pool="work"}'


def notices(opsd):
    return opsd.metrics()['opsd_db_notices_total{pool="work"}']


def owe(world, tell):
    """A line for the audit channel that no replica has in its hands; the seconds until one has taken it, without those in
    which the machine stood still."""
    rid = f"R{time.monotonic_ns() % 10 ** 15:015d}"
    world.sql("insert into ops.message (request_id, kind, channel, body, created_at, due_at) "
              "values ($1, 'audit', 'C0AUDIT', json_build_object('request', $1::text, 'outcome', 'frozen', 'command', 'freeze', "
              "'who', json_build_object('name', 'test')), clock_timestamp(), clock_timestamp())", rid)
    began = time.monotonic() - stalled()
    if tell:
        world.sql("notify opsd_wake")

    def taken():
        return world.db.value("select attempts > 0 or delivered_at is not null from ops.message where request_id = $1", rid) == "t"
    eventually(taken, what="the message to be taken")
    return time.monotonic() - stalled() - began


def tries(world, tell):
    out = [owe(world, tell) for _ in range(9)]      # taking one begins the second until the next poll anew
    world.wait_told()
    return out


def test_notified_work_is_taken_at_once(make_world):
    world = make_world()
    eventually(lambda: world.opsd.metrics()[NOTIFIED] > 0, what="it to listen")
    with_notice, without = tries(world, True), tries(world, False)
    # it asks a second after it has taken the last one, and never twice as soon
    assert statistics.median(with_notice) < statistics.median(without) / 2, (with_notice, without)
    assert max(without) < 20, without
    print("taken after", with_notice, "without a notification", without)
    world.start()
    eventually(lambda: all(o.metrics()[NOTIFIED] > 0 for o in world.running), what="both to listen")
    before = [notices(o) for o in world.running]
    tries(world, True)
    eventually(lambda: all(notices(o) >= n + 9 for o, n in zip(world.running, before)), what="both to be told")


def test_dead_listener_comes_back(world):
    """The connection that listens is cut: it is made again, and tells what it may have missed."""
    listeners = ("select pid from pg_stat_activity where usename = 'opsd_app' and datname = current_database() "
                 "and (query like 'LISTEN%' or query like '%pg_notify%' or query = 'SELECT 1')")
    old = eventually(lambda: [r["pid"] for r in world.sql(listeners)], what="the listener")
    assert len(old) == 1
    world.sql("select pg_terminate_backend($1::int)", old[0])
    eventually(lambda: [r["pid"] for r in world.sql(listeners) if r["pid"] != old[0]], what="another listener")
    owe(world, True)
    world.wait_told()


def test_quiet_work_notifies_nobody(make_world):
    """What a replica does itself is nobody else's business."""
    world = make_world(start=2)
    def listening():        # each tries its channel once
        return [n for o in world.running if (n := o.metrics()[NOTIFIED]) > 0]
    before = eventually(lambda: listening() if len(listening()) == 2 else None, what="both to listen")
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
    for count in (4, 5, 4):
        preview = world.ask("U0ANA", f"workers scale team=ads role=dev count={count} reason=load")
        world.click("U0ANA", preview, "confirm")
        assert world.wait_state(request_id(preview), *ENDS)["state"] == "succeeded"
    world.wait_told()
    assert [o.metrics()[NOTIFIED] for o in world.running] == before


def test_operator_reaches_the_cards_at_once(make_world):
    world = make_world(start=2)
    preview = world.ask("U0ANA", 'workers scale team=ads role=prod count=8 reason="the backlog grows"')
    rid = request_id(preview)
    world.click("U0ANA", preview, "confirm")
    world.slack.wait("message", channel="C0APPROVE", contains=[rid, '"action_id": "approve"'])
    world.wait_told()
    before = sum(notices(o) for o in world.running)
    world.command("freeze", "reason=incident 7")
    world.slack.wait("message", channel="C0APPROVE", contains=[rid, "Changes are frozen"])
    eventually(lambda: sum(notices(o) for o in world.running) >= before + 2, what="both to be told")


def boot(opsd):
    return opsd.wait_log("serving")["boot"]


def test_stopped_replica_hands_over(make_world):
    """A request that waits for its turn on a replica that is stopped goes on at the other one, before its lease ends."""
    world = make_world(start=2)
    world.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
    world.kube.fault(mode="hang", verb="patch", dry_run=False, times=1)
    first = request_id(world.ask("U0ANA", "workers scale team=ads role=dev count=5 reason=load"))
    world.click("U0ANA", world.see("U0ANA", [first, '"action_id": "confirm"']), "confirm")
    world.wait_state(first, "running")
    dead = world.db.value("select claimed_by from ops.request where id = $1", first)
    world.kill(next(o for o in world.running if boot(o) == dead))       # its lease is not to end soon
    world.sql("update ops.request set wake_at = clock_timestamp() + interval '10 minutes' where id = $1", first)
    world.kube.clear()
    world.start()
    second = world.ask("U0BEN", "workers scale team=ads role=dev count=4 reason=less")
    world.click("U0BEN", second, "confirm")
    rid = request_id(second)
    eventually(lambda: world.sql("select 1 from ops.message where request_id = $1 and kind = 'progress'", rid), what="it to wait")
    holder = world.db.value("select claimed_by from ops.request where id = $1", rid)
    stopped = next(o for o in world.running if boot(o) == holder)
    world.sql("update ops.request set wake_at = clock_timestamp() + interval '10 minutes' where id = $1", rid)
    world.stop(stopped)
    assert stopped.logs("handed over")[-1]["requests"] == 1
    world.opsd.wait_log("taken over", request=rid)
    assert world.request(rid)["state"] in ("confirming", *ENDS)
