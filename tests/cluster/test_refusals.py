# SPDX-License-Identifier: Apache-2.0
"""Every kind of action that cannot be: its object is missing, opsd may not, a policy is against it. Each is said when it is
asked for, before anybody confirms, with what to do."""

import itertools
import time

import pytest
from driver import Driver, every, request_id, sow
from sandbox.kube.access import User
from servers import SERVICE, wait
from test_answers import NUMBERS
from test_kinds import CHANGES, READS, settled

POLICY = "not while the year's end is frozen"
IDS = itertools.count(5 * 10 ** 8)


@pytest.fixture(scope="module", params=["standin", "real"])
def place(request, tmp_path_factory):
    """(server, namespace with the objects, a way to a driver with that token)"""
    server = request.getfixturevalue(request.param)
    if not server.own:
        pytest.skip("nodes and policies of a cluster that is not ours are left alone")
    ns = f"opsd-refuses-{next(NUMBERS)}-{int(time.time())}"
    for name in (ns, "argocd", "flux-system"):
        server.admin("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    if server.name == "stand-in":
        for n in (1, 2):
            server.admin("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{n}"}})
    sow(server.admin, ns)
    for turn, path in itertools.product("ab", ("deployments/web", "statefulsets/queue")):      # something to go back to
        settled(server, ns, path)
        server.admin.patch(f"/apis/apps/v1/namespaces/{ns}/{path}",
                           {"spec": {"template": {"metadata": {"annotations": {"turn": turn}}}}})
        settled(server, ns, path)
    drivers = []

    def drive(token):
        path = tmp_path_factory.mktemp("refusals") / "token"
        path.write_text(token, encoding="ascii")
        drivers.append(Driver({"main": {"server": server.url, "token_file": str(path),
                                        **({"ca_file": server.ca_file} if server.ca_file else {})}}))
        return drivers[-1]
    yield server, ns, drive
    for driver in drivers:
        driver.close()
    server.admin("DELETE", f"/api/v1/namespaces/{ns}")
    server.admin("DELETE", "/api/v1/nodes/spare")


@pytest.fixture(scope="module")
def admin(place):
    return place[2](place[0].admin.token)


@pytest.fixture(scope="module")
def powerless(place):
    """An account that the cluster knows and that may nothing."""
    server = place[0]
    if server.name == "stand-in":
        server.server.access.tokens["powerless"] = User("system:serviceaccount:opsd:powerless", "powerless", rules=[])
        return place[2]("powerless")
    return place[2](server.plane.service_account("powerless", SERVICE[0]))


def asked(driver, use, given, kind):
    """What is said of it when it is asked for: its plan, or the answer of a read."""
    answer = driver(kind, "apply" if use in READS else "plan", given, id=request_id(next(IDS)))
    assert "error" in answer, answer
    return answer["error"], answer["says"]


@pytest.mark.parametrize("use", [u for u in CHANGES + READS if u not in ("list", "tenants", "events", "status", "nodes", "tasks")])
def test_missing(place, admin, use):
    kind, given = every(place[1])[use]
    error, says = asked(admin, use, {**given, "name": "qqqqqqqq"}, kind)
    assert error == "invalid" and "qqqqqqqq does not exist" in says, says


@pytest.mark.parametrize("use", CHANGES + READS)
def test_forbidden(place, powerless, use):
    kind, given = every(place[1])[use]
    error, says = asked(powerless, use, given, kind)
    assert error == "denied" and "opsd may not" in says, says
    assert 'a cluster administrator can allow it (RBAC: apiGroups ["' in says and 'verbs ["' in says, says


def policy(server, ns, on):
    """Says no to every write in the namespace and of nodes."""
    if server.name == "stand-in":
        server.thread.run(switch(server.server, on))
        return
    group, name = "/apis/admissionregistration.k8s.io/v1/", "opsd-frozen"
    rules = [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE", "DELETE"], "resources": [
        "deployments", "statefulsets", "daemonsets", "configmaps", "secrets", "horizontalpodautoscalers", "scaledobjects",
        "cronjobs", "jobs", "nodes"]}]
    if not on:
        server.admin("DELETE", group + f"validatingadmissionpolicybindings/{name}")
        server.admin("DELETE", group + f"validatingadmissionpolicies/{name}")
        return
    made = server.admin("POST", group + "validatingadmissionpolicies", {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {"matchConstraints": {"resourceRules": rules},
                 "matchConditions": [{"name": "people", "expression": "request.userInfo.username == 'admin'"}],
                 "validations": [{"expression": "false", "message": POLICY}]}})
    assert made.status == 201, made.body
    made = server.admin("POST", group + "validatingadmissionpolicybindings", {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]}})
    assert made.status == 201, made.body

    def works():
        return server.admin.patch(f"/api/v1/namespaces/{ns}/configmaps/shown?dryRun=All", {"data": {"x": "y"}}).status == 422
    wait(works, "the policy", 60)


async def switch(server, on):
    server.policies[:] = [{"kind": None, "ns": None, "message": POLICY}] if on else []


@pytest.fixture(scope="module")
def frozen(place):
    server, ns, _ = place
    policy(server, ns, True)
    yield
    policy(server, ns, False)


@pytest.mark.parametrize("use", CHANGES)
def test_policy(place, admin, frozen, use):
    kind, given = every(place[1])[use]
    error, says = asked(admin, use, given, kind)
    assert error in ("invalid", "denied"), says
    # What a policy says of a Secret may quote it: then only which policy it is.
    quiet = kind == "kube.secret" and place[0].name != "stand-in"
    assert ("ValidatingAdmissionPolicy 'opsd-frozen' with binding" if quiet else POLICY) in says, says
    assert not quiet or POLICY not in says and "may quote the Secret and are not shown" in says, says


@pytest.mark.parametrize("kind, name, path, value, says", [
    ("StatefulSet", "queue", "/spec/serviceName", "other", "updates to statefulset spec for fields other than"),
    ("Deployment", "web", "/spec/selector/matchLabels/app", "other", "spec.selector: field is immutable"),
    ("Job", "template", "/spec/template/spec/restartPolicy", "OnFailure", ": field is immutable")])
def test_immutable(place, admin, kind, name, path, value, says):
    """What cannot be changed is refused by the dry run, in the cluster's words, and without the object that it quotes."""
    error, text = asked(admin, "patch", {"cluster": "main", "namespace": place[1], "kind": kind, "name": name, "path": path,
                                         "value": value, "allow": [path]}, "kube.patch")
    assert error == "invalid" and says in text and "{" not in text, text
