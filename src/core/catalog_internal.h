/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog_internal - the loader's parts.
 *
 * Each part reads one kind of node of the tree and reports every mistake where it stands; a value
 * is usable when no mistake was found in the whole catalog, so parts go on after one.
 */
#ifndef OPSD_CORE_CATALOG_INTERNAL_H
#define OPSD_CORE_CATALOG_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/diag.h"
#include "base/json.h"
#include "core/action.h"
#include "core/catalog.h"
#include "core/command.h"

struct arena;
struct conftree;

enum { CATALOG_FILES_MAX = 200, CATALOG_COMMANDS_MAX = 500, CATALOG_ABOUT_MAX = 200 };

struct prefix {
	const char *name, *about, *file;
};

struct catalog {
	size_t refs;
	struct arena *arena;
	struct prefix *prefixes;
	size_t n_prefixes;
	struct command *commands; /* sorted by title once loaded */
	size_t n_commands;
	json_t *kept; /* values that commands point into */
	struct expr **exprs;
	size_t n_exprs;
	struct pattern **patterns;
	size_t n_patterns;
	char digest[65];
};

/* What is loaded now. */
struct loader {
	struct catalog *catalog;
	const struct action_kind *const *kinds;
	const struct action_env *env;
	struct diags *diags;
	struct arena *scratch; /* pointers, for the time of loading */
	const struct conftree *tree;
	const char *file;
};

/* A value and where it stands. */
struct node {
	const json_t *value; /* NULL: absent */
	const char *pointer;
};

enum key_type { KEY_TEXT, KEY_NUMBER, KEY_BOOL, KEY_OBJECT, KEY_LIST, KEY_ANY };

/* A table of what a mapping may hold: the loader and the schema read the same. */
struct key {
	const char *name; /* NULL ends the table */
	enum key_type type;
	bool required;
	const char *about;
};

extern const struct key catalog_file_keys[], catalog_command_keys[], catalog_param_keys[];
extern const struct key catalog_guard_keys[], catalog_approval_keys[], catalog_from_keys[];
extern const struct key catalog_test_keys[];
extern const char *const catalog_param_types[]; /* NULL-ended, in the order of the enum */

/* --- catalog_node.c --- */

void node_diag(const struct loader *loader, struct node node, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* At the key, not at its value. */
void node_key_diag(const struct loader *loader, struct node node, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
struct node node_child(const struct loader *loader, struct node node, const char *key);
struct node node_item(const struct loader *loader, struct node node, size_t i);

/* what: "a command".  Reports unknown and absent keys and wrong types; false: no mapping. */
bool node_check(const struct loader *loader, struct node node, const char *what,
		const struct key *keys);
void node_unknown(const struct loader *loader, struct node parent, const char *key,
		  const char *what, const char *near);
const char *node_text(const struct loader *loader, struct node node, const char *key); /* or NULL */
size_t node_size(struct node node); /* of a list; 0: none */

/* Copies; at most max characters, not empty, no control characters. */
const char *node_sentence(const struct loader *loader, struct node node, size_t max);
bool node_name(const struct loader *loader, struct node node, const char *what, const char *name,
	       const char *letters);

/* --- catalog_params.c, catalog_rules.c, catalog_do.c, catalog_command.c, catalog_check.c --- */

void catalog_read_params(struct loader *loader, struct node node, struct command *command);
void catalog_read_scope(struct loader *loader, struct node node, struct command *command);
void catalog_read_guards(struct loader *loader, struct node node, struct command *command);
void catalog_read_approvals(struct loader *loader, struct node node, struct command *command);
void catalog_read_tests(struct loader *loader, struct node node, struct command *command);
void catalog_read_do(struct loader *loader, struct node node, struct command *command);
/* Adds for, until and at where the command takes them; after its kind is known. */
void catalog_imply_params(struct loader *loader, struct node params, struct command *command);
void catalog_read_from(struct loader *loader, struct node node, struct command *command,
		       struct param *param);
void catalog_read_file(struct loader *loader);

/* Every "{name}" in value must be a parameter; it may be one that can be absent only if so. */
void catalog_check_templates(const struct loader *loader, struct node node,
			     const struct command *command, bool may_be_absent);
struct expr *catalog_compile(struct loader *loader, struct node node, const char *source);

/* The actions of all commands agree on their scope, and approvals name actions that exist. */
void catalog_check_actions(struct catalog *catalog, struct diags *diags);
bool catalog_is_action(const char *name);
const char *catalog_scope_type(const struct command *command, const json_t *value);

#endif
