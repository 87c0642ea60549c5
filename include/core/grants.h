/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants - the reviewed file "which group or person can do which action", as single rows; pure.
 *
 * docs/grants.md has the format.  A wildcard ("workers.*") is expanded here over the actions that
 * the catalog has now, never at run time, and never over one of risk 2 or more.
 */
#ifndef OPSD_CORE_GRANTS_H
#define OPSD_CORE_GRANTS_H

#include <stddef.h>

#include "base/json.h"

struct diags;

enum { GRANTS_ROWS_MAX = 20000 };

/*
 * actions: of catalog_actions().  A new array, sorted by key, for the database:
 * [{ "key", "effect", "can", "action", "group" and/or "group_id" | "person", "scope": { param:
 *    { "any": true } | { "values": […] } | { "min", "max" } }, "from", "until", "reason" }]
 * A group's "owner" stands in the rows that name it; what the file demands of an action
 * ("approvals", "third_starts", "apart": [names]) is added to actions.  NULL: diags has at least
 * one entry.
 */
json_t *grants_parse(const char *file, const char *text, size_t len, json_t *actions,
		     struct diags *diags);
json_t *grants_load(const char *path, json_t *actions, struct diags *diags); /* blocking */

#endif
