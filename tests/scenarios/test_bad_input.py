# SPDX-License-Identifier: Apache-2.0
"""What people type wrong, paste, or try on: each gets a sentence about it, and nothing breaks."""

import json

import pytest

from sandbox.world import eventually, request_id, words


def answer(town, text, user="U0ANA", raw=False):
    since = town.last_ts(user)
    town.slash(user, text, raw=raw)
    message = town.see(user, [], since=since, ephemeral=True)
    return message, words(message)


@pytest.fixture(autouse=True)
def nothing_happens(town):
    before = len(town.kube.patches())
    yield
    assert len(town.kube.patches()) == before
    assert town.opsd.alive()


@pytest.mark.parametrize("text,parts", [
    ("nonsense", ["nonsense", "help"]),
    ("workers", ["workers"]),
    ("workers fly team=ads", ["fly", "help workers"]),
    ("workers scale team=ads role=dev count=many reason=x", ["count", "many", "Example"]),
    ("workers scale team=ads role=test count=5 reason=x", ["role", "dev", "prod", "Example"]),
    ("workers scale team=ads role=dev count=5000 reason=x", ["count", "200"]),
    ("workers scale team=ads role=dev count=-1 reason=x", ["count"]),
    ("workers scale team=ads role=dev count=5.5 reason=x", ["count"]),
    ("workers scale team=ads role=dev count=99999999999999999999999 reason=x", ["count"]),
    ("workers scale team=Ads! role=dev count=5 reason=x", ["team"]),
    ("workers scale team=../../kube-system role=dev count=5 reason=x", ["team"]),
    ("workers scale team=ads role=dev count=5 reason=x colour=red", ["colour"]),
    ("workers scale team=ads team=web role=dev count=5 reason=x", ["team"]),
    ("workers scale team=ads role=dev count=0 reason=x", ["Scaling to zero"]),
    ('workers scale team=ads role=dev count=5 reason="never closed', ["reason"]),
    ("workers scale team = ads role = dev count = 5 reason = x", ["team=ads", "without spaces"]),
])
def test_wrong_input_is_explained(town, text, parts):
    message, says = answer(town, text)
    for part in parts:
        assert part in says, f"{part!r} is not in {says!r}"
    assert message.get("ephemeral_for") == "U0ANA"


def test_empty_text_is_help(town):
    _, says = answer(town, "")
    assert "workers scale" in says


def test_forty_thousand_characters(town):
    _, says = answer(town, "workers scale team=ads role=dev count=5 reason=" + "x" * 40000)
    assert "reason" in says or "long" in says
    _, says = answer(town, "y" * 40000)
    assert len(says) < 3000
    _, says = answer(town, "workers scale " + "a=b " * 10000)
    assert len(says) < 6000
    for text in ("é" * 20000, "x" + "é" * 20000, "workers scale ads dev 900 " + "😀" * 9000):
        _, says = answer(town, text)
        assert "✏️" in says, says


@pytest.mark.parametrize("text", [
    "workers scale team=ads role=dev count=5 reason=\x01\x02",
    "workers scale team=a\x1bds role=dev count=5 reason=x",
    "\x7f\x08\x08",
    "workers\x01scale team=ads",
    "workers scale team=ads‮role=dev count=5 reason=x",
    "\u200b\u200b\u200b",
    "\ud83d\ude00 workers",
    "workers fly \r\n\r\n\t",
])
def test_control_characters(town, text):
    since = town.last_ts()
    town.slash("U0ANA", text, raw=True)

    def form():
        return town.slack.state(user="U0ANA")["views"].get("U0ANA")

    def messages():
        return [m for m in town.seen("U0ANA") if m["ts"] > since and m.get("ephemeral_for")]
    eventually(lambda: form() or messages(), what="an answer or a form")
    if not form():
        message, = messages()
        assert not any(ord(c) < 32 and c not in "\n\t" for c in words(message)), words(message)
        if '"action_id": "confirm"' in json.dumps(message):
            town.click("U0ANA", message, "cancel")
    else:
        town.slack.close(user="U0ANA")


def test_nul_is_no_command(town):
    """No client can type it; a frame that holds one is not taken, and nothing breaks."""
    done = town.slack.slash(user="U0ANA", channel="C0OPS", text="workers\x00scale", raw=True, wait=True)
    assert done["outcome"] == "operation_timeout"       # and Slack has said so: no test after this takes it for an answer
    since = town.last_ts()
    town.slash("U0ANA", "workers status team=ads")
    town.see("U0ANA", ["workers-dev"], since=since)


EVIL = ["<!channel>", "&lt;!channel&gt;", "<@U0BEN>", "<@U0BEN|ben>", "<!subteam^S0ADS|@team-ads-oncall>", "<#C0OPS|ops>",
        "<https://evil.example|look>", "*bold* _it_ `code` ~gone~", "@channel", "@here", ":smile:", "```block```"]


def test_nothing_that_was_typed_is_parsed(town):
    for evil in EVIL:
        for raw in (True, False):
            for text in (f"workers {evil} team=ads", f'workers scale team=ads role=dev count=900 reason="{evil}"'):
                since = town.last_ts()
                town.slash("U0ANA", text, raw=raw)
                inert(town.see("U0ANA", ["✏️"], since=since))
    town.wait_told()
    for post in town.audit_posts():
        inert(post)


def inert(message):
    """No broadcast, no mention of somebody else, no link, no mrkdwn with what was typed."""
    text = json.dumps(message["blocks"], ensure_ascii=False)
    assert '"type": "broadcast"' not in text and '"user_id": "U0BEN"' not in text and '"type": "usergroup"' not in text
    assert '"type": "link"' not in text and '"type": "mrkdwn"' not in text
    for token in ("<!channel", "<@U0BEN", "<!subteam", "<https:", "<#C0"):
        assert token not in message.get("text", ""), message["text"]


@pytest.mark.parametrize("text", [
    "workers scale team=ads role=dev count=5 reason=“smart quotes here”",
    "workers scale team=ads role=dev count=5 reason=‘single ones too’",
    "workers scale team=„ads“ role=dev count=5 reason=x",
    "workers\u00a0scale\u00a0team=ads role=dev count=5 reason=no-break",
    "workers scale  team=ads\u2003role=dev\u2009count=5 reason=spaces",
    "Workers SCALE team=ads role=dev count=5 reason=capitals",
    "  workers   scale team=ads role=dev count=5 reason=more",
    "workers scale ads dev 5 a reason of many words",
])
def test_what_phones_make_of_it_is_understood(town, text):
    since = town.last_ts()
    town.slash("U0ANA", text)
    message = town.see("U0ANA", [], since=since, ephemeral=True)
    try:
        assert '"action_id": "confirm"' in json.dumps(message), words(message)
        row = town.request(request_id(message))
        assert json.loads(row["args"])["count"] == 5 and json.loads(row["args"])["team"] == "ads"
        assert "“" not in row["args"]
    finally:
        if '"action_id": "confirm"' in json.dumps(message):
            town.click("U0ANA", message, "cancel")


VALUES = ["-", "x", "R000000000000000 abc", "{}", "[]", "R1M88SY988DP9NQR " + "f" * 64, "x" * 1900, "null",
          '{"c":"workers scale","a":{},"k":"x"}']


@pytest.mark.parametrize("action", ["confirm", "cancel", "page", "open_form", "no_such_action"])
def test_forged_buttons(town, action):
    """A click whose value is not one of ours: acknowledged, nothing happens."""
    for value in VALUES:
        post = town.standin.store.post("C0OPS", "x", [{"type": "actions", "elements": [
            {"type": "button", "text": {"type": "plain_text", "text": "b"}, "action_id": action, "value": value}]}])
        done = town.slack.click(user="U0ANA", channel="C0OPS", ts=post.ts, action_id=action, wait=True)
        assert done["outcome"] == "acked", (value, done)
