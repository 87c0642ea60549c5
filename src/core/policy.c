/* SPDX-License-Identifier: Apache-2.0 */
/* policy.c - the decision of a list of grants for one use of an action. */
#include "core/policy.h"

#include "base/str.h"

static bool names_person(const json_t *row, const struct policy_ask *ask)
{
	const char *group = jget_str(row, "group"), *id = jget_str(row, "group_id");

	for (size_t i = 0; i < ask->n_groups; i++)
		if ((group != NULL && str_eq(ask->groups[i], group)) ||
		    (id != NULL && str_eq(ask->groups[i], id)))
			return true;
	return false; /* nor a grant to one person: a test has groups, not a name */
}

static bool listed(const json_t *values, const json_t *value)
{
	json_t *item;
	size_t i;

	json_array_foreach(values, i, item)
	{
		if (json_equal(item, value))
			return true;
	}
	return false;
}

static bool value_fits(const json_t *wanted, const json_t *value)
{
	int64_t n = json_integer_value(value);

	if (jget_bool(wanted, "any", false))
		return json_is_string(value) || json_is_integer(value);
	if (json_object_get(wanted, "values") != NULL)
		return listed(json_object_get(wanted, "values"), value);
	return json_is_integer(value) && n >= jget_int(wanted, "min", INT64_MIN) &&
	       n <= jget_int(wanted, "max", INT64_MAX);
}

/* What a grant does not speak of makes an allow fail and a forbid bite. */
static bool scope_fits(const json_t *row, const struct policy_ask *ask, bool forbid)
{
	const json_t *scope = json_object_get(row, "scope");
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)ask->scope, name, value)
	{
		const json_t *wanted = json_object_get(scope, name);

		if (wanted == NULL ? !forbid : !value_fits(wanted, value))
			return false;
	}
	return true;
}

bool policy_allows(const json_t *rows, const struct policy_ask *ask, const char **ret_key)
{
	bool allowed = false;
	json_t *row;
	size_t i;

	*ret_key = NULL;
	json_array_foreach(rows, i, row)
	{
		bool forbid = str_eq(jget_str(row, "effect"), "forbid");

		if (!str_eq(jget_str(row, "action"), ask->action) ||
		    (!forbid && !str_eq(jget_str(row, "can"), ask->can)) ||
		    !names_person(row, ask) || !scope_fits(row, ask, forbid))
			continue;
		if (forbid || *ret_key == NULL)
			*ret_key = jget_str(row, "key");
		if (forbid)
			return false;
		allowed = true;
	}
	return allowed;
}
