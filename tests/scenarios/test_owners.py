# SPDX-License-Identifier: Apache-2.0
"""Who else owns what is about to be changed: the preview says what will become of it, and its lever works."""

import json

import pytest

from sandbox.world import request_id, words

SCALE = 'workers scale team=ads role=dev count=4 reason="the queue grows"'


@pytest.fixture
def make(make_world):
    def build(**kube):
        return make_world(kube={"workloads": "instant", "hpa_ms": 50, "argo_ms": 50, **kube},
                          config={"follow": {"stays_seconds": 60}})
    return build


def confirm(world, preview):
    world.click("U0ANA", preview, "confirm")
    rid = request_id(preview)
    world.wait_state(rid, "succeeded")
    return rid


def pull(world, preview):
    """Press the lever of a preview and send its form as it is; the preview of what it asks for."""
    since = world.last_ts()
    world.click("U0ANA", preview, "lever")
    view = world.slack.wait("view", user="U0ANA", callback_id="command")
    done = world.slack.submit(user="U0ANA", values={})
    assert done["outcome"] == "acked" and not done["errors"], (done, view)
    return world.see("U0ANA", ['"action_id": "confirm"'], since=since)


def test_scale_under_an_autoscaler(make):
    world = make()
    world.kube.obstacle(what="hpa", ns="ads", name="workers-dev", low=2, high=3)
    preview = world.ask("U0ANA", SCALE)
    says = words(preview)
    assert "HorizontalPodAutoscaler workers-dev (2 to 3)" in says and "back into its range" in says
    assert 'workers range team=ads role=dev min=4 max=4 reason="the queue grows"' in says

    instead = pull(world, preview)
    says = words(instead)
    assert "HorizontalPodAutoscaler ads/workers-dev" in says and "min 2 → 4" in says and "max 3 → 4" in says
    confirm(world, instead)
    world.kube.wait(kind="Deployment", ns="ads", name="workers-dev", want={"spec": {"replicas": 4}})
    assert not [p for p in world.kube.patches() if p["resource"] == "deployments"], "the autoscaler did it"
    # the command that was named does the same, typed
    again = world.ask("U0ANA", "workers range team=ads role=dev min=5 max=5 reason=more")
    confirm(world, again)
    world.kube.wait(kind="Deployment", ns="ads", name="workers-dev", want={"spec": {"replicas": 5}})


def test_scale_under_keda(make):
    world = make()
    world.kube.obstacle(what="keda", ns="ads", name="workers-dev", low=2, high=10)
    preview = world.ask("U0ANA", SCALE)
    says = words(preview)
    assert "KEDA ScaledObject workers-dev" in says and "will undo this" in says
    assert 'workers pause team=ads role=dev count=4 reason="the queue grows"' in says
    assert "keda-hpa" not in says, "its own autoscaler is not told twice"

    instead = pull(world, preview)
    assert "pause off → at 4 replicas" in words(instead)
    confirm(world, instead)
    world.kube.wait(kind="Deployment", ns="ads", name="workers-dev", want={"spec": {"replicas": 4}})
    paused = world.ask("U0ANA", SCALE.replace("count=4", "count=5"))
    assert "is paused at 4 replicas and keeps them there" in words(paused)
    resume = world.ask("U0ANA", "workers resume team=ads role=dev reason=over")
    assert "at 4 replicas → off" in words(resume) and "again by its triggers" in words(resume)
    confirm(world, resume)


@pytest.mark.parametrize("self_heal,part", [(True, "heals itself: the value is set back within seconds"),
                                            (False, "syncs by itself: the value stays until the next change in Git")])
def test_scale_under_argo_cd(make, self_heal, part):
    world = make()
    world.kube.obstacle(what="argo", ns="ads", name="workers-dev", self_heal=self_heal)
    preview = world.ask("U0ANA", SCALE)
    says = words(preview)
    assert "Argo CD application ads-workers" in says and part in says
    rid = confirm(world, preview)
    if self_heal:
        told = world.slack.wait("message", channel="D00ANA", contains=["Undone", rid])
        assert "replicas is 2 again, not 4: set by argocd-controller" in words(told)
        world.wait_audit(rid, "undone since")
    else:
        world.wait_told()
        assert world.kube.replicas() == 4


def test_argo_cd_that_ignores_the_field(make):
    world = make()
    world.kube.obstacle(what="argo", ns="ads", name="workers-dev", ignore=["/spec/replicas"])
    assert "does not mind this difference" in words(world.ask("U0ANA", SCALE))


def test_argo_cd_that_opsd_may_not_read(make):
    world = make()
    world.kube.obstacle(what="argo", ns="ads", name="workers-dev")
    world.kube.rbac(deny=[{"group": "argoproj.io", "resource": "applications", "verb": "get"}])
    says = words(world.ask("U0ANA", SCALE))
    assert "Argo CD application ads-workers" in says and "with self-heal the value is set back within seconds" in says


@pytest.mark.parametrize("flux, part", [
    ({"interval": "5m0s"}, "Flux Kustomization flux-system/tenants: sets it back within 5m if Git holds this field, now at "
                           "main@sha1:1a2b3c4"),
    ({"suspend": True}, "Flux Kustomization flux-system/tenants: is suspended: the change stays until somebody resumes it")])
def test_scale_under_flux(make, flux, part):
    world = make()
    world.kube.obstacle(what="flux", ns="ads", name="workers-dev", **flux)
    assert part in words(world.ask("U0ANA", SCALE))


def test_flux_that_opsd_may_not_read(make):
    world = make()
    world.kube.obstacle(what="flux", ns="ads", name="workers-dev")
    world.kube.rbac(deny=[{"group": "kustomize.toolkit.fluxcd.io", "resource": "kustomizations", "verb": "get"}])
    says = words(world.ask("U0ANA", SCALE))
    assert "sets it back at its next reconcile, often within 10 minutes, if Git holds this field" in says
    assert "may not" not in says


def test_policy_refuses_at_the_preview(make):
    world = make()
    world.kube.admission(deny="not while the freeze of the year's end holds")
    world.slash("U0ANA", SCALE)
    answer = world.see("U0ANA", ["❌", "not while the freeze"])
    assert '"action_id": "confirm"' not in json.dumps(answer["blocks"])
    assert not world.kube.patches()


def test_undo_a_deploy(make):
    world = make(workloads="full", step_ms=5, observe_ms=5)
    first = world.ask("U0ANA", 'workers deploy team=ads role=dev version=1.5.0 reason="a fix"')
    assert "image registry.example.com/worker:1.4.2 → registry.example.com/worker:1.5.0" in words(first)
    confirm(world, first)
    world.kube.wait(kind="Deployment", ns="ads", name="workers-dev", want={"status": {
        "observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2, "replicas": 2}})
    back = world.ask("U0ANA", 'workers undo team=ads role=dev reason="it crashes"')
    assert "revision 2 → 1" in words(back) and "ConfigMaps and Secrets stay as they are" in words(back)
    confirm(world, back)
    image = world.kube.object("Deployment", "ads", "workers-dev")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "registry.example.com/worker:1.4.2"


def test_task_is_followed_to_its_log(make):
    world = make()
    world.kube.job(name="compaction", lines=["reading", "wrote 12 files"], run_ms=50)
    preview = world.ask("U0ANA", 'jobs run team=ads task=compaction day=2026-11-24 reason="it was missed"')
    assert "DAY" in words(preview)
    rid = confirm(world, preview)
    told = world.slack.wait("message", channel="D00ANA", contains=["Over", rid])
    assert "is complete" in words(told) and "wrote 12 files" in words(told)
    assert not [p for p in world.audit_posts(rid) if "wrote 12 files" in words(p)], "the log is the requester's"


def test_secret_goes_to_the_cluster_and_nowhere_else(make):
    """It is typed into the form, and stands in no message, row, entry or log, before or after."""
    world = make()
    value, coded = "s3cr3t-of-the-broker", "czNjcjN0LW9mLXRoZS1icm9rZXI="
    since = world.last_ts()
    world.slash("U0ANA", "config secret team=ads key=TOKEN reason=rotated")
    world.slack.wait("view", user="U0ANA", callback_id="command")
    done = world.slack.submit(user="U0ANA", values={"value": value})
    assert done["outcome"] == "acked" and not done["errors"], done
    preview = world.see("U0ANA", ['"action_id": "confirm"'], since=since)
    assert "TOKEN (a secret) → (the new secret)" in words(preview) and "cannot be set back" in words(preview)
    rid = confirm(world, preview)
    world.wait_told()
    assert world.kube.object("Secret", "ads", "credentials")["data"]["TOKEN"] == coded
    assert not [r for r in world.kube.requests()["requests"] if r["resource"] == "secrets" and r["verb"] != "patch"]
    tables = [r["t"] for r in world.sql("select format('%I.%I', schemaname, tablename) as t from pg_tables "
                                        "where schemaname in ('ops', 'authz', 'dir')")]
    for table in tables:
        rows = world.sql(f"select x::text as row from {table} x")
        assert not [r for r in rows if value in r["row"] or coded in r["row"]], table
    said = json.dumps(world.slack.messages(channel="C0OPS")) + json.dumps(world.slack.messages(channel="C0AUDIT"))
    logs = "\n".join(json.dumps(x) for o in world.running for x in o.lines)
    for text in (said, logs):
        assert value not in text and coded not in text
    assert world.audit_rows(request=rid)
