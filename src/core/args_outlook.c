/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args_outlook.c - what a use of a command comes to when not all of it is given, and what else
 * could change that.  A rule of the command that looks at something which is not given is not
 * judged: jq would take it for null.
 */
#include "core/args.h"

#include <string.h>

#include "base/err.h"
#include "base/xalloc.h"
#include "core/command.h"
#include "core/expr.h"

static bool is_name(char c)
{
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

/* ".name" or "\"name\"", and not a member of something else. */
static bool looks_at(const char *source, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = strstr(source, name); at != NULL; at = strstr(at + 1, name)) {
		char before = at > source ? at[-1] : '\0', two = at > source + 1 ? at[-2] : '\0';
		char after = at[len];

		if (before == '.' && !is_name(after) && !is_name(two) && two != ']' && two != ')')
			return true;
		if (before == '"' && after == '"')
			return true;
	}
	return false;
}

static bool scope_takes(const json_t *node, const char *name)
{
	const char *key, *text = json_string_value(node), *found;
	json_t *item;
	size_t i;

	for (; text != NULL && *text != '\0'; text++) {
		size_t len = command_template(text, &found);

		if (len == strlen(name) && strncmp(found, name, len) == 0)
			return true;
	}
	json_object_foreach((json_t *)(uintptr_t)node, key, item)
	{
		if (scope_takes(item, name))
			return true;
	}
	json_array_foreach(node, i, item)
	{
		if (scope_takes(item, name))
			return true;
	}
	return false;
}

/* Whether all that this looks at is given. */
static bool can_be_judged(const struct command *command, const json_t *args,
			  const struct expr *when)
{
	for (size_t i = 0; when != NULL && i < command->n_params; i++)
		if (json_object_get(args, command->params[i].name) == NULL &&
		    looks_at(expr_source(when), command->params[i].name))
			return false;
	return true;
}

static const char *denial(const struct command *command, const json_t *args)
{
	for (size_t i = 0; i < command->n_guards; i++) {
		const struct guard *guard = &command->guards[i];
		struct err err;
		bool bites = false;

		if (can_be_judged(command, args, guard->when) &&
		    expr_truth(guard->when, args, &bites, &err) && bites)
			return guard->deny;
	}
	return NULL;
}

static json_t *rules(const struct command *command, const json_t *args)
{
	struct approval_rule *judged =
		xcalloc(command->n_approvals + 1, sizeof(struct approval_rule));
	struct command part = *command;
	struct err err;
	json_t *found;

	part.approvals = judged;
	part.n_approvals = 0;
	for (size_t i = 0; i < command->n_approvals; i++)
		if (can_be_judged(command, args, command->approvals[i].when))
			judged[part.n_approvals++] = command->approvals[i];
	found = args_approvals(&part, args, NULL, &err);
	free(judged);
	return found;
}

/* A rule that asks nobody yet looks at the plan, which nobody has made. */
static bool plan_decides(const struct command *command, const json_t *found)
{
	for (size_t i = 0; i < command->n_approvals; i++)
		if (command->approvals[i].when != NULL &&
		    looks_at(expr_source(command->approvals[i].when), "plan"))
			return json_array_size(found) < command->n_approvals;
	return false;
}

/* What this parameter, which is not given, could change. */
static json_t *changes_of(const struct command *command, const char *name)
{
	json_t *changes = json_array();
	bool rule = false, approval = false;

	if (command->scope != NULL && scope_takes(command->scope, name))
		json_array_append_new(changes, json_string("who"));
	for (size_t i = 0; i < command->n_guards; i++)
		rule = rule || looks_at(expr_source(command->guards[i].when), name);
	for (size_t i = 0; i < command->n_approvals; i++)
		approval = approval || (command->approvals[i].when != NULL &&
					looks_at(expr_source(command->approvals[i].when), name));
	if (rule)
		json_array_append_new(changes, json_string("rule"));
	if (approval)
		json_array_append_new(changes, json_string("approval"));
	return changes;
}

json_t *args_outlook(const struct command *command, const json_t *args)
{
	json_t *open = json_object(), *idle = json_array(), *outlook, *found;
	const char *denied = denial(command, args);

	for (size_t i = 0; i < command->n_params; i++) {
		const struct param *param = &command->params[i];
		json_t *changes;

		if (json_object_get(args, param->name) != NULL)
			continue;
		changes = changes_of(command, param->name);
		if (json_array_size(changes) > 0)
			json_object_set(open, param->name, changes);
		else if (!param->optional)
			json_array_append_new(idle, json_string(param->name));
		json_decref(changes);
	}
	outlook = json_pack("{s:o, s:o, s:o}", "scope", args_scope(command, args), "open", open,
			    "idle", idle);
	found = rules(command, args);
	if (found == NULL || plan_decides(command, found))
		json_object_set_new(outlook, "plan", json_true());
	if (found != NULL)
		json_object_set_new(outlook, "rules", found);
	if (denied != NULL)
		json_object_set_new(outlook, "denied", json_string(denied));
	return outlook;
}
