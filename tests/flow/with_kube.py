#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs one test program beside the stand-ins for Kubernetes and for the platform's API.

KUBE_URL, KUBE_CONTROL, KUBE_CONFIG (a kubeconfig with the context main and a tokenFile), KUBE_TOKEN (that file),
API_URL and API_TOKEN are in its environment."""
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sandbox.kube import KubeStandin  # noqa: E402
from sandbox.platform_api import PlatformStandin  # noqa: E402


async def main(argv):
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        kube = await KubeStandin(workloads="instant").start()
        api = await PlatformStandin(queue_ms=5, run_ms=10).start()
        token = folder / "token"
        token.write_text(kube.token + "\n", encoding="ascii")
        config = folder / "kubeconfig"
        config.write_text(json.dumps(kube.kubeconfig(token_file="token")), encoding="ascii")
        env = dict(os.environ, KUBE_URL=kube.base_url, KUBE_CONTROL=kube.control_url, KUBE_CONFIG=str(config),
                   KUBE_TOKEN=str(token), API_URL=api.base_url, API_TOKEN=api.token)
        program = await asyncio.create_subprocess_exec(*argv, env=env)
        code = await program.wait()
        await kube.stop()
        await api.stop()
        return code


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
