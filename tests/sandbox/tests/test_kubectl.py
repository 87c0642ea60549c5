# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes stand-in against kubectl, which knows nothing of it. Skipped where kubectl is not installed."""

import json
import os
import shutil
import ssl
import subprocess

import pytest
import tls_cert
import yaml
from sandbox.kube import KubeStandin
from sandbox.slack.client import Control

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@pytest.fixture(scope="module")
def cluster(loop_thread, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kubectl")
    cert, key = tls_cert.make(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)

    async def make():
        return await KubeStandin(step_ms=10, observe_ms=5, job_run_ms=50, job_start_ms=5).start(tls=context)
    standin = loop_thread.run(make())
    # kubectl sends no token over plain HTTP, and its client certificate-less user is an administrator here
    (folder / "config").write_text(yaml.safe_dump(standin.kubeconfig("sandbox-admin-token", ca_file=cert)))

    def kubectl(*args, ns="ads", text=None, status=0):
        done = subprocess.run(["kubectl", "--request-timeout=60s", "-n", ns, *args], input=text, capture_output=True,
                              text=True, timeout=120,
                              env={**os.environ, "KUBECONFIG": str(folder / "config"), "HOME": str(folder)})
        assert status is None or done.returncode == status, f"kubectl {args}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr
    kubectl.ctl = Control(standin.control_url)
    yield kubectl
    loop_thread.run(standin.stop())


@pytest.fixture
def kubectl(cluster):
    cluster.ctl.reset()
    return cluster


def test_reading(kubectl):
    assert "Server Version: v1.36" in kubectl("version")
    resources = kubectl("api-resources")
    assert "deployments" in resources and "scaledobjects" in resources and "argoproj.io/v1alpha1" in resources
    table = kubectl("get", "deploy,cm,cronjob")
    assert "deployment.apps/workers-prod" in table and "6/6" in table and "configmap/settings" in table
    assert kubectl("get", "ns", "-l", "opsd/tenant=true", "-o", "name").split() == ["namespace/ads", "namespace/web"]
    assert json.loads(kubectl("get", "cm", "settings", "-o", "json"))["data"]["LOG_LEVEL"] == "info"
    assert "RollingUpdateStrategy" in kubectl("describe", "deploy", "workers-dev")
    assert 'deployments.apps "none" not found' in kubectl("get", "deploy", "none", status=1)
    assert "doesn't have a resource type" in kubectl("get", "widgets", status=1)


def test_scale_restart_undo(kubectl):
    assert "scaled" in kubectl("scale", "deploy/workers-dev", "--replicas=5", "--current-replicas=2")
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/workers-dev")
    assert "Expected replicas to be 2" in kubectl("scale", "deploy/workers-dev", "--replicas=9", "--current-replicas=2",
                                                  status=1)
    kubectl("rollout", "restart", "deploy/workers-dev")
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/workers-dev")
    kubectl("set", "image", "deploy/workers-dev", "worker=registry.example.com/worker:2")
    kubectl("rollout", "status", "deploy/workers-dev")
    assert len(kubectl("rollout", "history", "deploy/workers-dev").split("\n")) >= 5
    assert "rolled back" in kubectl("rollout", "undo", "deploy/workers-dev", "--to-revision=1")
    kubectl("rollout", "status", "deploy/workers-dev")
    assert kubectl("get", "deploy", "workers-dev", "-o", "jsonpath={..image}").endswith("worker:1.4.2")
    kubectl("rollout", "pause", "deploy/workers-dev")
    assert "can't restart paused deployment" in kubectl("rollout", "restart", "deploy/workers-dev", status=1)


def test_stateful_set(kubectl):
    kubectl("rollout", "restart", "sts/queue", ns="core")
    assert "complete" in kubectl("rollout", "status", "sts/queue", ns="core")
    assert "rolled back" in kubectl("rollout", "undo", "sts/queue", ns="core")
    kubectl("rollout", "status", "sts/queue", ns="core")
    assert "restartedAt" not in kubectl("get", "sts", "queue", "-o", "yaml", ns="core")


def test_job_from_a_cron_job(kubectl):
    job = kubectl("create", "job", "manual", "--from=cronjob/compaction", "--dry-run=client", "-o", "yaml")
    kubectl("create", "--validate=false", "-f", "-", text=job)      # it would send protobuf by itself
    assert "condition met" in kubectl("wait", "--for=condition=complete", "job/manual", "--timeout=60s")
    assert "manual: step 5 of 5" in kubectl("logs", "job/manual")
    kubectl("delete", "job", "manual")
    assert kubectl("get", "pods", "-l", "batch.kubernetes.io/job-name=manual", "-o", "name") == ""


def test_patches_and_apply(kubectl):
    kubectl("patch", "cm", "settings", "--type", "merge", "-p", '{"data":{"LOG_LEVEL":"debug"}}')
    kubectl("patch", "cm", "settings", "-p", '{"data":{"A":"b"}}')
    bad = kubectl("patch", "cm", "settings", "--type", "json", "-p",
                  '[{"op":"test","path":"/data/A","value":"x"}]', status=1)
    assert "the server rejected our request due to an error in our request" in bad
    kubectl("label", "cm", "settings", "x=y")
    kubectl("annotate", "deploy", "workers-prod", "kubernetes.io/change-cause=try")
    mine = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"},
                       "data": {"a": "1", "b": "2"}})
    apply = ("apply", "--server-side", "--validate=false", "-f", "-")
    assert "serverside-applied" in kubectl(*apply, text=mine)
    fewer = mine.replace(', "b": "2"', "")
    kubectl(*apply, text=fewer)
    assert json.loads(kubectl("get", "cm", "mine", "-o", "jsonpath={.data}")) == {"a": "1"}
    clash = kubectl(*apply, "--field-manager=other", text=fewer.replace('"1"', '"3"'), status=1)
    assert 'conflict with "kubectl"' in clash and ".data.a" in clash
    kubectl("delete", "cm", "mine")


def test_watch(kubectl):
    kubectl.ctl.set(kind="Deployment", ns="ads", name="workers-prod", replicas=7)
    seen = kubectl("wait", "--for=jsonpath={.status.readyReplicas}=7", "deploy/workers-prod", "--timeout=60s")
    assert "condition met" in seen
