/* SPDX-License-Identifier: Apache-2.0 */
/* op_world.c - see op_world.h. */
#include "op_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

struct stage *stage;

/* One letter a step, in the order of enum op_step. */
static const char letters[] = "RCKVTPIDpOaWSA?G!";

static struct call *answer(enum op_step step, call_done_fn done, void *data)
{
	unsigned n = stage->calls[step]++;
	enum err_kind kind = stage->script.fail[step][n < 4 ? n : 3];
	struct err err;

	stage->trace[strlen(stage->trace)] = letters[step];
	if (stage->script.silent[step])
		return NULL;
	if (kind == ERR_NONE)
		return call_later(&stage->loop, NULL, done, data);
	err_set(&err, kind, "scripted");
	return call_later(&stage->loop, &err, done, data);
}

static struct call *on_receive(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	(void)ctx;
	rq->state = stage->script.received;
	rq->known_id = stage->script.known;
	return answer(OP_RECEIVE, done, data);
}

static struct call *on_confirm(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	(void)ctx;
	rq->state = stage->script.confirmed;
	rq->confirmed = rq->state == REQUEST_CONFIRMING;
	memcpy(rq->confirmed_digest, rq->digest, sizeof(rq->digest));
	return answer(OP_CONFIRM, done, data);
}

static struct call *on_people(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	(void)ctx;
	return answer(rq->code != NULL ? OP_PROVE : OP_PEOPLE, done, data);
}

static struct call *on_decide(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	(void)ctx;
	rq->state = stage->script.decided;
	if (stage->calls[OP_DECIDE] < stage->script.step_ups) {
		rq->state = REQUEST_RECEIVED;
		rq->code = "step_up";
	}
	return answer(OP_DECIDE, done, data);
}

static struct call *on_plan(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	(void)ctx;
	json_decref(rq->plan);
	rq->plan = json_loads(stage->script.plan, 0, NULL);
	return answer(OP_PLAN, done, data);
}

static struct call *on_offer(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	(void)ctx;
	rq->state = REQUEST_CONFIRMING;
	return answer(OP_OFFER, done, data);
}

static struct call *on_clicker(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	(void)ctx, (void)rq;
	return answer(OP_CLICKER, done, data);
}

static struct call *on_vote(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	(void)ctx;
	rq->state = REQUEST_APPROVING;
	rq->code = stage->calls[OP_VOTE] < stage->script.step_ups ? "step_up" : NULL;
	return answer(OP_VOTE, done, data);
}

static struct call *on_ask(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	(void)ctx;
	rq->state = REQUEST_APPROVING;
	return answer(OP_ASK, done, data);
}

static struct call *on_steer(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	(void)ctx;
	rq->state = REQUEST_CANCELLED;
	return answer(OP_STEER, done, data);
}

static struct call *on_schedule(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	(void)ctx;
	rq->state = stage->script.scheduled;
	return answer(OP_SCHEDULE, done, data);
}

static struct call *on_start(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	(void)ctx;
	rq->busy = stage->calls[OP_START] < stage->script.busy;
	if (rq->busy)
		assert_int_equal(rq->waits, stage->calls[OP_START]);
	else
		rq->state = stage->script.started;
	return answer(OP_START, done, data);
}

static struct call *on_act(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	(void)ctx, (void)rq;
	return answer(OP_ACT, done, data);
}

static struct call *on_look(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	unsigned n = stage->calls[OP_LOOK];

	(void)ctx;
	json_decref(rq->outcome);
	rq->outcome = json_pack("{s:s}", "state", stage->script.look[n < 2 ? n : 1]);
	return answer(OP_LOOK, done, data);
}

static struct call *on_repeat(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	(void)ctx;
	rq->frozen = stage->script.frozen;
	return answer(OP_REPEAT, done, data);
}

static struct call *on_settle(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	(void)ctx;
	stage->final = rq->state;
	stage->kept = rq->err.kind;
	return answer(OP_SETTLE, done, data);
}

static void on_answered(void *ctx, struct request *rq, const struct err *err)
{
	(void)ctx, (void)rq;
	stage->n_answered++;
	stage->answered = err == NULL ? ERR_NONE : err->kind;
}

static void on_finished(void *ctx, const struct request *rq, const struct err *err)
{
	(void)ctx;
	stage->n_finished++;
	stage->finished = err == NULL ? ERR_NONE : err->kind;
	if (stage->calls[OP_SETTLE] == 0)
		stage->final = rq->state;
}

const struct op_ports stage_ports = {
	.step = { [OP_RECEIVE] = on_receive,
		  [OP_CONFIRM] = on_confirm,
		  [OP_CLICKER] = on_clicker,
		  [OP_VOTE] = on_vote,
		  [OP_STEER] = on_steer,
		  [OP_PEOPLE] = on_people,
		  [OP_PROVE] = on_people,
		  [OP_DECIDE] = on_decide,
		  [OP_PLAN] = on_plan,
		  [OP_OFFER] = on_offer,
		  [OP_ASK] = on_ask,
		  [OP_SCHEDULE] = on_schedule,
		  [OP_START] = on_start,
		  [OP_ACT] = on_act,
		  [OP_LOOK] = on_look,
		  [OP_REPEAT] = on_repeat,
		  [OP_SETTLE] = on_settle },
	.step_ms = { 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20 },
	.settle_retry_ms = 1,
	.busy_retry_ms = 1,
	.answered = on_answered,
	.finished = on_finished,
};

const struct action_kind conditional = { .name = "test.change", .effect = ACTION_CONDITIONAL };
const struct action_kind once = { .name = "test.once", .effect = ACTION_ONCE };
const struct action_kind reads = { .name = "test.read", .effect = ACTION_READ };

/* Runs one op to its end and the loop dry. */
struct stage play(const struct script *script, int risk, const struct action_kind *kind,
		  enum op_step first, const char *confirmed_plan)
{
	struct stage now = { .script = *script };
	struct command command = { .title = "test", .risk = risk, .kind = kind };
	struct request *rq = request_create();
	struct op_list *list;

	stage = &now;
	command.approvals = script->rules;
	command.n_approvals = script->rules != NULL ? 1 : 0;
	assert_int_equal(uv_loop_init(&now.loop), 0);
	list = op_list_create(&now.loop, &stage_ports);
	rq->command = &command;
	rq->args = json_object();
	rq->approved = script->approved != NULL;
	if (script->approved != NULL) {
		json_t *plan = json_loads(script->approved, 0, NULL);

		plan_digest(plan, rq->approved_digest);
		json_decref(plan);
	}
	rq->unheard = script->unheard;
	rq->not_before = script->not_before;
	rq->undoes = script->undoes ? "R0000000000000000" : NULL;
	rq->reverts = script->reverts;
	rq->steering = script->steering;
	rq->state = REQUEST_RUNNING;
	if (confirmed_plan != NULL) {
		json_t *plan = json_loads(confirmed_plan, 0, NULL);

		plan_digest(plan, rq->digest);
		json_decref(plan);
	}
	(void)op_start(list, rq, first);
	uv_run(&now.loop, UV_RUN_DEFAULT);
	assert_int_equal(op_list_count(list), 0);
	op_list_destroy(list);
	assert_int_equal(uv_loop_close(&now.loop), 0);
	return now;
}

const struct script good = { .received = REQUEST_ALLOWED,
			     .confirmed = REQUEST_CONFIRMING,
			     .decided = REQUEST_ALLOWED,
			     .started = REQUEST_RUNNING,
			     .plan = PLAN,
			     .look = { "unknown", "unknown" } };
