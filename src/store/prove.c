/* SPDX-License-Identifier: Apache-2.0 */
/* prove.c - ops.prove_begin and ops.prove; of who approves ops.prove_vote_begin and
 * ops.prove_vote. */
#include "store/prove.h"

#include <string.h>

#include "core/request.h"
#include "store_internal.h"

static void params_voter(struct params *params, const struct store *store, const struct request *rq)
{
	memset(params, 0, sizeof(*params));
	params_text(params, store->observer);
	params_text(params, rq->id);
	params_text(params, rq->digest);
	params_text(params, rq->asker.team);
	params_text(params, rq->asker.user);
}

struct call *store_prove_begin(struct store *store, const struct request *rq, store_json_fn done,
			       void *data)
{
	struct params params;

	if (rq->proving) {
		params_voter(&params, store, rq);
		return store_read(store->work, "ops_prove_vote_begin",
				  "SELECT ops.prove_vote_begin($1, $2, $3, $4, $5)", &params, done,
				  data);
	}
	params_init(&params, store);
	params_text(&params, rq->id);
	params_int(&params, rq->fence);
	return store_read(store->work, "ops_prove_begin", "SELECT ops.prove_begin($1, $2, $3, $4)",
			  &params, done, data);
}

struct call *store_prove(struct store *store, const struct request *rq,
			 const struct store_token *token, store_json_fn done, void *data)
{
	json_t *proof = json_pack("{s:s, s:s, s:s, s:I}", "issuer", token->issuer, "subject",
				  token->subject, "token", token->sha256, "signed_in_s",
				  (json_int_t)token->signed_in_s);
	struct params params;

	if (rq->proving) {
		params_voter(&params, store, rq);
	} else {
		params_init(&params, store);
		params_text(&params, rq->id);
		params_int(&params, rq->fence);
	}
	params_text(&params, token->source);
	params_json(&params, proof);
	json_decref(proof);
	if (rq->proving)
		return store_read(store->work, "ops_prove_vote",
				  "SELECT ops.prove_vote($1, $2, $3, $4, $5, $6, $7)", &params,
				  done, data);
	return store_read(store->work, "ops_prove", "SELECT ops.prove($1, $2, $3, $4, $5, $6)",
			  &params, done, data);
}
