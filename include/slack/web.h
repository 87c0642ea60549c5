/* SPDX-License-Identifier: Apache-2.0 */
/*
 * web - Slack's Web API: one call, its errors in classes, rate limits per method, pacing per
 * channel.
 *
 * After a 429 calls of that method wait (in order) until Retry-After has passed; nothing is ever
 * sent again after an unclear outcome except methods that only read.  Form or JSON by method.
 */
#ifndef OPSD_SLACK_WEB_H
#define OPSD_SLACK_WEB_H

#include <stdbool.h>
#include <uv.h>

#include "base/call.h"
#include "base/json.h"

struct http;
struct slack_web;

struct slack_web_config {
	const char *api_url;      /* ends in "/api/" */
	const char *bot_token;    /* a secret, borrowed */
	const char *hooks_prefix; /* "https://hooks.slack.com/"; a response_url must start with it
				     (or be on loopback when plain) */
	bool plain_loopback;
};

struct slack_web *slack_web_create(uv_loop_t *loop, struct http *http,
				   const struct slack_web_config *config);
void slack_web_destroy(struct slack_web *web); /* waiting calls end silently */

enum slack_class {
	SLACK_OK,
	SLACK_RETRY,     /* transient or rate limited: certainly not done; wait retry_ms */
	SLACK_UNCERTAIN, /* timeout after sending, 5xx, fatal_error, unreadable 2xx: may be done */
	SLACK_FATAL,     /* token, scope, account: an operator must act */
	SLACK_REFUSED,   /* this call can never work (channel, message, blocks, user) */
};

struct slack_answer {
	enum slack_class class;
	const char *error;  /* Slack's code, "" on success */
	const json_t *json; /* the answer or NULL; lent */
	int64_t retry_ms;   /* SLACK_RETRY: wait at least so long; 0 otherwise */
	const char *scopes; /* X-OAuth-Scopes or NULL */
};

/* err is set for every class but SLACK_OK: a sentence with the method, Slack's code, what it means
 * and the next step ("the bot is not in C1: invite it with /invite"). */
typedef void (*slack_done_fn)(void *data, const struct slack_answer *answer, const struct err *err);

/* done may be NULL: nobody waits, a failure is logged.  args: an object; taken over.
 * chat.postMessage, postEphemeral, update wait for the channel's pace (one a second, bursts of 3).
 * timeout_ms counts from the send; 0: 10,000. */
struct call *slack_web_call(struct slack_web *web, const char *method, json_t *args,
			    unsigned timeout_ms, slack_done_fn done, void *data);

/* POST to a response_url.  404 used_url/expired_url and other 4xx but 429: SLACK_REFUSED. */
struct call *slack_web_respond(struct slack_web *web, const char *response_url, json_t *message,
			       slack_done_fn done, void *data);

/* Milliseconds until the channel's pace, and what a 429 said, allow chat.postMessage; 0: at once.
 */
int64_t slack_web_channel_wait(const struct slack_web *web, const char *channel);

/* Pure: the class of an HTTP status and Slack error code. */
enum slack_class slack_web_classify(int status, const char *error, bool reads);
const char *slack_class_name(enum slack_class class);

#endif
