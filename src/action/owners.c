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

static void helm(struct owners *owners, const json_t *object)
{
	const char *release =
		object_note(object, "metadata.annotations", "meta.helm.sh/release-name");

	if (release == NULL ||
	    !str_eq(object_note(object, "metadata.labels", "app.kubernetes.io/managed-by"), "Helm"))
		return;
	owners_warn(owners, "The next upgrade of Helm release %s may set it back.", release);
}

bool owners_holds(const json_t *entry, const json_t *path)
{
	const json_t *fields = json_object_get(entry, "fieldsV1");
	json_t *step;
	size_t i;

	if (json_array_size(path) == 0)
		return false;
	json_array_foreach((json_t *)(uintptr_t)path, i, step) fields =
		json_object_get(fields, json_string_value(step));
	return fields != NULL;
}

static bool another_holds(const json_t *entry, const json_t *path)
{
	return !str_eq(jget_str(entry, "manager"), "opsd") && owners_holds(entry, path);
}

static char *manager_of(const json_t *entry)
{
	const char *sub = jget_str(entry, "subresource");

	return xasprintf("%s%s%s%s", jget_str_or(entry, "manager", "?"), sub != NULL ? " (" : "",
			 sub != NULL ? sub : "", sub != NULL ? ")" : "");
}

static void managers(struct owners *owners, const json_t *object, const json_t *path,
		     const struct gitops *git)
{
	json_t *entry;
	size_t i;

	json_array_foreach(jget(object, "metadata.managedFields"), i, entry)
	{
		char *who;

		if (!another_holds(entry, path) ||
		    gitops_wrote(git, jget_str_or(entry, "manager", "")))
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
			   entry) if (another_holds(entry, path) &&
				      (last == NULL || strcmp(jget_str_or(entry, "time", ""),
							      jget_str_or(last, "time", "")) >= 0))
		last = entry;
	if (last == NULL)
		return NULL;
	who = manager_of(last);
	text = xasprintf("%s%s%s", who, jget_str(last, "time") != NULL ? " at " : "",
			 jget_str_or(last, "time", "")); /* a write of scale has none */
	free(who);
	return text;
}

void owners_of_object(struct owners *owners, const struct place *place, const json_t *object,
		      const json_t *path, const struct gitops *git)
{
	being_deleted(owners, object);
	controllers(owners, object);
	gitops_say(owners, git, place, object, path);
	if (!gitops_wrote(git, "helm-controller"))
		helm(owners, object);
	managers(owners, object, path, git);
}
