# SPDX-License-Identifier: Apache-2.0
"""The Slack stand-in against the official Python client, which knows nothing of it.

Skipped when the client is neither installed nor to be had (tests/sandbox/venv.sh)."""

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from sandbox.slack import SlackStandin  # noqa: E402
from sandbox.slack.client import Control, LoopThread  # noqa: E402


@pytest.fixture(scope="module")
def interpreter():
    try:
        run = subprocess.run([HERE.parent / "sandbox" / "venv.sh"], capture_output=True, text=True, timeout=240)
    except subprocess.TimeoutExpired:
        pytest.skip("no answer from the package index")
    if run.returncode:
        pytest.skip("slack_sdk is not to be had: " + run.stderr.strip().splitlines()[-1][:200])
    return run.stdout.strip()


class Bot:
    def __init__(self, interpreter, standin):
        self.process = subprocess.Popen(
            [interpreter, HERE / "foreign_bot.py", standin.api_url, standin.bot_token, standin.app_token],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def expect(self, kind):
        got = self.lines.get(timeout=60)
        assert got.pop("kind") == kind, got
        return got

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def bench(interpreter):
    with LoopThread() as loop:
        async def start():
            return await SlackStandin(patient=True).start()
        standin = loop.run(start())
        bot = Bot(interpreter, standin)
        try:
            yield standin, Control(standin.base_url), bot
        finally:
            bot.stop()
            loop.run(standin.stop())


def test_official_client_works_against_the_standin(bench):
    standin, slack, bot = bench
    auth = bot.expect("auth")
    assert auth["user"] == "U0OPSD" and "team-web" in auth["groups"] and auth["people"] == 12
    assert bot.expect("refused") == {"error": "channel_not_found"}
    bot.expect("connected")
    slack.wait("sockets", count=1)

    done = slack.slash(user="U0ANA", channel="C0OPS", text="hello @ben", wait=True)
    assert done["outcome"] == "acked"
    slash = bot.expect("slash")
    assert slash["text"] == "hello <@U0BEN|ben>" and slash["hook"] == [200, "ok"]
    texts = [m["text"] for m in slack.messages(channel="C0OPS", user="U0ANA")["messages"]]
    assert sorted(texts) == ["on it", "posted", "through the hook"]

    out = slack.submit(user="U0ANA", view_id=slash["view"], values={"t": "words"})
    assert out["errors"] == {"b": "not like this"}
    assert bot.expect("submit") == {"value": "words"}

    slack.click(user="U0BEN", channel="C0OPS", ts=slash["ts"], action_id="go", wait=True)
    assert bot.expect("click") == {"value": "7"}
    slack.wait("message", channel="C0OPS", contains="clicked", changed=True)

    slack.home(user="U0ANA", wait=True)
    assert bot.expect("event") == {"type": "app_home_opened"}


def test_official_client_survives_a_refresh_and_odd_frames(bench):
    standin, slack, bot = bench
    for kind in ("auth", "refused", "connected"):
        bot.expect(kind)
    slack.wait("sockets", count=1)
    for kind in ("not_json", "fragments", "lone_pong"):
        slack.inject(kind=kind)
    slack.refresh(kind="warning", after=0.5)
    slack.wait("sockets", count=1, at_most=1, hello=2)       # what comes on the old one while the client leaves it may be lost
    slack.slash(user="U0ANA", text="after", wait=True)
    assert bot.expect("slash")["text"] == "after"
