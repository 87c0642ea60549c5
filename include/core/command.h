/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command - one declared command as the catalog loaded it; immutable, lives as long as its catalog.
 *
 * Format: design of commands/ (docs/commands-format.md).
 */
#ifndef OPSD_CORE_COMMAND_H
#define OPSD_CORE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"

struct action_kind;
struct expr;
struct pattern;

enum param_type {
	PARAM_STRING,   /* one word by default; pattern */
	PARAM_TEXT,     /* free text, max characters */
	PARAM_ENUM,     /* one of values */
	PARAM_INTEGER,  /* min, max */
	PARAM_BOOLEAN,  /* true/false, yes/no, on/off */
	PARAM_DURATION, /* 90s 15m 2h 1d; kept as whole seconds */
	PARAM_TIME,     /* 18:00 or 2026-11-25T18:00; kept as the text, resolved by the flow */
	PARAM_PERSON,   /* a Slack user mention or an e-mail address; kept as text */
};

struct param {
	const char *name, *about;
	enum param_type type;
	bool optional, secret;
	bool implied;           /* not declared: every such command takes it (core/later.h) */
	const json_t *fallback; /* the default, typed; NULL: none */
	const char *pattern_source;
	const struct pattern *pattern;
	const char *const *values; /* PARAM_ENUM */
	size_t n_values;
	int64_t min, max;   /* integer, duration in seconds; text: max characters */
	const json_t *from; /* { "kube.list": {…} }: where live values come from; NULL: none */
};

struct guard {
	struct expr *when;
	const char *deny; /* the sentence */
};

struct approval_rule {
	struct expr *when; /* NULL: always */
	int64_t need;
	int64_t expires_s;       /* 0: the setting's */
	const char *can_approve; /* an action, or NULL */
	const char *group;       /* a group, or NULL */
};

struct command_test {
	const char *const *groups; /* as */
	size_t n_groups;
	const char *text;
	const char *expect; /* "allow", "deny", "approval", "invalid" */
	int64_t approvals;  /* with "approval" */
	int line;
};

struct command {
	const char *prefix, *name;
	const char *title; /* "workers scale" */
	const char *about;
	const char *action;  /* "workers.scale" */
	const json_t *scope; /* { "team": "{team}" } */
	int risk;            /* 0 read … 3 dangerous */
	const struct param *params;
	size_t n_params;
	const struct guard *guards;
	size_t n_guards;
	const struct approval_rule *approvals;
	size_t n_approvals;
	const struct action_kind *kind;
	const json_t *with; /* the kind's parameters, templates not yet filled in */
	const struct command_test *tests;
	size_t n_tests;
	const char *file;
	int line;
};

const struct param *command_param(const struct command *command, const char *name); /* NULL: none */
const char *param_type_name(enum param_type type);
bool command_reads(const struct command *command);              /* risk 0: no plan, no intent */
bool command_needs_confirmation(const struct command *command); /* risk 2 and above */
/* Somebody may be asked on the plan: the requester, or approvers. */
bool command_shows_plan(const struct command *command);

/* "workers scale team=ads role=dev count=5": a working example made of the declaration.  The caller
 * frees. */
char *command_example(const struct command *command);
/* "workers scale team= role= count= [for=] reason=": the caller frees. */
char *command_usage(const struct command *command);

/* Replaces {param} in every string of node with the typed value; a string that is only "{param}"
 * keeps the value's type; unset optional ones become null (whole) or "" (inside); escaping is the
 * kind's business (it knows whether a leaf is a URL segment, a query value or a name).  A new
 * reference. */
json_t *command_fill(const json_t *node, const json_t *args);

/* Bytes of the name when text starts with "{name}", else 0. */
size_t command_template(const char *text, const char **ret_name);

#endif
