# SPDX-License-Identifier: Apache-2.0
"""Debian's python3-kubernetes, which knows nothing of us, works on the stand-in as on the real server."""

import time

import pytest
from servers import wait
from test_answers import NUMBERS, job, workload

kubernetes = pytest.importorskip("kubernetes", reason="python3-kubernetes is not installed")


@pytest.fixture
def place(server):
    """(client library, namespace) on a server."""
    config = kubernetes.client.Configuration()
    if not server.admin.token:
        pytest.skip("the kubeconfig's user has no token")
    config.host, config.api_key = server.url, {"authorization": "Bearer " + server.admin.token}
    config.ssl_ca_cert = server.ca_file
    api = kubernetes.client.ApiClient(config)
    ns = f"opsd-python-{next(NUMBERS)}-{int(time.time())}"
    core = kubernetes.client.CoreV1Api(api)
    core.create_namespace({"metadata": {"name": ns}})
    yield api, ns
    core.delete_namespace(ns)


def needs_pods(server):
    if not server.own:
        pytest.skip("our images cannot be pulled on a cluster that is not ours")


def test_workloads(place, server):
    needs_pods(server)
    api, ns = place
    apps = kubernetes.client.AppsV1Api(api)
    apps.create_namespaced_deployment(ns, workload(replicas=1))
    scale = apps.patch_namespaced_deployment_scale("web", ns, {"spec": {"replicas": 3}})
    assert scale.spec.replicas == 3
    wait(lambda: apps.read_namespaced_deployment("web", ns).status.ready_replicas == 3, "three replicas")
    pods = kubernetes.client.CoreV1Api(api).list_namespaced_pod(ns, label_selector="app=web").items
    assert len(pods) == 3 and all(p.status.phase == "Running" for p in pods)
    with pytest.raises(kubernetes.client.ApiException) as missing:
        apps.read_namespaced_deployment("none", ns)
    assert missing.value.status == 404 and "NotFound" in missing.value.body


def test_watch(place):
    api, ns = place
    core = kubernetes.client.CoreV1Api(api)
    core.create_namespaced_config_map(ns, {"metadata": {"name": "settings"}, "data": {"a": "1"}})
    heard = []
    watch = kubernetes.watch.Watch()
    for event in watch.stream(core.list_namespaced_config_map, ns, field_selector="metadata.name=settings",
                              timeout_seconds=20):
        heard.append((event["type"], event["object"].data.get("a")))
        if len(heard) == 1:
            core.patch_namespaced_config_map("settings", ns, {"data": {"a": "2"}})
        elif len(heard) == 2:
            core.delete_namespaced_config_map("settings", ns)
        else:
            watch.stop()
    assert heard == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


def test_job(place, server):
    needs_pods(server)
    api, ns = place
    batch = kubernetes.client.BatchV1Api(api)
    batch.create_namespaced_job(ns, job())
    done = wait(lambda: next((c for c in batch.read_namespaced_job("task", ns).status.conditions or []
                              if c.type == "Complete" and c.status == "True"), None), "the job")
    assert done.status == "True"
    batch.delete_namespaced_job("task", ns, propagation_policy="Background")
    wait(lambda: not batch.list_namespaced_job(ns).items, "its end")
