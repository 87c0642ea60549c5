/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - what a plan means: the same object, the same changes, the same times; and the object
 * alone. */
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/request.h"

/* A version that moved, a warning or another owner does not make it another plan; another object of
 * the same name (uid) does. */
void plan_digest(const json_t *plan, char ret_digest[65])
{
	json_t *meaning = json_object(), *changes = jget(plan, "changes");
	json_t *target = jget(plan, "target"), *uid = jget(plan, "precondition.uid");
	json_t *when = jget(plan, "when");
	char *text;

	json_object_set(meaning, "target", target != NULL ? target : json_null());
	json_object_set(meaning, "changes", changes != NULL ? changes : json_null());
	json_object_set(meaning, "uid", uid != NULL ? uid : json_null());
	if (when != NULL)
		json_object_set(meaning, "when", when);
	text = json_canonical(meaning);
	digest_hex(text, strlen(text), ret_digest);
	free(text);
	json_decref(meaning);
}

char *plan_lock(const json_t *plan)
{
	const json_t *target = jget(plan, "target");
	const char *api = jget_str(target, "api");

	if (api != NULL && str_eq(jget_str_or(target, "method", "POST"), "POST"))
		return NULL;
	if (api != NULL)
		return xasprintf("api/%s%s", api, jget_str_or(target, "path", "/"));
	if (jget_str(target, "name") == NULL)
		return NULL;
	if (jget_str(target, "own") != NULL)
		return xasprintf("opsd/%s/%s", jget_str(target, "own"), jget_str(target, "name"));
	return xasprintf("%s/%s/%s/%s", jget_str_or(target, "cluster", ""),
			 jget_str_or(target, "namespace", ""), jget_str_or(target, "kind", ""),
			 jget_str(target, "name"));
}
