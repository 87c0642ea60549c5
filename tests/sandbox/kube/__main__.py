# SPDX-License-Identifier: Apache-2.0
"""Run the stand-in by itself: /usr/bin/python3 -m sandbox.kube [--port N] (from the tests folder)."""

import argparse
import asyncio
import gc
import json
import signal

from .server import KubeStandin


async def main():
    parser = argparse.ArgumentParser(description="Kubernetes stand-in on 127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bench", action="store_true", help="no records, statuses at once")
    args = parser.parse_args()
    switches = {"record": False, "workloads": "instant"} if args.bench else {}
    standin = await KubeStandin(**switches).start(port=args.port)
    print(json.dumps({"server": standin.base_url, "token": standin.token, "control": standin.control_url}), flush=True)
    gc.freeze()
    gc.set_threshold(50000, 20, 20)
    stop = asyncio.Event()
    for sig in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sig, stop.set)
    await stop.wait()
    await standin.stop()

asyncio.run(main())
