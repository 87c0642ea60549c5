# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes stand-in as a process of the bench: no records, statuses at once, a namespace for each team."""

import asyncio
import gc
import json
import signal

from sandbox.kube import TOKEN, KubeStandin, seed

from .subjects import TEAMS


class Open(KubeStandin):
    """The peer sends no token; it counts as if it had sent the service's."""

    def act(self, req, target, args, about, fault):
        req.headers.setdefault("authorization", f"Bearer {TOKEN}")
        return super().act(req, target, args, about, fault)


def objects():
    """What the two programs scale: `workers` is the peer's, `workers-dev` is opsd's."""
    out = []
    for ns in (f"t{n}" for n in range(1, TEAMS + 1)):
        out.append({"kind": "Namespace", "metadata": {"name": ns, "labels": {"opsd/tenant": "true"}}})
        out += [seed.workload("Deployment", ns, name, 2) for name in ("workers", "workers-dev", "workers-prod")]
    return out


async def main():
    standin = await Open(objects=objects(), record=False, workloads="instant").start()
    print(json.dumps({"url": standin.base_url, "token": TOKEN}), flush=True)
    gc.freeze()
    gc.set_threshold(200000, 50, 1000)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await standin.stop()

asyncio.run(main())
