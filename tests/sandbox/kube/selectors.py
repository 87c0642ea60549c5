# SPDX-License-Identifier: Apache-2.0
"""labelSelector and fieldSelector; what the server does not understand is refused as it refuses it."""

import re

from .status import bad_request

TERM = re.compile(r"\s*(!?)\s*([A-Za-z0-9][-A-Za-z0-9_./]*)\s*(?:(==|=|!=|\bnotin\b|\bin\b|>|<)\s*(.*))?$", re.S)
OF_ALL = {"metadata.name": ("metadata", "name"), "metadata.namespace": ("metadata", "namespace")}
OF_KIND = {
    "Pod": {"spec.nodeName": ("spec", "nodeName"), "spec.restartPolicy": ("spec", "restartPolicy"),
            "spec.schedulerName": ("spec", "schedulerName"), "spec.serviceAccountName": ("spec", "serviceAccountName"),
            "status.phase": ("status", "phase"), "status.podIP": ("status", "podIP")},
    "Secret": {"type": ("type",)},
    "Job": {"status.successful": ("status", "succeeded")},
    "Event": {f"involvedObject.{k}": ("involvedObject", k) for k in
              ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")} |
             {f"regarding.{k}": ("involvedObject", k) for k in
              ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")} |
             {"reason": ("reason",), "type": ("type",), "source": ("source", "component"),
              "reportingComponent": ("reportingComponent",), "reportingController": ("reportingComponent",)},
}


def split(text):
    """At commas outside of parentheses."""
    parts, depth, at = [], 0, 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append(text[at:i])
            at = i + 1
    return parts + [text[at:]]


def labels(text):
    """A predicate on a dict of labels, or None for no selector."""
    if not text:
        return None
    tests = []
    for term in split(text):
        m = TERM.match(term)
        if m and m[3] in ("=", "==", "!=") and len((m[4] or "").split()) > 1:
            raise bad_request(f"found '{m[4].split()[1]}', expected: ',' or 'end of string'")
        if not m or (m[1] and m[3]):
            raise bad_request(f"unable to parse requirement: found '{term.strip()}', expected: ',' or 'end of string'")
        negated, key, op, value = m[1], m[2], m[3], (m[4] or "").strip()
        if op in ("in", "notin"):
            if value == "(":
                raise bad_request("unable to parse requirement: found '', expected: ',', ')' or identifier")
            if not (value.startswith("(") and value.endswith(")")):
                raise bad_request(f"unable to parse requirement: found '{value}', expected: '('")
            many = {v.strip() for v in value[1:-1].split(",")}
            tests.append((lambda l, k=key, v=many: l.get(k) in v) if op == "in" else
                         (lambda l, k=key, v=many: l.get(k) not in v))
        elif op in ("=", "=="):
            tests.append(lambda l, k=key, v=value: l.get(k) == v)
        elif op == "!=":
            tests.append(lambda l, k=key, v=value: l.get(k) != v)
        elif op:
            raise bad_request(f"unable to parse requirement: operator {op} is not served here")
        else:
            tests.append((lambda l, k=key: k not in l) if negated else (lambda l, k=key: k in l))
    return tests[0] if len(tests) == 1 else lambda l: all(t(l) for t in tests)


def lookup(obj, path):
    for key in path:
        obj = obj.get(key) if type(obj) is dict else None
    return "" if obj is None else str(obj)


def fields(kind, text):
    """(predicate on the object or None, the name that `metadata.name=` asks for or None)."""
    if not text:
        return None, None
    tests, name = [], None
    known = OF_ALL | OF_KIND.get(kind.kind, {})
    for term in split(text):
        m = re.match(r"([^=!]+)(==|=|!=)(.*)$", term.strip())
        if not m:
            raise bad_request(f"invalid selector: '{term}'; can't understand '{term}'")
        path = known.get(m[1])
        if path is None:
            raise bad_request(f"field label not supported: {m[1]}" if kind.kind in OF_KIND else
                              f'"{m[1]}" is not a known field selector: only "metadata.name", "metadata.namespace"')
        if path == ("metadata", "name") and m[2] != "!=":
            name = m[3]
        tests.append((lambda o, p=path, v=m[3]: lookup(o, p) != v) if m[2] == "!=" else
                     (lambda o, p=path, v=m[3]: lookup(o, p) == v))
    return (tests[0] if len(tests) == 1 else lambda o: all(t(o) for t in tests)), name


def of_match_labels(selector):
    """The text form of spec.selector, as /scale shows it."""
    out = [f"{k}={v}" for k, v in sorted((selector or {}).get("matchLabels", {}).items())]
    for e in (selector or {}).get("matchExpressions") or []:
        values = ",".join(sorted(e.get("values") or []))
        out.append({"In": f"{e['key']} in ({values})", "NotIn": f"{e['key']} notin ({values})",
                    "Exists": e["key"], "DoesNotExist": "!" + e["key"]}[e["operator"]])
    return ",".join(out)
