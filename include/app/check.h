/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - the table of findings of opsd check. */
#ifndef OPSD_APP_CHECK_H
#define OPSD_APP_CHECK_H

#include <stdbool.h>

#include "base/json.h"

struct catalog;
struct config;

struct check {        /* findings in the order they were made */
	json_t *rows; /* [ { "good", "what", "says" } ] */
	unsigned bad;
};

void check_line(struct check *check, bool good, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Tokens and scopes, the audit channel, the database, each cluster and API.  Runs a loop of its
 * own. */
void check_online(struct check *check, const struct config *config);

/* Whether each approval rule can be met for everybody who may ask; needs the database.  Runs a loop
 * of its own. */
void check_policy(struct check *check, const struct config *config, const struct catalog *catalog);

#endif
