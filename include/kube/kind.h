/* SPDX-License-Identifier: Apache-2.0 */
/* kind - the kinds of objects that opsd knows, and where the API keeps them; pure. */
#ifndef OPSD_KUBE_KIND_H
#define OPSD_KUBE_KIND_H

#include <stdbool.h>

struct kube_kind {
	const char *kind;    /* "Deployment" */
	const char *plural;  /* "deployments" */
	const char *brief;   /* "deploy"; NULL: none */
	const char *version; /* "apps/v1"; the core group: "v1" */
	bool namespaced;
	bool scalable; /* has spec.replicas and /scale */
};

/* By kind, plural, singular or brief name, whatever the case; NULL: not known. */
const struct kube_kind *kube_kind_find(const char *name);

/* The nearest known kind for a misspelt one, or NULL. */
const char *kube_kind_nearest(const char *name);

/* "apps"; "" for the core group.  Valid until the next call. */
const char *kube_kind_group(const struct kube_kind *kind);

/* "/apis/apps/v1/namespaces/ads/deployments/web/scale", each segment escaped; name and subresource
 * may be NULL, and so may be space for cluster-wide kinds and lists over all namespaces.  The
 * caller frees. */
char *kube_kind_path(const struct kube_kind *kind, const char *space, const char *name,
		     const char *subresource);

/* May it be an object's name (DNS subdomain, at most 253), a namespace (DNS label, at most 63)? */
bool kube_name_ok(const char *name);
bool kube_namespace_ok(const char *name);

#endif
