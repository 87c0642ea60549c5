# SPDX-License-Identifier: Apache-2.0
"""The stand-in for the platform's API against a plain client."""

import http.client
import time

import pytest
from kube_client import Client
from sandbox.platform_api import PlatformStandin
from sandbox.slack.client import Control
from sandbox.world import eventually


@pytest.fixture
def platform(loop_thread):
    async def make():
        return await PlatformStandin(queue_ms=1, run_ms=8).start()
    standin = loop_thread.run(make())
    standin.c, standin.ctl = Client(standin.base_url, standin.token), Control(standin.control_url)
    yield standin
    loop_thread.run(standin.stop())


def test_token(platform):
    assert Client(platform.base_url, None).get("/datasets").status == 401
    assert Client(platform.base_url, "x").get("/tasks/none").status == 401


def test_pages_and_filters(platform):
    names, cursor = [], None
    while True:
        page = platform.c.get("/datasets", owner="ads", limit=7, **({"cursor": cursor} if cursor else {})).json
        names += [d["name"] for d in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(names) == len(set(names)) == 20 and all(n.startswith("ads.") for n in names)
    assert {d["status"] for d in platform.c.get("/datasets", status="failed", limit=100).json["items"]} == {"failed"}
    assert len(platform.c.get("/datasets", name="raw").json["items"]) == 3
    one = platform.c.get("/datasets/ads.clicks").json
    assert one["owner"] == "ads" and platform.c.get("/datasets/ads.none").status == 404


def test_what_it_refuses(platform):
    assert platform.c.get("/datasets", colour="red").json["error"] == "unknown_argument"
    assert platform.c.get("/datasets", limit=0).status == 400 and platform.c.get("/datasets", limit=101).status == 400
    assert platform.c.get("/datasets", status="fine").status == 400
    cursor = platform.c.get("/datasets", limit=1).json["next"]
    assert platform.c.get("/datasets", limit=1, owner="ads", cursor=cursor).json["error"] == "bad_cursor"
    assert platform.c("POST", "/tasks", {"kind": "refresh"}, "text/plain").status == 415
    assert platform.c("POST", "/tasks", "{").status == 400
    assert platform.c("POST", "/tasks", {"kind": "explode"}).status == 422
    assert platform.c("DELETE", "/datasets/ads.clicks").status == 405


def ended(platform, task):
    def check():
        view = platform.c.get(f"/tasks/{task}").json
        return view if view["state"] not in ("queued", "running") else None
    return eventually(check, what="the task to end")


def test_tasks_and_their_key(platform):
    body, key = {"kind": "refresh", "dataset": "ads.clicks", "params": {"day": "2026-11-24"}}, {"Idempotency-Key": "k1"}
    first = platform.c("POST", "/tasks", body, headers=key)
    assert first.status == 202 and first.json["state"] == "queued"
    second = platform.c("POST", "/tasks", body, headers=key)
    assert second.json["id"] == first.json["id"] and second.headers["idempotent-replayed"] == "true"
    assert platform.c("POST", "/tasks", {**body, "kind": "export"}, headers=key).json["error"] == "key_reused"
    assert ended(platform, first.json["id"])["state"] == "succeeded"
    platform.ctl.outcome(outcome="failed", kind="compact")
    bad = platform.c("POST", "/tasks", {"kind": "compact"}).json["id"]
    assert ended(platform, bad)["error"] == "worker 3 ran out of memory"
    assert platform.c("POST", f"/tasks/{bad}/cancel").status == 409
    platform.ctl.outcome(outcome="hang")
    stuck = platform.c("POST", "/tasks", {"kind": "export"}).json["id"]
    assert platform.c("POST", f"/tasks/{stuck}/cancel").json["state"] == "cancelled"


def test_faults(platform):
    broken = (http.client.HTTPException, OSError)
    platform.ctl.fault(mode="status", code=503, retry_after=2, times=1)
    a = platform.c.get("/datasets")
    assert a.status == 503 and a.headers["retry-after"] == "2"
    platform.ctl.fault(mode="html", times=1)
    assert platform.c.get("/datasets").type == "text/html"
    platform.ctl.fault(mode="huge", times=1)
    assert len(platform.c.get("/datasets").body) > 5 << 20
    cursor = platform.c.get("/datasets", limit=5).json["next"]
    platform.ctl.fault(mode="page_lost", times=1)
    assert platform.c.get("/datasets", limit=5).status == 200
    assert platform.c.get("/datasets", limit=5, cursor=cursor).status == 410
    platform.ctl.fault(mode="cursor_loop")
    assert platform.c.get("/datasets", limit=5, cursor=cursor).json["next"] == cursor
    platform.ctl.clear()
    platform.ctl.fault(mode="close_after", method="POST", times=1)
    with pytest.raises(broken):
        platform.c("POST", "/tasks", {"kind": "refresh"}, headers={"Idempotency-Key": "k9"})
    again = platform.c("POST", "/tasks", {"kind": "refresh"}, headers={"Idempotency-Key": "k9"})
    assert again.headers["idempotent-replayed"] == "true" and len(platform.ctl.objects()["tasks"]) == 1
    platform.ctl.fault(mode="hang", times=1)
    with pytest.raises(broken):
        platform.c.get("/datasets", timeout=0.2)
    end = time.monotonic() + 60
    while (asked := platform.ctl.requests()["requests"])[-1]["status"] is not None and time.monotonic() < end:
        pass                # it may not have read what we did not wait for
    assert [r["status"] for r in asked][:2] == [503, 200] and asked[-1]["status"] is None


def test_reset(platform):
    platform.ctl.set(name="ads.clicks", status="failed")
    platform.ctl.fault(mode="hang")
    platform.ctl.reset()
    assert platform.c.get("/datasets/ads.clicks").json["status"] == "ready"
