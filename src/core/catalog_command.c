/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_command.c - one file: a prefix and its commands. */
#include <string.h>

#include "base/arena.h"
#include "base/conftree.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "catalog_internal.h"
#include "core/args.h"

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789-"

/* clang-format off */
const struct key catalog_file_keys[] = {
	{ "prefix",	KEY_TEXT,   true,  "the first word of its commands" },
	{ "about",	KEY_TEXT,   true,  "one line for the help" },
	{ "commands",	KEY_OBJECT, true,  "name: { … }" },
	{ NULL, KEY_ANY, false, NULL },
};
const struct key catalog_command_keys[] = {
	{ "about",	KEY_TEXT,   true,  "one line for the help" },
	{ "action",	KEY_TEXT,   true,  "what grants speak of, like workers.scale" },
	{ "scope",	KEY_OBJECT, false, "what a grant must constrain: { team: \"{team}\" }" },
	{ "risk",	KEY_NUMBER, true,  "0 reads, 1 small, 2 is confirmed, 3 dangerous" },
	{ "params",	KEY_OBJECT, false, "name: { type: … }, in the order of the form" },
	{ "guard",	KEY_LIST,   false, "[{ when: expression, deny: sentence }]" },
	{ "approval",	KEY_LIST,   false, "[{ when: expression, need: 1, from: … }]" },
	{ "do",		KEY_OBJECT, true,  "the action kind and its parameters" },
	{ "tests",	KEY_LIST,   false, "[{ as: [group], text: …, expect: allow }]" },
	{ NULL, KEY_ANY, false, NULL },
};
/* clang-format on */

bool catalog_is_action(const char *name)
{
	size_t parts = 1, len = strlen(name);

	if (len == 0 || len > 100 || strspn(name, NAME_LETTERS "_.") != len)
		return false;
	for (const char *p = name; *p != '\0'; p++) {
		bool first = p == name || p[-1] == '.';

		if (first && (*p < 'a' || *p > 'z'))
			return false;
		parts += *p == '.';
	}
	return parts >= 2 && parts <= 5 && name[len - 1] != '.';
}

static void read_action(struct loader *loader, struct node node, struct command *command)
{
	command->action = node_text(loader, node, "action");
	if (command->action != NULL && !catalog_is_action(command->action))
		node_diag(loader, node_child(loader, node, "action"),
			  "an action is two to five words of small letters with dots between them, "
			  "like %s.%s",
			  command->prefix, command->name);
}

static void read_risk(struct loader *loader, struct node node, struct command *command)
{
	struct node risk = node_child(loader, node, "risk");
	int64_t n = json_integer_value(risk.value);

	if (!json_is_integer(risk.value)) {
		command->risk = 3;
		return;
	}
	if (n < 0 || n > 3)
		node_diag(loader, risk, "\"risk\" must be 0 (reads), 1, 2 or 3 (dangerous)");
	command->risk = n < 0 || n > 3 ? 3 : (int)n;
}

static void read_command(struct loader *loader, struct node node, struct command *command)
{
	size_t before = loader->diags->total;
	int column;

	(void)conftree_key_place(loader->tree, node.pointer, &command->line, &column);
	if (!node_check(loader, node, "a command", catalog_command_keys))
		return;
	command->about =
		node_sentence(loader, node_child(loader, node, "about"), CATALOG_ABOUT_MAX);
	read_action(loader, node, command);
	read_risk(loader, node, command);
	catalog_read_params(loader, node_child(loader, node, "params"), command);
	catalog_read_scope(loader, node_child(loader, node, "scope"), command);
	catalog_read_guards(loader, node_child(loader, node, "guard"), command);
	catalog_read_approvals(loader, node_child(loader, node, "approval"), command);
	catalog_read_do(loader, node_child(loader, node, "do"), command);
	catalog_imply_params(loader, node_child(loader, node, "params"), command);
	if (loader->diags->total == before)
		catalog_read_tests(loader, node_child(loader, node, "tests"), command);
}

static struct command *add_command(struct loader *loader, const char *prefix, const char *name)
{
	struct catalog *catalog = loader->catalog;
	struct command *command;

	catalog->commands =
		xrealloc(catalog->commands, (catalog->n_commands + 1) * sizeof(*catalog->commands));
	command = &catalog->commands[catalog->n_commands++];
	*command = (struct command){
		.prefix = prefix,
		.name = arena_strdup(catalog->arena, name),
		.title = arena_printf(catalog->arena, "%s %s", prefix, name),
		.file = loader->file,
	};
	return command;
}

static void read_commands(struct loader *loader, struct node node, const char *prefix)
{
	struct catalog *catalog = loader->catalog;
	const char *name;
	json_t *value;

	if (!json_is_object(node.value))
		return;
	if (json_object_size(node.value) == 0)
		node_diag(loader, node, "a prefix needs at least one command");
	json_object_foreach((json_t *)node.value, name, value)
	{
		struct node child = node_child(loader, node, name);

		if (catalog->n_commands == CATALOG_COMMANDS_MAX) {
			node_diag(loader, child, "more than %d commands", CATALOG_COMMANDS_MAX);
			return;
		}
		(void)node_name(loader, child, "the command's name", name, NAME_LETTERS);
		if (str_eq(name, "help"))
			node_key_diag(loader, child, "\"help\" is a word of opsd itself");
		read_command(loader, child, add_command(loader, prefix, name));
	}
}

static const char *read_prefix(struct loader *loader, struct node node)
{
	struct catalog *catalog = loader->catalog;
	struct node child = node_child(loader, node, "prefix");
	const char *name = node_text(loader, node, "prefix");
	struct prefix *prefix;

	if (name == NULL)
		name = "?";
	else
		(void)node_name(loader, child, "the prefix", name, NAME_LETTERS);
	if (args_is_own_word(name))
		node_diag(loader, child, "\"%s\" is a word of opsd itself", name);
	for (size_t i = 0; i < catalog->n_prefixes; i++)
		if (str_eq(catalog->prefixes[i].name, name) && child.value != NULL)
			node_diag(loader, child, "prefix \"%s\" is also declared in %s", name,
				  catalog->prefixes[i].file);
	catalog->prefixes =
		xrealloc(catalog->prefixes, (catalog->n_prefixes + 1) * sizeof(*catalog->prefixes));
	prefix = &catalog->prefixes[catalog->n_prefixes++];
	*prefix = (struct prefix){ .name = name, .file = loader->file };
	prefix->about = node_sentence(loader, node_child(loader, node, "about"), CATALOG_ABOUT_MAX);
	return name;
}

void catalog_read_file(struct loader *loader)
{
	struct node root = { .value = conftree_root(loader->tree), .pointer = "" };
	const char *prefix;

	if (!node_check(loader, root, "a file of commands", catalog_file_keys))
		return;
	prefix = read_prefix(loader, root);
	read_commands(loader, node_child(loader, root, "commands"), prefix);
}
