# SPDX-License-Identifier: Apache-2.0
"""Field names and types of the kinds that are served: unknown fields and values of the wrong type.

Types: a word ("string", "int32", "int64", "bool", "any"), ("list", t), ("map", t), or a Struct. What is "any" is
not looked into: the deep end of pod specs and the custom resources."""

S, I32, I64, B, ANY = "string", "int32", "int64", "bool", "any"


class Struct:
    def __init__(self, name, /, **fields):
        self.name, self.fields = name, fields


def many(t):
    return ("list", t)


def each(t):
    return ("map", t)


def anys(names):
    return dict.fromkeys(names.split(), ANY)


def strings(names):
    return dict.fromkeys(names.split(), S)


OWNER = Struct("OwnerReference", **strings("apiVersion kind name uid"), controller=B, blockOwnerDeletion=B)
META = Struct("ObjectMeta", **strings("name generateName namespace selfLink uid resourceVersion creationTimestamp "
              "deletionTimestamp"), generation=I64, deletionGracePeriodSeconds=I64, labels=each(S),
              annotations=each(S), ownerReferences=many(OWNER), finalizers=many(S), managedFields=ANY)
SELECTOR = Struct("LabelSelector", matchLabels=each(S), matchExpressions=ANY)
RESOURCES = Struct("ResourceRequirements", limits=each(ANY), requests=each(ANY), claims=ANY)
ENV = Struct("EnvVar", name=S, value=S, valueFrom=ANY)
PORT = Struct("ContainerPort", **strings("name protocol hostIP"), containerPort=I32, hostPort=I32)
MOUNT = Struct("VolumeMount", **strings("name mountPath subPath mountPropagation subPathExpr recursiveReadOnly"),
               readOnly=B)
CONTAINER = Struct("Container", **strings("name image workingDir imagePullPolicy terminationMessagePath "
                   "terminationMessagePolicy restartPolicy"), command=many(S), args=many(S), ports=many(PORT),
                   env=many(ENV), envFrom=many(ANY), resources=RESOURCES, volumeMounts=many(MOUNT),
                   **anys("livenessProbe readinessProbe startupProbe lifecycle securityContext volumeDevices "
                          "resizePolicy restartPolicyRules"), stdin=B, stdinOnce=B, tty=B)
POD_SPEC = Struct("PodSpec", containers=many(CONTAINER), initContainers=many(CONTAINER),
                  **strings("restartPolicy dnsPolicy serviceAccountName serviceAccount nodeName hostname subdomain "
                            "schedulerName priorityClassName runtimeClassName preemptionPolicy hostnameOverride"),
                  **anys("volumes ephemeralContainers nodeSelector securityContext imagePullSecrets affinity "
                         "tolerations hostAliases dnsConfig readinessGates overhead topologySpreadConstraints os "
                         "schedulingGates resourceClaims resources"),
                  terminationGracePeriodSeconds=I64, activeDeadlineSeconds=I64, priority=I32,
                  **dict.fromkeys("automountServiceAccountToken hostNetwork hostPID hostIPC shareProcessNamespace "
                                  "enableServiceLinks setHostnameAsFQDN hostUsers".split(), B))
TEMPLATE = Struct("PodTemplateSpec", metadata=META, spec=POD_SPEC)
ROLLING = Struct("RollingUpdateDeployment", maxSurge=ANY, maxUnavailable=ANY, partition=I32)
STRATEGY = Struct("DeploymentStrategy", type=S, rollingUpdate=ROLLING)
JOB_SPEC = Struct("JobSpec", parallelism=I32, completions=I32, activeDeadlineSeconds=I64, backoffLimit=I32,
                  backoffLimitPerIndex=I32, maxFailedIndexes=I32, selector=SELECTOR, manualSelector=B,
                  template=TEMPLATE, ttlSecondsAfterFinished=I32, suspend=B, podFailurePolicy=ANY, successPolicy=ANY,
                  **strings("completionMode podReplacementPolicy managedBy"))
TARGET_REF = Struct("CrossVersionObjectReference", **strings("kind name apiVersion"))
REFERENCE = Struct("ObjectReference", **strings("kind namespace name uid apiVersion resourceVersion fieldPath"))


def top(kind, /, **fields):
    return Struct(kind, apiVersion=S, kind=S, metadata=META, **fields)


SPECS = {
    "Deployment": Struct("DeploymentSpec", replicas=I32, selector=SELECTOR, template=TEMPLATE, strategy=STRATEGY,
                         minReadySeconds=I32, revisionHistoryLimit=I32, paused=B, progressDeadlineSeconds=I32),
    "StatefulSet": Struct("StatefulSetSpec", replicas=I32, selector=SELECTOR, template=TEMPLATE,
                          volumeClaimTemplates=ANY, serviceName=S, podManagementPolicy=S, updateStrategy=STRATEGY,
                          revisionHistoryLimit=I32, minReadySeconds=I32, persistentVolumeClaimRetentionPolicy=ANY,
                          ordinals=ANY),
    "DaemonSet": Struct("DaemonSetSpec", selector=SELECTOR, template=TEMPLATE, updateStrategy=STRATEGY,
                        minReadySeconds=I32, revisionHistoryLimit=I32),
    "ReplicaSet": Struct("ReplicaSetSpec", replicas=I32, minReadySeconds=I32, selector=SELECTOR, template=TEMPLATE),
    "Job": JOB_SPEC,
    "CronJob": Struct("CronJobSpec", **strings("schedule timeZone concurrencyPolicy"), startingDeadlineSeconds=I64,
                      suspend=B, successfulJobsHistoryLimit=I32, failedJobsHistoryLimit=I32,
                      jobTemplate=Struct("JobTemplateSpec", metadata=META, spec=JOB_SPEC)),
    "HorizontalPodAutoscaler": Struct("HorizontalPodAutoscalerSpec", scaleTargetRef=TARGET_REF, minReplicas=I32,
                                      maxReplicas=I32, metrics=ANY, behavior=ANY),
    "Pod": POD_SPEC,
    "Scale": Struct("ScaleSpec", replicas=I32),
    "Namespace": ANY, "Node": ANY, "ResourceQuota": ANY, "ScaledObject": ANY, "Application": ANY,
    "Kustomization": ANY, "HelmRelease": ANY,
}
KINDS = {name: top(name, spec=spec, status=ANY) for name, spec in SPECS.items()}
KINDS["ConfigMap"] = top("ConfigMap", data=each(S), binaryData=each(S), immutable=B)
KINDS["Secret"] = top("Secret", data=each(S), stringData=each(S), immutable=B, type=S)
KINDS["ControllerRevision"] = top("ControllerRevision", data=ANY, revision=I64)
KINDS["Event"] = top("Event", involvedObject=REFERENCE, related=REFERENCE, source=ANY, series=ANY, count=I32,
                     **strings("reason message firstTimestamp lastTimestamp type eventTime action "
                               "reportingComponent reportingInstance"))
KINDS["Application"].fields["operation"] = ANY

GO = {str: "string", bool: "bool", int: "number", float: "number", dict: "object", list: "array"}
GO_TYPES = {"string": "string", "int32": "int32", "int64": "int64", "bool": "bool"}


def type_name(t):
    if type(t) is Struct:
        return "v1." + t.name
    if type(t) is tuple:
        inner = type_name(t[1])
        return f"[]{inner}" if t[0] == "list" else f"map[string]{inner}"
    return GO_TYPES.get(t, "interface {}")


class Check:
    """`wrong`: the decoder's error or None; `unknown`: paths of fields that no type has."""

    def __init__(self, kind, doc):
        self.wrong, self.unknown, self.extra = None, [], []
        struct = KINDS.get(kind)
        if struct:
            self.struct(struct, doc, "", "")

    def bad(self, value, owner, field, t):
        if self.wrong is None:
            kind = GO.get(type(value), "null")
            if type(value) is float and t in (I32, I64):
                kind = f"number {value}"
            self.wrong = f"json: cannot unmarshal {kind} into Go struct field {owner}.{field} of type {type_name(t)}"

    def struct(self, struct, doc, path, field):
        for key, value in doc.items():
            t = struct.fields.get(key)
            if t is None:
                self.unknown.append(f"{path}{key}")
                self.extra.append((doc, key))
            elif t is not ANY and value is not None:
                self.value(t, value, struct.name, f"{path}{key}", f"{field}.{key}" if field else key)

    def value(self, t, value, owner, path, field):
        if type(t) is Struct:
            if type(value) is dict:
                self.struct(t, value, path + ".", field)
            else:
                self.bad(value, owner, field, t)
        elif type(t) is tuple:
            self.several(t, value, owner, path, field)
        elif t is ANY or value is None:
            return
        elif (t is S and type(value) is not str) or (t is B and type(value) is not bool) or \
                (t in (I32, I64) and (type(value) is not int or abs(value) >= (1 << (31 if t is I32 else 63)))):
            self.bad(value, owner, field, t)

    def several(self, t, value, owner, path, field):
        if t[0] == "list" and type(value) is list:
            for i, item in enumerate(value):
                self.value(t[1], item, owner, f"{path}[{i}]", field)
        elif t[0] == "map" and type(value) is dict:
            for key, item in value.items():
                self.value(t[1], item, owner, f"{path}.{key}", field)
        else:
            self.bad(value, owner, field, t)

    def drop(self):
        """What the server does with unknown fields when it is not strict."""
        for doc, key in self.extra:
            del doc[key]

    def strict(self):
        return ", ".join(f'unknown field "{p}"' for p in self.unknown)
