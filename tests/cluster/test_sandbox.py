# SPDX-License-Identifier: Apache-2.0
"""deploy/sandbox.sh --real-kubernetes: one command of a person, and the change is in a real cluster, under the
privileges that opsd catalog rbac made."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from controlplane.plane import ADMIN_TOKEN
from kube_client import APPS, Client
from sandbox import run
from sandbox.slack.client import Control
from servers import Real, wait


@pytest.mark.skipif(not Path("/usr/lib/postgresql").is_dir(), reason="no PostgreSQL server is installed")
def test_real_kubernetes(real):
    if not isinstance(real, Real):
        pytest.skip("the sandbox starts a control plane of its own")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SLACK_") and k != "KUBECONFIG"}
    with subprocess.Popen([run.__file__, "--real-kubernetes", "--quiet"], stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.PIPE, env=clean) as child:
        try:
            said = ""
            for line in child.stdout:
                said += line
                if "Ctrl-C" in line:
                    break
            slack = Control(re.search(r"Open\s+(http://\S+)/", said)[1])
            config = Path(re.search(r"KUBECONFIG=(\S+)", said)[1])
            cluster = yaml.safe_load(config.read_text(encoding="utf-8"))["clusters"][0]["cluster"]
            admin = Client(cluster["server"], ADMIN_TOKEN, cluster["certificate-authority"])
            at = APPS + "ads/deployments/workers-dev"
            wait(lambda: admin.get(at).json["status"].get("readyReplicas") == 2, "two workers")
            slack.slash(user="U0ANA", channel="C0OPS", text='workers nudge team=ads count=3 reason="a little more"',
                        wait=True)
            wait(lambda: admin.get(at).json["status"].get("readyReplicas") == 3, "three workers")
            mark = admin.get(at).json["metadata"]
            assert any(f["manager"] == "opsd" for f in mark["managedFields"])
        finally:
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=60)
    assert child.returncode == 0, out + err
    assert not config.parent.exists()               # nothing is left behind
