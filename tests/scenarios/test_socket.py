# SPDX-License-Identifier: Apache-2.0
"""Socket Mode at its worst: refreshes, refusals, redelivery, odd frames, more than one replica."""

import json
import threading
import time

import pytest

from sandbox.slack.client import Control
from sandbox.world import eventually, request_id

STATUS = "workers status team=ads"
SCALE = "workers scale team=ads role=dev count=4 reason=queue"


def opens(world):
    return world.slack.calls()["counts"].get("apps.connections.open", {"calls": 0})["calls"]


def hellos(world):
    return world.slack.stats()["envelopes"]["hello"]


def numbers(world):
    """Of the sockets that are open."""
    return [s["number"] for s in world.slack.state()["sockets"] if s["open"]]


def has_gone(world, number):
    eventually(lambda: number not in [s["number"] for s in world.slack.state()["sockets"]], what=f"socket {number} to go")


def unanswered(world, text):
    """A command that the intake waits with, behind a lock; opsd stands still. The number of its socket.

    The intake waits for no longer than 0.7 s: a machine that stood still meanwhile has it answered, and another one is sent."""
    def tried():
        world.opsd.resume()
        sent = world.slack.slash(user="U0ANA", channel="C0OPS", text=text)["envelope_id"]
        eventually(lambda: world.sql("select 1 from pg_stat_activity where wait_event_type = 'Lock' "
                                     "and datname = current_database()") or record(sent)["outcome"], what="the intake to wait")
        world.opsd.pause()
        return record(sent)["socket"] if record(sent)["outcome"] is None else None

    def record(sent):
        return next(a for a in world.slack.acks()["acks"] if a["envelope_id"] == sent)
    return eventually(tried, what="a command that waits")


def by_command(world, command="workers status"):
    return world.requests(command=command)


@pytest.mark.parametrize("connections,rounds", [(1, 20), (2, 4)])
def test_refreshes_in_a_row_lose_no_command(make_world, connections, rounds):
    """Slack warns each socket and closes it as soon as its successor has heard the greeting; a ticket takes 400 ms."""
    world = make_world(config={"slack": {"connections": connections}})
    world.slash("U0ANA", STATUS)
    world.slack.fault(name="open", mode="slow", ms=400)
    before, count, result = len(by_command(world)), rounds * 10, {}
    thread = threading.Thread(target=lambda: result.update(Control(world.standin.base_url).burst(
        count=count, rate=20, users=["U0ANA", "U0BEN", "U0DIA"], text=STATUS)))
    thread.start()
    for i in range(rounds):
        old = numbers(world)
        for number in old:
            world.slack.refresh(kind="warning" if i % 2 == 0 else "refresh_requested", socket=number, close=False)
        eventually(lambda: world.opsd.metrics()["opsd_slack_sockets_opened_total"] == (i + 2) * connections, what="its successors")
        for number in old:
            world.slack.socket(mode="close", socket=number)
        for number in old:              # one that goes while its successor goes too is not read to its end
            has_gone(world, number)
    thread.join()
    assert result["outcomes"] == {"acked": count}, result           # within Slack's three seconds
    taken = before + count - world.refusals()
    assert len(by_command(world)) == taken, "each is one request: none lost, none twice"
    eventually(lambda: all(r["state"] == "succeeded" for r in by_command(world)), what="all reads to be answered")
    stats = world.opsd.metrics()
    assert stats["opsd_slack_sockets_refreshed_total"] == rounds * connections
    assert stats["opsd_slack_deaf_milliseconds_total"] == 0


def test_acknowledgement_outlives_its_socket(make_world):
    """Slack closes the old socket while a command of it is being recorded: the acknowledgement goes by the new one."""
    world = make_world(config={"slack": {"connections": 1}})
    world.slash("U0ANA", STATUS)
    old, = numbers(world)
    world.slack.refresh(kind="warning", socket=old, close=False)
    eventually(lambda: world.opsd.metrics()["opsd_slack_sockets_opened_total"] == 2, what="its successor")
    with world.postgres.session(world.database) as blocker:
        blocker.run("begin; lock table ops.delivery in access exclusive mode")
        while unanswered(world, STATUS) != old:         # Slack takes the two in turn
            pass
        world.slack.socket(mode="close", socket=old)
        world.opsd.resume()
        has_gone(world, old)
        blocker.run("rollback")
    world.wait_answered()
    assert {a["outcome"] for a in world.slack.acks()["acks"]} == {"acked"}
    assert world.opsd.metrics()["opsd_slack_acks_moved_total"] == 1


def test_socket_that_dies_without_a_word(world):
    for mode in ("abort", "eof", "close"):
        seen = hellos(world)
        world.slack.socket(mode=mode)
        world.slack.wait("sockets", count=2, hello=seen + 2)
        world.slash("U0ANA", STATUS)


def test_link_disabled_stops_fast_dialling(make_world):
    world = make_world()
    world.slack.fault(name="open", mode="error", code="link_disabled")
    seen = opens(world)
    world.slack.refresh(kind="link_disabled", after=0)
    world.opsd.wait_log("sockets", ready=0)
    eventually(lambda: world.opsd.get("/readyz")[0] == 503, what="/readyz to say so")
    time.sleep(1.5)         # the time in which a bad client would dial again and again
    assert opens(world) - seen <= 4
    assert world.opsd.get("/healthz")[0] == 200


def test_too_many_websockets_closes_first(make_world):
    world = make_world(violations=True)
    numbers = [s["number"] for s in world.slack.state()["sockets"] if s["open"]]
    world.slack.switch(max_sockets=2)
    seen = opens(world)
    world.slack.refresh(kind="too_many_websockets", socket=numbers[0], after=0)
    eventually(lambda: len([s for s in world.slack.state()["sockets"] if s["open"]]) <= 1, what="one socket to close")
    for _ in range(5):
        world.slash("U0ANA", STATUS)        # the other one serves
    time.sleep(1.0)
    assert opens(world) - seen <= 1, "it waits before it dials"
    assert not any("more than the allowed" in v["what"] for v in world.slack.violations()["violations"])


@pytest.mark.parametrize("error", ["invalid_auth", "token_revoked", "not_allowed_token_type"])
def test_app_token_that_is_refused(make_world, error):
    world = make_world(start=0)
    world.slack.token(which="app", state=error)
    opsd = world.start(ready=False)
    eventually(lambda: opsd.get("/readyz") == (503, "Slack refuses the tokens\n"), what="/readyz to say so")
    seen = opens(world)
    time.sleep(1.0)
    assert opens(world) - seen <= 2 and opsd.alive()
    assert any(error in json.dumps(x) for x in opsd.logs()), opsd.tail()


def test_bot_token_that_is_refused_and_then_taken(make_world):
    world = make_world(start=0)
    world.slack.token(which="bot", state="token_revoked")
    opsd = world.start(ready=False)
    eventually(lambda: opsd.get("/readyz")[1] == "Slack refuses the tokens\n", what="/readyz to say so")
    world.slack.token(which="bot", state=None)
    opsd.wait_ready()
    world.slash("U0ANA", STATUS)


def test_rate_limit_of_connections_open_is_kept(make_world):
    world = make_world(start=0)
    world.slack.fault(name="open", mode="http", status=429, retry_after=1, times=2)
    start = time.monotonic()
    world.start()
    assert time.monotonic() - start >= 1.0
    assert opens(world) <= 6
    world.slash("U0ANA", STATUS)


@pytest.mark.parametrize("status", [409, 503])
def test_handshake_that_is_refused_takes_a_new_ticket(make_world, status):
    world = make_world(start=0)
    world.slack.fault(name="handshake", mode="http", status=status, times=2)
    world.start()
    world.slack.wait("sockets", count=2)
    assert opens(world) >= 4, "a ticket is for one dial"
    world.slash("U0ANA", STATUS)


def test_answers_of_connections_open_that_make_no_sense(make_world):
    world = make_world(start=0)
    for fault in ({"mode": "garbage"}, {"mode": "close"}, {"mode": "bad_url", "url": "http://example.com/"},
                  {"mode": "http", "status": 500}):
        world.slack.fault(name="open", times=1, **fault)
    world.start()
    world.slash("U0ANA", STATUS)


FRAMES = ["not_json", "malformed", "empty_object", "array", "number", "deep", "deep_object", "twice_hello", "nul_escape",
          "null_type", "unknown_type", "no_event", "payload_string", "payload_array", "missing_fields", "fragments",
          "lone_pong"]
BROKEN = ["masked", "bad_utf8", "reserved_bits", "reserved_opcode", "long_ping", "fragmented_ping", "lone_continuation",
          "nested_start", "close_1_byte", "close_empty", "half_frame", "huge_header", "http_again", "binary", "huge"]


def test_odd_frames_do_no_harm(make_world):
    world = make_world(violations=True)
    for kind in FRAMES:
        world.slack.inject(kind=kind)
    world.slash("U0ANA", STATUS)
    world.see("U0ANA", ["workers-dev"])
    assert world.opsd.alive() and world.opsd.metrics()["opsd_slack_bad_frames_total"] > 0


@pytest.mark.parametrize("kinds", [BROKEN[i::5] for i in range(5)], ids="-".join)
def test_broken_frames_cost_one_socket_at_most(make_world, kinds):
    world = make_world(violations=True, switches={"ack_deadline": 1.0})
    for kind in kinds:
        number = max(eventually(lambda: numbers(world), what="a socket"))
        world.slack.inject(kind=kind, socket=number)
        if kind in ("half_frame", "huge_header"):       # the rest of it never comes
            world.slack.socket(mode="abort", socket=number)
        # what is on its way on that socket is lost; whoever tries again is heard
        eventually(lambda: world.slack.slash(user="U0ANA", channel="C0OPS", text=STATUS, wait=True)["outcome"] == "acked",
                   what=f"a command after {kind}")
    assert world.opsd.alive()


def test_fragmented_and_dribbled_sockets_work(make_world):
    world = make_world(start=0, violations=True)        # the pings between the pieces are nobody's
    world.slack.fault(name="socket", mode="fragment", size=50, pings=True, times=1)
    world.slack.fault(name="socket", mode="dribble", size=7, times=1)
    world.start()
    for _ in range(6):
        world.slash("U0ANA", STATUS)
    assert len(by_command(world)) == 6


# The same again

@pytest.mark.parametrize("same_id", [True, False])
def test_a_command_that_comes_twice_is_one_request(world, same_id):
    world.slash("U0ANA", STATUS)
    world.slack.fault(name="duplicate", same_id=same_id, after=50, type="slash_commands")
    for _ in range(5):
        world.slash("U0ANA", STATUS)
    eventually(lambda: world.answers() >= 11, what="all acks")
    assert len(by_command(world)) == 6
    world.wait_told()


@pytest.mark.parametrize("same_id", [True, False])
def test_a_click_that_comes_twice_acts_once(world, same_id):
    preview = world.ask("U0ANA", SCALE)
    world.slack.fault(name="duplicate", same_id=same_id, after=20, type="interactive")
    world.click("U0ANA", preview, "confirm")
    rid = request_id(preview)
    world.wait_state(rid, "succeeded")
    world.wait_told()
    assert len(world.kube.patches()) == 1 and len(world.audit_posts(rid)) == 1
    assert len(world.audit_rows(request=rid, event="request.confirmed")) == 1


@pytest.mark.parametrize("same_id", [True, False])
def test_a_form_that_comes_twice_is_one_request(world, same_id):
    world.slash("U0ANA", "workers scale team=ads role=dev")
    world.slack.wait("view", user="U0ANA")
    world.slack.fault(name="duplicate", same_id=same_id, after=20, type="interactive", times=1)
    world.slack.submit(user="U0ANA", values={"team": "ads", "role": "dev", "count": "4", "reason": "form"})
    preview = world.see("U0ANA", ['"action_id": "confirm"'])
    world.slack.clear()
    world.click("U0ANA", preview, "confirm")
    world.wait_state(request_id(preview), "succeeded")
    assert len(world.requests(command="workers scale")) == 1 and len(world.kube.patches()) == 1


def test_an_event_that_comes_twice(world):
    world.slack.fault(name="duplicate", same_id=False, after=20, type="events_api")
    world.slack.home(user="U0ANA", wait=True)
    world.slack.wait("home", user="U0ANA")


@pytest.mark.parametrize("same", [True, False])
def test_fifty_clicks_act_once(make_world, same):
    world = make_world(2)
    preview = world.ask("U0ANA", SCALE)
    world.slack.click(user="U0ANA", channel=preview["channel"], ts=preview["ts"], action_id="confirm", times=50,
                      same=same, wait=True)
    rid = request_id(preview)
    world.wait_state(rid, "succeeded")
    eventually(lambda: world.slack.stats()["envelopes"]["acked"] >= 51, what="every click to be acknowledged")
    world.wait_told()
    assert len(world.kube.patches()) == 1 and len(world.audit_posts(rid)) == 1
    assert world.slack.stats()["envelopes"]["timeout"] == 0


def test_fifty_submits_are_one_request(world):
    world.slash("U0ANA", "workers scale team=ads role=dev")
    world.slack.wait("view", user="U0ANA")
    world.slack.submit(user="U0ANA", times=50, values={"team": "ads", "role": "dev", "count": "4", "reason": "form"})
    world.see("U0ANA", ['"action_id": "confirm"'])
    eventually(lambda: world.slack.stats()["envelopes"]["acked"] >= 51, what="every one to be acknowledged")
    assert len(world.requests(command="workers scale")) == 1


def test_redelivery_after_a_missed_acknowledgement(make_world):
    """Slack gave up on the first delivery and brings it again: still one request."""
    world = make_world(switches={"redeliver_slash": True}, violations=True)
    world.slash("U0ANA", STATUS)
    world.opsd.pause()
    world.slack.switch(ack_deadline=0.3)
    out = world.slack.slash(user="U0ANA", channel="C0OPS", text=STATUS, wait=True)
    assert out["outcome"] == "operation_timeout"
    world.slack.switch(ack_deadline=3.0)
    world.opsd.resume()
    eventually(lambda: world.slack.stats()["envelopes"]["redelivered"] >= 1, what="a redelivery")
    eventually(lambda: len(by_command(world)) >= 2 and all(r["state"] == "succeeded" for r in by_command(world)),
               what="the request to end")
    world.wait_told()
    assert len(by_command(world)) == 2


def test_acknowledgement_moves_to_another_socket(world):
    """The socket that brought a command is lost while the database works on it."""
    world.slash("U0ANA", STATUS)
    with world.postgres.session(world.database) as blocker:
        blocker.run("begin; lock table ops.delivery in access exclusive mode")
        world.slack.socket(mode="abort", socket=unanswered(world, STATUS))
        world.opsd.resume()
        eventually(lambda: world.opsd.metrics()["opsd_slack_sockets_lost_total"] >= 1, what="the loss to be seen")
        blocker.run("commit")
    world.wait_answered()
    assert {a["outcome"] for a in world.slack.acks()["acks"]} == {"acked"}
    assert world.opsd.metrics()["opsd_slack_acks_moved_total"] >= 1
    eventually(lambda: all(r["state"] == "succeeded" for r in by_command(world)), what="both to be answered")


# Two replicas

def test_two_replicas_share_the_work(make_world):
    world = make_world(2)
    result = world.slack.burst(count=40, rate=40, users=["U0ANA", "U0BEN"], text=STATUS)
    assert result["outcomes"] == {"acked": 40}
    taken = 40 - world.refusals()
    eventually(lambda: len([r for r in by_command(world) if r["state"] == "succeeded"]) == taken, what="40 answers")
    boots = world.sql("select count(distinct boot_id) as n from ops.delivery")
    assert boots[0]["n"] == "2", "both have taken some"
    world.wait_told()


def test_two_replicas_and_the_same_envelope_on_both(make_world):
    world = make_world(2)
    world.slack.fault(name="duplicate", same_id=True, on_other_socket=True, type="slash_commands")
    for _ in range(10):
        world.slash("U0ANA", STATUS)
    eventually(lambda: len(by_command(world)) == 10, what="10 requests")
    eventually(lambda: all(r["state"] == "succeeded" for r in by_command(world)), what="10 answers")
    assert len(by_command(world)) == 10


def test_rolling_restart_serves_on(make_world):
    """One replica leaves by SIGTERM under load; what it had begun it ends, the other takes the rest."""
    world = make_world(2)
    count, under_way, result = 150, 2, {}
    thread = threading.Thread(target=lambda: result.update(Control(world.standin.base_url).burst(
        count=count, concurrency=under_way, text=STATUS, users=["U0ANA"])))
    thread.start()
    eventually(lambda: world.slack.stats()["envelopes"]["acked"] >= 10, what="the load to run")
    assert world.stop() == 0
    thread.join()
    # a command that was on its way to a socket when it closed is Slack's to report; no more than are under way at once
    assert result["outcomes"]["acked"] >= count - under_way and set(result["outcomes"]) <= {"acked", "operation_timeout"}, result
    eventually(lambda: all(r["state"] == "succeeded" for r in by_command(world)), what="all answers")
    assert result["outcomes"]["acked"] - world.refusals() <= len(by_command(world)) <= count
    world.wait_told()
