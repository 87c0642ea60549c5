# SPDX-License-Identifier: Apache-2.0
"""What the server fills in and what it refuses about an object's meaning: defaults, validation, immutability."""

import re

from .patch import clone
from .status import cause, invalid

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
KEY = re.compile(r"[-._a-zA-Z0-9]+")
SUBDOMAIN = ("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
             "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
             "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")


def shown(value):
    if type(value) is str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if type(value) in (dict, list):
        from json import dumps
        return dumps(value, separators=(",", ":"))
    if type(value) is bool:
        return "true" if value else "false"
    return "null" if value is None else str(value)


class Errors(list):
    def invalid(self, field, value, why):
        self.append(cause("FieldValueInvalid", field, f"Invalid value: {shown(value)}: {why}"))

    def required(self, field, why=""):
        self.append(cause("FieldValueRequired", field, "Required value" + (f": {why}" if why else "")))

    def forbidden(self, field, why):
        self.append(cause("FieldValueForbidden", field, f"Forbidden: {why}"))

    def unsupported(self, field, value, known):
        known = ", ".join(f'"{k}"' for k in known)
        self.append(cause("FieldValueNotSupported", field, f"Unsupported value: {shown(value)}: supported values: "
                          f"{known}"))

    def unless_same(self, field, new, old):
        if new != old:
            self.invalid(field, new, "field is immutable")


# Defaults

def default_pod(spec):
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    for c in spec.get("containers") or []:
        if type(c) is dict:
            c.setdefault("imagePullPolicy", "IfNotPresent")
            c.setdefault("resources", {})
            c.setdefault("terminationMessagePath", "/dev/termination-log")
            c.setdefault("terminationMessagePolicy", "File")
    spec.setdefault("securityContext", {})


def default(kind, obj):
    """Fill in, on an object that is the caller's own copy."""
    spec = obj.get("spec")
    if type(spec) is not dict:
        if kind.kind in ("Deployment", "StatefulSet", "ReplicaSet", "Job", "CronJob"):
            spec = obj["spec"] = {}
        else:
            return
    if kind.kind in ("Deployment", "StatefulSet", "ReplicaSet"):
        if spec.get("replicas") is None:
            spec["replicas"] = 1
    if kind.kind == "Deployment":
        spec.setdefault("progressDeadlineSeconds", 600)
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("strategy", {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%",
                                                                                "maxUnavailable": "25%"}})
    elif kind.kind in ("StatefulSet", "DaemonSet"):
        spec.setdefault("revisionHistoryLimit", 10)
        more = {"partition": 0} if kind.kind == "StatefulSet" else {"maxUnavailable": 1, "maxSurge": 0}
        spec.setdefault("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": more})
        if kind.kind == "StatefulSet":
            spec.setdefault("podManagementPolicy", "OrderedReady")
    elif kind.kind == "Job":
        default_job(obj, spec)
    elif kind.kind == "CronJob":
        for key, value in (("concurrencyPolicy", "Allow"), ("suspend", False), ("successfulJobsHistoryLimit", 3),
                           ("failedJobsHistoryLimit", 1)):
            spec.setdefault(key, value)
    elif kind.kind == "HorizontalPodAutoscaler":
        spec.setdefault("minReplicas", 1)
    template = spec.get("template")
    if type(template) is dict and type(template.get("spec")) is dict:
        default_pod(template["spec"])
    if kind.kind == "Pod":
        default_pod(spec)


def default_job(obj, spec):
    for key, value in (("parallelism", 1), ("completions", 1), ("backoffLimit", 6), ("suspend", False),
                       ("completionMode", "NonIndexed")):
        spec.setdefault(key, value)
    uid = obj.get("metadata", {}).get("uid")
    template = spec.get("template")
    if uid and not spec.get("manualSelector") and type(template) is dict and "selector" not in spec:
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        labels = template.setdefault("metadata", {}).setdefault("labels", {})
        name = obj["metadata"].get("name", "")
        labels.update({"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name,
                       "controller-uid": uid, "job-name": name})


# Validation

def check(kind, obj, old=None):
    """Raises the 422 that names every fault."""
    errors = Errors()
    meta = obj["metadata"]
    name = meta.get("name", "")
    if old is None:
        check_name(kind, name, errors)
    else:
        for field in ("name", "namespace", "uid", "uid"):           # the uid by two rules
            errors.unless_same(f"metadata.{field}", meta.get(field), old["metadata"].get(field))
    for field in ("labels", "annotations"):
        total = sum(len(k) + len(v) for k, v in (meta.get(field) or {}).items() if type(v) is str)
        if field == "annotations" and total > 256 << 10:
            errors.append(cause("FieldValueTooLong", "metadata.annotations",
                                "Too long: may not be more than 262144 bytes"))
    rule = RULES.get(kind.kind)
    if rule:
        rule(obj, old, errors)
    if errors:
        raise invalid(kind, name, list(errors))


def check_name(kind, name, errors):
    if not name:
        errors.required("metadata.name", "name or generateName is required")
    elif len(name) > 253 or not NAME.fullmatch(name):
        errors.invalid("metadata.name", name, SUBDOMAIN)
    elif kind.kind == "Job" and len(name) > 63:
        for _ in ("controller-uid", "job-name"):        # the labels of its pods cannot hold it
            errors.invalid("spec.template.labels", name, "must be no more than 63 bytes")
    elif kind.kind == "Namespace" and (len(name) > 63 or not LABEL.fullmatch(name)):
        errors.invalid("metadata.name", name, "must be no more than 63 characters" if len(name) > 63 else
                       "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'")
    elif kind.kind == "CronJob" and len(name) > 52:
        errors.invalid("metadata.name", name, "must be no more than 52 characters")


def not_negative(spec, field, errors, at="spec."):
    value = spec.get(field)
    if type(value) is int and value < 0:
        errors.invalid(at + field, value, "must be greater than or equal to 0")


def check_template(spec, errors, at="spec.template"):
    template = spec.get("template") or {}
    pod = template.get("spec") or {}
    containers = pod.get("containers")
    if not containers:
        errors.required(f"{at}.spec.containers")
    seen = set()
    for i, c in enumerate(containers or []):
        if not c.get("name"):
            errors.required(f"{at}.spec.containers[{i}].name")
        elif c["name"] in seen:
            errors.append(cause("FieldValueDuplicate", f"{at}.spec.containers[{i}].name",
                                f"Duplicate value: {shown(c['name'])}"))
        seen.add(c.get("name"))
        if not c.get("image"):
            errors.required(f"{at}.spec.containers[{i}].image")
    return pod


def check_selector(spec, old, errors):
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if not spec.get("selector"):
        errors.required("spec.selector")
    elif any(labels.get(k) != v for k, v in wanted.items()):
        errors.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    if old is not None:
        errors.unless_same("spec.selector", spec.get("selector"), old["spec"].get("selector"))


def check_workload(obj, old, errors):
    spec = obj["spec"]
    for field in ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        not_negative(spec, field, errors)
    check_selector(spec, old, errors)
    check_template(spec, errors)
    if obj["kind"] == "StatefulSet" and old is not None:
        may = ("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
               "persistentVolumeClaimRetentionPolicy", "minReadySeconds")
        if {k: v for k, v in spec.items() if k not in may} != {k: v for k, v in old["spec"].items() if k not in may}:
            errors.forbidden("spec", "updates to statefulset spec for fields other than 'replicas', 'ordinals', "
                             "'template', 'updateStrategy', 'revisionHistoryLimit', "
                             "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden")


def check_job(obj, old, errors):
    spec = obj["spec"]
    for field in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        not_negative(spec, field, errors)
    check_job_pod(check_template(spec, errors), errors, "spec.template")
    if old is not None:
        for field in ("completions", "selector", "template"):
            errors.unless_same(f"spec.{field}", spec.get(field), old["spec"].get(field))


def check_job_pod(pod, errors, at):
    if pod.get("restartPolicy") not in ("Never", "OnFailure"):
        errors.required(f"{at}.spec.restartPolicy", 'valid values: "OnFailure", "Never"')


def check_cron_job(obj, old, errors):
    spec = obj["spec"]
    schedule = spec.get("schedule") or ""
    if not schedule:
        errors.required("spec.schedule")
    elif not schedule.startswith(("@", "TZ=", "CRON_TZ=")) and len(schedule.split()) != 5:
        errors.invalid("spec.schedule", schedule, f"expected exactly 5 fields, found {len(schedule.split())}: "
                       f"[{' '.join(schedule.split())}]")
    if spec.get("concurrencyPolicy") not in ("Allow", "Forbid", "Replace"):
        errors.unsupported("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
    inner = ((spec.get("jobTemplate") or {}).get("spec")) or {}
    at = "spec.jobTemplate.spec.template"
    check_job_pod(check_template(inner, errors, at), errors, at)


def check_config_map(obj, old, errors):
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    for field, values in (("data", data), ("binaryData", binary)):
        for key in values:
            if not KEY.fullmatch(key) or len(key) > 253:
                errors.invalid(f"{field}[{key}]", key, "a valid config key must consist of alphanumeric characters, "
                               "'-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for "
                               "validation is '[-._a-zA-Z0-9]+')")
    for key in data.keys() & binary.keys():
        errors.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    size = sum(len(v.encode()) for v in data.values()) + sum(len(v) for v in binary.values())
    if size > 1 << 20:
        errors.append(cause("FieldValueTooLong", "[]", "Too long: may not be more than 1048576 bytes"))
    if old is not None and old.get("immutable"):
        if not obj.get("immutable"):
            errors.forbidden("immutable", "field is immutable when `immutable` is set")
        if data != (old.get("data") or {}):
            errors.forbidden("data", "field is immutable when `immutable` is set")
        if binary != (old.get("binaryData") or {}):
            errors.forbidden("binaryData", "field is immutable when `immutable` is set")


def check_hpa(obj, old, errors):
    spec = obj["spec"]
    low, high = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if type(low) is int and low < 1:
        errors.invalid("spec.minReplicas", low, "must be greater than or equal to 1")
    if high < 1:
        errors.required("spec.maxReplicas", "must be set and greater than 0")
    if type(low) is int and high < low:
        errors.invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")
    if low == 0 and not any(m.get("type") in ("Object", "External") for m in spec.get("metrics") or []):
        errors.forbidden("spec.metrics", "must specify at least one Object or External metric to support scaling to zero "
                         "replicas")


RULES = {
    "Deployment": check_workload, "StatefulSet": check_workload, "DaemonSet": check_workload, "Job": check_job,
    "CronJob": check_cron_job, "ConfigMap": check_config_map, "Secret": check_config_map,
    "HorizontalPodAutoscaler": check_hpa,
}


def spec_of(obj):
    """What counts for metadata.generation: everything but metadata, status and the type."""
    return {k: v for k, v in obj.items() if k not in ("metadata", "status", "apiVersion", "kind")}


def keep_status(new, old):
    """Writes to the main resource cannot touch the status."""
    new.pop("status", None)
    if old is not None and "status" in old:
        new["status"] = clone(old["status"])
