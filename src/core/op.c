/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op.c - one run of the way of a request.  op_names[] and next_of() say where each step leads;
 * op_enter() is the only place where the step changes.  Every ending of every step goes through
 * on_step().
 */
#include "core/op.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/failpoint.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/action.h"
#include "core/args.h"
#include "core/command.h"
#include "core/facts.h"
#include "core/request.h"

static const char *const op_names[] = {
	[OP_RECEIVE] = "receive", [OP_CONFIRM] = "confirm", [OP_CLICKER] = "clicker",
	[OP_VOTE] = "vote",       [OP_STEER] = "steer",     [OP_PEOPLE] = "people",
	[OP_PROVE] = "prove",     [OP_DECIDE] = "decide",   [OP_PLAN] = "plan",
	[OP_OFFER] = "offer",     [OP_ASK] = "ask",         [OP_SCHEDULE] = "schedule",
	[OP_START] = "start",     [OP_ACT] = "act",         [OP_LOOK] = "look",
	[OP_REPEAT] = "repeat",   [OP_SETTLE] = "settle",   [OP_DONE] = "done",
};

/* How often the effect of one run may be tried: the first, and once more when a look says "not
 * done". */
enum { ACT_TRIES = 2 };

/* A busy target is asked for again after ports.busy_retry_ms, and so often twice as late. */
enum { BUSY_DOUBLINGS = 3 };

struct op_list {
	uv_loop_t *loop;
	struct op_ports ports;
	struct list ops;
	void (*drained)(void *data);
	void *drained_data;
};

struct op {
	struct list_node node;
	struct op_list *list;
	uv_timer_t timer;   /* the step's deadline, or the wait before a step is tried again;
			       closing it frees */
	struct request *rq; /* owned */
	enum op_step step;
	bool waiting;      /* between two tries of a settle, or of a start */
	unsigned acts;     /* effects tried */
	struct call *call; /* the step in flight, or NULL */
};

static void op_enter(struct op *op, enum op_step step);

const char *op_step_name(enum op_step step)
{
	return op_names[step];
}

static void on_closed(uv_handle_t *timer)
{
	struct op *op = timer->data;

	request_destroy(op->rq);
	free(op);
}

static void op_leave(struct op *op)
{
	struct op_list *list = op->list;

	list_remove(&list->ops, &op->node);
	uv_close((uv_handle_t *)&op->timer, on_closed);
	if (list->ops.count == 0 && list->drained != NULL) {
		void (*drained)(void *data) = list->drained;

		list->drained = NULL;
		drained(list->drained_data);
	}
}

/* Where a run goes once its row's state is known. */
static enum op_step next_of_state(const struct request *rq)
{
	if (rq->known_id != NULL)
		return OP_DONE;
	if (rq->state == REQUEST_RECEIVED && str_eq(rq->code, "step_up"))
		return OP_PROVE;
	switch (rq->state) {
	case REQUEST_RECEIVED:
		return OP_PEOPLE;
	case REQUEST_ALLOWED:
	case REQUEST_CONFIRMING:
		return OP_PLAN;
	case REQUEST_RUNNING:
		return OP_ACT;
	case REQUEST_APPROVING:
	case REQUEST_SCHEDULED:
	case REQUEST_UNKNOWN:
	case REQUEST_SUCCEEDED:
	case REQUEST_FAILED:
	case REQUEST_DENIED:
	case REQUEST_REJECTED:
	case REQUEST_EXPIRED:
	case REQUEST_CANCELLED:
		break;
	}
	return OP_DONE;
}

static bool plan_is_empty(const json_t *plan)
{
	const json_t *changes = json_object_get(plan, "changes");

	return json_is_array(changes) && json_array_size(changes) == 0;
}

static enum op_step end_as(struct op *op, enum request_state state)
{
	op->rq->state = state;
	return OP_SETTLE;
}

static void too_long(struct request *rq)
{
	err_set(&rq->err, ERR_INVALID,
		"The change is too long to be shown whole to the people who would have to "
		"approve it. Ask for less at a time.");
}

/* The rules of now, whatever held when it was asked for.  false: nothing may run. */
static bool take_rules(struct request *rq)
{
	json_decref(rq->rules);
	rq->rules = args_approvals(rq->command, rq->args, rq->plan, &rq->err);
	if (rq->rules == NULL)
		return false;
	if (json_array_size(rq->rules) == 0) {
		json_decref(rq->rules);
		rq->rules = NULL;
	} else if (!facts_fit_card(rq->plan)) {
		too_long(rq);
		return false;
	}
	return true;
}

/* A value that somebody else has set since is never set back without a person's word for it; and
 * whether somebody may have been told that nothing was recorded is asked, never guessed. */
static bool needs_confirmation(const struct request *rq)
{
	bool foreign = rq->undoes != NULL && json_object_get(rq->plan, "foreign") != NULL;

	if (rq->confirmed && strcmp(rq->confirmed_digest, rq->digest) == 0)
		return false;
	return foreign || rq->unheard || (command_needs_confirmation(rq->command) && !rq->reverts);
}

static enum op_step start_of(const struct request *rq)
{
	return rq->not_before ? OP_SCHEDULE : OP_START;
}

static enum op_step next_of_plan(struct op *op)
{
	struct request *rq = op->rq;

	plan_digest(rq->plan, rq->digest);
	if (plan_is_empty(rq->plan))
		return end_as(op, REQUEST_SUCCEEDED);
	/* That it is set back was agreed to with the change itself, as long as it still is ours. */
	if (rq->reverts && !rq->unheard && json_object_get(rq->plan, "foreign") == NULL)
		return OP_START;
	if (!take_rules(rq))
		return end_as(op, REQUEST_FAILED);
	/* What was approved must be what would be done now; else the approvers see what changed.
	 */
	if (rq->approved && strcmp(rq->approved_digest, rq->digest) == 0)
		return start_of(rq);
	if (rq->approved && rq->rules != NULL)
		return OP_ASK;
	/* What was confirmed likewise; then the requester sees what changed. */
	if (needs_confirmation(rq)) {
		rq->confirmed = false;
		return OP_OFFER;
	}
	return rq->rules != NULL ? OP_ASK : start_of(rq);
}

/* A plan could not be made. */
static enum op_step next_of_no_plan(struct op *op)
{
	struct request *rq = op->rq;

	if (rq->rejection != NULL) /* a time that cannot be */
		return end_as(op, REQUEST_REJECTED);
	/* A revert is owed: what cannot be reached now is tried again. */
	if (rq->reverts && (rq->err.kind == ERR_RETRY || rq->err.kind == ERR_TIMEOUT ||
			    rq->err.kind == ERR_UNCERTAIN))
		return OP_SCHEDULE;
	return end_as(op, REQUEST_FAILED);
}

/* It waits, or nothing was written because its time has come. */
static enum op_step next_of_schedule(struct op *op)
{
	if (op->rq->state == REQUEST_SCHEDULED)
		return OP_DONE;
	return op->rq->err.kind != ERR_NONE ? end_as(op, REQUEST_FAILED) : OP_START;
}

/* Only an effect that excludes its own double at the target may be tried again. */
static bool may_repeat(const struct op *op)
{
	const struct command *command = op->rq->command;
	enum action_effect effect = action_effect_of(command->kind, command->with);

	return op->acts < ACT_TRIES && (effect == ACTION_CONDITIONAL || effect == ACTION_KEYED);
}

static enum op_step next_of_look(struct op *op)
{
	const char *state = jget_str_or(op->rq->outcome, "state", "unknown");

	if (strcmp(state, "done") == 0)
		return end_as(op, REQUEST_SUCCEEDED);
	if (strcmp(state, "not_done") == 0)
		return may_repeat(op) ? OP_REPEAT : end_as(op, REQUEST_FAILED);
	return end_as(op, REQUEST_UNKNOWN);
}

/* The database has rules of its own for what is about to start. */
static enum op_step ask_first(struct op *op)
{
	if (facts_fit_card(op->rq->plan))
		return OP_ASK;
	too_long(op->rq);
	return end_as(op, REQUEST_FAILED);
}

/* Denied, or nobody has to be asked now. */
static enum op_step after_ask(const struct op *op)
{
	return request_state_final(op->rq->state) ? OP_DONE : start_of(op->rq);
}

static enum op_step next_on_success(struct op *op)
{
	switch (op->step) {
	case OP_CONFIRM:
		if (op->rq->confirmed && op->rq->command == NULL) /* it was taken out since */
			return end_as(op, REQUEST_FAILED);
		return next_of_state(op->rq);
	case OP_RECEIVE:
	case OP_DECIDE:
		return next_of_state(op->rq);
	case OP_CLICKER:
		if (op->rq->steering)
			return OP_STEER;
		return request_confirms(op->rq) ? OP_CONFIRM : OP_VOTE;
	case OP_PEOPLE:
		return OP_DECIDE;
	case OP_PROVE: /* it took minutes: is it still the same account? */
		if (op->rq->proving)
			return OP_CLICKER;
		op->rq->code = NULL;
		return OP_PEOPLE;
	case OP_PLAN:
		return next_of_plan(op);
	case OP_ASK:
		return op->rq->state == REQUEST_APPROVING ? OP_DONE : after_ask(op);
	case OP_SCHEDULE:
		return next_of_schedule(op);
	case OP_START:
		if (op->rq->state == REQUEST_ALLOWED || op->rq->state == REQUEST_CONFIRMING)
			return ask_first(op);
		return op->rq->state == REQUEST_RUNNING ? OP_ACT : OP_DONE;
	case OP_ACT:
		return end_as(op, REQUEST_SUCCEEDED);
	case OP_LOOK:
		return next_of_look(op);
	case OP_REPEAT:
		return op->rq->frozen ? end_as(op, REQUEST_FAILED) : OP_ACT;
	case OP_VOTE:
		if (op->rq->proving || !str_eq(op->rq->code, "step_up"))
			break;
		op->rq->proving = true;
		return OP_PROVE;
	case OP_STEER:
	case OP_OFFER:
	case OP_SETTLE:
	case OP_DONE:
		break;
	}
	return OP_DONE;
}

/* A step failed: rq->err says why.  What may have happened is looked at; nothing is guessed. */
static enum op_step next_on_error(struct op *op)
{
	struct request *rq = op->rq;

	switch (op->step) {
	case OP_PEOPLE:
	case OP_PLAN:
		return next_of_no_plan(op);
	case OP_PROVE:
		rq->rejection = arena_strdup(rq->arena, rq->err.msg);
		if (rq->proving) /* the vote is refused where it would be counted */
			return OP_VOTE;
		rq->code = "proof_failed";
		return end_as(op, REQUEST_DENIED);
	case OP_ACT:
		if (command_reads(rq->command))
			return end_as(op, REQUEST_FAILED);
		if (rq->err.kind == ERR_UNCERTAIN || rq->err.kind == ERR_TIMEOUT ||
		    rq->err.kind == ERR_INTERNAL)
			return OP_LOOK;
		/* A second try refused by its own precondition says that the first one, or
		 * somebody, got there. */
		return op->acts > 1 ? OP_LOOK : end_as(op, REQUEST_FAILED);
	case OP_LOOK:
		return end_as(op, REQUEST_UNKNOWN);
	case OP_RECEIVE:
	case OP_CONFIRM:
	case OP_CLICKER:
	case OP_VOTE:
	case OP_STEER:
	case OP_DECIDE:
	case OP_OFFER:
	case OP_ASK:
	case OP_SCHEDULE:
	case OP_START:
	case OP_REPEAT:
		/* The database did not take it.  The row, if there is one, is taken up again by its
		 * timer. */
	case OP_SETTLE:
	case OP_DONE:
		break;
	}
	return OP_DONE;
}

static void on_timer(uv_timer_t *timer);

/* The effect is over and only its record is missing: try for as long as the row is ours. */
static bool settle_again(struct op *op, const struct err *err)
{
	if (op->step != OP_SETTLE || err == NULL || err->kind == ERR_DENIED ||
	    err->kind == ERR_INVALID)
		return false;
	log_warn("outcome not recorded yet", LOG_STR("request", op->rq->id),
		 LOG_STR("error", err->msg));
	op->waiting = true;
	uv_timer_start(&op->timer, on_timer, op->list->ports.settle_retry_ms, 0);
	return true;
}

/* Somebody else is changing the target: the plan is made again once that may be over.  Meanwhile
 * the request is still ours, and SQL says when it is enough. */
static bool start_again(struct op *op, const struct err *err)
{
	struct request *rq = op->rq;
	unsigned n = rq->waits < BUSY_DOUBLINGS ? rq->waits : BUSY_DOUBLINGS;

	if (op->step != OP_START || err != NULL || !rq->busy)
		return false;
	rq->waits++;
	op->waiting = true;
	uv_timer_start(&op->timer, on_timer, (uint64_t)op->list->ports.busy_retry_ms << n, 0);
	return true;
}

/* The end of every step, good or bad. */
static void on_step(void *data, const struct err *err)
{
	struct op *op = data;
	const struct op_ports *ports = &op->list->ports;
	enum op_step next;

	op->call = NULL;
	uv_timer_stop(&op->timer);
	FAILPOINT("op.%s.over%s", op_names[op->step], err != NULL ? " badly" : "");
	if (settle_again(op, err) || start_again(op, err))
		return;
	if (err != NULL && op->step != OP_SETTLE)
		op->rq->err = *err;
	if (op->step == OP_RECEIVE || op->step == OP_CONFIRM || op->step == OP_VOTE ||
	    op->step == OP_STEER || (op->step == OP_CLICKER && err != NULL))
		ports->answered(ports->ctx, op->rq, err);
	next = err == NULL ? next_on_success(op) : next_on_error(op);
	if (next == OP_DONE)
		ports->finished(ports->ctx, op->rq, err);
	op_enter(op, next);
}

static void on_timer(uv_timer_t *timer)
{
	struct op *op = timer->data;
	struct err err;

	if (op->waiting) {
		op->waiting = false;
		op_enter(op, op->step == OP_SETTLE ? OP_SETTLE : OP_PLAN);
		return;
	}
	call_cancel(&op->call);
	err_set(&err, op->step == OP_ACT ? ERR_UNCERTAIN : ERR_TIMEOUT, "No answer in time (%s).",
		op_names[op->step]);
	on_step(op, &err);
}

static void op_enter(struct op *op, enum op_step step)
{
	const struct op_ports *ports = &op->list->ports;

	if (log_enabled(LOG_DEBUG))
		log_debug("step", LOG_STR("request", op->rq->id),
			  LOG_STR("from", op_names[op->step]), LOG_STR("to", op_names[step]));
	op->step = step;
	FAILPOINT("op.%s", op_names[step]);
	if (step == OP_DONE) {
		op_leave(op);
		return;
	}
	if (step == OP_ACT) {
		op->acts++;
		op->rq->err.kind = ERR_NONE;
	}
	uv_timer_start(&op->timer, on_timer, ports->step_ms[step], 0);
	op->call = ports->step[step](ports->ctx, op->rq, on_step, op);
}

struct op *op_start(struct op_list *list, struct request *rq, enum op_step first)
{
	struct op *op = xcalloc(1, sizeof(*op));

	assert(first < OP_DONE);
	op->list = list;
	op->rq = rq;
	op->step = first;
	uv_timer_init(list->loop, &op->timer);
	op->timer.data = op;
	list_push(&list->ops, &op->node);
	op_enter(op, first);
	return op;
}

struct op_list *op_list_create(uv_loop_t *loop, const struct op_ports *ports)
{
	struct op_list *list = xcalloc(1, sizeof(*list));

	for (int i = 0; i < OP_DONE; i++)
		assert(ports->step[i] != NULL && ports->step_ms[i] > 0);
	list->loop = loop;
	list->ports = *ports;
	list_init(&list->ops);
	return list;
}

size_t op_list_count(const struct op_list *list)
{
	return list->ops.count;
}

void op_list_drained(struct op_list *list, void (*drained)(void *data), void *data)
{
	if (list->ops.count == 0) {
		drained(data);
		return;
	}
	list->drained = drained;
	list->drained_data = data;
}

void op_list_destroy(struct op_list *list)
{
	struct list_node *node;

	if (list == NULL)
		return;
	while ((node = list_first(&list->ops)) != NULL) {
		struct op *op = list_entry(node, struct op, node);

		call_cancel(&op->call);
		list_remove(&list->ops, &op->node);
		uv_close((uv_handle_t *)&op->timer, on_closed);
	}
	free(list);
}
