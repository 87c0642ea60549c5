/* SPDX-License-Identifier: Apache-2.0 */
/* outbox.c - messages owed to Slack: claimed in batches, handed to the sender, marked in batches.
 */
#include "store/outbox.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/request.h"
#include "store_internal.h"

enum {
	CLAIM_MS = 8000,
	MARK_MS = 8000,
	PROGRESS_MS = 5000,
	BODY_MAX = 4 << 20,
	ARRAY_MAX = 1 << 20
};

enum { /* ops.outbox_claim */
       CLAIM_ID,
       CLAIM_KIND,
       CLAIM_REQUEST,
       CLAIM_CHANNEL,
       CLAIM_USER,
       CLAIM_URL,
       CLAIM_BODY,
       CLAIM_ATTEMPTS,
       CLAIM_CREATED_MS,
       CLAIM_TS,
};

void store_outbox_set_ready(struct store *store, void (*ready)(void *data, struct owed *owed),
			    void *data)
{
	store->ready = ready;
	store->ready_data = data;
}

void store_outbox_set_unclaimed(struct store *store, void (*unclaimed)(void *data, bool crowded),
				void *data)
{
	store->unclaimed = unclaimed;
	store->unclaimed_data = data;
}

void store_outbox_room(struct store *store, unsigned room)
{
	store->room = room;
}

unsigned store_reserve(struct store *store, unsigned n)
{
	unsigned room = store->ready != NULL ? store->room : 0;

	store->crowded = room < 2;
	if (room >= n)
		store->room -= n; /* until the sender says anew how much it takes */
	return room;
}

void store_give(struct store *store, struct owed *owed)
{
	if (store->ready != NULL)
		store->ready(store->ready_data, owed);
	else
		owed_destroy(owed); /* due again when the claim ends */
}

/* A refusal's messages, as ops.owe answers them. */
void store_take_owed(struct store *store, const char *rows, int64_t sent_ms)
{
	struct err err;
	json_t *array = rows != NULL ? json_parse(rows, strlen(rows), BODY_MAX, &err) : NULL;
	json_t *row;
	size_t i;

	json_array_foreach(array, i, row)
	{
		struct owed *owed = xcalloc(1, sizeof(*owed));

		owed->id = jget_int(row, "id", 0);
		owed->kind = xstrdup(jget_str_or(row, "kind", ""));
		owed->request = xstrdup(jget_str_or(row, "request", ""));
		owed->channel = xstrdup_null(jget_str(row, "channel"));
		owed->user = xstrdup_null(jget_str(row, "user"));
		owed->response_url = xstrdup_null(jget_str(row, "response_url"));
		owed->body = json_incref(json_object_get(row, "body"));
		owed->created_ms = jget_int(row, "created_ms", 0);
		owed->claimed_ms = sent_ms;
		store_give(store, owed);
	}
	json_decref(array);
}

/* claim */

static bool take_claimed(struct job *job, const struct db_answer *answer, struct err *err)
{
	const struct db_result *rows = answer->results[0];

	for (size_t i = 0; i < db_rows(rows); i++) {
		const char *body = db_text(rows, i, CLAIM_BODY);
		struct owed *owed = xcalloc(1, sizeof(*owed));

		owed->id = db_int(rows, i, CLAIM_ID);
		owed->kind = xstrdup(db_text(rows, i, CLAIM_KIND));
		owed->request = xstrdup(db_text(rows, i, CLAIM_REQUEST));
		owed->channel = xstrdup_null(db_text(rows, i, CLAIM_CHANNEL));
		owed->user = xstrdup_null(db_text(rows, i, CLAIM_USER));
		owed->response_url = xstrdup_null(db_text(rows, i, CLAIM_URL));
		owed->ts = xstrdup_null(db_text(rows, i, CLAIM_TS));
		owed->body = body != NULL ? json_parse(body, strlen(body), BODY_MAX, err) : NULL;
		owed->attempts = db_int(rows, i, CLAIM_ATTEMPTS);
		owed->created_ms = db_int(rows, i, CLAIM_CREATED_MS);
		owed->claimed_ms = job->sent_ms;
		if (owed->body == NULL) {
			log_error("owed message cannot be read", LOG_INT("message", owed->id));
			owed->body = json_object();
		}
		store_give(job->store, owed);
	}
	return true;
}

struct call *store_outbox_claim(struct store *store, const unsigned limits[OWED_LANES],
				call_done_fn done, void *data)
{
	struct job *job = job_create(store, NULL, done, data);
	struct params params = { 0 };

	params_text(&params, store->boot_id);
	params_take(&params, xasprintf("{%u,%u,%u}", limits[OWED_AUDIT], limits[OWED_REPLIES],
				       limits[OWED_CARDS]));
	job->take = take_claimed;
	return job_start(job, store->work, "ops_outbox_claim",
			 "SELECT * FROM ops.outbox_claim($1, $2)", &params, CLAIM_MS);
}

/* mark */

/* One element of an array literal, quoted. */
static void put_text(struct buf *buf, const char *text)
{
	buf_puts(buf, buf->len == 0 ? "{\"" : ",\"");
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			buf_append(buf, "\\", 1);
		buf_append(buf, text, 1);
	}
	buf_puts(buf, "\"");
}

static void put_int(struct buf *buf, int64_t n)
{
	buf_printf(buf, "%c%" PRId64, buf->len == 0 ? '{' : ',', n);
}

static void take_array(struct params *params, struct buf *buf)
{
	buf_puts(buf, buf->len == 0 ? "{}" : "}");
	params_take(params, buf_take(buf));
}

static bool take_marked(struct job *job, const struct db_answer *answer, struct err *err)
{
	const struct db_result *rows = answer->results[0];

	(void)err;
	for (size_t i = 0; i < db_rows(rows); i++)
		for (unsigned k = 0; k < job->n_marks; k++)
			job->marks[k].twin |= job->marks[k].id == db_int(rows, i, 0);
	return true;
}

struct call *store_outbox_mark(struct store *store, struct owed_mark *marks, unsigned n,
			       call_done_fn done, void *data)
{
	static const char *const ends[] = {
		[OWED_DELIVERED] = "delivered", [OWED_LATER] = "later", [OWED_DEAD] = "dead"
	};
	struct job *job = job_create(store, NULL, done, data);
	struct buf ids, endings, stamps, later, errors, channels;
	struct params params;

	buf_init(&ids, ARRAY_MAX);
	buf_init(&endings, ARRAY_MAX);
	buf_init(&stamps, ARRAY_MAX);
	buf_init(&later, ARRAY_MAX);
	buf_init(&errors, ARRAY_MAX);
	buf_init(&channels, ARRAY_MAX);
	for (unsigned i = 0; i < n; i++) {
		put_int(&ids, marks[i].id);
		put_text(&endings, ends[marks[i].end]);
		put_text(&stamps, marks[i].ts);
		put_int(&later, marks[i].later_ms);
		put_text(&errors, marks[i].error);
		put_text(&channels, marks[i].channel);
	}
	params_init(&params, store);
	take_array(&params, &ids);
	take_array(&params, &endings);
	take_array(&params, &stamps);
	take_array(&params, &later);
	take_array(&params, &errors);
	take_array(&params, &channels);
	job->take = take_marked;
	job->marks = marks;
	job->n_marks = n;
	return job_start(job, store->work, "ops_outbox_mark",
			 "SELECT ops.outbox_mark($1, $2, $3, $4, $5, $6, $7, $8)", &params,
			 MARK_MS);
}

/* progress */

static bool take_progress(struct job *job, const struct db_answer *answer, struct err *err)
{
	return db_bool(answer->results[0], 0, 0) ? true : store_fenced_off(job, err);
}

struct call *store_progress(struct store *store, struct request *rq, const json_t *facts,
			    call_done_fn done, void *data)
{
	struct job *job = job_create(store, rq, done, data);
	struct params params = { 0 };

	params_text(&params, store->boot_id);
	params_text(&params, rq->id);
	params_int(&params, rq->fence);
	params_json(&params, facts);
	job->take = take_progress;
	return job_start(job, store->work, "ops_progress", "SELECT ops.progress($1, $2, $3, $4)",
			 &params, PROGRESS_MS);
}
