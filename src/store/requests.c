/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requests.c - the SQL functions of a request's life, one C function each.  What an answer says
 * goes into the request; who works on a request is held by the store, and released by whatever ends
 * the run.  The columns of ops.answer and ops.written are in sql/migrations/0007 and 0008.
 */
#include "store/requests.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/action.h"
#include "core/args.h"
#include "core/catalog.h"
#include "core/command.h"
#include "core/owed.h"
#include "core/request.h"
#include "store_internal.h"

/* INTAKE_MS is below what a person is told after at the latest (disown.c): what was not answered by
 * then is made sure of in the rest. */
enum { INTAKE_MS = 1300, WORK_MS = 9000, ANSWER_JSON_MAX = 4 << 20 };

/* answers */

json_t *store_json(const char *text)
{
	struct err err;

	return text == NULL ? NULL : json_parse(text, strlen(text), ANSWER_JSON_MAX, &err);
}

bool store_take_state(struct request *rq, const char *name, struct err *err)
{
	if (name != NULL && request_state_from_name(name, &rq->state))
		return true;
	err_set(err, ERR_INTERNAL, "The database knows a state that this program does not: %s",
		name != NULL ? name : "none");
	return false;
}

void store_take_decision(struct request *rq, const char *code, const char *detail)
{
	rq->code = arena_strdup(rq->arena, code);
	json_decref(rq->detail);
	rq->detail = store_json(detail);
}

bool store_fenced_off(const struct job *job, struct err *err)
{
	err_set(err, ERR_DENIED, "Request %s was taken over by another replica.", job->rq->id);
	return false;
}

static void hold_if_open(struct store *store, const struct request *rq)
{
	if (rq->known_id == NULL && !request_state_final(rq->state))
		store_hold(store, rq);
	else
		store_release(store, rq->id);
}

void store_take_known(struct request *rq, const struct db_result *rows)
{
	rq->known_id = arena_strdup(rq->arena, db_text(rows, 0, ANSWER_KNOWN_ID));
	rq->known_state = arena_strdup(rq->arena, db_text(rows, 0, ANSWER_KNOWN_STATE));
}

static bool take_answer(struct job *job, const struct db_answer *answer, struct err *err)
{
	const struct db_result *rows = answer->results[job->at];
	struct request *rq = job->rq;

	if (db_rows(rows) == 0)
		return store_fenced_off(job, err);
	if (!store_take_state(rq, db_text(rows, 0, ANSWER_STATE), err))
		return false;
	store_take_known(rq, rows);
	rq->fence = db_int(rows, 0, ANSWER_FENCE);
	rq->person = db_int(rows, 0, ANSWER_PERSON);
	rq->person_name = arena_strdup(rq->arena, db_text(rows, 0, ANSWER_PERSON_NAME));
	rq->person_email = arena_strdup(rq->arena, db_text(rows, 0, ANSWER_PERSON_EMAIL));
	store_take_decision(rq, db_text(rows, 0, ANSWER_CODE), db_text(rows, 0, ANSWER_DETAIL));
	if (job->ret_row != NULL)
		*job->ret_row = store_json(db_text(rows, 0, ANSWER_ROW));
	hold_if_open(job->store, rq);
	store_take_owed(job->store, db_text(rows, 0, ANSWER_OWED), job->sent_ms);
	return true;
}

/* Nothing that is answered "not recorded" may happen.  ERR_INTERNAL: it is recorded, and this
 * program does not understand the answer.  err NULL: whoever waited has answered it. */
void store_lost_intake(struct job *job, const struct err *err)
{
	if (err == NULL || err->kind == ERR_RETRY || err->kind == ERR_TIMEOUT ||
	    err->kind == ERR_UNCERTAIN || err->kind == ERR_INTERNAL)
		store_disown(job->store, job, err == NULL);
}

/* The run ends here; the row is taken up again when its lease is over. */
void store_lost_work(struct job *job, const struct err *err)
{
	(void)err;
	store_release(job->store, job->rq->id);
}

/* An outcome is tried again by the caller, unless it can never be taken. */
static void lost_outcome(struct job *job, const struct err *err)
{
	if (err != NULL && (err->kind == ERR_DENIED || err->kind == ERR_INVALID))
		store_release(job->store, job->rq->id);
}

/* receive */

static bool has_secret(const struct command *command)
{
	for (size_t i = 0; command != NULL && i < command->n_params; i++)
		if (command->params[i].secret)
			return true;
	return false;
}

static void params_asker(struct params *params, const struct asker *asker)
{
	params_bool(params, asker->facts_fresh);
	params_text(params, asker->verdict);
	params_text(params, asker->email_key);
}

struct call *store_receive(struct store *store, struct request *rq, call_done_fn done, void *data)
{
	struct job *job = job_create(store, rq, done, data);
	const struct command *command = rq->command;
	bool secret = has_secret(command);
	struct params params;

	params_init(&params, store);
	params_delivery(&params, rq);
	params_text(&params, rq->asker.channel);
	params_text(&params, rq->asker.response_url);
	params_text(&params, secret ? NULL : rq->text);
	params_text(&params, command != NULL ? command->title : NULL);
	params_text(&params, command != NULL ? command->action : NULL);
	params_int(&params, command != NULL ? command->risk : 0);
	params_json(&params, rq->args);
	params_take(&params, NULL);
	if (secret && rq->args != NULL) {
		json_t *shown = args_shown(command, rq->args);

		params.values[params.n - 1] = params.owned[params.n_owned - 1] =
			json_canonical(shown);
		json_decref(shown);
	}
	params_json(&params, rq->scope);
	params_text(&params, rq->cursor);
	params_text(&params, rq->catalog != NULL ? catalog_digest(rq->catalog) : NULL);
	params_text(&params, rq->rejection);
	params_asker(&params, &rq->asker);
	params_text(&params, rq->asker.name);
	params_bool(&params, rq->delivery.takes_text);
	params_text(&params, store->audit_channel);
	params_int(&params, store_reserve(store, 0));
	params_text(&params, rq->undoes);
	job->take = take_answer;
	job->lost = store_lost_intake;
	job->dedup = rq->delivery.dedup;
	return job_start(
		job, store->intake, "ops_receive",
		"SELECT * FROM ops.receive($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
		"$13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28)",
		&params, INTAKE_MS);
}

/* decide */

struct call *store_decide(struct store *store, struct request *rq, call_done_fn done, void *data)
{
	struct job *job = job_create(store, rq, done, data);
	struct params params;

	params_init(&params, store);
	params_text(&params, rq->id);
	params_int(&params, rq->fence);
	params_text(&params, rq->asker.verdict);
	params_text(&params, rq->asker.email_key);
	params_text(&params, rq->asker.name);
	params_text(&params, store->audit_channel);
	params_int(&params, store_reserve(store, 0));
	job->take = take_answer;
	job->lost = store_lost_work;
	return job_start(job, store->work, "ops_decide",
			 "SELECT * FROM ops.decide_request($1, $2, $3, $4, $5, $6, $7, $8, $9)",
			 &params, WORK_MS);
}

/* confirm */

struct call *store_confirm(struct store *store, struct request *rq, bool yes, json_t **ret_row,
			   call_done_fn done, void *data)
{
	struct job *job = job_create(store, rq, done, data);
	struct params params;

	params_init(&params, store);
	params_delivery(&params, rq);
	params_text(&params, rq->asker.response_url);
	params_asker(&params, &rq->asker);
	params_bool(&params, yes);
	params_text(&params, rq->digest);
	params_text(&params, store->audit_channel);
	params_int(&params, store_reserve(store, 0));
	job->take = take_answer;
	job->lost = store_lost_intake;
	job->click = true;
	job->ret_row = ret_row;
	return job_start(
		job, store->intake, "ops_confirm",
		"SELECT * FROM ops.confirm($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
		"$13, $14, $15, $16)",
		&params, INTAKE_MS);
}

/* offer, start, settle */

static void give(struct job *job, const struct db_result *rows, const char *kind, size_t id_column,
		 json_t *body)
{
	bool audit = str_eq(kind, "audit");
	struct owed *owed;

	if (db_int(rows, 0, id_column) == 0)
		return;
	owed = xcalloc(1, sizeof(*owed));
	owed->id = db_int(rows, 0, id_column);
	owed->kind = xstrdup(kind);
	owed->request = xstrdup(job->rq->id);
	owed->channel =
		xstrdup_null(audit ? job->store->audit_channel : db_text(rows, 0, WRITTEN_CHANNEL));
	owed->user = xstrdup_null(audit ? NULL : db_text(rows, 0, WRITTEN_USER));
	owed->response_url = xstrdup_null(audit ? NULL : db_text(rows, 0, WRITTEN_URL));
	owed->body = json_incref(body);
	owed->created_ms = db_int(rows, 0, WRITTEN_CREATED_MS);
	owed->claimed_ms = job->sent_ms;
	store_give(job->store, owed);
}

bool store_written_ok(const struct job *job, const struct db_answer *answer, struct err *err)
{
	const struct db_result *rows = answer->results[0];

	if (db_rows(rows) == 0 || !db_bool(rows, 0, WRITTEN_OK))
		return store_fenced_off(job, err);
	return true;
}

static bool take_offered(struct job *job, const struct db_answer *answer, struct err *err)
{
	if (!store_written_ok(job, answer, err))
		return false;
	job->rq->state = REQUEST_CONFIRMING;
	if (db_text(answer->results[0], 0, WRITTEN_DETAIL) != NULL)
		json_object_set_new(job->reply, "frozen",
				    store_json(db_text(answer->results[0], 0, WRITTEN_DETAIL)));
	store_release(job->store, job->rq->id); /* it waits for a click; nobody's */
	give(job, answer->results[0], "preview", WRITTEN_REPLY_ID, job->reply);
	return true;
}

struct call *store_offer(struct store *store, struct request *rq, const json_t *preview,
			 call_done_fn done, void *data)
{
	struct job *job = job_create(store, rq, done, data);
	struct params params;

	job->reply = json_copy((json_t *)(uintptr_t)preview);
	params_init(&params, store);
	params_text(&params, rq->id);
	params_int(&params, rq->fence);
	params_json(&params, rq->plan);
	params_text(&params, rq->digest);
	params_json(&params, preview);
	params_int(&params, store_reserve(store, 1));
	job->take = take_offered;
	job->lost = store_lost_work;
	return job_start(job, store->work, "ops_offer",
			 "SELECT * FROM ops.offer($1, $2, $3, $4, $5, $6, $7, $8)", &params,
			 WORK_MS);
}

/* "for" counts from the start: now it is known when a temporary change ends. */
static void take_end(struct request *rq, const char *text)
{
	json_t *times = store_json(text);

	if (times == NULL)
		return;
	json_decref(rq->times);
	rq->times = times;
	json_object_set(rq->plan, "when", times);
}

static bool take_started(struct job *job, const struct db_answer *answer, struct err *err)
{
	const struct db_result *rows = answer->results[0];
	struct request *rq = job->rq;

	if (!store_written_ok(job, answer, err) ||
	    !store_take_state(rq, db_text(rows, 0, WRITTEN_STATE), err))
		return false;
	rq->busy = str_eq(db_text(rows, 0, WRITTEN_CODE), "busy") &&
		   (rq->state == REQUEST_ALLOWED || rq->state == REQUEST_CONFIRMING);
	if (rq->state == REQUEST_RUNNING || rq->busy) {
		store_hold(job->store, rq);
		if (rq->state == REQUEST_RUNNING)
			take_end(rq, db_text(rows, 0, WRITTEN_DETAIL));
		return true;
	}
	store_take_decision(rq, db_text(rows, 0, WRITTEN_CODE), db_text(rows, 0, WRITTEN_DETAIL));
	if (str_eq(rq->code, "needs_approval")) { /* by rules that only the database knows */
		json_decref(rq->rules);
		rq->rules = json_incref(json_object_get(rq->detail, "rules"));
		return true;
	}
	store_release(job->store, rq->id);
	store_take_owed(job->store, db_text(rows, 0, WRITTEN_OWED), job->sent_ms);
	return true;
}

struct call *store_start(struct store *store, struct request *rq, const char *effect,
			 const json_t *with, call_done_fn done, void *data)
{
	struct job *job = job_create(store, rq, done, data);
	struct params params;

	rq->busy = false;
	params_init(&params, store);
	params_text(&params, rq->id);
	params_int(&params, rq->fence);
	params_text(&params, rq->command->kind->name);
	params_text(&params, effect);
	params_json(&params, has_secret(rq->command) ? NULL : with);
	params_json(&params, rq->plan);
	params_text(&params, rq->digest);
	params_json(&params, rq->rules);
	params_take(&params, plan_lock(rq->plan));
	params_int(&params, rq->waits);
	params_text(&params, store->audit_channel);
	params_int(&params, store_reserve(store, 0));
	job->take = take_started;
	job->lost = store_lost_work;
	return job_start(job, store->work, "ops_start",
			 "SELECT * FROM ops.start($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
			 "$12, $13, $14)",
			 &params, WORK_MS);
}

static bool take_settled(struct job *job, const struct db_answer *answer, struct err *err)
{
	const struct db_result *rows = answer->results[0];

	if (!store_written_ok(job, answer, err))
		return false;
	store_release(job->store, job->rq->id);
	job->unmade = job->rq->state == REQUEST_UNKNOWN;
	give(job, rows, "audit", WRITTEN_AUDIT_ID, job->announce);
	give(job, rows, "reply", WRITTEN_REPLY_ID, job->reply);
	return true;
}

struct call *store_settle(struct store *store, struct request *rq, const json_t *announce,
			  const json_t *reply, call_done_fn done, void *data)
{
	struct job *job = job_create(store, rq, done, data);
	struct params params;

	job->announce = json_incref((json_t *)(uintptr_t)announce);
	job->reply = json_incref((json_t *)(uintptr_t)reply);
	params_init(&params, store);
	params_text(&params, rq->id);
	params_int(&params, rq->fence);
	params_text(&params, request_state_name(rq->state));
	params_text(&params, rq->code);
	params_json(&params, rq->outcome);
	params_text(&params, rq->err.kind != ERR_NONE ? rq->err.msg : NULL);
	params_json(&params, rq->plan);
	params_text(&params, rq->digest[0] != '\0' ? rq->digest : NULL);
	params_json(&params, announce);
	params_json(&params, reply);
	params_text(&params, store->audit_channel);
	params_int(&params, store_reserve(store, 2));
	job->take = take_settled;
	job->lost = lost_outcome;
	return job_start(
		job, store->work, "ops_settle",
		"SELECT * FROM ops.settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
		"$13, $14)",
		&params, WORK_MS);
}

/* take over */

static void found(struct job *job, const char *text)
{
	json_t *row = store_json(text);
	struct request rq = { 0 };

	if (row == NULL)
		return;
	(void)snprintf(rq.id, sizeof(rq.id), "%s", jget_str_or(row, "id", ""));
	rq.fence = jget_int(row, "fence", 0);
	store_hold(job->store, &rq);
	job->found(job->data, row);
	json_decref(row);
}

static bool take_due(struct job *job, const struct db_answer *answer, struct err *err)
{
	const struct db_result *rows = answer->results[0];

	(void)err;
	for (size_t i = 0; i < db_rows(rows); i++)
		found(job, db_text(rows, i, 0));
	return true;
}

struct call *store_claim_due(struct store *store, unsigned limit, store_found_fn found_fn,
			     call_done_fn done, void *data)
{
	struct job *job = job_create(store, NULL, done, data);
	struct params params;

	params_init(&params, store);
	params_int(&params, limit);
	params_text(&params, store->audit_channel);
	job->found = found_fn;
	job->take = take_due;
	return job_start(job, store->work, "ops_claim_due", "SELECT ops.claim_due($1, $2, $3, $4)",
			 &params, WORK_MS);
}
