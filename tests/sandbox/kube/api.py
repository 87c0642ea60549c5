# SPDX-License-Identifier: Apache-2.0
"""The verbs of the API on stored objects. Each answers with bytes or raises Failure."""

import base64
import json

import yaml

from . import fields, patch, selectors, status, views
from .kinds import BUDGET, EVENT, EVENTS_V1, JOB, NAMESPACE, POD
from .schema import KINDS, Check
from .status import TRUE, Failure, answer, bad_request, dumps
from .store import Item, now
from .watch import Watch

MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
TYPES = (JSON_PATCH, MERGE, STRATEGIC, APPLY)
CRD_TYPES = (JSON_PATCH, MERGE, APPLY)
MAX_BODY = 3 << 20
OLD_TOKEN = ("The provided continue parameter is too old to display a consistent list result. You can start a new list "
             "without the continue parameter, or use the continue token in this response to retrieve the remainder of "
             "the results. Continuing with the provided token results in an inconsistent list - objects that were "
             "created, modified, or deleted between the time the first chunk was returned and now may show up in the "
             "list.")


class Options:
    """The query of a write, checked."""

    __slots__ = ("dry_run", "manager", "strict", "warn", "force")

    def __init__(self, args, headers, name, apply=False):
        dry = args.get("dryRun")
        if dry not in (None, "", "All"):
            raise status.invalid_options(name, "dryRun", "FieldValueNotSupported",
                                         f'Unsupported value: ["{dry}"]: supported values: "All"')
        self.dry_run = dry == "All"
        validation = args.get("fieldValidation") or "Warn"
        if validation not in ("Strict", "Warn", "Ignore"):
            raise status.invalid_options(name, "fieldValidation", "FieldValueNotSupported", f'Unsupported value: '
                                         f'"{validation}": supported values: "", "Ignore", "Strict", "Warn"')
        self.strict, self.warn = validation == "Strict", validation == "Warn"
        manager = args.get("fieldManager", "")
        if len(manager) > 128:
            raise status.invalid_options(name, "fieldManager", "FieldValueTooLong",
                                         "Too long: may not be more than 128 bytes")
        if not manager.isprintable():
            at = next(i for i, c in enumerate(manager) if not c.isprintable())
            raise status.invalid_options(name, "fieldManager", "FieldValueInvalid",
                                         f"Invalid value: {json.dumps(manager)}: invalid character "
                                         f"U+{ord(manager[at]):04X} (at position {at})")
        if apply and not manager:
            raise status.invalid_options(name, "fieldManager", "FieldValueRequired",
                                         "Required value: is required for apply patch")
        self.force = args.get("force") in TRUE
        if "force" in args and not apply and name == "PatchOptions":
            raise status.invalid_options(name, "force", "FieldValueForbidden",
                                         "Forbidden: may not be specified for non-apply patch")
        self.manager = manager or headers.get("user-agent", "").partition("/")[0][:128] or "unknown"


def include_of(args):
    wish = args.get("includeObject") or "Metadata"
    if wish not in ("None", "Metadata", "Object"):
        raise bad_request(f'Unable to convert to Table as requested: includeObject: Invalid value: "{wish}": must be '
                          "'Metadata', 'Object', 'None', or empty")
    return wish


def warnings(check):
    return [("Warning", '299 - "unknown field \\"' + p + '\\""') for p in check.unknown]


def media_type(headers):
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def read_body(req, kind_name):
    if len(req.body) > MAX_BODY:
        raise status.too_large()
    ctype = media_type(req.headers)
    if ctype not in ("application/json", "application/yaml", "*/*", ""):
        raise status.unsupported_media_type(["application/json", "application/yaml",
                                             "application/vnd.kubernetes.protobuf"])
    try:
        body = yaml.safe_load(req.body) if ctype == "application/yaml" else json.loads(req.body)
    except json.JSONDecodeError as e:
        raise bad_request(f"the object provided is unrecognized (must be of type {kind_name}): couldn't get "
                          f"version/kind; json parse error: {status.not_json(e)} ({e.doc[:1000]})") from None
    except (ValueError, yaml.YAMLError) as e:
        raise bad_request(f"the object provided is unrecognized (must be of type {kind_name}): couldn't get "
                          f"version/kind; json parse error: {e}") from None
    if type(body) is not dict:
        raise bad_request(f"the object provided is unrecognized (must be of type {kind_name}): couldn't get "
                          "version/kind; json parse error: json: cannot unmarshal into Go value of type "
                          "struct { APIVersion string; Kind string }")
    return body


class Api:
    def __init__(self, server):
        self.server = server

    @property
    def store(self):
        return self.server.store

    # Reading

    def get(self, target, form, args):
        item = self.store.item(EVENT if target.kind is EVENTS_V1 else target.kind, target.ns, target.name)
        if target.sub == "scale":
            return answer(200, dumps(self.scale_of(target.kind, item.obj)))
        if form == views.TABLE:
            return answer(200, views.table(target.kind, [item], {"resourceVersion": str(self.store.rv)}, include_of(args)))
        view = views.view_of(target.kind, form)
        return answer(200, view(item) if view else item.raw)

    @staticmethod
    def scale_of(kind, obj):
        meta, replicas = obj["metadata"], obj["spec"].get("replicas", 0)
        out = {k: meta[k] for k in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")}
        st = {"replicas": (obj.get("status") or {}).get("replicas", 0)}
        if kind.builtin:
            st["selector"] = selectors.of_match_labels(obj["spec"].get("selector"))
        return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": out,
                "spec": {"replicas": replicas} if replicas else {}, "status": st}

    def select(self, target, args, token=None):
        """(predicate or None, items in order, whether by a selector) of a list or watch; of a page, as of its version."""
        kind = EVENT if target.kind is EVENTS_V1 else target.kind
        by_field, name = selectors.fields(kind, args.get("fieldSelector"))
        by_label = selectors.labels(args.get("labelSelector"))
        tests = [by_field] if by_field else []
        if by_label:
            tests.append(lambda o: by_label(o["metadata"].get("labels") or {}))
        if target.ns:
            tests.append(lambda o, ns=target.ns: o["metadata"].get("namespace") == ns)
        wanted = None if not tests else tests[0] if len(tests) == 1 else lambda o: all(t(o) for t in tests)
        if token:
            items = self.store.items_then(kind, target.ns, read_token(token)[0])
        elif name is not None and target.ns:
            found = self.store.table(kind).get((target.ns, name))
            items = [found] if found else []
        else:
            items = self.store.items_of(kind, target.ns)
        return wanted, [i for i in items if wanted is None or wanted(i.obj)], bool(by_field or by_label)

    def list(self, target, args, form):
        kind = target.kind
        _, items, selected = self.select(target, args, args.get("continue"))
        self.check_version(args)
        items, meta = self.page(items, args, selected, target.ns)
        if form == views.TABLE:
            return answer(200, views.table(kind, items, meta, include_of(args)))
        if form in (views.META_LIST, views.META):
            return answer(200, views.meta_list(items, meta))
        if kind is EVENTS_V1:
            body = [dumps({k: v for k, v in views.new_event(i.obj).items() if k not in ("kind", "apiVersion")})
                    for i in items]
        else:
            body = [i.bare for i in items]
        head = dumps({"kind": kind.kind + "List", "apiVersion": kind.api_version, "metadata": meta})
        return answer(200, head[:-1] + b',"items":[' + b",".join(body) + b"]}")

    def check_version(self, args):
        wanted = args.get("resourceVersion")
        if wanted and wanted != "0":
            if not wanted.isdigit():
                raise bad_request(f'invalid resource version: resourceVersion: Invalid value: "{wanted}": '
                                  f'strconv.ParseUint: parsing "{wanted}": invalid syntax')
            if int(wanted) > self.store.rv:
                raise status.version_too_large(wanted, self.store.rv)

    def page(self, items, args, selected, ns):
        meta = {"resourceVersion": str(self.store.rv)}
        limit = args.get("limit") or "0"
        if not limit.isdigit():
            raise bad_request(f'strconv.ParseInt: parsing "{limit}": invalid syntax')
        token = args.get("continue")
        if token:
            items, meta["resourceVersion"] = self.resume(items, token, ns)
        limit = int(limit)
        if limit and len(items) > limit:
            last = items[limit - 1].obj["metadata"]
            meta["continue"] = make_token(int(meta["resourceVersion"]), place_in_list(last, ns) + "\0")
            if not selected:
                meta["remainingItemCount"] = len(items) - limit
            items = items[:limit]
        return items, meta

    def resume(self, items, token, ns):
        rv, start = read_token(token)
        if rv > 0 and rv < self.store.compacted:
            raise ExpiredToken(make_token(-1, start))
        return [i for i in items if place_in_list(i.obj["metadata"], ns) >= start], str(rv if rv > 0 else self.store.rv)

    def watch(self, req, target, args, form, fault):
        kind = EVENT if target.kind is EVENTS_V1 else target.kind
        wanted, items, _ = self.select(target, args)
        text = args.get("resourceVersion") or "0"
        if not text.isdigit():
            raise Failure(500, "", f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": '
                          "invalid syntax")
        timeout = args.get("timeoutSeconds")
        if timeout is not None and not timeout.isdigit():
            raise bad_request(f'strconv.ParseInt: parsing "{timeout}": invalid syntax')
        how = fault.get("how") if fault else None
        if how == "gone_http":
            raise status.expired(f"too old resource version: {text} ({self.store.rv})")
        rv = int(text)
        settings = {"mode": how, "ms": fault.get("ms", 0)} if how else None
        watch = Watch(self.server, req.conn, kind, wanted, rv or self.store.rv, views.view_of(target.kind, form),
                      args.get("allowWatchBookmarks") in TRUE, int(timeout) if timeout else None, settings)
        if rv == 0:
            watch.start(items)
        elif rv < self.store.compacted:
            watch.gone(f"too old resource version: {rv} ({self.store.compacted})")
        else:
            watch.replay(self.store.since(kind, rv))
        return None

    # Writing

    def decoded(self, kind, obj, whole, options, patched):
        """Types and unknown fields as the decoder sees them; the answer's warning headers. `patched`: errors are
        about the patch, not about the body."""
        check = Check(kind if type(kind) is str else kind.kind, obj)
        if check.wrong:
            if patched:
                raise patch_error(f"{dumps(whole).decode()}", check.wrong)
            raise cannot_handle(kind, check.wrong)
        if not check.unknown:
            return ()
        if options.strict:
            text = f"strict decoding error: {check.strict()}"
            if not patched:
                raise cannot_handle(kind, text)
            raise patch_error(whole if type(whole) is str else dumps(whole).decode(), text)
        found = warnings(check) if options.warn else ()
        check.drop()
        return found

    def create(self, req, target, args):
        kind = target.kind
        options = Options(args, req.headers, "CreateOptions")
        body = read_body(req, kind.kind)
        self.check_type(kind, body)
        headers = self.decoded(kind, body, body, options, False)
        meta = body.setdefault("metadata", {})
        if type(meta) is not dict:
            raise bad_request("metadata must be an object")
        if kind.namespaced:
            if meta.get("namespace") not in (None, "", target.ns):
                raise bad_request("the namespace of the provided object does not match the namespace sent on the "
                                  "request")
            self.need_namespace(kind, target.ns, meta.get("name", ""))
        if meta.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        obj = self.store.prepare_create(kind, body, target.ns, options.manager)
        obj.pop("status", None)
        if kind.builtin and "status" in kind.subs:
            obj["status"] = {"phase": "Active"} if kind is NAMESPACE else {}
        if (target.ns, obj["metadata"]["name"]) in self.store.table(kind):
            raise status.exists(kind, obj["metadata"]["name"])
        self.server.admit("CREATE", kind, obj, None)
        if options.dry_run:
            return answer(201, dumps(obj), headers=headers)
        item = self.store.put("ADDED", kind, obj, None)
        return answer(201, item.raw, headers=headers)

    def evict(self, req, target, args):
        """Delete a pod, unless a disruption budget has too few left."""
        body = read_body(req, "Eviction")
        pod = self.store.item(POD, target.ns, target.name).obj
        meta = pod["metadata"]
        uid = ((body.get("deleteOptions") or {}).get("preconditions") or {}).get("uid")
        if uid and uid != meta["uid"]:
            raise status.uid_differs(POD, target.name, uid, meta["uid"])
        labels = meta.get("labels") or {}
        budgets = [b for b in self.store.objects(BUDGET, target.ns) if all(
            labels.get(k) == v for k, v in (b["spec"]["selector"].get("matchLabels") or {}).items())]
        if len(budgets) > 1:
            raise Failure(500, "InternalError", "This pod has more than one PodDisruptionBudget, which the eviction "
                          "subresource does not support.")
        if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            for budget in budgets:
                self.disrupt(budget)
        if args.get("dryRun") != "All":
            self.store.delete(POD, pod)
        return answer(201, dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                                  "code": 201}))

    def disrupt(self, budget):
        """As many healthy pods as the budget wants must be left."""
        spec, ns = budget["spec"], budget["metadata"]["namespace"]
        wanted = spec["selector"].get("matchLabels") or {}
        healthy = [p for p in self.store.objects(POD, ns) if all(
            (p["metadata"].get("labels") or {}).get(k) == v for k, v in wanted.items()) and any(
                c["type"] == "Ready" and c["status"] == "True" for c in p.get("status", {}).get("conditions") or [])]
        need = spec.get("minAvailable", 0)
        if len(healthy) - 1 < need:
            name = budget["metadata"]["name"]
            raise Failure(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.", {
                "causes": [{"reason": "DisruptionBudget", "message": f"The disruption budget {name} needs {need} healthy "
                            f"pods and has {len(healthy)} currently"}]})

    def need_namespace(self, kind, ns, name):
        found = self.store.peek(NAMESPACE, "", ns)
        if found is None:
            raise status.not_found(NAMESPACE, ns)
        if found["metadata"].get("deletionTimestamp"):
            refusal = status.forbidden_because(kind, name, f"unable to create new content in namespace {ns} because it "
                                               "is being terminated")
            refusal.details["causes"] = [{"reason": "NamespaceTerminating", "message": f"namespace {ns} is being "
                                          "terminated", "field": "metadata.namespace"}]
            raise refusal

    @staticmethod
    def check_type(kind, body):
        for field, want in (("apiVersion", kind.api_version), ("kind", kind.kind)):
            if body.get(field) in (None, ""):
                if not kind.builtin or field == "kind":
                    body[field] = want      # the server takes it from the path
            elif field == "kind" and body[field] != want and kind.builtin and body[field] in KINDS:
                raise bad_request(f'{body[field]} in version "v1" cannot be handled as a {want}: converting '
                                  f"(v1.{body[field]}) to ({kind.group.partition('.')[0] or 'core'}.{want}): unknown "
                                  "conversion")
            elif body[field] != want:
                what = "API version" if field == "apiVersion" else "kind"
                raise bad_request(f"the {what} in the data ({body[field]}) does not match the expected {what} "
                                  f"({want})")

    def finish_update(self, target, new, old, options, headers, sub="", operation="Update"):
        """Check, admit, store; the stored item, or the item of a dry run."""
        kind = target.kind
        if new["metadata"].get("name") != target.name:
            raise bad_request(f"the name of the object ({new['metadata'].get('name')}) does not match the name on the "
                              f"URL ({target.name})")
        new, same = self.store.prepare_update(kind, new, old, options.manager, sub, operation)
        if not same:
            self.server.admit("UPDATE", kind, new, old)
        if options.dry_run:
            return Item(kind, new)
        if same:
            return self.store.item(kind, target.ns, target.name)
        meta = new["metadata"]
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            return self.store.put("DELETED", kind, new, old)
        return self.store.put("MODIFIED", kind, new, old)

    def update(self, req, target, args):
        kind = target.kind
        options = Options(args, req.headers, "UpdateOptions")
        body = read_body(req, "Scale" if target.sub == "scale" else kind.kind)
        old = self.store.item(kind, target.ns, target.name).obj
        if target.sub == "scale":
            headers = self.decoded("Scale", body, body, options, False)
            return self.write_scale(target, body, old, options, headers)
        self.check_type(kind, body)
        headers = self.decoded(kind, body, body, options, False)
        meta = body.setdefault("metadata", {})
        if kind.namespaced and meta.get("namespace") not in (None, "", target.ns):
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if kind.namespaced:
            meta["namespace"] = target.ns
        if meta.get("uid") and meta["uid"] != old["metadata"]["uid"]:
            raise status.uid_differs(kind, target.name, meta["uid"], old["metadata"]["uid"])
        if not meta.get("resourceVersion") and not kind.unconditional:
            raise status.invalid(kind, target.name, [status.cause(
                "FieldValueInvalid", "metadata.resourceVersion", "Invalid value: 0: must be specified for an update")],
                                 kind.plural)
        meta.pop("managedFields", None)
        item = self.finish_update(target, body, old, options, headers, target.sub)
        return answer(200, item.raw, headers=headers)

    def patch(self, req, target, args):
        kind, ctype = target.kind, media_type(req.headers)
        accepted = TYPES if kind.builtin else CRD_TYPES
        if ctype not in accepted:
            raise status.unsupported_patch_type() if kind.builtin else status.unsupported_media_type(accepted)
        if len(req.body) > MAX_BODY:
            raise status.too_large()
        options = Options(args, req.headers, "PatchOptions", ctype == APPLY)
        document = self.read_patch(req.body, ctype)
        if ctype == APPLY:
            return self.apply(target, document, options)
        old = self.store.item(kind, target.ns, target.name).obj
        live = self.scale_of(kind, old) if target.sub == "scale" else old
        new, whole = self.patched(live, document, ctype)
        if type(new) is not dict or type(new.get("metadata")) is not dict:
            raise patch_error(dumps(new).decode(), "json: cannot unmarshal into Go value of type v1.ObjectMeta")
        headers = self.decoded("Scale" if target.sub == "scale" else kind, new, whole, options, True)
        if target.sub == "scale":
            return self.write_scale(target, new, old, options, headers)
        new = {**new, "metadata": dict(new["metadata"])}
        if kind.namespaced and new["metadata"].get("namespace") != target.ns:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        item = self.finish_update(target, new, old, options, headers, target.sub)
        form = views.form_of(req.headers.get("accept", ""))
        view = views.view_of(kind, form)
        return answer(200, view(item) if view else item.raw, headers=headers)

    @staticmethod
    def read_patch(body, ctype):
        try:
            if ctype == APPLY:
                document = yaml.safe_load(body)
            else:
                document = json.loads(body)
        except json.JSONDecodeError as e:
            raise bad_request(f"error decoding patch: {status.not_json(e)}") from None
        except (ValueError, yaml.YAMLError) as e:
            raise bad_request(f"error decoding patch: {e}") from None
        if type(document) is not (list if ctype == JSON_PATCH else dict):
            kind = "object" if type(document) is dict else "array" if type(document) is list else "value"
            raise bad_request(f"error decoding patch: json: cannot unmarshal {kind} into Go value of type "
                              f"{'[]handlers.jsonPatchOp' if ctype == JSON_PATCH else 'map[string]interface {}'}")
        return document

    @staticmethod
    def patched(live, document, ctype):
        """(the patched object, what an error about it echoes)."""
        try:
            if ctype == MERGE:
                new = patch.merge(live, document)
            elif ctype == STRATEGIC:
                return patch.strategic(live, document), go_map(document)
            else:
                if len(document) > 10000:
                    raise Failure(413, "RequestEntityTooLarge", "The allowed maximum operations in a JSON patch is "
                                  f"10000, got {len(document)}", {})
                new = patch.json_patch(live, document)
        except patch.NotApplied:
            raise status.patch_not_applied() from None
        except patch.Malformed as e:
            raise bad_request(str(e)) from None
        return new, new

    def write_scale(self, target, scale, old, options, headers):
        kind, meta = target.kind, scale.get("metadata") or {}
        replicas = (scale.get("spec") or {}).get("replicas") or 0
        if replicas < 0:
            raise Failure(422, "Invalid", f'Scale.autoscaling "{target.name}" is invalid: spec.replicas: Invalid '
                          f"value: {replicas}: must be greater than or equal to 0", {
                              "name": target.name, "group": "autoscaling", "kind": "Scale", "causes": [status.cause(
                                  "FieldValueInvalid", "spec.replicas",
                                  f"Invalid value: {replicas}: must be greater than or equal to 0")]})
        uid = old["metadata"]["uid"]
        if meta.get("uid") and meta["uid"] != uid:
            raise status.uid_differs(kind, target.name, meta["uid"], uid, "scale")
        new = {**old, "metadata": dict(old["metadata"]), "spec": {**old["spec"], "replicas": replicas}}
        new["metadata"]["resourceVersion"] = meta.get("resourceVersion") or old["metadata"]["resourceVersion"]
        item = self.finish_update(target, new, old, options, headers, "scale")
        return answer(200, dumps(self.scale_of(kind, item.obj)), headers=headers)

    def apply(self, target, config, options):
        kind = target.kind
        if not config.get("apiVersion"):
            raise bad_request(f"invalid object type: /, Kind={config.get('kind') or ''}")
        self.check_type(kind, config)
        if target.sub:
            raise status.no_method()
        if (config.get("metadata") or {}).get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        check = Check(kind.kind, config)
        if check.wrong:
            raise bad_request(f"failed to create typed patch object: {check.wrong}")
        if check.unknown:               # whatever the validation: its fields would belong to nobody
            meta = config.get("metadata") or {}
            raise Failure(500, "", f"failed to create typed patch object ({meta.get('namespace', '')}/{target.name}; "
                          f"{kind.group}/{kind.version}, Kind={kind.kind}): .{check.unknown[0]}: field not declared in schema")
        headers = ()
        found = self.store.table(kind).get((target.ns, target.name))
        if found is None:
            return self.apply_new(target, config, options, headers)
        old = found.obj
        new, conflicts = fields.apply(old, config, options.manager, now(), kind.api_version, options.force)
        if conflicts:
            raise status.apply_conflict(kind, [status.cause(
                "FieldManagerConflict", field, "conflict with " + who(entry)) for field, entry in conflicts])
        for field in ("uid", "resourceVersion"):
            if (config.get("metadata") or {}).get(field):
                new["metadata"][field] = config["metadata"][field]
        new["metadata"]["name"] = (config.get("metadata") or {}).get("name", target.name)
        item = self.finish_update(target, new, old, options, headers, "", "Apply")
        return answer(200, item.raw, headers=headers)

    def apply_new(self, target, config, options, headers):
        kind = target.kind
        meta = dict(config.get("metadata") or {})
        if meta.get("uid"):
            raise status.conflict(kind, target.name, "uid mismatch: the provided object specified uid "
                                  f"{meta['uid']}, and no existing object was found")
        if kind.namespaced:
            self.need_namespace(kind, target.ns, target.name)
        meta["name"] = target.name
        obj = self.store.prepare_create(kind, {**config, "metadata": meta}, target.ns, None)
        obj["metadata"]["managedFields"] = [{
            "manager": options.manager, "operation": "Apply", "apiVersion": kind.api_version, "time": now(),
            "fieldsType": "FieldsV1", "fieldsV1": fields.of_object(config, applied=True)}]
        self.server.admit("CREATE", kind, obj, None)
        item = Item(kind, obj) if options.dry_run else self.store.put("ADDED", kind, obj, None)
        return answer(201, item.raw, headers=headers)

    # Deleting

    def delete(self, req, target, args):
        kind = target.kind
        body = read_body(req, "DeleteOptions") if req.body else {}
        how = body.get("propagationPolicy") or args.get("propagationPolicy")
        try:
            return self.delete_item(target, args, body, how)
        except Failure as e:
            e.headers = (*e.headers, *about_pods(kind, how))
            raise

    def delete_item(self, target, args, body, how):
        kind = target.kind
        old = self.store.item(kind, target.ns, target.name).obj
        meta, wanted = old["metadata"], body.get("preconditions") or {}
        for field in ("uid", "resourceVersion"):
            if wanted.get(field) and wanted[field] != meta[field]:
                raise status.unmet(kind, target.name, field, wanted[field], meta[field])
        self.server.admit("DELETE", kind, patch.clone(old), old)
        if args.get("dryRun") == "All" or body.get("dryRun") == ["All"]:
            return self.deleted(kind, meta, old, how)
        if meta.get("finalizers"):
            if not meta.get("deletionTimestamp"):
                new = {**old, "metadata": {**meta, "deletionTimestamp": now(), "deletionGracePeriodSeconds": 0}}
                old = self.store.put("MODIFIED", kind, new, old).obj
            return answer(200, dumps(old))
        self.store.delete(kind, old)
        self.server.behave.collect(meta["uid"], target.ns, how or ("Orphan" if kind is JOB else "Background"))
        return self.deleted(kind, meta, old, how)

    @staticmethod
    def deleted(kind, meta, old, how):
        if kind is POD:
            return answer(200, dumps(old))
        return answer(200, dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                                  "details": status.details(kind, meta["name"], meta["uid"])}),
                      headers=about_pods(kind, how))

    def delete_collection(self, target, args):
        _, items, _ = self.select(target, args)
        for item in items:
            self.store.delete(target.kind, item.obj)
            self.server.behave.collect(item.obj["metadata"]["uid"], target.ns, "Background")
        return self.list(target, {"labelSelector": "no=thing"}, views.PLAIN)


def about_pods(kind, how):
    """The warning about a Job that is deleted without a word about its pods."""
    if kind is not JOB or how:
        return ()
    return (("Warning", '299 - "child pods are preserved by default when jobs are deleted; set '
             'propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"'),)


class ExpiredToken(Failure):
    def __init__(self, token):
        super().__init__(410, "Expired", OLD_TOKEN)
        self.token = token

    def status(self):
        body = super().status()
        body["metadata"] = {"continue": self.token}
        return body


def place_in_list(meta, ns):
    """The key of an object below the list's own."""
    return meta["name"] if ns or "namespace" not in meta else f"{meta['namespace']}/{meta['name']}"


def make_token(rv, start):
    """rv -1: whatever is there now."""
    return base64.urlsafe_b64encode(dumps({"v": "meta.k8s.io/v1", "rv": rv, "start": start})).decode().rstrip("=")


def read_token(token):
    """(version, the first key) of a page."""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        raise bad_request("invalid continue token: continue key is not valid: illegal base64 data at input byte 0") from None
    try:
        v = json.loads(raw.decode("latin-1"))
        return int(v["rv"]), v["start"].encode("latin-1").decode()
    except json.JSONDecodeError as e:
        raise bad_request("invalid continue token: continue key is not valid: " + status.not_json(e)) from None
    except (KeyError, TypeError, ValueError):
        raise bad_request("invalid continue token: continue key is not valid: incorrect encoded start resourceVersion") from None


def patch_error(whole, why):
    """What the server says of a patch whose result it cannot read; it echoes all of the result."""
    return status.invalid(None, "", [status.cause("FieldValueInvalid", "patch",
                                                  f"Invalid value: {json.dumps(whole)}: {why}")])


def cannot_handle(kind, why):
    name, version = (kind, "v1") if type(kind) is str else (kind.kind, kind.version)
    return bad_request(f'{name} in version "{version}" cannot be handled as a {name}: {why}')


def go_map(value):
    """Go's %+v of a decoded patch."""
    if type(value) is dict:
        return "map[" + " ".join(f"{k}:{go_map(v)}" for k, v in sorted(value.items())) + "]"
    if type(value) is list:
        return "[" + " ".join(map(go_map, value)) + "]"
    if type(value) is bool:
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


def who(entry):
    text = f'"{entry["manager"]}"'
    if entry.get("subresource"):
        text += f' with subresource "{entry["subresource"]}"'
    if entry["operation"] == "Update":
        text += f" using {entry['apiVersion']} at {entry.get('time', '')}"
    return text
