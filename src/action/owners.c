/* SPDX-License-Identifier: Apache-2.0 */
/* owners.c - who else sets what is about to be changed, read off the object itself and its
 * autoscalers. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { SENTENCE_MAX = 400, OWNERS_MAX = 12 };

#define ARGO_TRACKING "argocd.argoproj.io/tracking-id"

static void add(struct owners *owners, const char *who, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void add(struct owners *owners, const char *who, const char *fmt, ...)
{
	char says[SENTENCE_MAX];
	va_list ap;

	if (json_array_size(owners->owners) >= OWNERS_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(says, sizeof(says), fmt, ap);
	va_end(ap);
	json_array_append_new(owners->owners, json_pack("{s:s, s:s}", "who", who, "says", says));
}

void owners_warn(struct owners *owners, const char *fmt, ...)
{
	char says[SENTENCE_MAX];
	json_t *text;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(says, sizeof(says), fmt, ap);
	va_end(ap);
	text = json_string(says); /* NULL when the cut left half a character */
	if (text != NULL && json_array_size(owners->warnings) < OWNERS_MAX)
		json_array_append(owners->warnings, text);
	json_decref(text);
}

static const char *note(const json_t *object, const char *list, const char *key)
{
	return json_string_value(json_object_get(jget(object, list), key));
}

/* --- of any object --- */

static void being_deleted(struct owners *owners, const json_t *object)
{
	const char *since = jget_str(object, "metadata.deletionTimestamp");
	const json_t *finalizers = jget(object, "metadata.finalizers");

	if (since == NULL)
		return;
	if (json_array_size(finalizers) > 0)
		owners_warn(owners, "It is being deleted since %s and waits for %s.", since,
			    json_string_value(json_array_get(finalizers, 0)));
	else
		owners_warn(owners, "It is being deleted since %s.", since);
}

static void controllers(struct owners *owners, const json_t *object)
{
	json_t *ref;
	size_t i;

	json_array_foreach(jget(object, "metadata.ownerReferences"), i, ref)
	{
		char who[SENTENCE_MAX];

		if (!jget_bool(ref, "controller", false))
			continue;
		(void)snprintf(who, sizeof(who), "%s %s", jget_str_or(ref, "kind", "controller"),
			       jget_str_or(ref, "name", "?"));
		add(owners, who,
		    "controls this object and will most likely set the value back; change it "
		    "there instead");
	}
}

/* "app:group/Kind:namespace/name" that describes this very object; a copied one does not count. */
static bool tracks(const char *tracking, const struct place *place)
{
	const char *group = kube_kind_group(place->kind);
	char *tail = xasprintf(":%s/%s:%s/%s", group, place->kind->kind,
			       place->space != NULL ? place->space : "", place->name);
	bool same = str_ends(tracking, tail);

	free(tail);
	return same;
}

static bool managed_by(const json_t *object, const char *manager)
{
	json_t *entry;
	size_t i;

	json_array_foreach(jget(object, "metadata.managedFields"), i,
			   entry) if (str_eq(jget_str(entry, "manager"), manager)) return true;
	return false;
}

static void argo_cd(struct owners *owners, const struct place *place, const json_t *object)
{
	const char *tracking = note(object, "metadata.annotations", ARGO_TRACKING);
	const char *label = note(object, "metadata.labels", "app.kubernetes.io/instance");
	char who[SENTENCE_MAX];

	if (tracking != NULL && tracks(tracking, place))
		(void)snprintf(who, sizeof(who), "Argo CD application %.*s",
			       (int)strcspn(tracking, ":"), tracking);
	else if (managed_by(object, "argocd-controller"))
		(void)snprintf(who, sizeof(who), "Argo CD%s%s",
			       label != NULL ? " application " : "", label != NULL ? label : "");
	else
		return;
	add(owners, who,
	    "keeps this object as Git has it: with self-heal the value is set back within "
	    "seconds, else at the next sync; change it in Git for good");
}

static void flux(struct owners *owners, const json_t *object)
{
	static const struct {
		const char *label, *space, *kind;
	} rows[] = {
		{ "kustomize.toolkit.fluxcd.io/name", "kustomize.toolkit.fluxcd.io/namespace",
		  "Flux Kustomization" },
		{ "helm.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/namespace",
		  "Flux HelmRelease" },
	};

	for (size_t i = 0; i < 2; i++) {
		const char *name = note(object, "metadata.labels", rows[i].label);
		const char *space = note(object, "metadata.labels", rows[i].space);
		const char *off = note(object, "metadata.annotations",
				       "kustomize.toolkit.fluxcd.io/reconcile");
		char who[SENTENCE_MAX];

		if (name == NULL || str_eq(off, "disabled"))
			continue;
		(void)snprintf(who, sizeof(who), "%s %s%s%s", rows[i].kind,
			       space != NULL ? space : "", space != NULL ? "/" : "", name);
		add(owners, who,
		    "sets it back at its next reconcile, often within 10 minutes, if Git holds "
		    "this field");
	}
}

static void helm(struct owners *owners, const json_t *object)
{
	const char *release = note(object, "metadata.annotations", "meta.helm.sh/release-name");

	if (release == NULL ||
	    !str_eq(note(object, "metadata.labels", "app.kubernetes.io/managed-by"), "Helm"))
		return;
	owners_warn(owners, "The next upgrade of Helm release %s may set it back.", release);
}

/* Who wrote the field last, by the server's own record. */
static void managers(struct owners *owners, const json_t *object, const char *group,
		     const char *leaf)
{
	json_t *entry;
	size_t i;

	json_array_foreach(jget(object, "metadata.managedFields"), i, entry)
	{
		const json_t *fields = json_object_get(json_object_get(entry, "fieldsV1"), group);
		const char *manager = jget_str_or(entry, "manager", "?");
		const char *sub = jget_str(entry, "subresource");
		char who[SENTENCE_MAX];

		if (json_object_get(fields, leaf) == NULL || str_eq(manager, "opsd") ||
		    str_eq(manager, "argocd-controller"))
			continue;
		(void)snprintf(who, sizeof(who), "%s%s%s%s", manager, sub != NULL ? " (" : "",
			       sub != NULL ? sub : "", sub != NULL ? ")" : "");
		add(owners, who, "set this field last, at %s, and may set it again",
		    jget_str_or(entry, "time", "an unknown time"));
	}
}

void owners_of_object(struct owners *owners, const struct place *place, const json_t *object,
		      const char *group, const char *leaf)
{
	being_deleted(owners, object);
	controllers(owners, object);
	argo_cd(owners, place, object);
	flux(owners, object);
	helm(owners, object);
	managers(owners, object, group, leaf);
}

/* --- of replicas --- */

/* The group of "apps/v1"; "" for "v1". */
static bool same_group(const char *version, const struct kube_kind *kind)
{
	const char *slash = version == NULL ? NULL : strchr(version, '/');
	const char *group = kube_kind_group(kind);

	if (slash == NULL)
		return *group == '\0';
	return strlen(group) == (size_t)(slash - version) &&
	       memcmp(group, version, strlen(group)) == 0;
}

static bool targets(const json_t *ref, const struct place *place, const char *default_kind)
{
	const char *version = jget_str(ref, "apiVersion");

	return str_eq(jget_str(ref, "name"), place->name) &&
	       str_eq(jget_str_or(ref, "kind", default_kind), place->kind->kind) &&
	       (version == NULL || same_group(version, place->kind));
}

static void hpa_says(struct owners *owners, const json_t *hpa, int64_t to)
{
	int64_t min = jget_int(hpa, "spec.minReplicas", 1);
	int64_t max = jget_int(hpa, "spec.maxReplicas", 0);
	char who[SENTENCE_MAX];

	(void)snprintf(who, sizeof(who), "HorizontalPodAutoscaler %s (%" PRId64 " to %" PRId64 ")",
		       jget_str_or(hpa, "metadata.name", "?"), min, max);
	if (to == 0)
		add(owners, who,
		    "is switched off by 0 replicas, until somebody sets 1 or more again");
	else if (to < min || to > max)
		add(owners, who,
		    "sets the replicas back into its range within a minute; change its range "
		    "instead");
	else
		add(owners, who, "goes on setting the replicas: this is only where it starts from");
}

static bool keda_paused(const json_t *scaled)
{
	return str_eq(note(scaled, "metadata.annotations", "autoscaling.keda.sh/paused"), "true") ||
	       note(scaled, "metadata.annotations", "autoscaling.keda.sh/paused-replicas") != NULL;
}

static void keda_says(struct owners *owners, const char *name, bool paused)
{
	char who[SENTENCE_MAX];

	(void)snprintf(who, sizeof(who), "KEDA ScaledObject %s", name);
	if (paused)
		add(owners, who, "is paused; when it is resumed it sets the replicas again");
	else
		add(owners, who,
		    "sets the replicas by its triggers and will undo this; pause it or change "
		    "its bounds instead");
}

void owners_of_replicas(struct owners *owners, const struct place *place, const json_t *hpas,
			const json_t *scaled_objects, int64_t to)
{
	const char *label;
	json_t *item;
	size_t i;
	bool keda = false;

	json_array_foreach(json_object_get(scaled_objects, "items"), i, item)
	{
		if (!targets(jget(item, "spec.scaleTargetRef"), place, "Deployment"))
			continue;
		keda_says(owners, jget_str_or(item, "metadata.name", "?"), keda_paused(item));
		keda = true;
	}
	json_array_foreach(json_object_get(hpas, "items"), i, item)
	{
		label = note(item, "metadata.labels", "scaledobject.keda.sh/name");
		if (!targets(jget(item, "spec.scaleTargetRef"), place, ""))
			continue;
		if (label == NULL)
			hpa_says(owners, item, to);
		else if (!keda) /* else it was spoken of */
			keda_says(owners, label, false);
	}
}
