# SPDX-License-Identifier: Apache-2.0
"""The resources that the stand-in serves, and how they are found by path."""

CRUD = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Kind:
    __slots__ = ("group", "version", "plural", "singular", "kind", "short", "namespaced", "subs", "builtin", "verbs",
                 "unconditional", "prefix", "key")

    def __init__(self, group, version, kind, plural, short=(), namespaced=True, subs=(), builtin=True, verbs=CRUD,
                 unconditional=True):
        self.group, self.version, self.kind, self.plural, self.short = group, version, kind, plural, list(short)
        self.singular = kind.lower()
        self.namespaced, self.subs, self.builtin, self.verbs = namespaced, subs, builtin, verbs
        self.unconditional = unconditional          # a PUT needs no resourceVersion
        self.prefix = f"/apis/{group}/{version}" if group else f"/api/{version}"
        self.key = (group, version, plural)

    @property
    def api_version(self):
        return f"{self.group}/{self.version}" if self.group else self.version

    def __repr__(self):
        return f"<{self.api_version} {self.kind}>"


READ = ("get", "list", "watch")
ALL = [
    Kind("", "v1", "Namespace", "namespaces", ["ns"], namespaced=False, subs=("status",)),
    Kind("", "v1", "Node", "nodes", ["no"], namespaced=False, subs=("status",)),
    Kind("", "v1", "Pod", "pods", ["po"], subs=("status", "log", "eviction")),
    Kind("", "v1", "ConfigMap", "configmaps", ["cm"]),
    Kind("", "v1", "Secret", "secrets"),
    Kind("", "v1", "Event", "events", ["ev"]),
    Kind("", "v1", "ResourceQuota", "resourcequotas", ["quota"], subs=("status",)),
    Kind("apps", "v1", "Deployment", "deployments", ["deploy"], subs=("status", "scale")),
    Kind("apps", "v1", "StatefulSet", "statefulsets", ["sts"], subs=("status", "scale")),
    Kind("apps", "v1", "DaemonSet", "daemonsets", ["ds"], subs=("status",)),
    Kind("apps", "v1", "ReplicaSet", "replicasets", ["rs"], subs=("status", "scale")),
    Kind("apps", "v1", "ControllerRevision", "controllerrevisions"),
    Kind("batch", "v1", "Job", "jobs", subs=("status",)),
    Kind("batch", "v1", "CronJob", "cronjobs", ["cj"], subs=("status",)),
    Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", ["hpa"], subs=("status",)),
    Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", ["pdb"], subs=("status",)),
    Kind("events.k8s.io", "v1", "Event", "events", ["ev"]),
    Kind("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects", ["so"], subs=("status",), builtin=False,
         unconditional=False),
    Kind("autoscaling.k8s.io", "v1", "VerticalPodAutoscaler", "verticalpodautoscalers", ["vpa"], builtin=False,
         unconditional=False),
    Kind("argoproj.io", "v1alpha1", "Application", "applications", ["app", "apps"], builtin=False,
         unconditional=False),
    Kind("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations", ["ks"], subs=("status",), builtin=False,
         unconditional=False),
    Kind("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases", ["hr"], subs=("status",), builtin=False,
         unconditional=False),
]
BY_KEY = {k.key: k for k in ALL}
BY_NAME = {}
for _kind in ALL:
    if _kind.group != "events.k8s.io":
        for _name in (_kind.kind, _kind.kind.lower(), _kind.plural, *_kind.short):
            BY_NAME[_name] = _kind
REVIEWS = {
    ("authentication.k8s.io", "v1", "selfsubjectreviews"): "SelfSubjectReview",
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    ("authorization.k8s.io", "v1", "selfsubjectrulesreviews"): "SelfSubjectRulesReview",
}
BUILTIN_GROUPS = {k.group for k in ALL if k.builtin} | {g for g, _, _ in REVIEWS}


def named(name):
    """A kind by any of its names; for the control API and the behaviours."""
    kind = BY_NAME.get(name)
    if kind is None:
        raise ValueError(f"no kind named {name!r}")
    return kind


NAMESPACE, POD, CONFIG_MAP, EVENT = named("Namespace"), named("Pod"), named("ConfigMap"), named("Event")
DEPLOYMENT, STATEFUL_SET, DAEMON_SET = named("Deployment"), named("StatefulSet"), named("DaemonSet")
REPLICA_SET, JOB, CRON_JOB = named("ReplicaSet"), named("Job"), named("CronJob")
HPA, SCALED_OBJECT, APPLICATION = named("HorizontalPodAutoscaler"), named("ScaledObject"), named("Application")
BUDGET = named("PodDisruptionBudget")
QUOTA, NODE, REVISION = named("ResourceQuota"), named("Node"), named("ControllerRevision")
EVENTS_V1 = BY_KEY["events.k8s.io", "v1", "events"]


class Target:
    """What a path names."""

    __slots__ = ("kind", "ns", "name", "sub", "review")

    def __init__(self, kind, ns="", name="", sub="", review=None):
        self.kind, self.ns, self.name, self.sub, self.review = kind, ns, name, sub, review


def find(parts, removed=()):
    """parts: the path without its first slash, split.  A Target, or "resource" (a known API without it) or
    "path" (no such API)."""
    if parts[0] == "api":
        group, version, rest = "", parts[1] if len(parts) > 1 else "", parts[2:]
    elif parts[0] == "apis" and len(parts) >= 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return "path"
    ns = ""
    if rest and rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        ns, rest = rest[1], rest[2:]
    if not rest or len(rest) > 3 or not all(rest):
        return "path"
    key = (group, version, rest[0])
    if key in REVIEWS and len(rest) == 1:
        return Target(None, review=REVIEWS[key])
    kind = BY_KEY.get(key)
    if kind is None or key in removed:
        return "resource" if group in BUILTIN_GROUPS else "path"
    name, sub = rest[1] if len(rest) > 1 else "", rest[2] if len(rest) > 2 else ""
    if sub and not kind.builtin and name and ns:            # whatever the subresource, the server speaks of the object
        return Target(kind, ns, name, sub)
    if (sub and sub not in kind.subs) or (ns and not kind.namespaced) or (name and kind.namespaced and not ns):
        return "resource" if kind.builtin else "path"
    return Target(kind, ns, name, sub)
