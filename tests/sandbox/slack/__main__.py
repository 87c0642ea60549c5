# SPDX-License-Identifier: Apache-2.0
"""Run the stand-in by itself: /usr/bin/python3 -m sandbox.slack [--port N] (from the tests folder)."""

import argparse
import asyncio
import gc
import json
import signal

from .server import SlackStandin


async def main():
    parser = argparse.ArgumentParser(description="Slack stand-in on 127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bench", action="store_true", help="no pacing, no records")
    parser.add_argument("--kube", help="base URL of the Kubernetes stand-in, for the page")
    parser.add_argument("--audit", help="URL of the audit log as JSON, for the page")
    args = parser.parse_args()
    switches = {"pacing": False, "record": False} if args.bench else {}
    config = {k: v for k, v in (("kube", args.kube), ("audit", args.audit)) if v}
    standin = await SlackStandin(page_config=config, **switches).start(port=args.port)
    print(json.dumps({"page": standin.base_url + "/", "api_url": standin.api_url, "bot_token": standin.bot_token,
                      "app_token": standin.app_token}), flush=True)
    gc.freeze()
    gc.set_threshold(50000, 20, 20)
    stop = asyncio.Event()
    for sig in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sig, stop.set)
    await stop.wait()
    await standin.stop()

asyncio.run(main())
