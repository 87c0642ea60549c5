# SPDX-License-Identifier: Apache-2.0
"""Run the stand-in by itself: /usr/bin/python3 -m sandbox.platform_api [--port N] (from the tests folder)."""

import argparse
import asyncio
import json
import signal

from .server import PlatformStandin


async def main():
    parser = argparse.ArgumentParser(description="Stand-in for the platform's API on 127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bench", action="store_true", help="no records")
    args = parser.parse_args()
    standin = await PlatformStandin(record=not args.bench).start(port=args.port)
    print(json.dumps({"url": standin.base_url + "/", "token": standin.token}), flush=True)
    stop = asyncio.Event()
    for sig in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sig, stop.set)
    await stop.wait()
    await standin.stop()

asyncio.run(main())
