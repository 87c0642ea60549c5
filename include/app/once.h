/* SPDX-License-Identifier: Apache-2.0 */
/* once.h - one question to the database from the command line: connect, ask, print, end; private to
 * src/app. */
#ifndef OPSD_APP_ONCE_H
#define OPSD_APP_ONCE_H

#include "base/call.h"
#include "base/json.h"

struct app_options;
struct db;
struct err;

struct once {
	const char *url_setting; /* "database.url", …; falls back to database.url */
	/* Starts the question; answers by calling answer. */
	struct call *(*ask)(struct db *db, void *data,
			    void (*answer)(void *data, const json_t *value, const struct err *err),
			    void *answer_data);
	/* Prints the value; returns the exit code. */
	int (*print)(const json_t *value, bool json, void *data);
	void *data;
	uv_loop_t **ret_loop; /* when not NULL: where ask finds the loop */
};

int once_run(struct app_options *options, const struct once *once);

#endif
