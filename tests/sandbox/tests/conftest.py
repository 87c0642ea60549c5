# SPDX-License-Identifier: Apache-2.0
"""Puts the stand-ins on the path and gives each Slack test a fresh one."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for path in (HERE, HERE.parent.parent):
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))

from raw_app import App  # noqa: E402
from sandbox.slack.client import Control, LoopThread  # noqa: E402
from sandbox.slack import SlackStandin  # noqa: E402


@pytest.fixture(scope="session")
def loop_thread():
    with LoopThread() as thread:
        yield thread


@pytest.fixture
def slack(loop_thread):
    """(standin, control client, app client) on a port of its own."""
    async def make():
        return await SlackStandin(patient=True).start()
    standin = loop_thread.run(make())
    standin.ctl = Control(standin.base_url)
    standin.app = App(standin.base_url, standin.bot_token, standin.app_token)
    yield standin
    loop_thread.run(standin.stop())
