/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports_later.c - the steps that know of times: a plan, there or back, with the times that it is
 * for; waiting for them; and the buttons that move what waits.
 */
#include <stdlib.h>

#include "app/service.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "chat/home.h"
#include "chat/intake.h"
#include "chat/sender.h"
#include "core/command.h"
#include "core/later.h"
#include "core/request.h"
#include "ports_internal.h"
#include "slack/people.h"
#include "store/later.h"

enum { ACTIVE_MAX = 20 }; /* of a list: two blocks each */

/* plan */

/* Of a change of which nobody knows whether it happened, nobody knows either what is its doing. */
static void put_doubt(const struct request *rq, json_t *plan)
{
	char *says;

	if (!str_eq(jget_str(rq->undone, "state"), "unknown") ||
	    json_object_get(plan, "foreign") != NULL)
		return;
	says = arena_printf(rq->arena, "It is not known whether request %s happened.", rq->undoes);
	json_object_set_new(plan, "foreign", json_string(says));
}

static void on_planned(void *data, const json_t *result, const struct err *err)
{
	struct port_call *port = data;
	struct request *rq = port->rq;

	port->inner = NULL;
	if (err == NULL) {
		json_decref(rq->plan);
		rq->plan = json_copy((json_t *)(uintptr_t)result);
		if (rq->undoes != NULL)
			put_doubt(rq, rq->plan);
		else if (rq->times != NULL)
			json_object_set(rq->plan, "when", rq->times);
	}
	port_done(port, err);
}

static void make_plan(struct port_call *port)
{
	struct request *rq = port->rq;
	const struct action_kind *kind = rq->command->kind;
	struct err err;

	if (rq->undoes == NULL) {
		port_act_as(port, kind->plan, on_planned);
		return;
	}
	port->plan = json_object_get(rq->undone, "plan");
	if (kind->revert != NULL && port->plan != NULL) {
		port_act_as(port, kind->revert, on_planned);
		return;
	}
	err_set(&err, ERR_INVALID,
		"%s cannot be set back any more: its command is declared in another way now. Set "
		"it back with a command.",
		rq->undoes);
	port->inner = call_later(&port->service->loop, &err, port_ended, port);
}

static void on_times(void *data, const struct err *err)
{
	struct port_call *port = data;

	port->inner = NULL;
	if (err != NULL)
		port_done(port, err);
	else
		make_plan(port);
}

static void work_out_times(struct port_call *port)
{
	struct request *rq = port->rq;

	port->inner = store_set_times(port->service->store, rq, rq->asker.tz, on_times, port);
}

static void on_zone(void *data, const struct slack_user *user, const struct err *err)
{
	struct port_call *port = data;

	port->inner = NULL;
	if (err != NULL) {
		port_done(port, err);
		return;
	}
	port->rq->asker.tz = arena_strdup(port->rq->arena, user->tz);
	work_out_times(port);
}

struct call *port_plan(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct port_call *port = port_new(ctx, rq, done, data);

	if (rq->times != NULL || rq->undoes != NULL || !later_asked(rq->args))
		make_plan(port);
	else if (rq->asker.tz != NULL)
		work_out_times(port);
	else /* taken over: whose zone it is was known to another replica */
		port->inner =
			slack_people_fetch(port->service->people, rq->asker.user, on_zone, port);
	return &port->call;
}

/* schedule, steer */

static void on_scheduled(void *data, const struct err *err)
{
	struct port_call *port = data;

	sender_wake(port->service->sender);
	port_ended(port, err);
}

struct call *port_schedule(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct port_call *port = port_new(ctx, rq, done, data);

	port->inner = store_schedule(port->service->store, rq, on_scheduled, port);
	return &port->call;
}

/* "Set back now" begins a run of the revert, with whoever pressed it as the one who asks. */
static void on_steered(void *data, const struct err *err)
{
	struct port_call *port = data;

	if (err == NULL && port->row != NULL)
		service_resume(port->service, port->row);
	sender_wake(port->service->sender);
	port_ended(port, err);
}

struct call *port_steer(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct port_call *port = port_new(ctx, rq, done, data);

	port->inner = store_steer(port->service->store, rq, &port->row, on_steered, port);
	return &port->call;
}

/* what people look at */

static struct call *active(void *ctx, const char *team, const char *user,
			   void (*done)(void *data, const json_t *value, const struct err *err),
			   void *data)
{
	struct service *service = ctx;

	return store_active(service->work_db, team, user, ACTIVE_MAX, done, data);
}

static struct call *home(void *ctx, const char *team, const char *user,
			 void (*done)(void *data, const json_t *value, const struct err *err),
			 void *data)
{
	struct service *service = ctx;

	return store_home(service->work_db, team, user, HOME_ITEMS, done, data);
}

static struct call *undoable(void *ctx, const char *id,
			     void (*done)(void *data, const json_t *value, const struct err *err),
			     void *data)
{
	struct service *service = ctx;

	return store_undoable(service->work_db, id, done, data);
}

void service_later(struct service *service, struct later_port *ret_port)
{
	*ret_port = (struct later_port){
		.active = active, .home = home, .undoable = undoable, .ctx = service
	};
}
