/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op - one run of the way of a request, from where its row stands to where it must wait or has
 * ended.
 *
 * Nothing is done that was not recorded first, and a refusal is recorded too.  Each step is done by
 * a port; an op knows nothing of Slack, SQL or Kubernetes.  src/app/ports.c binds those.  A crash
 * loses only the run: the row says where the next run begins.
 */
#ifndef OPSD_CORE_OP_H
#define OPSD_CORE_OP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/call.h"

/* In the order of the way; each is one port call.  Any of them may begin a run: what a crash left
 * says which. */
enum op_step {
	OP_RECEIVE, /* a new intent: record it, decide if the asker's facts are fresh */
	OP_CONFIRM, /* a click on a preview: record it, take the request over */
	OP_CLICKER, /* ask Slack who clicked on a card, unless that is known afresh */
	OP_VOTE,   /* record what that click says, if need be after OP_PROVE of who clicked; the run
		      ends, the last approval begins another */
	OP_STEER,  /* the same of a click that moves what has not started */
	OP_PEOPLE, /* ask Slack who the asker is */
	OP_PROVE,  /* a company sign-in, when the decision asks for one: minutes */
	OP_DECIDE, /* identify and decide, now that it is known */
	OP_PLAN,   /* work out its times, read the target, make the plan */
	OP_OFFER,  /* show the plan to the requester; the run ends, a click begins the next */
	OP_ASK,    /* show the plan to approvers; the run ends */
	OP_SCHEDULE, /* let it wait for its time; the run ends unless that has come */
	OP_START,    /* decide again, count the approvals again, commit the intent */
	OP_ACT,      /* the effect, or the read */
	OP_LOOK,     /* it is not clear what came of the effect: look at the target */
	OP_REPEAT,   /* it did not happen: may it still?  The freezes of now are asked */
	OP_SETTLE,   /* outcome, audit entry and what is owed */
	OP_DONE,
};

struct op;
struct op_list;
struct request;

/* Does one step on rq (lent until done).  Starts a call, as base/call.h sets out. */
typedef struct call *(*op_port_fn)(void *ctx, struct request *rq, call_done_fn done, void *data);

struct op_ports {
	op_port_fn step[OP_DONE];
	uint32_t step_ms[OP_DONE]; /* deadline of each step */
	uint32_t settle_retry_ms;  /* between tries of a settle that the database did not take */
	uint32_t busy_retry_ms;    /* before the first new try of a start whose target was busy */
	/* RECEIVE, CONFIRM, VOTE or STEER ended (err or NULL), or CLICKER did with err: the
	 * acknowledgement is due now; rq->proving: it was given before. */
	void (*answered)(void *ctx, struct request *rq, const struct err *err);
	/* The run is over; rq is lent for this last time. */
	void (*finished)(void *ctx, const struct request *rq, const struct err *err);
	void *ctx;
};

/* All runs under way: for the orderly stop and the metrics. */
struct op_list *op_list_create(uv_loop_t *loop,
			       const struct op_ports *ports); /* ports are copied */
void op_list_destroy(struct op_list *list); /* cancels every run; memory goes in close callbacks */
size_t op_list_count(const struct op_list *list);
void op_list_drained(struct op_list *list, void (*drained)(void *data),
		     void *data); /* once, when empty */

/* Takes rq over and frees it at the end. */
struct op *op_start(struct op_list *list, struct request *rq, enum op_step first);

const char *op_step_name(enum op_step step);

#endif
