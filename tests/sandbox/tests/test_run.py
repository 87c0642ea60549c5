# SPDX-License-Identifier: Apache-2.0
"""The launcher: one command, one URL, and nothing left behind."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from sandbox import run
from sandbox.audit import sentence
from sandbox.slack.client import Control
from sandbox.world import binary

RUN = Path(run.__file__)
pytestmark = pytest.mark.skipif(not Path("/usr/lib/postgresql").is_dir(), reason="no PostgreSQL server is installed")


def fetch(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


class Launched:
    def __init__(self, *args, folder, **env):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SLACK_") and k != "KUBECONFIG"}
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8")     # a pipe that nobody reads fills up
        self.child = subprocess.Popen([RUN, *args], stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                      env={**clean, "TMPDIR": str(folder), **env})
        self.folder, self.said = folder, ""

    def complaints(self):
        self.errors.seek(0)
        return self.errors.read()

    def wait_url(self):
        for line in self.child.stdout:
            self.said += line
            if "Ctrl-C" in line:
                return re.search(r"Open\s+(http://\S+)/", self.said)[1]
        raise AssertionError(f"the launcher ended with {self.child.wait()}: {self.said} {self.complaints()}")

    def end(self, number=signal.SIGINT):
        self.child.send_signal(number)
        out, _ = self.child.communicate(timeout=120)
        return self.child.returncode, out + self.complaints()


@pytest.fixture
def launch():
    """PostgreSQL's user must reach the folder: not one of pytest's, which every other pytest closes to others when it
    begins, in the middle of ours."""
    started = []
    with tempfile.TemporaryDirectory(prefix="opsd-launch-") as name:
        folder = Path(name)
        folder.chmod(0o755)

        def start(*args, **env):
            started.append(Launched(*args, folder=folder, **env))
            return started[-1]
        yield start
        for one in started:
            if one.child.poll() is None:
                one.end()


def test_without_opsd(launch):
    one = launch("--no-opsd")
    url = one.wait_url()
    config = fetch(url + "/_/page-config.json")
    names = {o["metadata"]["name"] for o in fetch(config["kube"] + "/_/objects")["items"]}
    assert {"workers-dev", "workers-prod", "settings"} <= names
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(config["audit"])          # nothing was migrated
    assert refused.value.code == 503
    status, said = one.end()
    assert status == 0, said
    assert list(one.folder.iterdir()) == []


@pytest.mark.skipif(not binary().is_file(), reason=f"{binary()} is not built")
def test_with_opsd(launch):
    one = launch("--replicas", "2")
    url = one.wait_url()
    slack, config = Control(url), fetch(url + "/_/page-config.json")
    slack.slash(user="U0ANA", channel="C0OPS", text="workers status team=ads", wait=True)
    slack.wait("message", channel="C0OPS", user="U0ANA", contains="workers-prod")
    end = time.monotonic() + 60
    while not any(e["kind"] == "request.succeeded" for e in fetch(config["audit"])["entries"]):
        assert time.monotonic() < end
    first = next(e for e in fetch(config["audit"])["entries"] if e["kind"] == "request.succeeded")
    assert first["person"] == "Ana Ruiz" and first["action"] == "workers.status"
    assert first["body"]["facts"]["args"] == {"team": "ads"}
    status, said = one.end(signal.SIGTERM)
    assert status == 0 and "opsd 2: info: stopped" in said, said
    assert list(one.folder.iterdir()) == []


def test_it_ends_with_its_parent(launch):
    one = launch("--no-opsd")
    one.wait_url()
    one.child.kill()
    one.child.wait()
    end = time.monotonic() + 60
    while list(one.folder.iterdir()):
        assert time.monotonic() < end, list(one.folder.iterdir())
        time.sleep(0.02)


def test_what_it_refuses(launch):
    half = launch("--no-opsd", SLACK_APP_TOKEN="xapp-x")
    assert half.child.wait(60) == 3 and "SLACK_APP_TOKEN is set and the other" in half.complaints()
    both = launch("--no-opsd", SLACK_APP_TOKEN="xapp-x", SLACK_BOT_TOKEN="xoxb-x")
    assert both.child.wait(60) == 3 and "--audit-channel" in both.complaints()
    gone = launch(OPSD="/nowhere/opsd")
    assert gone.child.wait(60) == 3 and "/nowhere/opsd is not built" in gone.complaints()


def test_a_real_cluster_only_beside_the_real_slack(tmp_path, monkeypatch):
    class Options:
        no_opsd, replicas, audit_channel, real_kubernetes = True, 1, "C1", False
    file = tmp_path / "config"
    file.write_text("current-context: prod\n")
    monkeypatch.setenv("KUBECONFIG", str(file))
    for name in ("SLACK_APP_TOKEN", "SLACK_BOT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    run.look_around(Options)
    assert not Options.real_slack and not Options.real_cluster
    monkeypatch.setenv("SLACK_APP_TOKEN", "xapp-x")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-x")
    run.look_around(Options)
    assert Options.real_slack and Options.real_cluster and Options.context == "prod"
    Options.real_kubernetes = True
    with pytest.raises(run.CannotStart, match="exclude each other"):
        run.look_around(Options)


def test_an_entry_in_words():
    assert sentence({"facts": {"args": {"team": "ads"}, "error": "no answer", "reason": "load"}}) == "no answer · load"
    assert sentence({}) == "" and sentence({"facts": "odd"}) == ""
