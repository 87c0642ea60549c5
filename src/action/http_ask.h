/* SPDX-License-Identifier: Apache-2.0 */
/* http_ask.h - one request to a declared API. */
#ifndef OPSD_ACTION_HTTP_ASK_H
#define OPSD_ACTION_HTTP_ASK_H

#include "internal.h"
#include "net/http.h"

enum { HTTP_ASK_BODY_MAX = 256 * 1024 };

struct http_ask {
	const struct api *api;
	const char *method, *path;
	const json_t *args;  /* the typed arguments, to see what they put into path */
	const json_t *query; /* object; null and "" are left out; may be NULL */
	const char *cursor_key, *cursor;
	const json_t *body; /* may be NULL */
	const char *key;    /* Idempotency-Key; NULL: none */
	bool keyed;         /* the API honours it */
	enum http_connection connection;
	unsigned timeout_ms;
};

/* answer: the JSON of a 2xx; NULL when it was none (then err is NULL only for what is no read).
 * err kinds as action's apply. */
typedef void (*http_ask_fn)(void *data, int status, const json_t *answer, const struct err *err);
struct call *http_ask_start(const struct action_env *env, const struct http_ask *want,
			    http_ask_fn done, void *data);

/* Runs an expression on the arguments with "answer" beside them.  A new reference; NULL: err. */
json_t *http_shape(const char *expr, const json_t *args, const json_t *answer, struct err *err);

/* --- http_call.c: the steps that a task shares with any other call --- */

struct call *http_call_plan(struct action_env *env, const struct action_run *run,
			    action_done_fn done, void *data);
struct call *http_call_apply(struct action_env *env, const struct action_run *run,
			     action_done_fn done, void *data);
struct call *http_call_look(struct action_env *env, const struct action_run *run,
			    action_done_fn done, void *data);
enum action_effect http_call_effect(const json_t *with);
bool http_call_check(const json_t *with, const struct action_env *env, const char **ret_param,
		     struct err *err);

/* --- http_task.c --- */

/* The id of the task that a call began: a text, NULL where it began none.  A new reference. */
json_t *http_task_id(const struct action_run *run, const json_t *answer);

#endif
