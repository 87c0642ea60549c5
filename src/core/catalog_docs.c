/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_docs.c - docs/commands.md: every command, as the declarations have it. */
#include <stdlib.h>
#include <string.h>

#include "args_internal.h"
#include "base/buf.h"
#include "base/str.h"
#include "catalog_internal.h"
#include "core/expr.h"

enum { DOCS_MAX = 4 * 1024 * 1024 };

#define LICENCE "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"

static const char *const risks[] = {
	"reads",
	"changes something small, at once",
	"changes something; the requester confirms a preview",
	"dangerous; the requester confirms a preview",
};

/* Text inside a table or a line: what Markdown would take for markup is escaped. */
static void put_text(struct buf *buf, const char *text)
{
	bool code = false;

	for (; text != NULL && *text != '\0'; text++) {
		code ^= *text == '`';
		if (*text == '|' || (!code && strchr("<*_[", *text) != NULL))
			buf_puts(buf, "\\");
		buf_append(buf, text, 1);
	}
}

static void put_code(struct buf *buf, const char *text)
{
	const char *quote = strchr(text, '`') != NULL ? "``" : "`";

	buf_puts(buf, quote);
	for (; *text != '\0'; text++) {
		if (*text == '|')
			buf_puts(buf, "\\");
		buf_append(buf, *text == '\n' ? " " : text, 1);
	}
	buf_puts(buf, quote);
}

static void put_overview(struct buf *buf, const struct catalog *catalog)
{
	buf_puts(buf, "| Command | What it does | Action | Risk |\n|---|---|---|---|\n");
	for (size_t i = 0; i < catalog->n_commands; i++) {
		const struct command *command = &catalog->commands[i];

		buf_printf(buf, "| [%s](#%s-%s) | ", command->title, command->prefix,
			   command->name);
		put_text(buf, command->about);
		buf_printf(buf, " | `%s` | %d |\n", command->action, command->risk);
	}
}

static void put_param(struct buf *buf, const struct param *param)
{
	char kind[ARGS_SHOWN_LEN];

	args_describe(param, kind, sizeof(kind));
	buf_printf(buf, "| `%s` | ", param->name);
	put_text(buf, kind);
	if (param->pattern_source != NULL) {
		buf_puts(buf, ", ");
		put_code(buf, param->pattern_source);
	}
	buf_puts(buf, " | ");
	if (param->fallback != NULL) {
		char *text = args_value_text(param, param->fallback);

		buf_puts(buf, "no, else ");
		put_code(buf, text);
		free(text);
	} else {
		buf_puts(buf, param->optional ? "no" : "yes");
	}
	buf_puts(buf, " | ");
	put_text(buf, param->about);
	buf_puts(buf, param->secret ? " (secret: asked for in the form)" : "");
	buf_puts(buf, " |\n");
}

static void put_params(struct buf *buf, const struct command *command)
{
	if (command->n_params == 0)
		return;
	buf_puts(buf, "| Parameter | What | Required | About |\n|---|---|---|---|\n");
	for (size_t i = 0; i < command->n_params; i++)
		if (!command->params[i].implied)
			put_param(buf, &command->params[i]);
	buf_puts(buf, "\n");
}

static void put_grant(struct buf *buf, const struct command *command)
{
	const char *name, *sign = " for its ";
	json_t *value;

	buf_printf(buf, "- Needs a grant of `%s`", command->action);
	if (command->scope != NULL) {
		json_object_foreach((json_t *)command->scope, name, value)
		{
			buf_printf(buf, "%s%s", sign, name);
			if (json_is_integer(value))
				buf_printf(buf, " (always %lld)",
					   (long long)json_integer_value(value));
			else if (*json_string_value(value) != '{')
				buf_printf(buf, " (always %s)", json_string_value(value));
			sign = ", ";
		}
	}
	buf_printf(buf, ".\n- Risk %d: %s.\n", command->risk, risks[command->risk]);
}

static void put_rules(struct buf *buf, const struct command *command)
{
	put_grant(buf, command);
	for (size_t i = 0; i < command->n_guards; i++) {
		buf_puts(buf, "- Refused when ");
		put_code(buf, expr_source(command->guards[i].when));
		buf_puts(buf, ": ");
		put_text(buf, command->guards[i].deny);
		buf_puts(buf, "\n");
	}
	for (size_t i = 0; i < command->n_approvals; i++) {
		const struct approval_rule *rule = &command->approvals[i];

		buf_printf(buf, "- Approved by %lld of ", (long long)rule->need);
		if (rule->can_approve != NULL)
			buf_printf(buf, "those who can approve `%s`", rule->can_approve);
		else
			buf_printf(buf, "the group `%s`", rule->group);
		if (rule->when != NULL) {
			buf_puts(buf, ", when ");
			put_code(buf, expr_source(rule->when));
		}
		if (rule->expires_s > 0)
			buf_printf(buf, ", within %lld minutes", (long long)rule->expires_s / 60);
		buf_puts(buf, ".\n");
	}
	buf_printf(buf, "- Done by `%s`: ", command->kind->name);
	put_text(buf, command->kind->about);
	buf_puts(buf, "\n\n");
}

static void put_command(struct buf *buf, const struct command *command)
{
	char *usage = command_usage(command), *example = command_example(command);

	buf_printf(buf, "### %s\n\n", command->title);
	put_text(buf, command->about);
	buf_printf(buf, "\n\n```\n%s\n```\n\n", usage);
	put_params(buf, command);
	put_rules(buf, command);
	if (command->n_params > 0)
		buf_printf(buf, "Example:\n\n```\n%s\n```\n\n", example);
	free(example);
	free(usage);
}

char *catalog_docs(const struct catalog *catalog)
{
	struct buf buf;

	buf_init(&buf, DOCS_MAX);
	buf_puts(&buf,
		 LICENCE "# Commands\n\nMade from `commands/` by `opsd catalog docs`; change the "
			 "declarations, not this page.\n\n");
	put_overview(&buf, catalog);
	for (size_t i = 0; i < catalog->n_prefixes; i++) {
		const struct prefix *prefix = &catalog->prefixes[i];

		buf_printf(&buf, "\n## %s\n\n", prefix->name);
		put_text(&buf, prefix->about);
		buf_puts(&buf, "\n\n");
		for (size_t j = 0; j < catalog->n_commands; j++)
			if (str_eq(catalog->commands[j].prefix, prefix->name))
				put_command(&buf, &catalog->commands[j]);
		while (str_ends(buf.data, "\n\n"))
			buf.data[--buf.len] = '\0';
	}
	return buf_take(&buf);
}

/* --- kinds --- */

static const char *effect_words(enum action_effect effect)
{
	static const char *const words[] = {
		[ACTION_READ] = "It reads.",
		[ACTION_CONDITIONAL] =
			"It changes its target only if that is still as it was planned.",
		[ACTION_KEYED] = "It carries a key by which its target knows a repetition.",
		[ACTION_ONCE] = "It is never tried again after an unclear end.",
	};

	return words[effect];
}

/* "Deployment, StatefulSet": the words of a need, with something between. */
static void put_words(struct buf *buf, const char *words)
{
	for (; *words != '\0'; words++)
		if (*words == ' ')
			buf_puts(buf, ", ");
		else if (*words == '*')
			buf_puts(buf, "any other");
		else
			buf_printf(buf, "%c", *words);
}

static void put_needs(struct buf *buf, const struct action_need *need)
{
	static const char *const at[] = { [ACTION_AT_PARAM] = "",
					  [ACTION_AT_ARGO_CD] = ", in Argo CD's namespace",
					  [ACTION_AT_FLUX] = ", in Flux's namespace" };

	if (need == NULL)
		return;
	buf_puts(buf, "\nIt asks the cluster to\n\n");
	for (; need->verbs != NULL; need++) {
		buf_puts(buf, "- ");
		put_words(buf, need->verbs);
		buf_puts(buf, ": ");
		put_words(buf, need->kinds);
		buf_printf(buf, "%s%s%s%s%s%s%s%s\n", need->subresource != NULL ? "/" : "",
			   need->subresource != NULL ? need->subresource : "",
			   need->object != NULL ? ", only the one named" : "", at[need->at],
			   need->when != NULL ? ", when `" : "",
			   need->when != NULL ? need->when : "",
			   need->when != NULL ? "` is given" : "",
			   need->spare ? " (without it it says less)" : "");
	}
}

static void put_kind(struct buf *buf, const struct action_kind *kind)
{
	static const char *const types[] = {
		[ACTION_TEXT] = "text",
		[ACTION_NUMBER] = "number",
		[ACTION_BOOL] = "true or false",
		[ACTION_OBJECT] = "mapping",
		[ACTION_EXPR] = "expression",
		[ACTION_LIST] = "list",
		[ACTION_VALUE] = "text, number or truth",
	};

	buf_printf(buf, "\n## %s\n\n", kind->name);
	put_text(buf, kind->about);
	buf_printf(buf, ". %s%s%s\n\n| Parameter | Type | Required | About |\n|---|---|---|---|\n",
		   kind->effect_of != NULL ? "What it does depends on its parameters."
					   : effect_words(kind->effect),
		   kind->revert != NULL ? " It can be set back." : "",
		   kind->follow != NULL ? " It is followed until it is complete." : "");
	for (const struct action_param *p = kind->params; p->name != NULL; p++) {
		buf_printf(buf, "| `%s` | %s | %s | ", p->name, types[p->type],
			   p->required ? "yes" : "no");
		put_text(buf, p->about);
		buf_puts(buf, " |\n");
	}
	put_needs(buf, kind->needs);
}

char *catalog_kinds(const struct action_kind *const *kinds)
{
	struct buf buf;

	buf_init(&buf, DOCS_MAX);
	buf_puts(&buf, LICENCE
		 "# Action kinds\n\nWhat `do` and `from` of a command may name. Made from the "
		 "tables in `src/action/` by `opsd catalog kinds`.\n\n"
		 "What is followed is looked at until it is complete, and then for "
		 "`follow.stays_seconds` whether it stays. In a cluster watches say when to look "
		 "(the verbs `list` and `watch`, which `opsd catalog rbac` gives); without them it "
		 "is asked for every few seconds.\n");
	for (; *kinds != NULL; kinds++)
		put_kind(&buf, *kinds);
	return buf_take(&buf);
}
