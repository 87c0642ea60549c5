/* SPDX-License-Identifier: Apache-2.0 */
/* follow.c - claims and marks of looks: ops.follow_claim and ops.follow_mark. */
#include "store/follow.h"

#include "store_internal.h"

enum { CLAIM_MS = 8000 };

static bool take_claimed(struct job *job, const struct db_answer *answer, struct err *err)
{
	const struct db_result *rows = answer->results[0];

	(void)err;
	for (size_t i = 0; i < db_rows(rows); i++) {
		json_t *row = store_json(db_text(rows, i, 0));

		if (row != NULL)
			job->found(job->data, row);
		json_decref(row);
	}
	return true;
}

struct call *store_follow_claim(struct store *store, unsigned limit, store_found_fn found,
				call_done_fn done, void *data)
{
	struct job *job = job_create(store, NULL, done, data);
	struct params params = { 0 };

	params_text(&params, store->boot_id);
	params_int(&params, limit);
	job->take = take_claimed;
	job->found = found;
	return job_start(job, store->work, "ops_follow_claim", "SELECT ops.follow_claim($1, $2)",
			 &params, CLAIM_MS);
}

struct call *store_follow_mark(struct store *store, const json_t *marks, store_json_fn done,
			       void *data)
{
	struct params params;

	params_init(&params, store);
	params_json(&params, marks);
	params_text(&params, store->audit_channel);
	return store_read(store->work, "ops_follow_mark", "SELECT ops.follow_mark($1, $2, $3, $4)",
			  &params, done, data);
}
