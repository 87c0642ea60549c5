/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own - what opsd does to itself as an action: the kinds opsd.* ask by this, app fills it from the
 * store.
 *
 * "freeze.plan" { "what" }: { "running": [{ "request", "name", "command" }], "actions": how many
 * the pattern names, "same": freeze or null }; "freeze" { "what", "reason", "seconds"? }: the
 * freeze; "unfreeze.plan": [freeze]; "unfreeze" { "id" }: { "lifted" }; "freeze.look" and
 * "unfreeze.look": { "done" }.  "access.KIND.plan", ".do", ".look" with the kind's parameters: a
 * plan, an outcome, { "done" }, or { "refused": sentence }; "access.list.do": rows of a table.  A
 * freeze: { "id", "what", "reason", "by", "since_ms", "until_ms"?
 * }.
 */
#ifndef OPSD_CORE_OWN_H
#define OPSD_CORE_OWN_H

#include "core/action.h"

struct own_port {
	void *ctx;
	struct call *(*ask)(void *ctx, const char *what, const char *request, const json_t *args,
			    action_done_fn done, void *data);
};

#endif
