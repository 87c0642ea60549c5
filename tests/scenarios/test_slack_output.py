# SPDX-License-Identifier: Apache-2.0
"""What is owed to Slack arrives, once, whatever Slack does meanwhile."""

import json

import pytest

from sandbox.world import eventually, request_id

STATUS = "workers status team=ads"


def known(world, user="U0ANA"):
    world.slash(user, STATUS)
    world.see(user, ["workers-dev"])
    world.wait_told()


def nudge(world, count=4, channel="C0OPS"):
    world.slash("U0ANA", f"workers nudge team=ads count={count} reason=queue", channel=channel)
    rid = world.requests(command="workers nudge")[-1]["id"]
    world.wait_state(rid, "succeeded")
    return rid


def hurry(world):
    """Delays are over at once, again and again, until everything is delivered."""
    def check():
        world.sql("update ops.message set due_at = clock_timestamp() where due_at > clock_timestamp() "
                  "and claimed_by is null")
        return world.owed() == 0
    eventually(check, what="all messages to be delivered")


FAULTS = [
    {"mode": "http", "status": 429, "retry_after": 1, "times": 2},
    {"mode": "http", "status": 500, "times": 3},
    {"mode": "http", "status": 503, "body": "<html>upstream</html>", "times": 2},
    {"mode": "html", "times": 2},
    {"mode": "garbage", "times": 2},
    {"mode": "empty", "times": 2},
    {"mode": "close", "times": 2},
    {"mode": "lost_close", "times": 1},
    {"mode": "error", "code": "internal_error", "times": 2},
    {"mode": "error", "code": "fatal_error", "times": 1},
    {"mode": "error", "code": "ratelimited", "times": 1},
    {"mode": "error", "code": "service_unavailable", "times": 1},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: "-".join(str(v) for v in f.values())[:40])
def test_audit_line_exactly_once(world, fault):
    known(world)
    world.slack.fault(name="api", method="chat.postMessage", **fault)
    rid = nudge(world)
    hurry(world)
    assert len(world.audit_posts(rid)) == 1
    world.see("U0ANA", ["✅", rid])


def test_answer_lost_without_an_end(world):
    """The line was posted; its answer never comes, the call runs into its time limit."""
    known(world)
    world.slack.fault(name="api", method="chat.postMessage", mode="lost", times=1)
    rid = nudge(world)
    hurry(world)
    assert len(world.audit_posts(rid)) == 1


def test_lookup_that_fails_is_tried_again(world):
    known(world)
    world.slack.fault(name="api", method="chat.postMessage", mode="lost_close", times=1)
    world.slack.fault(name="api", method="conversations.history", mode="http", status=500, times=2)
    rid = nudge(world)
    hurry(world)
    assert len(world.audit_posts(rid)) == 1


def test_outage_of_the_web_api(world):
    """Everything fails for a while: acknowledgements go on, and afterwards each line is there once."""
    known(world)
    world.slack.fault(name="api", mode="http", status=503)
    rids = [nudge(world, 3 + i % 2) for i in range(10)]
    world.slack.clear()
    hurry(world)
    for rid in rids:
        assert len(world.audit_posts(rid)) == 1


def test_burst_shares_messages_within_the_pace(make_world):
    """Slack lets an app post about once a second and channel: 40 outcomes are told in fewer messages."""
    world = make_world(switches={"pacing": True})
    known(world)
    result = world.slack.burst(count=40, rate=80, users=["U0ANA"], text="workers nudge team=ads count=4 reason=burst{n}")
    assert result["outcomes"] == {"acked": 40}
    taken = 40 - world.refusals()
    eventually(lambda: len([r for r in world.requests(command="workers nudge") if r["finished_at"]]) == taken, what="40 ends")
    world.wait_told()
    for row in world.requests(command="workers nudge"):
        assert len(world.audit_posts(row["id"])) == 1
    errors = world.slack.calls()["counts"]["chat.postMessage"]["errors"]
    assert sum(errors.values()) <= 2, f"its own pace keeps it from 429: {errors}"
    posts = len(world.audit_posts("burst"))     # how many fewer is the machine's: who waits for the channel shares
    print(posts, "messages")
    assert posts < taken


def test_archived_audit_channel(world):
    known(world)
    world.slack.channel(channel="C0AUDIT", is_archived=True)
    rid = nudge(world)
    world.see("U0ANA", ["✅", rid])
    eventually(lambda: world.sql("select 1 from ops.message where kind = 'audit' and claimed_by is null "
                                 "and due_at > clock_timestamp() and last_error like '%archived%'"),
               what="the line to wait with the reason")
    world.slack.channel(channel="C0AUDIT", is_archived=False)
    world.make_time_pass(requests=False)
    world.wait_audit(rid)
    world.wait_told()
    assert len(world.audit_posts(rid)) == 1


def test_bot_thrown_out_of_the_audit_channel(world):
    known(world)
    world.slack.channel(channel="C0AUDIT", kick=["U0OPSD"])
    rid = nudge(world)
    eventually(lambda: world.sql("select 1 from ops.message where kind = 'audit' and last_error is not null "
                                 "and claimed_by is null"), what="the line to wait")
    world.slack.channel(channel="C0AUDIT", join=["U0OPSD"])
    world.make_time_pass(requests=False)
    world.wait_audit(rid)
    assert len(world.audit_posts(rid)) == 1


def test_used_up_response_url_becomes_an_ephemeral(world):
    known(world)
    world.slack.fault(name="hook", mode="http", status=404, body="used_url")
    rid = nudge(world)
    message = world.see("U0ANA", ["✅", rid])
    assert message["via"] == "api" and message["ephemeral_for"] == "U0ANA"
    world.wait_told()


def test_and_then_a_direct_message(world):
    known(world)
    world.slack.fault(name="hook", mode="http", status=410, body="channel_is_archived")
    world.slack.fault(name="api", method="chat.postEphemeral", mode="error", code="user_not_in_channel")
    rid = nudge(world)
    world.slack.wait("message", channel="dm:U0ANA", contains=["✅", rid])
    world.wait_told()


def test_expired_response_url(make_world):
    """An answer that takes longer than half an hour finds its URL expired."""
    world = make_world(violations=True)
    known(world)
    world.kube.fault(mode="hold", verb="patch", dry_run=False)
    world.slash("U0ANA", "workers nudge team=ads count=4 reason=queue")
    world.slack.age(seconds=3600)
    world.kube.clear()
    rid = world.requests(command="workers nudge")[-1]["id"]
    world.see("U0ANA", ["✅", rid])
    world.wait_told()


def test_reply_whose_answer_never_comes_does_not_hold_up_others(world):
    known(world)
    world.slack.fault(name="hook", mode="hang", times=1)
    nudge(world)
    rid = nudge(world, 5)
    world.see("U0ANA", ["✅", rid])
    world.wait_audit(rid)


def test_message_that_is_never_taken_is_given_up_and_audited(world):
    known(world)
    world.slack.fault(name="hook", mode="http", status=404, body="used_url")
    world.slack.fault(name="api", method="chat.postEphemeral", mode="error", code="user_not_in_channel")
    world.slack.fault(name="api", method="conversations.open", mode="error", code="user_not_found")
    rid = nudge(world)
    eventually(lambda: world.audit_rows(request=rid, event="message.dead"), what="the entry")
    assert request_id(world.wait_audit(rid)) == rid


def test_text_from_outside_is_inert_in_the_audit_channel(world):
    known(world)
    world.slash("U0ANA", 'workers nudge team=ads count=4 reason="<!channel> <@U0BEN> *bold* & <https://x.example|y>"')
    rid = world.requests(command="workers nudge")[-1]["id"]
    post = world.wait_audit(rid)
    text = json.dumps(post, ensure_ascii=False)
    assert '"type": "broadcast"' not in text and '"user_id": "U0BEN"' not in text
    assert "<!channel>" not in post["text"] and "<@U0BEN>" not in post["text"]
