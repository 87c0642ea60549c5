#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs one test program beside the Slack stand-in, over TLS; SLACK_* in its environment say where."""
import asyncio
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from cryptography.hazmat.primitives import serialization  # noqa: E402
from sandbox.slack import SlackStandin  # noqa: E402
from with_http import Authority, context  # noqa: E402


async def main(argv):
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        authority = Authority("test CA")
        ca_file = folder / "ca.pem"
        ca_file.write_bytes(authority.cert.public_bytes(serialization.Encoding.PEM))
        standin = await SlackStandin(pacing=False, patient=True, ack_deadline=60).start(tls=context(authority.issue(folder, "slack")))
        env = dict(os.environ, SLACK_CA=str(ca_file), SLACK_BASE=standin.base_url,
                   SLACK_API=standin.api_url, SLACK_APP_TOKEN=standin.app_token)
        program = await asyncio.create_subprocess_exec(*argv, env=env)
        status = await program.wait()
        await standin.stop()
        return status


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
