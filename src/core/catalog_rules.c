/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_rules.c - the scope, guards, approval rules and tests of a command. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/conftree.h"
#include "base/str.h"
#include "catalog_internal.h"
#include "core/args.h"

enum { DENY_MAX = 300, RULES_MAX = 20, TESTS_MAX = 100, NEED_MAX = 5 };
enum { EXPIRES_MIN_S = 5 * 60, EXPIRES_MAX_S = 3 * 24 * 3600 };

#define WORD_LETTERS "abcdefghijklmnopqrstuvwxyz0123456789_"

/* clang-format off */
const struct key catalog_guard_keys[] = {
	{ "when",	KEY_TEXT,   true,  "an expression on the arguments" },
	{ "deny",	KEY_TEXT,   true,  "the sentence that the person reads" },
	{ NULL, KEY_ANY, false, NULL },
};
const struct key catalog_approval_keys[] = {
	{ "when",	KEY_TEXT,   false, "on the arguments and .plan; absent: always" },
	{ "need",	KEY_NUMBER, true,  "how many people, 1 to 5" },
	{ "from",	KEY_OBJECT, true,  "{ can_approve: action } or { group: name }" },
	{ "expires",	KEY_TEXT,   false, "how long they have, like 30m, at most 3d" },
	{ NULL, KEY_ANY, false, NULL },
};
const struct key catalog_from_keys[] = {
	{ "can_approve", KEY_TEXT,  false, "people with a grant to approve this action" },
	{ "group",	KEY_TEXT,   false, "people of this group" },
	{ NULL, KEY_ANY, false, NULL },
};
const struct key catalog_test_keys[] = {
	{ "as",		KEY_LIST,   true,  "the groups of the person" },
	{ "text",	KEY_TEXT,   true,  "what is typed after the command" },
	{ "expect",	KEY_ANY,    true,  "allow, deny, invalid or { approval: n }" },
	{ NULL, KEY_ANY, false, NULL },
};
/* clang-format on */

/* --- scope --- */

static const struct param *scope_param(const struct command *command, const json_t *value)
{
	const char *text = json_string_value(value), *name;
	size_t len = text != NULL ? command_template(text, &name) : 0;

	if (len == 0 || text[len + 2] != '\0')
		return NULL;
	for (size_t i = 0; i < command->n_params; i++)
		if (strlen(command->params[i].name) == len &&
		    memcmp(command->params[i].name, name, len) == 0)
			return &command->params[i];
	return NULL;
}

const char *catalog_scope_type(const struct command *command, const json_t *value)
{
	const struct param *param = scope_param(command, value);

	if (json_is_integer(value) || (param != NULL && param->type == PARAM_INTEGER))
		return "int";
	return "enum";
}

/* What a grant can list: words of a bounded kind, and numbers of a range. */
static void check_scope_param(struct loader *loader, struct node node, const struct param *param)
{
	if (param->secret)
		node_diag(loader, node, "{%s} is secret: grants and the audit log show the scope",
			  param->name);
	else if (param->type != PARAM_STRING && param->type != PARAM_ENUM &&
		 param->type != PARAM_INTEGER)
		node_diag(loader, node, "a scope is a string, an enum or an integer; {%s} is a %s",
			  param->name, param_type_name(param->type));
	else if (param->optional && param->fallback == NULL)
		node_diag(loader, node,
			  "{%s} may be absent, and no grant matches what is absent: make it "
			  "required or give it a default",
			  param->name);
	else if (param->type == PARAM_INTEGER &&
		 (param->min == INT64_MIN || param->max == INT64_MAX))
		node_diag(loader, node, "{%s} is a scope: it needs \"min\" and \"max\"",
			  param->name);
	else if (param->type == PARAM_STRING && param->pattern == NULL)
		node_diag(loader, node, "{%s} is a scope: it needs a \"pattern\"", param->name);
}

static void check_scope_value(struct loader *loader, struct node node,
			      const struct command *command)
{
	const char *text = json_string_value(node.value);
	const struct param *param = scope_param(command, node.value);
	size_t before = loader->diags->total;

	if (json_is_integer(node.value))
		return;
	if (text == NULL) {
		node_diag(loader, node, "a scope is \"{parameter}\", a fixed word or a number");
		return;
	}
	catalog_check_templates(loader, node, command, true);
	if (param != NULL)
		check_scope_param(loader, node, param);
	else if (loader->diags->total == before && (strchr(text, '{') != NULL || *text == '\0'))
		node_diag(loader, node,
			  "a scope is one \"{parameter}\" or a fixed word, not a mixture");
}

void catalog_read_scope(struct loader *loader, struct node node, struct command *command)
{
	const char *name;
	json_t *value;

	if (!json_is_object(node.value))
		return;
	json_object_foreach((json_t *)node.value, name, value)
	{
		struct node child = node_child(loader, node, name);

		(void)node_name(loader, child, "the name of a scope", name, WORD_LETTERS);
		check_scope_value(loader, child, command);
	}
	json_array_append(loader->catalog->kept, (json_t *)node.value);
	command->scope = node.value;
}

/* --- expressions --- */

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

/* Best effort: ".name" on the input itself must be a parameter.  What lies behind a "|", or within
 * a function, speaks of something else and is left alone. */
static void check_paths(struct loader *loader, struct node node, const struct command *command,
			bool has_plan)
{
	const char *text = json_string_value(node.value);
	char before = '\0';

	if (strpbrk(text, "|{[#") != NULL)
		return;
	for (const char *p = text; *p != '\0'; before = *p++) {
		size_t len = 1;
		char *name;

		if (*p == '"') {
			for (p++; *p != '\0' && *p != '"'; p++)
				p += *p == '\\' && p[1] != '\0';
			if (*p == '\0')
				return;
			continue;
		}
		if (*p == '(' && is_word(before))
			return;
		if (*p != '.' || is_word(before) ||
		    (before != '\0' && strchr("\")]?.", before) != NULL))
			continue;
		while (is_word(p[len]))
			len++;
		if (len == 1 || (p[1] >= '0' && p[1] <= '9'))
			continue;
		name = arena_strndup(loader->scratch, p + 1, len - 1);
		if (str_eq(name, "plan") && !has_plan)
			node_diag(loader, node,
				  "a guard is asked before there is a plan: .plan is "
				  "known to approval rules only");
		else if (!str_eq(name, "plan") && command_param(command, name) == NULL)
			node_diag(loader, node, ".%s is no parameter of %s", name, command->title);
		p += len - 1;
	}
}

static struct expr *read_when(struct loader *loader, struct node node,
			      const struct command *command, bool has_plan)
{
	struct node when = node_child(loader, node, "when");
	size_t before = loader->diags->total;
	struct expr *expr;

	if (!json_is_string(when.value))
		return NULL;
	expr = catalog_compile(loader, when, json_string_value(when.value));
	if (loader->diags->total == before)
		check_paths(loader, when, command, has_plan);
	return expr;
}

static size_t rules(struct loader *loader, struct node node, const char *what, size_t max)
{
	size_t n = node_size(node);

	if (n <= max)
		return n;
	node_diag(loader, node, "a command may have %zu %s, this has %zu", max, what, n);
	return 0;
}

void catalog_read_guards(struct loader *loader, struct node node, struct command *command)
{
	size_t n = rules(loader, node, "guards", RULES_MAX);
	struct guard *guards = arena_alloc(loader->catalog->arena, (n + 1) * sizeof(*guards));

	for (size_t i = 0; i < n; i++) {
		struct node item = node_item(loader, node, i);

		if (!node_check(loader, item, "a guard", catalog_guard_keys))
			continue;
		guards[i].when = read_when(loader, item, command, false);
		guards[i].deny = node_sentence(loader, node_child(loader, item, "deny"), DENY_MAX);
	}
	command->guards = guards;
	command->n_guards = n;
}

static void read_approvers(struct loader *loader, struct node node, struct approval_rule *rule)
{
	struct node from = node_child(loader, node, "from");

	if (from.value == NULL || !node_check(loader, from, "\"from\"", catalog_from_keys))
		return;
	rule->can_approve = node_text(loader, from, "can_approve");
	rule->group = node_text(loader, from, "group");
	if ((rule->can_approve == NULL) == (rule->group == NULL))
		node_diag(loader, from, "\"from\" names either can_approve or group");
	if (rule->group != NULL && (*rule->group == '\0' || strlen(rule->group) > 100))
		node_diag(loader, from, "the group's name must have 1 to 100 characters");
}

static void read_expires(struct loader *loader, struct node node, struct approval_rule *rule)
{
	struct node expires = node_child(loader, node, "expires");

	if (!json_is_string(expires.value))
		return;
	if (!args_duration(json_string_value(expires.value), &rule->expires_s) ||
	    rule->expires_s < EXPIRES_MIN_S || rule->expires_s > EXPIRES_MAX_S)
		node_diag(loader, expires,
			  "\"expires\" is a length of time from 5m to 3d, like 2h");
}

void catalog_read_approvals(struct loader *loader, struct node node, struct command *command)
{
	size_t n = rules(loader, node, "approval rules", RULES_MAX);
	struct approval_rule *list = arena_alloc(loader->catalog->arena, (n + 1) * sizeof(*list));

	if (n > 0 && command->risk == 0)
		node_diag(loader, node, "a command of risk 0 only reads: nobody approves it");
	for (size_t i = 0; i < n; i++) {
		struct node item = node_item(loader, node, i);

		if (!node_check(loader, item, "an approval rule", catalog_approval_keys))
			continue;
		list[i].when = read_when(loader, item, command, true);
		list[i].need = jget_int(item.value, "need", 1);
		if (list[i].need < 1 || list[i].need > NEED_MAX)
			node_diag(loader, node_child(loader, item, "need"),
				  "\"need\" must be 1 to %d", NEED_MAX);
		read_approvers(loader, item, &list[i]);
		read_expires(loader, item, &list[i]);
	}
	command->approvals = list;
	command->n_approvals = n;
}

/* --- tests --- */

static void read_groups(struct loader *loader, struct node node, struct command_test *test)
{
	struct node as = node_child(loader, node, "as");
	size_t n = node_size(as);
	const char **groups = arena_alloc(loader->catalog->arena, (n + 1) * sizeof(*groups));

	for (size_t i = 0; i < n; i++) {
		struct node item = node_item(loader, as, i);

		if (json_is_string(item.value))
			groups[i] =
				arena_strdup(loader->catalog->arena, json_string_value(item.value));
		else
			node_diag(loader, item, "\"as\" is a list of groups' names");
	}
	test->groups = groups;
	test->n_groups = n;
}

static void read_expect(struct loader *loader, struct node node, struct command_test *test)
{
	static const char *const words[] = { "allow", "deny", "invalid" };
	struct node expect = node_child(loader, node, "expect");
	const char *text = json_string_value(expect.value);

	if (json_is_object(expect.value) && json_object_size(expect.value) == 1 &&
	    json_is_integer(json_object_get(expect.value, "approval"))) {
		test->expect = "approval";
		test->approvals = jget_int(expect.value, "approval", 0);
		return;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (str_eq(text, words[i]))
			test->expect = words[i];
	if (expect.value != NULL && test->expect == NULL)
		node_diag(loader, expect, "\"expect\" is allow, deny, invalid or { approval: 1 }");
	if (test->expect == NULL)
		test->expect = "deny";
}

/* What is said to be understood must be, and the reverse: a test of the parser that needs no
 * policy. */
static void check_text(struct loader *loader, struct node node, const struct command *command,
		       const struct command_test *test)
{
	bool invalid = str_eq(test->expect, "invalid");
	struct args_problems problems;
	json_t *args = args_from_text(command, test->text, &problems);

	if (args == NULL && !invalid)
		node_diag(loader, node_child(loader, node, "text"), "the test's text: %s",
			  problems.items[0].text);
	if (args != NULL && invalid)
		node_diag(loader, node_child(loader, node, "text"),
			  "the test's text is understood, not invalid");
	json_decref(args);
}

void catalog_read_tests(struct loader *loader, struct node node, struct command *command)
{
	size_t n = rules(loader, node, "tests", TESTS_MAX), before = loader->diags->total;
	struct command_test *tests = arena_alloc(loader->catalog->arena, (n + 1) * sizeof(*tests));
	int column;

	for (size_t i = 0; i < n; i++) {
		struct node item = node_item(loader, node, i);
		struct command_test *test = &tests[command->n_tests];

		if (!node_check(loader, item, "a test", catalog_test_keys))
			continue;
		read_groups(loader, item, test);
		test->text = node_text(loader, item, "text");
		read_expect(loader, item, test);
		(void)conftree_place(loader->tree, item.pointer, &test->line, &column);
		if (test->text != NULL)
			command->n_tests++;
	}
	command->tests = tests;
	if (loader->diags->total != before)
		return;
	for (size_t i = 0; i < command->n_tests; i++)
		check_text(loader, node_item(loader, node, i), command, &tests[i]);
}
