/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intake - envelopes in, requests out: slash commands, buttons and forms end in the same typed
 * arguments.
 *
 * Answers every envelope in time.  What asks for something becomes a request and is acknowledged
 * once its row is committed (intake_answered); what only shows something is acknowledged at once.
 */
#ifndef OPSD_CHAT_INTAKE_H
#define OPSD_CHAT_INTAKE_H

#include <uv.h>

#include "base/call.h"
#include "base/json.h"
#include "chat/guess.h"
#include "core/op.h"
#include "slack/socket.h"

struct catalog;
struct err;
struct intake;
struct request;
struct slack_people;
struct slack_web;

struct tell_port { /* what a person may know of rights: ops.tell's question and answer */
	struct call *(*tell)(void *ctx, const json_t *question,
			     void (*done)(void *data, const json_t *value, const struct err *err),
			     void *data);
	void *ctx;
};

struct later_port { /* store_active, store_home and store_undoable */
	struct call *(*active)(void *ctx, const char *team, const char *user,
			       void (*done)(void *data, const json_t *value, const struct err *err),
			       void *data);
	struct call *(*home)(void *ctx, const char *team, const char *user,
			     void (*done)(void *data, const json_t *value, const struct err *err),
			     void *data);
	struct call *(*undoable)(void *ctx, const char *id,
				 void (*done)(void *data, const json_t *value,
					      const struct err *err),
				 void *data);
	void *ctx;
};

struct intake_config {
	struct slack_web *web;
	struct slack_people *people;
	struct op_list *ops;
	const json_t *prefixes; /* { "/workers": "workers" }: slash commands of one prefix; others
				   take all */
	unsigned max_ops;       /* requests under way; beyond it people are told to wait; 0: 2000 */
	struct tell_port tell;
	struct later_port later;
	struct guess_port may; /* which actions a Slack user may use */
};

struct intake *intake_create(uv_loop_t *loop, const struct intake_config *config);
void intake_destroy(struct intake *intake);
void intake_set_socket(struct intake *intake, struct slack_socket *socket); /* acks go there */
void intake_set_workspace(struct intake *intake,
			  const char *url); /* as auth.test says; NULL: not known */
void intake_set_catalog(struct intake *intake, struct catalog *catalog); /* takes a reference */

/* For slack_socket_config.envelope. */
void intake_envelope(void *intake, const struct envelope *envelope, struct slack_via via);

/* For op_ports.answered: the acknowledgement of a request. */
void intake_answered(struct intake *intake, struct request *rq, const struct err *err);

#endif
