/* SPDX-License-Identifier: Apache-2.0 */
/* ports.c - core's ports bound to the store, to action kinds and to Slack.  One struct port_call
 * per step. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "action/env.h"
#include "app/service.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/intake.h"
#include "chat/sender.h"
#include "core/action.h"
#include "core/args.h"
#include "core/catalog.h"
#include "core/command.h"
#include "core/facts.h"
#include "core/own.h"
#include "core/request.h"
#include "kube/client.h"
#include "ports_internal.h"
#include "slack/people.h"
#include "store/approvals.h"
#include "store/hold.h"
#include "store/requests.h"

enum { LOOK_MS = 10000 };

static void port_free(struct port_call *port)
{
	json_decref(port->acting);
	json_decref(port->with);
	json_decref(port->row);
	json_decref(port->preview);
	free(port);
}

static void port_cancel(struct call *call)
{
	struct port_call *port = (struct port_call *)call;

	call_cancel(&port->inner);
	port_free(port);
}

struct port_call *port_new(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct port_call *port = xcalloc(1, sizeof(*port));

	port->call.cancel = port_cancel;
	port->service = ctx;
	port->rq = rq;
	port->done = done;
	port->data = data;
	return port;
}

void port_done(struct port_call *port, const struct err *err)
{
	call_done_fn done = port->done;
	void *data = port->data;

	port_free(port);
	done(data, err);
}

void port_ended(void *data, const struct err *err)
{
	struct port_call *port = data;

	port->inner = NULL;
	port_done(port, err);
}

static struct call *port_receive(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct service *service = ctx;

	return store_receive(service->store, rq, done, data);
}

static struct call *port_decide(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct service *service = ctx;

	return store_decide(service->store, rq, done, data);
}

/* What a row says of time, and of the request that it sets back. */
static void take_later(struct request *rq, const json_t *row)
{
	json_decref(rq->times);
	json_decref(rq->undone);
	rq->times = json_is_object(json_object_get(row, "times"))
			    ? json_incref(json_object_get(row, "times"))
			    : NULL;
	rq->undone = json_incref(json_object_get(row, "undone"));
	rq->undoes = arena_strdup(rq->arena, jget_str(row, "undoes"));
	rq->reverts = str_eq(jget_str(row, "kind"), "revert");
	rq->not_before = !rq->reverts && jget_int(row, "starts_ms", 0) > 0;
}

/* A row of ops.request into rq: for a click, and for what a crash left. */
static void take_row(struct service *service, struct request *rq, const json_t *row)
{
	const char *title = jget_str(row, "command");

	if (rq->catalog == NULL)
		rq->catalog = catalog_ref(service->catalog);
	rq->command = title != NULL ? catalog_find_title(rq->catalog, title) : NULL;
	rq->text = arena_strdup(rq->arena, jget_str(row, "text"));
	rq->cursor = arena_strdup(rq->arena, jget_str(row, "cursor"));
	json_decref(rq->args);
	json_decref(rq->scope);
	json_decref(rq->offered_plan);
	rq->args = json_incref(json_object_get(row, "args"));
	rq->scope = json_incref(json_object_get(row, "scope"));
	rq->offered_plan = json_is_object(json_object_get(row, "plan"))
				   ? json_incref(json_object_get(row, "plan"))
				   : NULL;
	json_decref(rq->approved_by);
	rq->approved_by = json_is_array(json_object_get(row, "approved_by"))
				  ? json_incref(json_object_get(row, "approved_by"))
				  : NULL;
	take_later(rq, row);
	if (rq->asker.channel == NULL)
		rq->asker.channel = arena_strdup(rq->arena, jget_str(row, "channel"));
	rq->person = jget_int(row, "person_id", rq->person);
	rq->person_name = arena_strdup(rq->arena, jget_str_or(row, "person_name", rq->person_name));
	rq->person_email =
		arena_strdup(rq->arena, jget_str_or(row, "person_email", rq->person_email));
}

static void on_confirmed(void *data, const struct err *err)
{
	struct port_call *port = data;
	struct request *rq = port->rq;

	port->inner = NULL;
	if (err == NULL && port->row != NULL) {
		take_row(port->service, rq, port->row);
		rq->confirmed = rq->state == REQUEST_CONFIRMING;
		memcpy(rq->confirmed_digest, rq->digest, sizeof(rq->confirmed_digest));
		if (rq->confirmed && rq->command == NULL)
			err_set(&rq->err, ERR_INVALID, "The command is not declared any more.");
	}
	port_done(port, err);
}

static struct call *port_confirm(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct port_call *port = port_new(ctx, rq, done, data);

	port->inner = store_confirm(port->service->store, rq, str_eq(rq->delivery.kind, "confirm"),
				    &port->row, on_confirmed, port);
	return &port->call;
}

static void on_person(void *data, const struct slack_user *user, const struct err *err)
{
	struct port_call *port = data;

	port->inner = NULL;
	if (err == NULL)
		request_set_asker(port->rq,
				  user->verdict == SLACK_USER_OK
					  ? "ok"
					  : slack_user_verdict_name(user->verdict),
				  user->email, user->name, user->tz);
	port_done(port, err);
}

static struct call *port_people(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct port_call *port = port_new(ctx, rq, done, data);

	port->inner = slack_people_fetch(port->service->people, rq->asker.user, on_person, port);
	return &port->call;
}

void port_fill_run(struct port_call *port, unsigned timeout_ms)
{
	struct request *rq = port->rq;

	port->with = command_fill(rq->command->with, rq->args);
	port->run = (struct action_run){
		.request_id = rq->id,
		.with = port->with,
		.args = rq->args,
		.plan = port->plan != NULL ? port->plan
			: rq->plan != NULL ? rq->plan
					   : rq->offered_plan,
		.cursor = rq->cursor,
		.asked = command_shows_plan(rq->command) || rq->undoes != NULL,
		.timeout_ms = timeout_ms,
	};
}

/* --- as whom --- */

static void on_acting(void *data, const json_t *value, const struct err *err)
{
	struct port_call *port = data;
	struct err wrong;

	port->inner = NULL;
	if (err == NULL && !json_is_object(value)) {
		err_set(&wrong, ERR_DENIED, "the directory no longer has the person who asks");
		err = &wrong;
	} else if (err != NULL) { /* whatever became of the question: nothing was done */
		wrong = *err;
		wrong.kind = ERR_RETRY;
		err = &wrong;
	}
	if (err != NULL) {
		port->step_done(port, NULL, err);
		return;
	}
	port->acting = json_incref((json_t *)(uintptr_t)value);
	port->person = (struct kube_person){ .name = jget_str(value, "name"),
					     .uid = jget_str(value, "uid"),
					     .groups = json_object_get(value, "groups"),
					     .extra = json_object_get(value, "extra") };
	port->run.person = &port->person;
	port->inner = port->step(port->service->env, &port->run, port->step_done, port);
}

/* What a person asked for is done as that person where the cluster wants it so. */
void port_act_as(struct port_call *port, action_fn step, action_done_fn done)
{
	struct service *service = port->service;

	port_fill_run(port, PORT_ACTION_MS);
	port->step = step;
	port->step_done = done;
	if (action_env_impersonates(service->env, port->with))
		port->inner = store_acting(service->work_db, port->rq->person, port->rq->asker.user,
					   on_acting, port);
	else
		port->inner = step(service->env, &port->run, done, port);
}

static void take(json_t **slot, const json_t *value)
{
	json_decref(*slot);
	*slot = json_incref((json_t *)(uintptr_t)value);
}

static struct call *port_offer(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct port_call *port = port_new(ctx, rq, done, data);

	port->preview = facts_preview(rq);
	port->inner = store_offer(port->service->store, rq, port->preview, port_ended, port);
	return &port->call;
}

static struct call *port_ask(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct port_call *port = port_new(ctx, rq, done, data);
	bool changed = rq->approved && strcmp(rq->approved_digest, rq->digest) != 0;

	port->inner = store_ask(port->service->store, rq,
				changed ? json_object_get(rq->offered_plan, "changes") : NULL,
				port_ended, port);
	return &port->call;
}

static struct call *port_clicker(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	return port_people(ctx, rq, done, data);
}

/* The last approval begins a run of its own, with the requester as the one who asks; so does
 * "try again" below an unknown outcome. */
static void on_voted(void *data, const struct err *err)
{
	struct port_call *port = data;

	port->inner = NULL;
	if (err == NULL && port->row != NULL)
		service_resume(port->service, port->row);
	port_done(port, err);
}

static struct call *port_vote(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct port_call *port = port_new(ctx, rq, done, data);

	port->inner = request_resolves(rq)
			      ? store_resolve(port->service->store, rq, &port->row, on_voted, port)
			      : store_vote(port->service->store, rq, &port->row, on_voted, port);
	return &port->call;
}

static const char *effect_name(const struct command *command)
{
	static const char *const names[] = { [ACTION_READ] = "read",
					     [ACTION_CONDITIONAL] = "conditional",
					     [ACTION_KEYED] = "keyed",
					     [ACTION_ONCE] = "once" };

	return names[action_effect_of(command->kind, command->with)];
}

static struct call *port_start(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct port_call *port = port_new(ctx, rq, done, data);

	port_fill_run(port, PORT_ACTION_MS);
	port->inner = store_start(port->service->store, rq, effect_name(rq->command), port->with,
				  port_ended, port);
	return &port->call;
}

static void on_acted(void *data, const json_t *result, const struct err *err)
{
	struct port_call *port = data;

	port->inner = NULL;
	if (err == NULL)
		take(command_reads(port->rq->command) ? &port->rq->answer : &port->rq->outcome,
		     result);
	port_done(port, err);
}

static struct call *port_act(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct port_call *port = port_new(ctx, rq, done, data);

	port_act_as(port, rq->command->kind->apply, on_acted);
	return &port->call;
}

static void on_looked(void *data, const json_t *result, const struct err *err)
{
	struct port_call *port = data;

	port->inner = NULL;
	if (err == NULL)
		take(&port->rq->outcome, result);
	port_done(port, err);
}

static struct call *port_look(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct port_call *port = port_new(ctx, rq, done, data);

	port_fill_run(port, LOOK_MS);
	port->inner = rq->command->kind->look(port->service->env, &port->run, on_looked, port);
	return &port->call;
}

static struct call *port_repeat(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct service *service = ctx;

	return store_repeat(service->store, rq, done, data);
}

static struct call *port_settle(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct service *service = ctx;
	json_t *announce = facts_announce(rq), *reply = facts_reply(rq);
	struct call *call;

	if (rq->state == REQUEST_SUCCEEDED && rq->outcome != NULL &&
	    rq->command->kind->follow != NULL)
		json_object_set_new(rq->outcome, "follow", json_true());
	call = store_settle(service->store, rq, announce, reply, done, data);
	json_decref(announce);
	json_decref(reply);
	return call;
}

static struct call *own_ask(void *ctx, const char *what, const char *request, const json_t *args,
			    action_done_fn done, void *data)
{
	struct service *service = ctx;

	return store_own(service->store, what, request, args, done, data);
}

void service_own(struct service *service)
{
	const struct own_port own = { .ctx = service, .ask = own_ask };

	action_env_set_own(service->env, &own);
}

static void on_answered(void *ctx, struct request *rq, const struct err *err)
{
	struct service *service = ctx;

	if (err != NULL)
		log_warn("not recorded", LOG_STR("request", rq->id),
			 LOG_STR("user", rq->asker.user), LOG_STR("error", err->msg));
	intake_answered(service->intake, rq, err);
}

static void on_finished(void *ctx, const struct request *rq, const struct err *err)
{
	struct service *service = ctx;

	service->outcomes[rq->state]++;
	log_info("run over", LOG_STR("request", rq->id),
		 LOG_STR("state", request_state_name(rq->state)),
		 LOG_STR("command", rq->command != NULL ? rq->command->title : ""),
		 LOG_STR("user", rq->asker.user), LOG_STR("code", rq->code),
		 LOG_STR("error", err != NULL ? err->msg : rq->err.msg));
}

void service_ports(struct service *service, struct op_ports *ret_ports)
{
	*ret_ports = (struct op_ports){
		.step = { [OP_RECEIVE] = port_receive,
			  [OP_CONFIRM] = port_confirm,
			  [OP_CLICKER] = port_clicker,
			  [OP_VOTE] = port_vote,
			  [OP_STEER] = port_steer,
			  [OP_PEOPLE] = port_people,
			  [OP_PROVE] = port_prove,
			  [OP_DECIDE] = port_decide,
			  [OP_PLAN] = port_plan,
			  [OP_OFFER] = port_offer,
			  [OP_ASK] = port_ask,
			  [OP_SCHEDULE] = port_schedule,
			  [OP_START] = port_start,
			  [OP_ACT] = port_act,
			  [OP_LOOK] = port_look,
			  [OP_REPEAT] = port_repeat,
			  [OP_SETTLE] = port_settle },
		.step_ms = { [OP_RECEIVE] = 3000,
			     [OP_CONFIRM] = 3000,
			     [OP_CLICKER] = 1200, /* the acknowledgement waits for both */
			     [OP_VOTE] = 1600,
			     [OP_STEER] = 1600,
			     [OP_PEOPLE] = 15000,
			     [OP_PROVE] = 15 * 60 * 1000, /* a person types a code */
			     [OP_DECIDE] = 10000,
			     [OP_PLAN] = 20000,
			     [OP_OFFER] = 10000,
			     [OP_ASK] = 10000,
			     [OP_SCHEDULE] = 10000,
			     [OP_START] = 10000,
			     [OP_ACT] = 20000,
			     [OP_LOOK] = 15000,
			     [OP_REPEAT] = 10000,
			     [OP_SETTLE] = 10000 },
		.settle_retry_ms = FAILPOINT_MS(1000),
		.busy_retry_ms = FAILPOINT_MS(500),
		.answered = on_answered,
		.finished = on_finished,
		.ctx = service,
	};
}

/* The guards of now, whatever held when it was asked for. */
static bool guarded(struct request *rq)
{
	bool failed = false;
	const char *denied = args_guard(rq->command, rq->args, &failed);

	if (failed)
		denied = "A guard of this command could not be evaluated. Tell the data platform "
			 "team.";
	if (denied != NULL)
		err_set(&rq->err, ERR_INVALID, "%s", denied);
	return denied != NULL;
}

static enum op_step first_step(struct request *rq)
{
	if (rq->command == NULL) {
		err_set(&rq->err, ERR_INVALID,
			"The command is not declared any more, so the request was not carried on.");
		rq->state = rq->state == REQUEST_RUNNING ? REQUEST_UNKNOWN : REQUEST_FAILED;
		return OP_SETTLE;
	}
	if (rq->state != REQUEST_RUNNING && guarded(rq)) {
		rq->state = REQUEST_FAILED;
		return OP_SETTLE;
	}
	switch (rq->state) {
	case REQUEST_RECEIVED:
		return OP_PEOPLE;
	case REQUEST_RUNNING:
		if (command_reads(rq->command))
			return OP_ACT;
		rq->plan = json_incref(rq->offered_plan);
		if (rq->times != NULL && rq->undoes == NULL)
			json_object_set(rq->plan, "when", rq->times);
		return OP_LOOK;
	case REQUEST_ALLOWED: /* long after it was asked for: who is it now? */
		return OP_PEOPLE;
	case REQUEST_CONFIRMING:
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
	return OP_PLAN;
}

struct request *service_request(struct service *service, const json_t *row)
{
	struct request *rq = request_create();

	(void)snprintf(rq->id, sizeof(rq->id), "%s", jget_str_or(row, "id", ""));
	rq->asker.team = arena_strdup(rq->arena, jget_str(row, "team"));
	rq->asker.user = arena_strdup(rq->arena, jget_str(row, "slack_user"));
	rq->fence = jget_int(row, "fence", 0);
	take_row(service, rq, row);
	return rq;
}

void service_resume(struct service *service, const json_t *row)
{
	struct request *rq = service_request(service, row);

	if (!request_state_from_name(jget_str_or(row, "state", ""), &rq->state) ||
	    request_state_final(rq->state)) {
		log_error("claimed row is not open", LOG_STR("request", rq->id));
		request_destroy(rq);
		return;
	}
	rq->unheard = json_is_true(json_object_get(row, "unheard"));
	/* A plan that it was let go on with, by a button or because none was needed. */
	rq->confirmed =
		!rq->unheard && (rq->state == REQUEST_CONFIRMING ||
				 (rq->state == REQUEST_ALLOWED && jget_str(row, "digest") != NULL));
	(void)snprintf(rq->confirmed_digest, sizeof(rq->confirmed_digest), "%s",
		       jget_str_or(row, "digest", ""));
	rq->approved = jget_str(row, "approved") != NULL;
	(void)snprintf(rq->approved_digest, sizeof(rq->approved_digest), "%s",
		       jget_str_or(row, "approved", ""));
	log_info("taken over", LOG_STR("request", rq->id),
		 LOG_STR("state", request_state_name(rq->state)));
	(void)op_start(service->ops, rq, first_step(rq));
}
