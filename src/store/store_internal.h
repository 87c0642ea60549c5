/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_internal - what the files of this folder share: one SQL function call as a struct job, its
 * parameters, and the requests that this replica works on (their leases are renewed).
 */
#ifndef OPSD_STORE_INTERNAL_H
#define OPSD_STORE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/call.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/list.h"
#include "net/db.h"
#include "store/audit.h"
#include "store/requests.h"

struct disowned;
struct held;
struct owed;
struct request;
struct signing_key;
struct signing_turn;

struct store {
	uv_loop_t *loop;
	struct db *intake, *work;
	char *boot_id, *version, *audit_channel, *approval_channel;
	int64_t approval_s;
	bool read_only;
	struct store_proof proof;
	char *observer; /* JSON text: who wrote an audit entry */
	void (*ready)(void *data, struct owed *owed);
	void *ready_data;
	void (*unclaimed)(void *data, bool crowded); /* something is owed to nobody's hands */
	void *unclaimed_data;
	bool crowded;      /* the call that is being made may leave something so */
	unsigned room;     /* messages the sender still takes */
	struct held *held; /* by request id */
	unsigned renewals;
	struct call *sweep_call, *seal_call, *sign_call, *checkpoint_call;
	int64_t checkpoint_s;              /* 0: none */
	const struct signing_key *signing; /* NULL: seals are not signed */
	struct signing_turn *sign_turn;
	/* disown.c */
	uv_timer_t disown_timer;
	struct list disowned; /* oldest first */
	size_t disowning;     /* how many of them the call in flight names */
	bool disown_alone;    /* the server refused a batch: one at a time */
	struct call *disown_call;
};

/* parameters of one statement; texts made here live until params_finish */
enum { PARAMS_OWNED_MAX = 12, PARAMS_NUMBERS_MAX = 8, PARAMS_NUMBER_LEN = 24 };
struct params {
	const char *values[DB_PARAMS_MAX];
	size_t n;
	char *owned[PARAMS_OWNED_MAX];
	size_t n_owned;
	char numbers[PARAMS_NUMBERS_MAX][PARAMS_NUMBER_LEN];
	size_t n_numbers;
};
void params_init(struct params *params, const struct store *store); /* boot and observer first */
void params_delivery(struct params *params,
		     const struct request *rq);               /* id … user, in SQL's order */
void params_text(struct params *params, const char *text);    /* lent; NULL: SQL NULL */
void params_take(struct params *params, char *text);          /* freed by params_finish */
void params_json(struct params *params, const json_t *value); /* canonical text; NULL, null */
void params_int(struct params *params, int64_t n);
void params_bool(struct params *params, bool b);
void params_finish(struct params *params);

/* one function call in flight */
struct job {
	struct call call;
	struct store *store;
	struct call *inner;
	struct request *rq; /* lent by the caller until done or cancel; may be NULL */
	/* Reads the answer; false: err says why it counts as a failure. */
	bool (*take)(struct job *job, const struct db_answer *answer, struct err *err);
	/* No answer: err, or NULL when the caller cancelled.  May be NULL.  It may set
	 * job->disowned: then the job goes on until store_job_sure. */
	void (*lost)(struct job *job, const struct err *err);
	call_done_fn done;
	void *data;
	int64_t sent_ms; /* clock_mono_ms */
	json_t *announce, *reply;
	json_t **ret_row;
	void (*found)(void *data, const json_t *row);
	bool click;
	bool crowded; /* it may owe what it does not hand over */
	bool unmade;  /* it owes a message that is made when it is claimed */
	struct owed_mark *marks;
	unsigned n_marks;
	const char
		*dedup; /* a delivery of it that is still to be disowned goes first; NULL: none */
	size_t at;      /* of its own answer */
	/* What the person is told waits until it is made sure that nothing was recorded; NULL: it
	 * does not.  lost_err: what they are told then. */
	struct disowned *disowned;
	struct err lost_err;
};
struct job *job_create(struct store *store, struct request *rq, call_done_fn done, void *data);
struct call *job_start(struct job *job, struct db *db, const char *name, const char *sql,
		       struct params *params, unsigned timeout_ms); /* finishes params */

enum { /* ops.answer */
       ANSWER_STATE,
       ANSWER_FENCE,
       ANSWER_PERSON,
       ANSWER_PERSON_NAME,
       ANSWER_PERSON_EMAIL,
       ANSWER_CODE,
       ANSWER_DETAIL,
       ANSWER_KNOWN_ID,
       ANSWER_KNOWN_STATE,
       ANSWER_ROW,
       ANSWER_OWED,
};

enum { /* ops.written */
       WRITTEN_OK,
       WRITTEN_STATE,
       WRITTEN_CODE,
       WRITTEN_DETAIL,
       WRITTEN_AUDIT_ID,
       WRITTEN_REPLY_ID,
       WRITTEN_CHANNEL,
       WRITTEN_USER,
       WRITTEN_URL,
       WRITTEN_CREATED_MS,
       WRITTEN_OWED,
};

/* Reading those.  What returns bool: false: err says why. */
json_t *store_json(const char *text);                                    /* NULL: none */
void store_take_known(struct request *rq, const struct db_result *rows); /* of an ops.answer */
bool store_take_state(struct request *rq, const char *name, struct err *err);
void store_take_decision(struct request *rq, const char *code, const char *detail);
bool store_fenced_off(const struct job *job, struct err *err); /* false */
/* Of a click: what came of it, and the row to go on with, which is held: it may be another request
 * than that of the button.  The click's own fence stays as it is. */
bool store_take_click(struct job *job, const struct db_answer *answer, struct err *err);
bool store_written_ok(const struct job *job, const struct db_answer *answer, struct err *err);
/* For job.lost: of what was answered "not recorded", and of a step whose row waits for its timer.
 */
void store_lost_intake(struct job *job, const struct err *err);
void store_lost_work(struct job *job, const struct err *err);

/* A refusal of the server in words that say what to do; other errors stay as they are. */
void store_db_err(const struct db_answer *answer, const struct err *from, struct err *err);

/* The requests that this replica works on. */
void store_hold(struct store *store, const struct request *rq);
void store_release(struct store *store, const char *id);
void store_release_all(struct store *store);
/* "{id,…}" and "{fence,…}" of those held for at least min_age_ms; NULL: none.  The caller frees. */
char *store_held_ids(struct store *store, int64_t min_age_ms, char **ret_fences);

/* The answer to a delivery was lost: makes sure that it is not recorded, for as long as it takes.
 * said: the person was told so already; else the job waits for that, but not longer than its person
 * can. */
void store_disown(struct store *store, struct job *job, bool said);
void store_disown_said(struct disowned *item); /* the job is gone */
/* It is recorded as known_id, or (NULL) it is not.  Ends the job. */
void store_job_sure(struct job *job, const char *known_id, const char *known_state);
/* One that is still to be disowned, as a statement; values has room for DISOWN_PARAMS. */
enum { DISOWN_PARAMS = 8 };
bool store_disowned(const struct store *store, const char *dedup,
		    struct db_statement *ret_statement, const char *values[DISOWN_PARAMS]);
void store_disown_init(struct store *store);
void store_disown_finish(
	struct store *store); /* closes the timer, whose close callback frees store */

/* audit.c: a function that answers with one JSON text; finishes params.  10 s at most; _slowly: a
 * minute, for what may wait for a sync that is under way. */
struct call *store_read(struct db *db, const char *name, const char *sql, struct params *params,
			store_json_fn done, void *data);
struct call *store_read_slowly(struct db *db, const char *sql, struct params *params,
			       store_json_fn done, void *data);

void store_sign_cancel(struct store *store);
/* Seals the audit log in the background; one replica at a time does it. */
void store_seal(struct store *store);

/* Messages that a statement wrote and claimed for us: a JSON array of rows, or NULL. */
void store_take_owed(struct store *store, const char *rows, int64_t sent_ms);
void store_give(struct store *store, struct owed *owed);
/* How many messages a statement may claim for us; n are set aside. */
unsigned store_reserve(struct store *store, unsigned n);

#endif
