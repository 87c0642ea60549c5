# SPDX-License-Identifier: Apache-2.0
"""The patch types on plain JSON: merge (RFC 7386), JSON Patch (RFC 6902), strategic merge."""


class NotApplied(Exception):
    """A well-formed JSON Patch that cannot be applied."""


class Malformed(Exception):
    """Not a patch document at all."""


def clone(v):
    if type(v) is dict:
        return {k: clone(x) for k, x in v.items()}
    if type(v) is list:
        return [clone(x) for x in v]
    return v


def merge(target, patch):
    """A new value; arrays are replaced whole, null deletes."""
    if type(patch) is not dict:
        return clone(patch)
    out = dict(target) if type(target) is dict else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        elif type(value) is dict:
            out[key] = merge(out.get(key), value)
        else:
            out[key] = clone(value)
    return out


# JSON Patch

OPS = {"add", "remove", "replace", "move", "copy", "test"}


def pointer(text):
    if text == "":
        return []
    if type(text) is not str or text[0] != "/":
        raise NotApplied
    return [p.replace("~1", "/").replace("~0", "~") for p in text[1:].split("/")]


def index(seq, token, adding=False):
    if adding and token == "-":
        return len(seq)
    if not token.isdigit() or (len(token) > 1 and token[0] == "0"):
        raise NotApplied
    i = int(token)
    if i > len(seq) or (i == len(seq) and not adding):
        raise NotApplied
    return i


def step(node, token):
    if type(node) is dict and token in node:
        return node[token]
    if type(node) is list:
        return node[index(node, token)]
    raise NotApplied


def get(doc, path):
    for token in path:
        doc = step(doc, token)
    return doc


def put(doc, path, value, add):
    if not path:
        return value
    node = get(doc, path[:-1])
    last = path[-1]
    if type(node) is list:
        if add:
            node.insert(index(node, last, True), value)
        else:
            node[index(node, last)] = value
    elif type(node) is dict:            # "replace" of what is not there adds it, as the server's library has it
        node[last] = value
    else:
        raise NotApplied
    return doc


def remove(doc, path):
    if not path:
        raise NotApplied
    node = get(doc, path[:-1])
    if type(node) is list:
        del node[index(node, path[-1])]
    elif type(node) is dict and path[-1] in node:
        del node[path[-1]]
    else:
        raise NotApplied
    return doc


def same(a, b):
    """Equal as JSON: true is not 1."""
    if type(a) is bool or type(b) is bool:
        return a is b
    if type(a) is dict and type(b) is dict:
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if type(a) is list and type(b) is list:
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def json_patch(doc, ops):
    if type(ops) is not list:
        raise Malformed("json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp")
    doc = clone(doc)
    for op in ops:
        if type(op) is not dict or op.get("op") not in OPS or type(op.get("path")) is not str:
            raise NotApplied
        what, path = op["op"], pointer(op["path"])
        if what in ("add", "replace", "test") and "value" not in op:
            raise NotApplied
        if what in ("move", "copy") and type(op.get("from")) is not str:
            raise NotApplied
        if what == "test":
            try:
                have = get(doc, path)
            except NotApplied:
                if op["value"] is not None:
                    raise
                have = None
            if not same(have, op["value"]):
                raise NotApplied
        elif what == "remove":
            doc = remove(doc, path)
        elif what in ("add", "replace"):
            doc = put(doc, path, clone(op["value"]), what == "add")
        else:
            source = pointer(op["from"])
            value = clone(get(doc, source))
            if what == "move":
                doc = remove(doc, source)
            doc = put(doc, path, value, True)
    return doc


# Strategic merge: lists with a merge key are merged by it, sets are joined, other lists are replaced.

MERGE_KEYS = {
    "containers": "name", "initContainers": "name", "ephemeralContainers": "name", "volumes": "name", "env": "name",
    "volumeMounts": "mountPath", "volumeDevices": "devicePath", "imagePullSecrets": "name", "hostAliases": "ip",
    "ownerReferences": "uid", "conditions": "type", "topologySpreadConstraints": "topologyKey",
    "readinessGates": None,
}
SETS = {"finalizers"}


def merge_key(name, parent):
    if name == "ports":
        return "containerPort" if parent == "containers" else "port"
    return MERGE_KEYS.get(name)


def strategic(target, patch, parent=""):
    if type(patch) is not dict:
        return clone(patch)
    how = patch.get("$patch")
    if how == "replace":
        return {k: clone(v) for k, v in patch.items() if k != "$patch"}
    out = dict(target) if type(target) is dict else {}
    if how == "delete":
        return {}
    for key, value in patch.items():
        if key.startswith("$setElementOrder/") or key == "$retainKeys" or key == "$patch":
            continue
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            out[name] = [x for x in out.get(name, []) if x not in value]
        elif value is None:
            out.pop(key, None)
        elif type(value) is dict:
            out[key] = strategic(out.get(key), value, key)
        elif type(value) is list and merge_key(key, parent):
            out[key] = strategic_list(out.get(key) or [], value, merge_key(key, parent), key)
        elif type(value) is list and key in SETS:
            old = out.get(key) or []
            out[key] = old + [x for x in value if x not in old]
        else:
            out[key] = clone(value)
    return out


def strategic_list(old, patch, key, name):
    if any(type(x) is dict and x.get("$patch") == "replace" for x in patch):
        return [clone(x) for x in patch if x.get("$patch") != "replace"]
    out, order = list(old), [x.get(key) for x in old]
    for item in patch:
        if type(item) is not dict or key not in item:
            raise Malformed(f"map: {item} does not contain declared merge key: {key}")
        at = next((i for i, x in enumerate(out) if x.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del out[at]
        elif at is None:
            out.append(clone(item))
        else:
            out[at] = strategic(out[at], item, name)
    return in_order(out, [x[key] for x in patch], order, key)


def in_order(items, named, order, key):
    """What the patch names comes in its order, and before what only the object has, unless the object's order says
    otherwise."""
    left = [x for k in named for x in items if x.get(key) == k]
    right = [x for x in items if x.get(key) not in named]
    out = []
    while left and right:
        mine = left[0].get(key)
        first = mine not in order or order.index(mine) < order.index(right[0].get(key))
        out.append((left if first else right).pop(0))
    return out + left + right
