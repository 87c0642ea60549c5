# SPDX-License-Identifier: Apache-2.0
"""One run has one stand-in and one real server. Without the real one its tests are skipped, and say why."""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for path in (HERE, HERE.parent, HERE.parent / "sandbox" / "tests"):
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))

from controlplane.plane import Cannot  # noqa: E402
from sandbox.slack.client import LoopThread  # noqa: E402
from servers import Named, Real, Standin  # noqa: E402


@pytest.fixture(scope="session")
def loop_thread():
    with LoopThread() as thread:
        yield thread


@pytest.fixture(scope="session")
def standin(loop_thread):
    server = Standin(loop_thread)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def real():
    try:
        server = Named() if os.environ.get("CLUSTER") == "named" else Real()
    except Cannot as e:
        pytest.skip(f"no control plane: {e}")
    yield server
    server.stop()


@pytest.fixture(params=["standin", "real"])
def server(request):
    return request.getfixturevalue(request.param)
