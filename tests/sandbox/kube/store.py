# SPDX-License-Identifier: Apache-2.0
"""The objects, their versions, and the history that watches resume from.

A stored object is never changed in place: a write stores a new dict, so that readers, watchers and the record
may keep what they got."""

import secrets
import time
from collections import deque

from . import fields, rules
from .patch import clone
from .status import dumps, exists, modified, not_found

HISTORY = 5000


def now(nanos=False):
    t = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + (f".{int(t % 1 * 1e6):06d}Z" if nanos else "Z")


def new_uid():
    h = secrets.token_hex(16)
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:]}"


class Item:
    """An object and its JSON, encoded at most once."""

    __slots__ = ("kind", "obj", "_raw", "_bare")

    def __init__(self, kind, obj):
        self.kind, self.obj, self._raw, self._bare = kind, obj, None, None

    @property
    def raw(self):
        if self._raw is None:
            self._raw = dumps(self.obj)
        return self._raw

    @property
    def bare(self):
        """As an item of a list: built-in kinds leave out what the list says for all of them."""
        if not self.kind.builtin:
            return self.raw
        if self._bare is None:
            self._bare = dumps({k: v for k, v in self.obj.items() if k not in ("apiVersion", "kind")})
        return self._bare


class Event:
    """One change: what a watch sends."""

    __slots__ = ("rv", "type", "item", "before")

    def __init__(self, rv, type_, item, before):
        self.rv, self.type, self.item, self.before = rv, type_, item, before


class Store:
    def __init__(self, on_change=None):
        self.rv = 1000
        self.items = {}                 # kind.key -> {(ns, name): Item}
        self.history = deque(maxlen=HISTORY)
        self.compacted = 1000           # versions up to here cannot be resumed from
        self.watches = {}               # kind.key -> set of watches
        self.on_change = on_change or (lambda event: None)
        self.times = {}                 # second -> its text

    # Reading

    def table(self, kind):
        return self.items.setdefault(kind.key, {})

    def item(self, kind, ns, name):
        found = self.table(kind).get((ns, name))
        if found is None:
            raise not_found(kind, name)
        return found

    def peek(self, kind, ns, name):
        """The object or None."""
        found = self.table(kind).get((ns, name))
        return found.obj if found else None

    def objects(self, kind, ns=None):
        return [i.obj for (n, _), i in self.table(kind).items() if ns is None or n == ns]

    def items_of(self, kind, ns):
        table = self.table(kind)
        keys = sorted(table) if not ns else sorted(k for k in table if k[0] == ns)
        return [table[k] for k in keys]

    def items_then(self, kind, ns, rv):
        """The items as they were at a version, by undoing what came since; rv below 0: as they are."""
        table = dict(self.table(kind))
        for event in reversed(self.history if rv >= 0 else ()):
            if event.rv <= rv:
                break
            if event.item.kind is not kind:
                continue
            meta = event.item.obj["metadata"]
            key = (meta.get("namespace", ""), meta["name"])
            if event.before is None:
                table.pop(key, None)
            else:
                table[key] = Item(kind, event.before)
        return [table[k] for k in sorted(table) if not ns or k[0] == ns]

    # Writing

    def put(self, type_, kind, obj, old):
        """Store a finished object under a new version and tell everybody."""
        self.rv += 1
        meta = obj["metadata"]
        meta["resourceVersion"] = str(self.rv)
        item = Item(kind, obj)
        key = (meta.get("namespace", ""), meta["name"])
        if type_ == "DELETED":
            self.table(kind).pop(key, None)
        else:
            self.table(kind)[key] = item
        if len(self.history) == HISTORY:
            self.compacted = self.history[0].rv
        event = Event(self.rv, type_, item, old)
        self.history.append(event)
        for watch in list(self.watches.get(kind.key, ())):
            watch.see(event)
        self.on_change(event)
        return item

    def prepare_create(self, kind, obj, ns, manager, sub="", operation="Update"):
        """Fill in and check a new object; not stored yet."""
        obj = clone(obj)
        meta = obj.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"][:58] + secrets.token_hex(3)[:5]
        if kind.namespaced:
            meta["namespace"] = ns
        obj["apiVersion"], obj["kind"] = kind.api_version, kind.kind
        meta["uid"] = new_uid()
        meta["creationTimestamp"] = now()
        meta.pop("resourceVersion", None)
        meta.pop("deletionTimestamp", None)
        if kind.namespaced and kind.kind not in ("ConfigMap", "Secret", "Event"):
            meta["generation"] = 1
        rules.default(kind, obj)
        rules.check(kind, obj)
        if kind.kind == "Secret":
            fold_string_data(obj)
        if meta.get("managedFields") is None and manager:
            meta.pop("managedFields", None)
            fields.record(obj, None, manager, now(), kind.api_version, sub, operation)
        return obj

    def create(self, kind, obj, ns="", manager="kube-controller-manager", sub=""):
        obj = self.prepare_create(kind, obj, ns, manager, sub)
        meta = obj["metadata"]
        if (meta.get("namespace", ""), meta["name"]) in self.table(kind):
            raise exists(kind, meta["name"])
        return self.put("ADDED", kind, obj, None)

    def prepare_update(self, kind, new, old, manager, sub="", operation="Update"):
        """Check a changed object against the stored one; (object, same) with same when nothing differs.
        `new` is the caller's own copy."""
        meta, before = new["metadata"], old["metadata"]
        wanted = meta.get("resourceVersion")
        if wanted and wanted != before["resourceVersion"]:
            raise modified(kind, before["name"])
        meta["resourceVersion"] = before["resourceVersion"]
        if not meta.get("uid"):
            meta["uid"] = before["uid"]
        meta["creationTimestamp"] = before["creationTimestamp"]
        for field in ("generation", "deletionTimestamp", "deletionGracePeriodSeconds"):
            meta.pop(field, None)
            if field in before:
                meta[field] = before[field]
        new["apiVersion"], new["kind"] = kind.api_version, kind.kind
        if sub == "status":
            for key in rules.spec_of(new).keys() | rules.spec_of(old).keys():
                new.pop(key, None)
                if key in old:
                    new[key] = old[key]
        else:
            rules.keep_status(new, old)
            rules.default(kind, new)
            rules.check(kind, new, old)
            if kind.kind == "Secret":
                fold_string_data(new)
            if "generation" in before and rules.spec_of(new) != rules.spec_of(old):
                meta["generation"] = before["generation"] + 1
        if operation == "Update":
            meta["managedFields"] = before.get("managedFields") or []
        # As the server does: a write that changes nothing is not stored.
        if new == old or ({**new, "metadata": {**meta, "managedFields": 0}} ==
                          {**old, "metadata": {**before, "managedFields": 0}} and operation == "Update"):
            return old, True
        if operation == "Update":
            fields.record(new, old, manager, now(), kind.api_version, sub)
        return new, False

    def update(self, kind, new, old, manager="kube-controller-manager", sub=""):
        obj, same = self.prepare_update(kind, new, old, manager, sub)
        if same:
            return self.table(kind)[old["metadata"].get("namespace", ""), old["metadata"]["name"]]
        return self.put("MODIFIED", kind, obj, old)

    def edit(self, kind, ns, name, change, manager="kube-controller-manager", sub=""):
        """`change` gets a copy to work on; the stored item, or None when the object is gone."""
        old = self.peek(kind, ns, name)
        if old is None:
            return None
        new = clone(old)
        change(new)
        return self.update(kind, new, old, manager, sub)

    def set_status(self, kind, old, status):
        """A controller writes the status; nothing happens when it is the same."""
        if old.get("status") == status:
            return old
        new = {**old, "metadata": dict(old["metadata"]), "status": status}
        fields.record(new, old, "kube-controller-manager", now(), kind.api_version, "status")
        return self.put("MODIFIED", kind, new, old).obj

    def delete(self, kind, old):
        obj = {**old, "metadata": dict(old["metadata"])}
        return self.put("DELETED", kind, obj, old)

    def forget_history(self):
        """Every version before now is too old to resume from."""
        self.history.clear()
        self.compacted = self.rv

    def since(self, kind, rv):
        return [e for e in self.history if e.rv > rv and e.item.kind is kind]


def fold_string_data(obj):
    import base64
    for key, value in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()
    obj.setdefault("type", "Opaque")
