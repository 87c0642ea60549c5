/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy - what the grants of a file would decide, without a database: for tests of declarations.
 *
 * In service the database decides (authz.decide); this follows the same rules on the rows alone:
 * default deny, a forbid beats every allow, an allow must constrain every scope of its action.
 * Times of grants are not looked at: a test does not fail by the calendar.
 */
#ifndef OPSD_CORE_POLICY_H
#define OPSD_CORE_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"

struct policy_ask {
	const char *const *groups; /* of the person */
	size_t n_groups;
	const char *can; /* "request", "approve" */
	const char *action;
	const json_t *scope; /* of this use: { "team": "ads" } */
};

/* rows: of grants_load().  ret_key: the grant that decided, NULL when none did. */
bool policy_allows(const json_t *rows, const struct policy_ask *ask, const char **ret_key);

#endif
