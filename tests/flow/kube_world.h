/* SPDX-License-Identifier: Apache-2.0 */
/* kube_world - a loop, a cluster's client or an action environment, and the control of the
 * stand-ins. */
#ifndef OPSD_TESTS_FLOW_KUBE_WORLD_H
#define OPSD_TESTS_FLOW_KUBE_WORLD_H

#include <uv.h>

#include "../unit/test.h"
#include "action/env.h"
#include "base/err.h"
#include "kube/client.h"
#include "kube/kind.h"
#include "net/http.h"

#define REQUEST_ID "R1KH2M8Q4ZT7WX0A"

struct world {
	uv_loop_t loop;
	uv_timer_t watchdog;
	struct http *control;
	struct kube *kube;
	struct action_env *env;
};

/* A fresh cluster in the stand-in, a client for it and an environment of it and of the platform's
 * API. */
void world_open(struct world *world);
void world_close(struct world *world); /* the loop must close with nothing left */

/* Calls the stand-in's control API; the answer is a new reference. */
json_t *world_control(struct world *world, const char *call, const char *json, ...)
	__attribute__((format(printf, 3, 4)));
void world_do(struct world *world, const char *call, const char *json, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for the platform's API. */
json_t *world_api(struct world *world, const char *call, const char *json, ...)
	__attribute__((format(printf, 3, 4)));

/* Until the cluster's object is so: want is JSON that it must contain; the test fails when that
 * does not come within 5 s. */
void world_wait(struct world *world, const char *kind, const char *ns, const char *name,
		const char *want);

/* How many requests with this verb on this resource reached the cluster (dry runs too). */
int world_count(struct world *world, const char *verb, const char *resource);
/* How many with this verb carried this Audit-ID. */
int world_asked(struct world *world, const char *verb, const char *request_id);

struct end { /* how a call ended */
	bool done, failed;
	struct err err;
	json_t *result; /* body, plan, outcome … */
	enum kube_problem problem;
	int status;
	json_t *warnings;
	char audit_id[64];
};
void end_free(struct end *end);

struct end world_ask(struct world *world, const struct kube_request *request);

enum act_step { ACT_PLAN, ACT_APPLY, ACT_LOOK, ACT_REVERT, ACT_FOLLOW };
/* Runs one step of a kind; with is JSON text; plan is the end of the plan's step or NULL.
 * "test_request" in with is another request's id, "test_since" the progress before. */
struct end world_act(struct world *world, const struct action_kind *kind, enum act_step step,
		     const char *with, const json_t *plan);
const struct action_kind *world_kind(const char *name);

#define assert_good(end)                                                                           \
	do {                                                                                       \
		if ((end).failed)                                                                  \
			fail_msg("%s: %s", err_kind_name((end).err.kind), (end).err.msg);          \
	} while (0)
#define assert_kind(end, wanted)                                                                   \
	do {                                                                                       \
		assert_true((end).failed);                                                         \
		if ((end).err.kind != (wanted))                                                    \
			fail_msg("%s, wanted %s: %s", err_kind_name((end).err.kind),               \
				 err_kind_name(wanted), (end).err.msg);                            \
	} while (0)
#define assert_says(end, text)                                                                     \
	do {                                                                                       \
		if (strstr((end).err.msg, (text)) == NULL)                                         \
			fail_msg("\"%s\" is not in: %s", (text), (end).err.msg);                   \
	} while (0)

#endif
