# SPDX-License-Identifier: Apache-2.0
"""What is used of each ResourceQuota, as its controller counts it: pods that run, their amounts, and objects by kind.
Scopes are not looked at."""

from fractions import Fraction

from .kinds import BY_NAME, JOB, POD, QUOTA

UNITS = {"m": Fraction(1, 1000), "": 1, **{u: 1000 ** (i + 1) for i, u in enumerate("kMGTP")},
         **{u + "i": 1024 ** (i + 1) for i, u in enumerate("KMGTP")}}


def number(text):
    digits = text.rstrip("kKMGTPim")
    return Fraction(digits) * UNITS[text[len(digits):]]


def shown(n, resource):
    if n.denominator > 1:
        return f"{int(n * 1000)}m"
    units = [u for u in UNITS if u.endswith("i") and n and n % UNITS[u] == 0] if "cpu" not in resource else []
    return f"{n / UNITS[units[-1]]}{units[-1]}" if units else str(n)


def amount(pod, resource):
    which, _, name = resource.rpartition(".")
    total = Fraction(0)
    for c in pod["spec"]["containers"]:
        resources = c.get("resources") or {}
        limit = (resources.get("limits") or {}).get(name)
        own = limit if which == "limits" else (resources.get("requests") or {}).get(name, limit)
        total += number(str(own)) if own is not None else 0
    return total


class Quotas:
    def __init__(self, behave):
        self.b = behave

    def on_change(self, kind, ns, event):
        if kind in (POD, JOB) or kind is QUOTA and event.before is None:
            if any(self.b.store.objects(QUOTA, ns)):
                self.b.later(("quota", ns), 1, self.count, ns)

    def used(self, ns, resource):
        pods = [p for p in self.b.store.objects(POD, ns)
                if (p.get("status") or {}).get("phase") not in ("Succeeded", "Failed")]
        if resource in ("pods", "count/pods"):
            return Fraction(len(pods))
        if resource.startswith("count/"):
            kind = BY_NAME.get(resource[len("count/"):].partition(".")[0])
            return Fraction(len(list(self.b.store.objects(kind, ns))) if kind else 0)
        return sum((amount(p, resource) for p in pods), Fraction(0))

    def count(self, ns):
        for quota in list(self.b.store.objects(QUOTA, ns)):
            hard = (quota.get("spec") or {}).get("hard") or {}
            status = {"hard": hard, "used": {k: shown(self.used(ns, k), k) for k in hard}}
            if quota.get("status") != status:
                self.b.store.set_status(QUOTA, quota, status)
