# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL gone, frozen, cut off: what was told "not recorded" never happens, the rest goes on by itself."""

import itertools
import signal
import time

import pytest

from sandbox.world import NOT_RECORDED, eventually, request_id, words

STATUS = "workers status team=ads"
NUDGE = "workers nudge team=ads count=4 reason=queue"
SCALE = "workers scale team=ads role=dev count=4 reason=queue"
NOTHING_HERE = "Nothing comes of this"      # says the replica that finds the delivery disowned by another one


def refused(world, user, text):
    done = world.slash(user, text, once=True)
    assert NOT_RECORDED in done["text"], done
    return done


def still(world, patches=0):
    """Nothing was changed beyond that, now or when every timer has come."""
    world.make_time_pass()
    deadline = time.monotonic() + 1.5       # one sweep of the service and what it would start
    while time.monotonic() < deadline:
        assert len(world.kube.patches()) == patches, world.kube.patches()
        time.sleep(0.05)


def acted(world):
    return [r for r in world.requests() if r["state"] in ("running", "succeeded", "allowed", "received", "unknown")]


def test_stopped_database(world):
    world.slash("U0ANA", STATUS)
    world.see("U0ANA", ["workers-dev"])
    world.wait_told()
    world.postgres.shut_down()
    for text in (NUDGE, SCALE, STATUS):
        refused(world, "U0ANA", text)
    eventually(lambda: world.opsd.get("/readyz") == (503, "the database is out of reach\n"), what="/readyz to say so")
    assert world.opsd.get("/healthz")[0] == 200
    world.postgres.start()
    world.reopen()
    world.opsd.wait_ready()
    still(world)
    assert len(world.requests()) == 1
    done = world.slash("U0ANA", NUDGE)
    assert NOT_RECORDED not in done["text"]
    eventually(lambda: world.kube.replicas() == 4, what="the change")


def test_database_that_is_not_there_at_the_start(make_world, postgres):
    world = make_world(start=0)
    world.db.close()
    postgres.shut_down()
    opsd = world.start(ready=False)
    opsd.wait_log("Slack knows us")
    world.slack.wait("sockets", count=1)
    refused(world, "U0ANA", NUDGE)
    postgres.start()
    world.reopen()
    opsd.wait_ready()
    world.slash("U0ANA", NUDGE)
    eventually(lambda: world.kube.replicas() == 4, what="the change")


@pytest.mark.parametrize("known", [False, True])
def test_frozen_database(world, known):
    if known:
        world.slash("U0ANA", STATUS)
        world.see("U0ANA", ["workers-dev"])
        world.wait_told()
    before = len(world.requests())
    world.postgres.pause()
    told = [refused(world, "U0ANA", NUDGE)]
    assert "did not answer in time" in told[0]["text"]
    world.postgres.resume()
    world.opsd.wait_log("not recorded, made sure of")
    still(world)
    assert len(acted(world)) == before
    world.opsd.wait_ready()
    assert NOT_RECORDED not in world.slash("U0ANA", NUDGE)["text"]
    eventually(lambda: world.kube.replicas() == 4, what="the change")


def test_many_commands_while_frozen(world):
    world.slash("U0ANA", STATUS)
    world.see("U0ANA", ["workers-dev"])
    world.wait_told()
    world.postgres.pause()
    result = world.slack.burst(count=30, rate=60, users=["U0ANA", "U0BEN"], text=NUDGE)
    assert result["outcomes"] == {"acked": 30}, result
    world.postgres.resume()
    world.opsd.wait_ready()
    world.opsd.wait_log("not recorded, made sure of")   # those that were on their way; the others never left
    still(world)
    eventually(lambda: len(acted(world)) == 1, what="only the first command to stand")


def test_click_while_frozen(world):
    preview = world.ask("U0ANA", SCALE)
    rid = request_id(preview)
    world.wait_told()
    world.postgres.pause()
    done = world.click("U0ANA", preview, "confirm")
    assert done["outcome"] == "acked"
    world.see("U0ANA", ["It is not known whether your click counts"])     # another replica could have it, too
    world.postgres.resume()
    world.opsd.wait_ready()
    world.opsd.wait_log("not recorded, made sure of")
    still(world)
    assert world.request(rid)["state"] == "confirming", "the offer is open as if it had not been clicked"
    world.click("U0ANA", preview, "confirm")
    world.wait_state(rid, "succeeded")
    assert world.kube.replicas() == 4


def test_form_while_frozen_stays_open_with_the_reason(world):
    world.slash("U0ANA", "workers scale team=ads role=dev")
    world.slack.wait("view", user="U0ANA")
    world.postgres.pause()
    values = {"team": "ads", "role": "dev", "count": "4", "reason": "form"}
    done = world.slack.submit(user="U0ANA", values=values)
    assert done["outcome"] == "acked" and not done["banner"] and NOT_RECORDED in str(done["errors"]), done
    world.postgres.resume()
    world.opsd.wait_ready()
    world.opsd.wait_log("not recorded, made sure of")
    still(world)
    assert world.slack.submit(user="U0ANA", values=values)["outcome"] == "acked"
    world.see("U0ANA", ['"action_id": "confirm"'])


HELD = """select l.pid from pg_locks l join pg_stat_activity a using (pid) where l.relation = 'ops.delivery'::regclass
    and not l.granted and a.query like '%ops.receive(%' and a.datname = current_database()"""


def held_intake(world, count, then, text=NUDGE):
    """What Slack was answered first when something was asked for while no delivery can be recorded.  then(blocker) is
    tried until it is true or, since the intake waits for a lock for a while only, `count` answers are there; None:
    it came too late for that."""
    before = world.answers()
    with world.postgres.session(world.database) as blocker:
        blocker.run("begin; lock table ops.delivery in access exclusive mode")
        world.slack.slash(user="U0ANA", channel="C0OPS", text=text)
        done = eventually(lambda: then(blocker) or world.answers() == before + count and "too late", what="the intake to wait")
        if done == "too late":
            blocker.run("rollback")
    eventually(lambda: world.answers() == before + count, what="all answers")
    if done == "too late":
        at_rest(world)
        return None
    return words(world.slack.acks(user="U0ANA")["acks"][-1]["ack"])


def at_rest(world):
    eventually(lambda: not [r for r in world.requests() if r["state"] in ("received", "allowed", "running")], what="rest")
    world.wait_told()


def test_connection_cut_in_flight(world):
    world.slash("U0ANA", STATUS)
    world.see("U0ANA", ["workers-dev"])
    world.wait_told()

    def cut(blocker):
        """All sessions, in the moment in which the intake is seen to wait."""
        cut_now = world.sql(f"with held as materialized ({HELD}) select pg_terminate_backend(pid) from pg_stat_activity "
                            "where usename = 'opsd_app' and datname = current_database() and exists (select 1 from held)")
        if cut_now:
            assert len(cut_now) >= 2
            blocker.run("rollback")
        return cut_now
    told = None
    while told is None:
        world.opsd.wait_ready()
        told = held_intake(world, 1, cut)
    assert NOT_RECORDED in told, told
    world.opsd.wait_ready()
    still(world)
    world.slash("U0ANA", NUDGE)
    eventually(lambda: world.kube.replicas() == 4, what="the change")


def test_twins_are_one_asking(world):
    """Deliveries of one intent that come together wait for one answer: none is lost while another goes on."""
    world.slash("U0ANA", STATUS)
    world.see("U0ANA", ["workers-dev"])
    world.wait_told()
    told = NOT_RECORDED
    while told is None or NOT_RECORDED in told:      # as legal, when this took longer than the intake waits
        before = world.opsd.metrics()["opsd_slack_envelopes_total"]
        world.slack.fault(name="duplicate", times=1, same_id=False, type="slash_commands")

        def let_go(blocker):
            if world.opsd.metrics()["opsd_slack_envelopes_total"] < before + 2:
                return False
            waiting = world.sql(HELD)
            if waiting:
                assert len(waiting) == 1, waiting
                blocker.run("rollback")
            return waiting
        told = held_intake(world, 2, let_go)
    eventually(lambda: world.kube.replicas() == 4, what="the change")
    assert len([r for r in acted(world) if r["command"] == "workers nudge"]) == 1
    assert [words(a["ack"]) for a in world.slack.acks(user="U0ANA")["acks"][-2:]] == [told] * 2


def both_waiting(world):
    rows = world.sql(HELD + " order by l.pid")
    return [int(r["pid"]) for r in rows] if len(rows) == 2 else None


def lose_one_answer(world, n, which, first="any"):
    """One envelope is with two replicas; the session of one ends under its statement. What Slack was answered first, or
    None if that could not be brought about within what the intake waits."""
    world.wait_told()
    world.slack.fault(name="duplicate", times=1, same_id=True, on_other_socket=True, match={"type": "slash_commands"})
    stopped = []

    def lose(blocker):
        """The one while both are seen to wait."""
        pids = both_waiting(world)
        if not pids:
            return False
        if first == "disowned":
            stopped[:] = [pids[1 - which]]
            world.postgres.signal_all(signal.SIGSTOP, stopped)
        lost = world.sql(f"with held as materialized ({HELD}) select pg_terminate_backend($1::int) "
                         "where (select array_agg(pid order by pid) from held) = $2::int[]",
                         pids[which], "{%d,%d}" % tuple(pids))
        if lost:
            blocker.run("rollback")
            if first == "disowned":
                eventually(lambda: world.sql("select 1 from ops.delivery where disowned"), what="the answer to be made sure of")
        world.postgres.signal_all(signal.SIGCONT, stopped)
        return lost
    try:
        return held_intake(world, 2, lose, f"workers nudge team=ads count={n} reason=twice")
    finally:
        world.postgres.signal_all(signal.SIGCONT, stopped)


@pytest.fixture
def two_replicas(make_world):
    world = make_world(start=2, config={"slack": {"connections": 1}})
    for _ in range(2):          # each knows her
        world.slash("U0ANA", STATUS)
    return world


@pytest.mark.parametrize("which", [0, 1])
def test_one_delivery_at_two_replicas(two_replicas, which):
    """The same envelope is with two replicas, and one of them loses its answer: what Slack is told is what happens."""
    world = two_replicas
    left = 4
    for n in itertools.cycle(range(5, 9)):
        patches = len(world.kube.patches())
        told = lose_one_answer(world, n, which)
        if told is None:
            continue
        if NOT_RECORDED in told or NOTHING_HERE in told:
            still(world, patches)
        else:
            eventually(lambda: world.kube.replicas() == n, what="the change")
        at_rest(world)
        left -= 1
        if not left:
            return


@pytest.mark.parametrize("which", [0, 1])
def test_one_delivery_disowned_before_its_twin(two_replicas, which):
    """The replica that lost its answer keeps the delivery out first: its twin too says that nothing comes of it."""
    world = two_replicas
    told = None
    while told is None:
        patches, before = len(world.kube.patches()), len(acted(world))
        told = lose_one_answer(world, 5, which, first="disowned")
    assert NOT_RECORDED in told or NOTHING_HERE in told, told
    still(world, patches)
    assert len(acted(world)) == before


def test_connections_cut_when_idle_cost_nothing(world):
    """Sessions that somebody ends between two commands: the next command is taken, or told that it was not."""
    for _ in range(5):
        world.cut_connections()
        world.slash("U0ANA", STATUS)        # within Slack's three seconds
    eventually(world.opsd.ready, what="/readyz")
    assert NOT_RECORDED not in world.slash("U0ANA", STATUS)["text"]


@pytest.mark.parametrize("how", ["fast", "kill"])
def test_outcome_is_recorded_when_the_database_is_back(world, how):
    """The effect is under way when the database goes: its outcome is kept until it can be written."""
    world.slash("U0ANA", STATUS)
    world.see("U0ANA", ["workers-dev"])
    world.wait_told()
    world.kube.fault(mode="hold", verb="patch", dry_run=False)
    world.slack.slash(user="U0ANA", channel="C0OPS", text=NUDGE)
    eventually(lambda: world.kube.faults()["struck"].get("hold"), what="the patch to arrive")
    world.db.close()
    if how == "kill":
        world.postgres.kill()
    else:
        world.postgres.shut_down(how)
    world.kube.clear()
    world.opsd.wait_log("outcome not recorded yet")
    world.postgres.start()
    world.reopen()
    rid = world.requests(command="workers nudge")[0]["id"]
    world.wait_state(rid, "succeeded")
    world.wait_audit(rid)
    world.wait_told()
    assert len(world.kube.patches()) == 1 and len(world.audit_posts(rid)) == 1
    assert not world.opsd.logs("taken over")


def test_slow_statements_do_not_stop_the_loop(world):
    """A lock on what the work needs holds back its requests, not the acknowledgements of others."""
    world.slash("U0ANA", STATUS)
    world.see("U0ANA", ["workers-dev"])
    world.wait_told()
    with world.postgres.session(world.database) as blocker:
        blocker.run("begin; lock table ops.message in access exclusive mode")
        for _ in range(3):
            done = world.slash("U0ANA", STATUS)
            assert NOT_RECORDED not in done["text"], done        # as it would be after a second and a half
        assert world.opsd.get("/healthz")[0] == 200
        blocker.run("rollback")
    eventually(lambda: all(r["state"] == "succeeded" for r in world.requests()), what="all to be answered")
    world.wait_told()

