# SPDX-License-Identifier: Apache-2.0
"""What `opsd catalog rbac` makes is enough for every kind of action on a real control plane, and nothing of it is too
much: without any one of its grants something is refused, or says less."""

import copy
import itertools
import json
import re
import subprocess
import time

import pytest
import yaml
from driver import BUILD, COMMANDS, Driver, every, request_id, sow
from servers import SERVICE, Real, wait

ACCOUNT = "every"
RBAC = "/apis/rbac.authorization.k8s.io/v1/"
IDS = itertools.count(1)
ABSENT = {"uncordon": "did you mean node-N?"}           # of the whole cluster, where nothing can be near


def generate(*namespaces, bare=False):
    args = [BUILD / "opsd", "catalog", "rbac", "--dir", COMMANDS, "--cluster", "main", "--account", f"{SERVICE[0]}/{ACCOUNT}"]
    for ns in namespaces:
        args += ["--namespace", ns]
    done = subprocess.run(args + (["--bare"] if bare else []), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [d for d in yaml.safe_load_all(done.stdout) if d]


def path_of(doc):
    plural = doc["kind"].lower() + "s"
    ns = doc["metadata"].get("namespace")
    return f"{RBAC}namespaces/{ns}/{plural}" if ns else RBAC + plural


def grant(admin, docs):
    for doc in docs:
        made = admin("POST", path_of(doc), doc)
        if made.status == 409:
            made = admin("PUT", f"{path_of(doc)}/{doc['metadata']['name']}", doc)
        assert made.status in (200, 201), made.body


class Stage:
    """Two namespaces with the objects of the commands, in `near` under nearly the same names, and an account."""

    def __init__(self, real):
        self.real, self.admin = real, real.admin
        mark = int(time.time())
        self.full, self.near = f"opsd-every-{mark}", f"opsd-near-{mark}"
        for ns in (self.full, self.near, "argocd", "flux-system"):
            real.admin("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
        self.token = real.plane.service_account(ACCOUNT, SERVICE[0])
        # Of web, which alone asks for CPU, a third pod is too much.
        self.admin("POST", f"/api/v1/namespaces/{self.full}/resourcequotas", {
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"},
            "spec": {"hard": {"pods": "2"}, "scopes": ["NotBestEffort"]}})
        self.seed(self.full, "")
        self.seed(self.near, "s")
        for n in ("a", "b"):                # a second revision, for undo
            for path in ("deployments/web", "statefulsets/queue"):
                made = self.admin.patch(f"/apis/apps/v1/namespaces/{self.full}/{path}", {"spec": {"template": {"metadata": {
                    "annotations": {"turn": n}}}}})
                assert made.status == 200, made.body
                self.settled(path)
        quota = f"/api/v1/namespaces/{self.full}/resourcequotas/few"
        wait(lambda: self.admin.get(quota).json["status"].get("used", {}).get("pods") == "1", "the quota's count", 60)
        self.driver = self.open(self.token)
        self.known = {}                     # use -> id, for the audit log

    def open(self, token):
        folder = self.real.plane.folder
        (folder / "every.token").write_text(token, encoding="ascii")
        return Driver({"main": {"server": self.real.url, "ca_file": str(self.real.plane.ca_file),
                                "token_file": str(folder / "every.token")}})

    def seed(self, ns, suffix):
        sow(self.admin, ns, suffix)
        if not suffix:
            self.settled("deployments/web")
            self.settled("statefulsets/queue")

    def settled(self, path):
        def check():
            o = self.admin.get(f"/apis/apps/v1/namespaces/{self.full}/{path}").json
            s, n = o["status"], o["spec"]["replicas"]
            return s.get("observedGeneration") == o["metadata"]["generation"] and s.get("updatedReplicas") == n and \
                s.get("readyReplicas") == n and s.get("replicas") == n
        wait(check, path)

    def grant(self, docs):
        grant(self.admin, docs)

    def play(self, use):
        """All that the use does, here and where there are only others of nearly its names; what was said."""
        kind, given = every(self.full)[use]
        said = [self.steps(use, kind, given)]
        if "name" in given and "namespace" in given:
            near = every(self.near)[use][1]
            answer = self.driver(kind, "plan", near, id=self.id_of(use))
            if answer.get("error") == "none":
                answer = self.driver(kind, "apply", near, id=self.id_of(use))
            said.append(self.plain(answer))
        return said

    def id_of(self, use):
        return self.known.setdefault(use, request_id(next(IDS)))

    def steps(self, use, kind, given):
        d, rid = self.driver, self.id_of(use)
        plan = d(kind, "plan", given, id=rid)
        if plan.get("error") == "none":                             # a read
            return [self.plain(d(kind, "apply", given, id=rid))]
        out = [self.plain(plan)]
        if "result" not in plan:
            return out
        applied = d(kind, "apply", given, plan=plan["result"], id=rid)
        out += [self.plain(applied), self.plain(d(kind, "look", given, plan=plan["result"], id=rid))]
        if "result" not in applied:
            return out
        progress = d(kind, "follow", given, plan=plan["result"], since=applied["result"], id=rid)
        out += [progress.get("error"), "opsd may not" in json.dumps(progress)]
        if "watch" in progress.get("result", {}):
            out.append(d.watch(progress["result"]["watch"], rid).get("says"))
        back = d(kind, "revert", given, plan=plan["result"], id=request_id(10 ** 6 + next(IDS)))
        out.append(back.get("error"))
        if "result" in back:
            out.append("result" in d(kind, "apply", given, plan=back["result"], id=request_id(10 ** 6 + next(IDS))))
        return out

    @staticmethod
    def plain(answer):
        """What a person would read, without what differs from one time to the next."""
        if "error" in answer:
            return re.sub(r"\d+", "N", answer["says"])
        result = answer["result"]
        return {"warnings": [re.sub(r"\d+", "N", w) for w in result.get("warnings") or []], "state": result.get("state"),
                "owners": [re.sub(r"\d+", "N", o["says"]) for o in result.get("owners") or []],
                "changes": len(result.get("changes") or []),
                "columns": result.get("columns"), "why": "could not" in json.dumps(result) or "may not" in json.dumps(result)}


@pytest.fixture(scope="module")
def stage(real):
    if not isinstance(real, Real):
        pytest.skip("roles are tried on a control plane of our own")
    stage = Stage(real)
    yield stage
    stage.driver.close()
    for ns in (stage.full, stage.near):
        real.admin("DELETE", f"/api/v1/namespaces/{ns}")
    real.admin("DELETE", "/api/v1/nodes/spare")


def refused(said):
    return "opsd may not" in json.dumps(said) or "could not see" in json.dumps(said)


def test_enough(stage):
    stage.grant(generate(stage.full, stage.near))
    for use in every(stage.full):
        stage.seed(stage.full, "")
        said = stage.play(use)
        assert not refused(said), f"{use}: {said}"
        first = said[0][0]
        if use == "scale":
            assert any(w.startswith("Quota few: pods") for w in first["warnings"]), first
        if use in ABSENT:
            assert ABSENT[use] in first
            continue
        assert isinstance(first, dict), f"{use}: {said}"                # planned, or read
        assert len(said[0]) == 1 or said[0][2]["state"] == "done", f"{use}: {said}"


def test_bare_is_enough_to_act(stage):
    """Without the grants that only make it say more, everything is still done."""
    stage.grant(generate(stage.full, stage.near, bare=True))
    try:
        for use in every(stage.full):
            stage.seed(stage.full, "")
            said = stage.play(use)
            if use in ABSENT:
                continue
            assert isinstance(said[0][0], dict), f"{use}: {said}"
            assert len(said[0]) == 1 or said[0][2]["state"] == "done", f"{use}: {said}"
    finally:
        stage.grant(generate(stage.full, stage.near))


def atoms(docs):
    """Each role without one verb, or one name, of one rule."""
    for doc in docs:
        for r, rule in enumerate(doc.get("rules") or []):
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames") or [None]:
                    less = copy.deepcopy(doc)
                    rules, old = less["rules"], less["rules"].pop(r)
                    rest = [v for v in old["verbs"] if v != verb]
                    if rest:
                        rules.append({**old, "verbs": rest})
                    others = [n for n in old.get("resourceNames") or [] if n != name]
                    if others:
                        rules.append({**old, "verbs": [verb], "resourceNames": others})
                    yield doc, less, rule["apiGroups"][0], rule["resources"][0], verb, name


def asked_by(stage):
    """(verb, resource, name) -> the uses that asked for it, by the cluster's audit log."""
    by_id = {rid: use for use, rid in stage.known.items()}
    out = {}
    for line in (stage.real.plane.folder / "audit.log").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        use, ref = by_id.get(entry["auditID"]), entry.get("objectRef") or {}
        if use:
            resource = ref["resource"] + (f"/{ref['subresource']}" if ref.get("subresource") else "")
            out.setdefault((entry["verb"], resource), {}).setdefault(use, set()).add(ref.get("name"))
    return out


def test_nothing_too_much(stage):
    docs = generate(stage.full, stage.near)
    stage.grant(docs)
    usual = {}
    for use in every(stage.full):
        stage.seed(stage.full, "")
        usual[use] = stage.play(use)
    asked = asked_by(stage)
    superfluous = []
    for doc, less, group, resource, verb, name in atoms(docs):
        ns = None if doc["metadata"]["name"] == "opsd-cluster" else doc["metadata"].get("namespace", stage.full)
        uses = [u for u, names in asked.get((verb, resource), {}).items() if name is None or name in names]
        stage.grant([less])
        allowed(stage, False, ns, group, resource, verb, name)
        try:
            for use in uses:
                stage.seed(stage.full, "")
                if stage.play(use) != usual[use]:
                    break
            else:
                superfluous.append((doc["metadata"]["name"], group, resource, verb, name, uses))
        finally:
            stage.grant([doc])
            allowed(stage, True, ns, group, resource, verb, name)
    assert not superfluous, "\n".join(map(str, superfluous))


def allowed(server, wish, ns, group, resource, verb, name):
    """Waits until the API server has heard of the changed role."""
    plural, _, sub = resource.partition("/")
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": f"system:serviceaccount:{SERVICE[0]}:{ACCOUNT}",
        "groups": ["system:serviceaccounts", f"system:serviceaccounts:{SERVICE[0]}", "system:authenticated"],
        "resourceAttributes": {"namespace": ns or "", "group": group, "resource": plural, "subresource": sub, "verb": verb,
                               "name": name or ""}}}

    def check():
        answer = server.admin("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return answer.json["status"]["allowed"] is wish
    wait(check, f"{verb} {resource} {name} to be {'allowed' if wish else 'refused'}")
