/* SPDX-License-Identifier: Apache-2.0 */
/*
 * home - the home tab of a person: what is temporary or waits, what waits for their approval, the
 * freezes in force, and what they can run.  Pure.  No list is longer than HOME_ITEMS, that of the
 * commands not than HOME_COMMANDS, so that all of it fits into the blocks that Slack takes.
 */
#ifndef OPSD_CHAT_HOME_H
#define OPSD_CHAT_HOME_H

#include <stdbool.h>

#include "base/json.h"

struct catalog;

enum { HOME_ITEMS = 6, HOME_COMMANDS = 60 };

struct home_view {
	const struct catalog *catalog;
	const json_t *may; /* array of action names; NULL: not known, all are shown with a note */
	const json_t
		*home;    /* ops.home's answer, one more of each than is shown; null: a stranger */
	bool unknown;     /* the database did not answer */
	const char *note; /* what came of a button of the tab; NULL: nothing */
	const char *workspace; /* "https://….slack.com/": of links to cards; NULL: none are shown */
};

json_t *home_view(const struct home_view *view);

#endif
