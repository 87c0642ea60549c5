/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog - all commands of the folder commands/, checked as a whole; shared by reference count.
 *
 * A catalog with any mistake is never made: load gives NULL and the list of mistakes.
 */
#ifndef OPSD_CORE_CATALOG_H
#define OPSD_CORE_CATALOG_H

#include <stddef.h>

#include "base/json.h"

struct action_env;
struct action_kind;
struct catalog;
struct command;
struct diags;

/* kinds: sorted, NULL-ended table of action/action.h (injected: core knows no kinds).  env may be
 * NULL (then clusters and APIs named by commands are not checked for existence).  Blocking file
 * reads. */
struct catalog *catalog_load(const char *dir, const struct action_kind *const *kinds,
			     const struct action_env *env, struct diags *diags);
struct catalog *catalog_ref(struct catalog *catalog);
void catalog_unref(struct catalog *catalog); /* NULL is fine */

const char *catalog_digest(const struct catalog *catalog); /* of all files: the policy version */

size_t catalog_prefixes(const struct catalog *catalog);
const char *catalog_prefix(const struct catalog *catalog, size_t i); /* sorted */
const char *catalog_prefix_about(const struct catalog *catalog, const char *prefix);
size_t catalog_commands(const struct catalog *catalog);
const struct command *catalog_command(const struct catalog *catalog,
				      size_t i); /* sorted by title */
const struct command *catalog_find(const struct catalog *catalog, const char *prefix,
				   const char *name);
const struct command *
catalog_find_title(const struct catalog *catalog,
		   const char *title); /* "workers scale"; NULL is not found */

/* Distinct actions with their highest risk and their scope names: rows for authz.action.
 * [{ "name", "risk", "scope": [{ "name", "type": "enum"|"int" }], "last_resort"?: true }], sorted.
 * A new reference. */
json_t *catalog_actions(const struct catalog *catalog);

/* The declarations' own tests.  grants: rows of grants_load(); NULL: whether somebody may is not
 * judged.  A new array of { "good", "command", "file", "line", "text", "expect", "got" }. */
json_t *catalog_test(const struct catalog *catalog, const json_t *grants);

json_t *
catalog_schema(const struct action_kind *const *kinds); /* JSON schema of the files, for editors */
char *catalog_docs(const struct catalog *catalog);      /* docs/commands.md; the caller frees */
char *catalog_kinds(const struct action_kind *const *kinds); /* docs/action-kinds.md; likewise */

#endif
