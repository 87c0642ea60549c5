/* SPDX-License-Identifier: Apache-2.0 */
/* owners.c - who else sets what is about to be changed, read off the object itself and its
 * autoscalers. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { SENTENCE_MAX = 400, OWNERS_MAX = 12 };

#define ARGO_TRACKING "argocd.argoproj.io/tracking-id"

void owners_add(struct owners *owners, const char *who, json_t *lever, const char *fmt, ...)
{
	char says[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(says, sizeof(says), fmt, ap);
	va_end(ap);
	if (json_array_size(owners->owners) < OWNERS_MAX)
		json_array_append_new(owners->owners, json_pack("{s:s, s:s, s:O*}", "who", who,
								"says", says, "lever", lever));
	json_decref(lever);
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

const char *object_note(const json_t *object, const char *list, const char *key)
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
		owners_add(
			owners, who, NULL,
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

/* "/spec/replicas" of [ "f:spec", "f:replicas" ]; NULL where it leads into a list.  The caller
 * frees. */
static char *pointer_of(const json_t *path)
{
	struct buf buf;
	json_t *step;
	size_t i;

	buf_init(&buf, SENTENCE_MAX);
	json_array_foreach((json_t *)(uintptr_t)path, i, step)
	{
		if (!str_starts(json_string_value(step), "f:")) {
			buf_finish(&buf);
			return NULL;
		}
		(void)buf_printf(&buf, "/%s", json_string_value(step) + 2);
	}
	return buf_take(&buf);
}

static bool has_text(const json_t *list, const char *text)
{
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i,
			   item) if (str_eq(json_string_value(item), text)) return true;
	return false;
}

static bool ignores(const json_t *application, const struct place *place, const json_t *path)
{
	char *pointer = pointer_of(path);
	bool found = false;
	json_t *rule;
	size_t i;

	json_array_foreach(jget(application, "spec.ignoreDifferences"), i, rule)
	{
		if (pointer != NULL &&
		    str_eq(jget_str_or(rule, "kind", place->kind->kind), place->kind->kind) &&
		    has_text(json_object_get(rule, "jsonPointers"), pointer))
			found = true;
	}
	free(pointer);
	return found;
}

/* What its application says that Argo CD does with a difference. */
static const char *argo_does(const json_t *application, const struct place *place,
			     const json_t *path)
{
	const json_t *automated = jget(application, "spec.syncPolicy.automated");
	bool respects = has_text(jget(application, "spec.syncPolicy.syncOptions"),
				 "RespectIgnoreDifferences=true");
	bool on = automated != NULL && jget_bool(automated, "enabled", true);

	if (application == NULL)
		return "keeps this object as Git has it: with self-heal the value is set back "
		       "within seconds, else at the next sync; change it in Git for good";
	if (ignores(application, place, path))
		return respects ? "leaves this field alone"
				: "does not mind this difference, but its next sync of the object "
				  "may write over it; change it in Git for good";
	if (on && jget_bool(automated, "selfHeal", false))
		return "heals itself: the value is set back within seconds; change it in Git "
		       "instead";
	return on ? "syncs by itself: the value stays until the next change in Git; change it "
		    "there for good"
		  : "syncs only when somebody says so: the value stays until then; change it in "
		    "Git for good";
}

char *argo_application(const struct place *place, const json_t *object)
{
	const char *tracking = object_note(object, "metadata.annotations", ARGO_TRACKING);

	return tracking != NULL && tracks(tracking, place)
		       ? xstrndup(tracking, strcspn(tracking, ":"))
		       : NULL;
}

static void argo_cd(struct owners *owners, const struct place *place, const json_t *object,
		    const json_t *path, const json_t *application)
{
	char *name = argo_application(place, object);
	const char *label = object_note(object, "metadata.labels", "app.kubernetes.io/instance");
	char who[SENTENCE_MAX];

	if (name != NULL)
		(void)snprintf(who, sizeof(who), "Argo CD application %s", name);
	else if (managed_by(object, "argocd-controller"))
		(void)snprintf(who, sizeof(who), "Argo CD%s%s",
			       label != NULL ? " application " : "", label != NULL ? label : "");
	if (name != NULL || managed_by(object, "argocd-controller"))
		owners_add(owners, who, NULL, "%s", argo_does(application, place, path));
	free(name);
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
		const char *name = object_note(object, "metadata.labels", rows[i].label);
		const char *space = object_note(object, "metadata.labels", rows[i].space);
		const char *off = object_note(object, "metadata.annotations",
					      "kustomize.toolkit.fluxcd.io/reconcile");
		char who[SENTENCE_MAX];

		if (name == NULL || str_eq(off, "disabled"))
			continue;
		(void)snprintf(who, sizeof(who), "%s %s%s%s", rows[i].kind,
			       space != NULL ? space : "", space != NULL ? "/" : "", name);
		owners_add(
			owners, who, NULL,
			"sets it back at its next reconcile, often within 10 minutes, if Git holds "
			"this field");
	}
}

static void helm(struct owners *owners, const json_t *object)
{
	const char *release =
		object_note(object, "metadata.annotations", "meta.helm.sh/release-name");

	if (release == NULL ||
	    !str_eq(object_note(object, "metadata.labels", "app.kubernetes.io/managed-by"), "Helm"))
		return;
	owners_warn(owners, "The next upgrade of Helm release %s may set it back.", release);
}

/* An entry of managedFields by somebody else that holds the field. */
static bool holds(const json_t *entry, const json_t *path)
{
	const json_t *fields = json_object_get(entry, "fieldsV1");
	json_t *step;
	size_t i;

	if (json_array_size(path) == 0 || str_eq(jget_str(entry, "manager"), "opsd"))
		return false;
	json_array_foreach((json_t *)(uintptr_t)path, i, step) fields =
		json_object_get(fields, json_string_value(step));
	return fields != NULL;
}

static char *manager_of(const json_t *entry)
{
	const char *sub = jget_str(entry, "subresource");

	return xasprintf("%s%s%s%s", jget_str_or(entry, "manager", "?"), sub != NULL ? " (" : "",
			 sub != NULL ? sub : "", sub != NULL ? ")" : "");
}

static void managers(struct owners *owners, const json_t *object, const json_t *path)
{
	json_t *entry;
	size_t i;

	json_array_foreach(jget(object, "metadata.managedFields"), i, entry)
	{
		char *who;

		if (!holds(entry, path) || str_eq(jget_str(entry, "manager"), "argocd-controller"))
			continue;
		who = manager_of(entry);
		owners_add(owners, who, NULL, "set this field last, at %s, and may set it again",
			   jget_str_or(entry, "time", "an unknown time"));
		free(who);
	}
}

char *owners_writer(const json_t *object, const json_t *path)
{
	const json_t *last = NULL;
	char *who, *text;
	json_t *entry;
	size_t i;

	json_array_foreach(jget(object, "metadata.managedFields"), i,
			   entry) if (holds(entry, path) &&
				      (last == NULL || strcmp(jget_str_or(entry, "time", ""),
							      jget_str_or(last, "time", "")) >= 0))
		last = entry;
	if (last == NULL)
		return NULL;
	who = manager_of(last);
	text = xasprintf("%s at %s", who, jget_str_or(last, "time", "an unknown time"));
	free(who);
	return text;
}

void owners_of_object(struct owners *owners, const struct place *place, const json_t *object,
		      const json_t *path, const json_t *application)
{
	being_deleted(owners, object);
	controllers(owners, object);
	argo_cd(owners, place, object, path, application);
	flux(owners, object);
	helm(owners, object);
	managers(owners, object, path);
}
