/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_check.c - what only shows when all files are read: actions and who approves them. */
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "catalog_internal.h"

enum { NAMES_MAX = 500 };

/* "role, team (a number)": the names and types of a scope, sorted. */
static const char *scope_text(const struct command *command, struct buf *buf)
{
	const char *names[32], *name;
	size_t n = 0;
	json_t *value;

	buf_reset(buf);
	if (command->scope == NULL || json_object_size(command->scope) == 0)
		return "nothing";
	json_object_foreach((json_t *)command->scope, name, value)
	{
		size_t at = n;

		if (n == sizeof(names) / sizeof(names[0]))
			break;
		while (at > 0 && strcmp(names[at - 1], name) > 0) {
			names[at] = names[at - 1];
			at--;
		}
		names[at] = name;
		n++;
	}
	for (size_t i = 0; i < n; i++) {
		value = json_object_get(command->scope, names[i]);
		buf_printf(buf, "%s%s%s", i > 0 ? ", " : "", names[i],
			   str_eq(catalog_scope_type(command, value), "int") ? " (a number)" : "");
	}
	return buf_text(buf);
}

/* Grants are written once for an action: all its commands must ask for the same. */
static void check_scopes(const struct catalog *catalog, size_t at, struct diags *diags)
{
	const struct command *command = &catalog->commands[at];
	struct buf own, other;

	buf_init(&own, 4096);
	buf_init(&other, 4096);
	for (size_t i = 0; i < at; i++) {
		const struct command *before = &catalog->commands[i];
		const char *mine, *theirs;

		if (command->action == NULL || !str_eq(before->action, command->action))
			continue;
		mine = scope_text(command, &own);
		theirs = scope_text(before, &other);
		if (!str_eq(mine, theirs))
			diag_add(diags, command->file, command->line, 0,
				 "%s is scoped by %s in %s, here by %s: one action has one scope",
				 command->action, theirs, before->title, mine);
		break;
	}
	buf_finish(&own);
	buf_finish(&other);
}

static bool is_action_of(const struct catalog *catalog, const char *name)
{
	for (size_t i = 0; i < catalog->n_commands; i++)
		if (str_eq(catalog->commands[i].action, name))
			return true;
	return false;
}

static void check_approvers(const struct catalog *catalog, const struct command *command,
			    struct diags *diags)
{
	const char *names[NAMES_MAX], *near;
	size_t n = 0;

	for (size_t i = 0; i < catalog->n_commands && n < NAMES_MAX; i++)
		if (catalog->commands[i].action != NULL)
			names[n++] = catalog->commands[i].action;
	for (size_t i = 0; i < command->n_approvals; i++) {
		const char *action = command->approvals[i].can_approve;

		if (action == NULL || is_action_of(catalog, action))
			continue;
		near = str_nearest(action, names, n);
		diag_add(diags, command->file, command->line, 0,
			 "%s is approved by who can approve \"%s\", which no command needs%s%s%s",
			 command->title, action, near != NULL ? ", did you mean \"" : "",
			 near != NULL ? near : "", near != NULL ? "\"?" : "");
	}
}

void catalog_check_actions(struct catalog *catalog, struct diags *diags)
{
	for (size_t i = 0; i < catalog->n_commands; i++) {
		check_scopes(catalog, i, diags);
		check_approvers(catalog, &catalog->commands[i], diags);
	}
}
