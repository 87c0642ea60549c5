# SPDX-License-Identifier: Apache-2.0
"""metadata.managedFields: who wrote which field, and server-side apply on it.

A set of fields is the nested object of fieldsV1 itself: {"f:spec": {"f:replicas": {}}}. Lists with a key are
entered by `k:{"name":"web"}`, sets by `v:"x"`; other lists are one field."""

import json

from .patch import SETS, clone, merge_key

OF_THE_SERVER = {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields",
                 "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName"}


def entries(key, value, parent):
    """[(token, item)] of a list that is entered by key, or None."""
    if type(value) is not list:
        return None
    by = merge_key(key, parent)
    if by and all(type(x) is dict and by in x for x in value):
        more = ["protocol"] if key == "ports" and by == "containerPort" else []
        return [("k:" + json.dumps({k: x[k] for k in [by, *more] if k in x}, separators=(",", ":")), x) for x in value]
    if key in SETS:
        return [("v:" + json.dumps(x), None) for x in value]
    return None


# Structs that are always there: nobody owns them as such, only what is in them. And what is one field as a whole.
STRUCTS = {"", "metadata", "spec", "status", "strategy", "updateStrategy", "template", "jobTemplate", "scaleTargetRef"}
ATOMIC = {"selector", "nodeSelector"}


def tree(value, key="", parent="", applied=False):
    """The whole set of fields of a value; who applies a map owns what is in it and not the map."""
    if key in ATOMIC:
        return {}
    if type(value) is dict and value:
        out = {"f:" + k: tree(v, k, key, applied) for k, v in value.items()}
        if key not in STRUCTS and not applied:
            out["."] = {}
        return out
    items = entries(key, value, parent)
    if items:
        return {token: ({".": {}, **tree(item, "", key, applied)} if item is not None else {}) for token, item in items}
    return {}


def of_object(obj, status=False, applied=False):
    """Fields of a whole object as its writer owns them."""
    part = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "status")}
    meta = {k: v for k, v in (part.pop("metadata", None) or {}).items() if k not in OF_THE_SERVER}
    if meta:
        part["metadata"] = meta
    if status and "status" in obj:
        part["status"] = obj["status"]
    return {"f:" + k: tree(v, k, "", applied) for k, v in part.items()}


def changed(old, new):
    """Fields of `new` that differ from `old`, both as tree() sees them with their values; and those gone."""
    got, gone = {}, {}
    compare(strip(old), strip(new), got, gone, "")
    return got, gone


def strip(obj):
    part = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind")}
    part["metadata"] = {k: v for k, v in (obj.get("metadata") or {}).items() if k not in OF_THE_SERVER}
    return part


def compare(old, new, got, gone, parent):
    for key, value in new.items():
        if key not in old:
            got["f:" + key] = tree(value, key, parent)
        elif value is not old[key] and value != old[key]:
            compare_value(old[key], value, key, got, gone, parent)
    for key in old:
        if key not in new:
            gone["f:" + key] = tree(old[key], key, parent)


def compare_value(old, value, key, got, gone, parent):
    if key in ATOMIC:
        got["f:" + key] = {}
        return
    if type(value) is dict and type(old) is dict:
        a, b = {}, {}
        compare(old, value, a, b, key)
    else:
        ours, theirs = entries(key, value, parent), entries(key, old, parent)
        if ours is None or theirs is None:
            got["f:" + key] = {}
            return
        a, b = {}, {}
        before, after = dict(theirs), dict(ours)
        for token, item in after.items():
            if token not in before:
                a[token] = {".": {}, **tree(item, "", key)} if item is not None else {}
            elif item != before[token]:
                inner, lost = {}, {}
                compare(before[token], item, inner, lost, key)
                if inner:
                    a[token] = inner
                if lost:
                    b[token] = lost
        for token in before:
            if token not in after:
                b[token] = {}
    if a:
        got["f:" + key] = a
    if b:
        gone["f:" + key] = b


def union(a, b):
    out = dict(a)
    for k, v in b.items():
        out[k] = union(out[k], v) if k in out else v
    return out


def subtract(a, b):
    """a without the leaves of b (and what hangs below them)."""
    out = {}
    for k, v in a.items():
        if k not in b:
            out[k] = v
        elif b[k] and v:
            rest = subtract(v, b[k])
            if rest and set(rest) != {"."}:
                out[k] = rest
    return out


def leaves(tree_, path=""):
    for k, v in tree_.items():
        if k == ".":
            continue
        here = path + ("." + k[2:] if k.startswith("f:") else f"[{k[2:]}]" if k[1] == ":" else k)
        if v and set(v) != {"."}:
            yield from leaves(v, here)
        else:
            yield here


def has_path(tree_, path):
    """Whether a set holds the field of a path of names, e.g. ("spec", "replicas")."""
    for name in path:
        tree_ = tree_.get("f:" + name)
        if tree_ is None:
            return False
    return True


def record(new, old, manager, now, api_version, sub="", operation="Update"):
    """Write down that `manager` made `new` of `old` (None: created it). `new` is the caller's own copy."""
    meta = new["metadata"]
    before = (old["metadata"].get("managedFields") or []) if old else []
    if old is None:
        got, gone = of_object(new, bool(sub)), {}
    else:
        got, gone = changed(old, new)
    if not got and not gone:
        meta["managedFields"] = before
        return
    out, mine = [], None
    for entry in before:
        if entry["manager"] == manager and entry["operation"] == operation and entry.get("subresource", "") == sub:
            mine = entry
            continue
        rest = subtract(subtract(entry["fieldsV1"], got), gone)
        if rest:
            out.append({**entry, "fieldsV1": rest} if rest != entry["fieldsV1"] else entry)
    if sub == "scale" and not (new.get("spec") or {}).get("replicas"):
        got = {}            # a scale of zero holds no field that could be owned
    owned = union(subtract(mine["fieldsV1"], gone) if mine else {}, got)
    if owned:
        entry = {"manager": manager, "operation": operation, "apiVersion": api_version, "time": now,
                 "fieldsType": "FieldsV1", "fieldsV1": owned}
        if sub:
            entry["subresource"] = sub
        out.append(entry)
    meta["managedFields"] = out


# Server-side apply

def apply(live, config, manager, now, api_version, force):
    """(new object, conflicts): config's fields set on live; fields that this manager applied before and omits now
    are removed when nobody else owns them. Conflicts are [(field, entry)]."""
    from .patch import strategic
    wanted = of_object(config, applied=True)
    conflicts, others, mine = [], [], {}
    for entry in live["metadata"].get("managedFields") or []:
        if entry["manager"] == manager and entry["operation"] == "Apply":
            mine = entry["fieldsV1"]
            continue
        others.append(entry)
    clean = {k: v for k, v in config.items() if k not in ("apiVersion", "kind", "status")}
    clean["metadata"] = {k: v for k, v in (config.get("metadata") or {}).items() if k not in OF_THE_SERVER}
    new = strategic(live, clean)
    got, _ = changed(live, new)
    for entry in others:
        both = intersect(entry["fieldsV1"], got)
        conflicts += [(field, entry) for field in leaves(both)]
    if conflicts and not force:
        return live, conflicts
    left = subtract(mine, wanted)
    for entry in others:
        left = subtract(left, entry["fieldsV1"])
    drop(new, left)
    kept = []
    for entry in others:
        rest = subtract(entry["fieldsV1"], got)
        if rest:
            kept.append({**entry, "fieldsV1": rest})
    if mine == wanted:                  # applying the same again is no change
        kept = others if not got else kept
        kept = [*kept, next(e for e in live["metadata"]["managedFields"] if e["fieldsV1"] is mine)]
        new["metadata"]["managedFields"] = kept
        return new, []
    kept.append({"manager": manager, "operation": "Apply", "apiVersion": api_version, "time": now,
                 "fieldsType": "FieldsV1", "fieldsV1": wanted})
    new["metadata"]["managedFields"] = kept
    return new, []


def intersect(a, b):
    out = {}
    for k, v in a.items():
        if k in b and k != ".":
            if not v or not b[k] or set(v) == {"."}:
                out[k] = {}
            else:
                inner = intersect(v, b[k])
                if inner:
                    out[k] = inner
    return out


def drop(value, tree_):
    """Remove the fields of a set from a value, in place."""
    for token, inner in tree_.items():
        if not token.startswith("f:"):
            continue
        key = token[2:]
        if type(value) is not dict or key not in value:
            continue
        if not inner or set(inner) == {"."}:
            del value[key]
        elif type(value[key]) is dict:
            value[key] = clone(value[key])
            drop(value[key], inner)
            if not value[key]:
                del value[key]
        elif type(value[key]) is list:
            value[key] = [x for x in value[key] if not (type(x) is dict and any(
                t.startswith("k:") and all(x.get(a) == b for a, b in json.loads(t[2:]).items()) and "." in sub
                for t, sub in inner.items()))]
