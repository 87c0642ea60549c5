/* SPDX-License-Identifier: Apache-2.0 */
/*
 * action - a kind of effect that a command may name in "do"; core knows only this table.
 *
 * Each kind is one file in src/action with one exported struct action_kind.  The shapes of the JSON
 * that goes between are in docs/action-contract.md.
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
struct kube_person;

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
	ACTION_LIST,
	ACTION_VALUE /* a text, a number or a truth */
};

struct action_param {
	const char *name;
	enum action_param_type type;
	bool required;
	const char *about;
};

struct action_run {             /* lent until done or cancel */
	const char *request_id; /* goes to the target as Audit-ID, annotation, idempotency key */
	/* For whom the target shall take it, where it can (kube/client.h); NULL: for opsd. */
	const struct kube_person *person;
	const json_t *with;  /* the kind's parameters, filled in */
	const json_t *args;  /* the typed arguments */
	const json_t *plan;  /* apply, look, revert, follow: as recorded; NULL in plan */
	const json_t *since; /* follow: the outcome of apply, then the last progress */
	const char *cursor;  /* reads: the page; NULL: the first */
	bool known;          /* follow: what is watched need not be asked for */
	bool quiet; /* follow: nothing was heard of it for a while, so ask what no watch tells */
	bool asked; /* plan: somebody will be shown it before anything happens */
	unsigned timeout_ms;
};

/* result is lent; NULL on err.  err kinds of apply: ERR_INVALID, ERR_DENIED, ERR_RETRY: certainly
 * not done; ERR_UNCERTAIN: may be done (then look decides). */
typedef void (*action_done_fn)(void *data, const json_t *result, const struct err *err);
typedef struct call *(*action_fn)(struct action_env *env, const struct action_run *run,
				  action_done_fn done, void *data);

/* In which namespace: the parameter "namespace", or that of who else is at work there. */
enum action_at { ACTION_AT_PARAM, ACTION_AT_ARGO_CD, ACTION_AT_FLUX };

/* What a kind asks of a cluster: the roles of opsd are made of it. */
struct action_need {
	const char *verbs; /* "get patch" */
	/* "Pod"; of several the parameter "kind" says which, without it the first; "*" last: or any
	 * other. */
	const char *kinds;
	const char *subresource; /* "log"; NULL: none */
	const char *when;        /* only where this parameter is given; NULL: always */
	const char *object; /* the parameter that names the one object; NULL: any of its space */
	enum action_at at;
	bool spare; /* without it the kind does its work and says less */
};

struct action_kind {
	const char *name; /* "kube.scale" */
	const char *about;
	const struct action_param *params; /* ended by name == NULL */
	const char *secret; /* the one parameter that a secret may fill: it is neither shown nor
			       recorded; NULL: none */
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
	/* The plan of the way back from run->plan, for apply and look to take under a request of
	 * its own.  With "foreign" when the value is not any more what was written: then a person
	 * decides.  NULL: there is no way back. */
	action_fn revert;
	/* One look at how the effect comes along and whether it stays.  NULL: it is over at once.
	 */
	action_fn follow;
	bool last_resort;                /* decided even when the copy of the directory is stale */
	const struct action_need *needs; /* ended by verbs == NULL; NULL: asks no cluster */
};

/* The class of one use of a kind, with its parameters. */
static inline enum action_effect action_effect_of(const struct action_kind *kind,
						  const json_t *with)
{
	return kind->effect_of != NULL ? kind->effect_of(with) : kind->effect;
}

/* Whether a use of a kind can be set back. */
static inline bool action_reversible(const struct action_kind *kind, const json_t *with)
{
	return kind->revert != NULL && action_effect_of(kind, with) == ACTION_CONDITIONAL;
}

#endif
