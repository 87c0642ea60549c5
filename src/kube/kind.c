/* SPDX-License-Identifier: Apache-2.0 */
/* kind.c - the table of kinds, their paths, and what a name may look like. */
#include "kube/kind.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "net/http.h"

enum { PATH_MAX_BYTES = 4096 };

/* kind, plural, brief, version, namespaced, scalable */
static const struct kube_kind kinds[] = {
	{ "Application", "applications", NULL, "argoproj.io/v1alpha1", true, false },
	{ "ConfigMap", "configmaps", "cm", "v1", true, false },
	{ "ControllerRevision", "controllerrevisions", NULL, "apps/v1", true, false },
	{ "CronJob", "cronjobs", "cj", "batch/v1", true, false },
	{ "DaemonSet", "daemonsets", "ds", "apps/v1", true, false },
	{ "Deployment", "deployments", "deploy", "apps/v1", true, true },
	{ "Event", "events", "ev", "events.k8s.io/v1", true, false },
	{ "HelmRelease", "helmreleases", "hr", "helm.toolkit.fluxcd.io/v2", true, false },
	{ "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", "autoscaling/v2", true,
	  false },
	{ "Ingress", "ingresses", "ing", "networking.k8s.io/v1", true, false },
	{ "Job", "jobs", NULL, "batch/v1", true, false },
	{ "Kustomization", "kustomizations", "ks", "kustomize.toolkit.fluxcd.io/v1", true, false },
	{ "Namespace", "namespaces", "ns", "v1", false, false },
	{ "Node", "nodes", "no", "v1", false, false },
	{ "PersistentVolume", "persistentvolumes", "pv", "v1", false, false },
	{ "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", "v1", true, false },
	{ "Pod", "pods", "po", "v1", true, false },
	{ "PodDisruptionBudget", "poddisruptionbudgets", "pdb", "policy/v1", true, false },
	{ "ReplicaSet", "replicasets", "rs", "apps/v1", true, true },
	{ "ResourceQuota", "resourcequotas", "quota", "v1", true, false },
	{ "ScaledObject", "scaledobjects", "so", "keda.sh/v1alpha1", true, false },
	{ "Secret", "secrets", NULL, "v1", true, false },
	{ "SelfSubjectAccessReview", "selfsubjectaccessreviews", NULL, "authorization.k8s.io/v1",
	  false, false },
	{ "SelfSubjectReview", "selfsubjectreviews", NULL, "authentication.k8s.io/v1", false,
	  false },
	{ "Service", "services", "svc", "v1", true, false },
	{ "ServiceAccount", "serviceaccounts", "sa", "v1", true, false },
	{ "StatefulSet", "statefulsets", "sts", "apps/v1", true, true },
	{ "StorageClass", "storageclasses", "sc", "storage.k8s.io/v1", false, false },
	{ "VerticalPodAutoscaler", "verticalpodautoscalers", "vpa", "autoscaling.k8s.io/v1", true,
	  false },
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

const struct kube_kind *kube_kind_find(const char *name)
{
	for (size_t i = 0; name != NULL && i < KINDS; i++)
		if (str_ieq(name, kinds[i].kind) || str_ieq(name, kinds[i].plural) ||
		    (kinds[i].brief != NULL && str_ieq(name, kinds[i].brief)))
			return &kinds[i];
	return NULL;
}

const char *kube_kind_nearest(const char *name)
{
	const char *names[KINDS];

	for (size_t i = 0; i < KINDS; i++)
		names[i] = kinds[i].kind;
	return str_nearest(name, names, KINDS);
}

const char *kube_kind_group(const struct kube_kind *kind)
{
	static char group[64];
	const char *slash = strchr(kind->version, '/');
	size_t len = slash == NULL ? 0 : (size_t)(slash - kind->version);

	if (len >= sizeof(group))
		len = sizeof(group) - 1;
	memcpy(group, kind->version, len);
	group[len] = '\0';
	return group;
}

static void put_segment(struct buf *buf, const char *text)
{
	char *escaped = http_escape(text);

	(void)buf_printf(buf, "/%s", escaped);
	free(escaped);
}

char *kube_kind_path(const struct kube_kind *kind, const char *space, const char *name,
		     const char *subresource)
{
	struct buf buf;

	buf_init(&buf, PATH_MAX_BYTES);
	(void)buf_printf(&buf, "%s/%s", strchr(kind->version, '/') != NULL ? "/apis" : "/api",
			 kind->version);
	if (kind->namespaced && space != NULL) {
		(void)buf_puts(&buf, "/namespaces");
		put_segment(&buf, space);
	}
	put_segment(&buf, kind->plural);
	if (name != NULL)
		put_segment(&buf, name);
	if (name != NULL && subresource != NULL)
		put_segment(&buf, subresource);
	return buf_take(&buf);
}

static bool label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool name_ok(const char *name, const char *inner, size_t max)
{
	size_t len = name == NULL ? 0 : strlen(name);

	if (len == 0 || len > max || !label_char(name[0]) || !label_char(name[len - 1]))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!label_char(name[i]) && strchr(inner, name[i]) == NULL)
			return false;
	return strstr(name, "..") == NULL;
}

bool kube_name_ok(const char *name)
{
	return name_ok(name, "-.", 253);
}

bool kube_namespace_ok(const char *name)
{
	return name_ok(name, "-", 63);
}
