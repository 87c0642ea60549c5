/* SPDX-License-Identifier: Apache-2.0 */
/* ports_internal - one step of a run in flight, for the files that bind core's ports. */
#ifndef OPSD_APP_PORTS_INTERNAL_H
#define OPSD_APP_PORTS_INTERNAL_H

#include "base/call.h"
#include "base/json.h"
#include "core/action.h"
#include "kube/client.h"

struct request;
struct service;

enum { PORT_ACTION_MS = 15000 };

struct port_call {
	struct call call;
	struct call *inner;
	struct service *service;
	struct request *rq;
	struct action_run run;
	const json_t *plan; /* what the step is about; NULL: the plan of rq */
	action_fn step;     /* what waits for person */
	action_done_fn step_done;
	struct kube_person person; /* its texts are in acting */
	json_t *acting;
	json_t *with, *row, *preview;
	call_done_fn done;
	void *data;
};

struct port_call *port_new(void *ctx, struct request *rq, call_done_fn done, void *data);
void port_done(struct port_call *port, const struct err *err);
void port_ended(void *port, const struct err *err); /* a call_done_fn: the step is over */
void port_fill_run(struct port_call *port, unsigned timeout_ms);
/* A step of the kind, as the person who asks where the cluster wants it so. */
void port_act_as(struct port_call *port, action_fn step, action_done_fn done);

/* ports_later.c */
struct call *port_plan(void *ctx, struct request *rq, call_done_fn done, void *data);
struct call *port_schedule(void *ctx, struct request *rq, call_done_fn done, void *data);
struct call *port_steer(void *ctx, struct request *rq, call_done_fn done, void *data);

#endif
