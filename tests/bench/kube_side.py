# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes side as a process of the bench: it takes scale patches and keeps the last value."""

import asyncio
import json
import signal

from sandbox.slack.wire import Conn, json_answer


class Scales:
    def __init__(self):
        self.conns = set()
        self.version = 1
        self.replicas = {}

    def handle(self, req):
        part = req.path.strip("/").split("/")
        if req.method not in ("GET", "PATCH") or part[-1] != "scale" or part[:3] != ["apis", "apps", "v1"]:
            return json_answer({"kind": "Status", "status": "Failure", "code": 404}, 404)
        namespace, name = part[4], part[6]
        if req.method == "PATCH":
            self.version += 1
            self.replicas[namespace, name] = req.json()["spec"]["replicas"]
        spec = {"replicas": self.replicas.get((namespace, name), 1)}
        return json_answer({"kind": "Scale", "apiVersion": "autoscaling/v1", "spec": spec, "status": spec,
                            "metadata": {"name": name, "namespace": namespace, "resourceVersion": str(self.version)}})


async def main():
    app, loop = Scales(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conn(app), "127.0.0.1", 0)
    print(json.dumps({"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}), flush=True)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.close()

asyncio.run(main())
