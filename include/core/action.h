/* SPDX-License-Identifier: Apache-2.0 */
/*
 * action - a kind of effect that a command may name in "do"; core knows only this table.
 *
 * Each kind is one file in src/action with one exported struct action_kind.  JSON shapes:
 *
 * plan    { "target": { "cluster", "namespace", "kind", "name", "key"? } or { "api", "method",
 *"path" }, "changes": [ { "field", "from", "to" } ]      texts or numbers; null: absent; [] :
 *nothing would change "owners":  [ { "who", "says" } ]               who else owns the field and
 *what they will do to it "warnings": [ "sentence" ], "step_percent": 150, for approval rules;
 *absent where it has no meaning "precondition": { … } }                        private to the kind:
 *what apply insists on (uid, …)
 *
 * answer  of a read: { "title", "columns": [ "Name", … ], "rows": [ [ "cell", … ], … ], "next":
 *"cursor"|null, "total": n|null, "fields": [ [ "Name", "value" ], … ]?, "text": "…"? }
 *
 * outcome of apply: { "done": "sentence fragment, e.g. replicas 3 -> 5", "evidence": { … } }
 *
 * look    { "state": "done"|"not_done"|"unknown", "says": "sentence", "evidence": { … } }
 */
#ifndef OPSD_CORE_ACTION_H
#define OPSD_CORE_ACTION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/call.h"
#include "base/json.h"

struct action_env; /* clusters, APIs and their clients: defined by action/, opaque to core */
struct diags;
struct err;

enum action_effect {
	ACTION_READ,        /* may be repeated freely */
	ACTION_CONDITIONAL, /* compare-and-set at the target: repeating with the recorded
			       precondition is safe */
	ACTION_KEYED,       /* the target honours our idempotency key */
	ACTION_ONCE,        /* never again after an unclear end */
};

enum action_param_type {
	ACTION_TEXT,
	ACTION_NUMBER,
	ACTION_BOOL,
	ACTION_OBJECT,
	ACTION_EXPR,
	ACTION_LIST
};

struct action_param {
	const char *name;
	enum action_param_type type;
	bool required;
	const char *about;
};

struct action_run {             /* lent until done or cancel */
	const char *request_id; /* goes to the target as Audit-ID, annotation, idempotency key */
	const json_t *with;     /* the kind's parameters, filled in */
	const json_t *args;     /* the typed arguments */
	const json_t *plan;     /* apply, look: as recorded; NULL in plan */
	const char *cursor;     /* reads: the page; NULL: the first */
	bool asked;             /* plan: somebody will be shown it before anything happens */
	unsigned timeout_ms;
};

/* result is lent; NULL on err.  err kinds of apply: ERR_INVALID, ERR_DENIED, ERR_RETRY: certainly
 * not done; ERR_UNCERTAIN: may be done (then look decides). */
typedef void (*action_done_fn)(void *data, const json_t *result, const struct err *err);
typedef struct call *(*action_fn)(struct action_env *env, const struct action_run *run,
				  action_done_fn done, void *data);

struct action_kind {
	const char *name; /* "kube.scale" */
	const char *about;
	const struct action_param *params; /* ended by name == NULL */
	/* The class; a kind whose class depends on its parameters (http.call's "retry") overrides
	 * effect_of. */
	enum action_effect effect;
	enum action_effect (*effect_of)(const json_t *with);
	/* Everything refusable when loading: may add to err one sentence about parameter
	 * *ret_param. */
	bool (*check)(const json_t *with, const struct action_env *env, const char **ret_param,
		      struct err *err);
	action_fn plan;  /* NULL for reads */
	action_fn apply; /* reads: gives the answer */
	action_fn look;  /* after a crash or an unclear end; NULL for reads */
};

/* The class of one use of a kind, with its parameters. */
static inline enum action_effect action_effect_of(const struct action_kind *kind,
						  const json_t *with)
{
	return kind->effect_of != NULL ? kind->effect_of(with) : kind->effect;
}

#endif
