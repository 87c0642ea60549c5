/* SPDX-License-Identifier: Apache-2.0 */
/* op_world - the way of a request with scripted ports: plays one run and tells what it did. */
#ifndef OPSD_TESTS_FLOW_OP_WORLD_H
#define OPSD_TESTS_FLOW_OP_WORLD_H

#include "../unit/test.h"

#include <uv.h>

#include "base/err.h"
#include "core/action.h"
#include "core/command.h"
#include "core/op.h"
#include "core/request.h"

/* One script: per step the errors to answer with (in order) and what the step makes of the request.
 */
struct script {
	enum err_kind fail[OP_DONE][4]; /* ERR_NONE: success */
	bool silent[OP_DONE];
	bool unheard;
	enum request_state received, confirmed, decided, started, scheduled;
	unsigned step_ups; /* decisions, or votes, that ask for a sign-in first */
	bool not_before, undoes, reverts, steering;
	const char *known;
	const char *plan;                  /* JSON */
	const char *look[2];               /* states that a look finds, in order */
	const struct approval_rule *rules; /* NULL: none; else one */
	const char *approved;              /* the plan that was approved; NULL: none */
	bool frozen;                       /* when it would be tried again */
	unsigned busy;                     /* so many starts find the target busy */
};

struct stage {
	uv_loop_t loop;
	struct script script;
	unsigned calls[OP_DONE];
	char trace[64];
	enum request_state final;
	enum err_kind answered, finished, kept;
	unsigned n_answered, n_finished;
};

extern const struct action_kind conditional, once, reads;
extern const struct op_ports stage_ports;
extern const struct script good; /* a change that is allowed and goes well */
extern struct stage *stage;      /* of the run under way */

#define PLAN                                                                                       \
	"{\"target\":{\"name\":\"w\"},\"changes\":[{\"field\":\"replicas\",\"from\":3,\"to\":5}]}"
#define FOREIGN                                                                                    \
	"{\"target\":{\"name\":\"w\"},\"changes\":[{\"field\":\"replicas\",\"from\":9,\"to\":3}]," \
	"\"foreign\":\"it is 9 now\"}"
#define NO_CHANGE "{\"target\":{\"name\":\"w\"},\"changes\":[]}"

/* Runs one op to its end and the loop dry. */
struct stage play(const struct script *script, int risk, const struct action_kind *kind,
		  enum op_step first, const char *confirmed_plan);

#endif
