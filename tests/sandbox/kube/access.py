# SPDX-License-Identifier: Apache-2.0
"""Who is asking, and what they may: bearer tokens and a small RBAC."""

SERVICE = "system:serviceaccount:opsd:opsd"

# The least that the operations need, as a cluster role would say it.
RULES = [
    ("apps", ("deployments", "statefulsets", "daemonsets"), ("get", "list", "watch", "patch")),
    ("apps", ("deployments/scale", "statefulsets/scale"), ("get", "patch", "update")),
    ("apps", ("replicasets", "controllerrevisions"), ("get", "list", "watch")),
    ("", ("configmaps",), ("get", "list", "watch", "patch")),
    ("", ("pods", "events", "namespaces", "resourcequotas"), ("get", "list", "watch")),
    ("", ("pods",), ("delete",)),
    ("", ("pods/log",), ("get",)),
    ("", ("pods/eviction",), ("create",)),
    ("", ("nodes",), ("get", "list", "watch", "patch")),
    ("", ("secrets",), ("patch",)),
    ("events.k8s.io", ("events",), ("get", "list", "watch")),
    ("batch", ("jobs",), ("get", "list", "watch", "create", "delete", "patch")),
    ("batch", ("cronjobs",), ("get", "list", "watch", "patch")),
    ("autoscaling", ("horizontalpodautoscalers",), ("get", "list", "watch", "patch")),
    ("autoscaling.k8s.io", ("verticalpodautoscalers",), ("get", "list", "watch")),
    ("policy", ("poddisruptionbudgets",), ("get", "list", "watch")),
    ("keda.sh", ("scaledobjects",), ("get", "list", "watch", "patch")),
    ("argoproj.io", ("applications",), ("get", "list", "watch")),
    ("kustomize.toolkit.fluxcd.io", ("kustomizations",), ("get", "list", "watch")),
    ("helm.toolkit.fluxcd.io", ("helmreleases",), ("get", "list", "watch")),
]


class User:
    """`rules`: its own; None: those of the service."""

    __slots__ = ("name", "uid", "groups", "everything", "rules")

    def __init__(self, name, uid, groups=(), everything=False, rules=None):
        self.rules = rules
        self.name, self.uid = name, uid
        self.groups = [*groups, "system:authenticated"]
        self.everything = everything


def service_user(name=SERVICE):
    ns = name.split(":")[2] if name.startswith("system:serviceaccount:") else "default"
    return User(name, "5a3f0a0e-6d2e-4a55-a8f5-0b7d5a2f4c11",
                ["system:serviceaccounts", f"system:serviceaccounts:{ns}"])


class Access:
    def __init__(self, tokens):
        self.tokens = dict(tokens)              # token -> User
        self.allow = list(RULES)
        self.deny = []                          # (group, resource, verb, ns or None)
        self.people = {}                        # user or group -> rules
        self.known = {}

    def user(self, authorization):
        scheme, _, token = authorization.partition(" ")
        return self.tokens.get(token.strip()) if scheme.lower() == "bearer" else None

    def may(self, user, verb, group, resource, ns="", name=""):
        if user.everything or user.name == "system:anonymous":
            return user.everything
        if user.rules is not None:
            return any(group == g and resource in rs and verb in vs for g, rs, vs in user.rules)
        key = (verb, group, resource, ns)
        answer = self.known.get(key)
        if answer is None:
            answer = self.known[key] = self.decide(verb, group, resource, ns)
            if len(self.known) > 5000:
                self.known.clear()
        return answer

    def decide(self, verb, group, resource, ns):
        def fits(value, rule):
            return rule in ("*", value)
        for g, r, v, n in self.deny:
            if fits(group, g) and fits(resource, r) and fits(verb, v) and n in (None, ns):
                return False
        return any(group == g and resource in rs and verb in vs for g, rs, vs in self.allow)

    def rules_of(self, name, groups):
        return [r for who, rules in self.people.items() if who == name or who in groups for r in rules]

    def change(self, deny=None, allow=None, people=None, reset=False):
        """Each rule: {"group", "resource" (with its subresource), "verb", "namespace"}; "*" fits all. people: names of
        users or groups that may do what the service may, when it speaks for them."""
        if reset:
            self.allow, self.deny, self.people = list(RULES), [], {}
        for who in people or []:
            self.people[who] = list(self.allow)
        for rule in deny or []:
            self.deny.append((rule.get("group", "*"), rule.get("resource", "*"), rule.get("verb", "*"),
                              rule.get("namespace")))
        for rule in allow or []:
            self.allow.append((rule["group"], (rule["resource"],), (rule["verb"],)))
        self.known.clear()

    # Reviews

    def review(self, name, user, body):
        out = {"kind": name, "apiVersion": body.get("apiVersion"), "metadata": {"creationTimestamp": None}}
        if name == "SelfSubjectReview":
            out["status"] = {"userInfo": {"username": user.name, "uid": user.uid, "groups": user.groups}}
            return out
        spec = out["spec"] = body.get("spec") or {}
        if name == "SelfSubjectRulesReview":
            out["status"] = {"resourceRules": [{"verbs": list(v), "apiGroups": [g], "resources": list(r)}
                                               for g, r, v in self.allow],
                             "nonResourceRules": [], "incomplete": False}
            return out
        about = spec.get("resourceAttributes") or {}
        resource = about.get("resource", "")
        if about.get("subresource"):
            resource += "/" + about["subresource"]
        allowed = self.may(user, about.get("verb", ""), about.get("group", ""), resource, about.get("namespace", ""))
        out["status"] = {"allowed": allowed}
        if allowed:
            who = "/".join(user.name.split(":")[-2:])
            out["status"]["reason"] = 'RBAC: allowed by ClusterRoleBinding "opsd" of ClusterRole "opsd" to ' \
                                      f'ServiceAccount "{who}"'
        return out
