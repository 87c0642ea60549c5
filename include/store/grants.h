/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants - plan and apply the reviewed grants, and list those in force.
 *
 * A plan is bound to the database's revision and to its own digest; applying one that is not the
 * present plan any more is refused.  The catalog's actions are written with the grants.
 */
#ifndef OPSD_STORE_GRANTS_H
#define OPSD_STORE_GRANTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/call.h"
#include "base/json.h"

struct db;

struct store_grants {
	const json_t *rows;    /* of grants_parse() */
	const json_t *actions; /* of catalog_actions() */
	bool apply;
	bool approve;     /* the second person's word for plan, good for an hour */
	const char *plan; /* digest that was reviewed; NULL: what is planned now */
	bool accept;      /* in spite of the brakes; needs plan */
	const char *commit;
	const char *const *reviewed_by;
	size_t n_reviewed_by;
};

/*
 * "dangerous": [what takes two people], "approved_by": the second one or null, "timed": [grants
 * that are from no file]. { "outcome": "planned" | "approved" | "applied" | "unchanged" |
 * "refused", "revision", "plan": { "base", "sha256", "changes", "lines", "grants", "problems": [{
 * "key", "what" }], "brakes": [{ "name", "detail" }], "gain" and "lose": [{ "can", "action",
 * "scope", "people", "names" }] } } grants is lent until done.
 */
typedef void (*store_grants_fn)(void *data, const json_t *value, const struct err *err);
struct call *store_grants_start(struct db *db, const struct store_grants *grants,
				store_grants_fn done, void *data);

/* { "revision", "grants": [{ "key", "origin", "text", "ended" }] } */
struct call *store_grants_list(struct db *db, store_grants_fn done, void *data);

#endif
