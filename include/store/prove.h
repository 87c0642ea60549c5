/* SPDX-License-Identifier: Apache-2.0 */
/* prove - a company sign-in for a request that waits for it: the functions of sql/migrations/0016.
 */
#ifndef OPSD_STORE_PROVE_H
#define OPSD_STORE_PROVE_H

#include "store/audit.h"

struct request;
struct store;

struct store_token {        /* an ID token that was verified */
	const char *source; /* of the directory, whose ids the subjects are */
	const char *issuer, *subject, *sha256;
	int64_t signed_in_s; /* 0: not said */
};

/* Of a request that asks, or (rq->proving) of an approval of the plan rq->digest by rq->asker.
 * Both answer with a code: "ok", "taken_over"; before a code is shown "too_many", "once", "open"
 * and "stale_card"; of a
 * token "another_person", "person_not_active", "binding_changed" and "token_used". */
struct call *store_prove_begin(struct store *store, const struct request *rq, store_json_fn done,
			       void *data);
struct call *store_prove(struct store *store, const struct request *rq,
			 const struct store_token *token, store_json_fn done, void *data);

#endif
