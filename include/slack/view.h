/* SPDX-License-Identifier: Apache-2.0 */
/* view - a modal's state to a flat map of name → text; pure. */
#ifndef OPSD_SLACK_VIEW_H
#define OPSD_SLACK_VIEW_H

#include "base/json.h"

/* state.values → { block_id: "text" }; empty and unset inputs are left out; every element type of
 * the interactivity reference is read (value, selected_option(s), selected_date, …; lists joined by
 * ","). */
json_t *slack_view_values(const json_t *state);

#endif
