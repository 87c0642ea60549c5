# SPDX-License-Identifier: Apache-2.0
"""A cluster with impersonate: what a person asks for is done as that person, and the cluster's own rules apply."""

import pytest

from sandbox.world import request_id

SCALE = 'workers scale team=ads role=dev count=5 reason="queue is growing"'
MAY_IMPERSONATE = [{"group": "", "resource": r, "verb": "impersonate"} for r in ("users", "groups")]


@pytest.fixture
def acting(make_world):
    world = make_world(config={"clusters": {"main": {"impersonate": True}}})
    world.kube.rbac(allow=MAY_IMPERSONATE)
    return world


def test_done_as_the_person(acting):
    acting.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=3)
    acting.kube.rbac(people=["team-ads-oncall"])
    preview = acting.ask("U0ANA", SCALE)
    rid = request_id(preview)
    acting.click("U0ANA", preview, "confirm")
    acting.see("U0ANA", ["✅", rid])
    made = acting.kube.requests(verb="patch", resource="deployments")["requests"]
    assert len(made) >= 2                                   # tried, then done
    for request in made:
        headers = request["headers"]
        assert headers["impersonate-user"] == "ana@example.com"
        assert "team-ads-oncall" in headers["impersonate-group"].split(",")
        assert "data-platform" not in headers["impersonate-group"].split(",")
        assert headers["impersonate-extra-slack-user"] == "U0ANA"


def test_the_clusters_own_rules(acting):
    acting.slash("U0ANA", SCALE)
    acting.see("U0ANA", ["ana@example.com may not get deployments"])
    assert not acting.kube.patches()


def test_opsd_must_be_allowed_to(make_world):
    world = make_world(config={"clusters": {"main": {"impersonate": True}}})
    world.slash("U0ANA", SCALE)
    world.see("U0ANA", ["opsd may not act for ana@example.com"])
