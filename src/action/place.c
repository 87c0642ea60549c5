/* SPDX-License-Identifier: Apache-2.0 */
/* place.c - the object that a kind's parameters name: checked when loading, and again with the
 * typed values. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

static bool bad_name(struct err *err, const char *what, const char *text)
{
	err_set(err, ERR_INVALID,
		"\"%.80s\" cannot be a %s: small letters, digits and - are allowed, like "
		"workers-dev",
		text == NULL ? "" : text, what);
	return false;
}

static bool find_kind(struct place *place, const char *text, struct err *err)
{
	const char *near;

	place->kind = kube_kind_find(text);
	if (place->kind != NULL)
		return true;
	near = kube_kind_nearest(text == NULL ? "" : text);
	err_set(err, ERR_INVALID, "\"%.80s\" is no kind that opsd knows%s%s%s",
		text == NULL ? "" : text, near != NULL ? "; did you mean " : "",
		near != NULL ? near : "", near != NULL ? "?" : "");
	return false;
}

bool place_read(struct place *place, const struct action_env *env, const json_t *with,
		const char *fixed, enum place_needs needs, struct err *err)
{
	const char *cluster = jget_str_or(with, "cluster", "");
	const char *kind = jget_str(with, "kind");

	memset(place, 0, sizeof(*place));
	place->kube = env_kube(env, cluster);
	if (place->kube == NULL) {
		err_set(err, ERR_INVALID, "there is no cluster \"%.80s\" in the configuration",
			cluster);
		return false;
	}
	if (!find_kind(place, kind != NULL ? kind : fixed, err))
		return false;
	if (place->kind->namespaced)
		place->space = jget_str(with, "namespace");
	place->name = jget_str(with, "name");
	if (place->space != NULL && !kube_namespace_ok(place->space))
		return bad_name(err, "namespace", place->space);
	if (place->name != NULL && !kube_name_ok(place->name))
		return bad_name(err, "name", place->name);
	if (needs == PLACE_LIST)
		return true;
	if (place->name == NULL)
		return bad_name(err, "name", NULL);
	if (place->space == NULL && place->kind->namespaced)
		return bad_name(err, "namespace", NULL);
	return true;
}

bool place_check(const struct action_env *env, const json_t *with, bool scalable,
		 const char **ret_param, struct err *err)
{
	const char *kind = jget_str(with, "kind"), *space = jget_str(with, "namespace");
	const char *name = jget_str(with, "name");
	struct place place = { 0 };

	if (!env_check_cluster(env, with, ret_param, err))
		return false;
	if (kind != NULL && !has_template(kind)) {
		*ret_param = "kind";
		if (!find_kind(&place, kind, err))
			return false;
		if (scalable && !place.kind->scalable) {
			err_set(err, ERR_INVALID,
				"a %s cannot be scaled; a Deployment, StatefulSet or ReplicaSet "
				"can",
				place.kind->kind);
			return false;
		}
	}
	*ret_param = "namespace";
	if (space != NULL && !has_template(space) && !kube_namespace_ok(space))
		return bad_name(err, "namespace", space);
	*ret_param = "name";
	if (name != NULL && !has_template(name) && !kube_name_ok(name))
		return bad_name(err, "name", name);
	return true;
}

struct call *place_get(const struct place *place, const struct action_run *run, kube_done_fn done,
		       void *data)
{
	const struct kube_request request = { .method = "GET",
					      .kind = place->kind,
					      .space = place->space,
					      .name = place->name,
					      .request_id = run->request_id,
					      .person = run->person,
					      .timeout_ms = run->timeout_ms };

	return kube_call(place->kube, &request, done, data);
}

json_t *place_target(const struct place *place)
{
	json_t *target = json_object();

	json_object_set_new(target, "cluster", json_string(kube_name(place->kube)));
	if (place->space != NULL)
		json_object_set_new(target, "namespace", json_string(place->space));
	json_object_set_new(target, "kind", json_string(place->kind->kind));
	if (place->name != NULL)
		json_object_set_new(target, "name", json_string(place->name));
	return target;
}

char *place_text(const struct place *place)
{
	const char *space = place->space != NULL ? place->space : "";
	const char *slash = place->space != NULL ? "/" : "";

	if (place->name == NULL)
		return xasprintf("%s%s%s on cluster %s", place->kind->plural,
				 place->space != NULL ? " in " : "", space, kube_name(place->kube));
	return xasprintf("%s %s%s%s on cluster %s", place->kind->kind, space, slash, place->name,
			 kube_name(place->kube));
}

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

bool place_is(const struct place *place, const json_t *ref, const char *default_kind)
{
	const char *version = jget_str(ref, "apiVersion");

	return str_eq(jget_str(ref, "name"), place->name) &&
	       str_eq(jget_str_or(ref, "kind", default_kind), place->kind->kind) &&
	       (version == NULL || same_group(version, place->kind));
}
