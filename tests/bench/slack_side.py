# SPDX-License-Identifier: Apache-2.0
"""The Slack stand-in as a process of the bench: no pacing, no records, and the control call `load`."""

import asyncio
import gc
import json
import signal

from sandbox.slack.control import Control
from sandbox.slack.server import SlackStandin

from .load import Load, WatchedHooks


class BenchControl(Control):
    def do_load(self, **plan):
        return Load(self.s, **plan).run()

    def do_refresh_in(self, seconds, kind):
        """A disconnect message to every socket, a while from now."""
        asyncio.get_running_loop().call_later(float(seconds), lambda: self.do_refresh(kind=kind))
        return {}


async def main():
    standin = SlackStandin(pacing=False, record=False)
    standin.hooks = WatchedHooks(standin)
    standin.control = BenchControl(standin)
    await standin.start()
    print(json.dumps({"base_url": standin.base_url, "api_url": standin.api_url, "bot_token": standin.bot_token,
                      "app_token": standin.app_token}), flush=True)
    # What is measured is the other side: no pauses here.
    gc.freeze()
    gc.set_threshold(200000, 50, 1000)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await standin.stop()

asyncio.run(main())
