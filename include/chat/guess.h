/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guess - "Did you mean …?": the nearest commands that this person may run, asked for in little
 * time.
 *
 * Commands that the person may not run are never named.
 */
#ifndef OPSD_CHAT_GUESS_H
#define OPSD_CHAT_GUESS_H

#include <stddef.h>
#include <uv.h>

#include "base/call.h"
#include "base/json.h"

struct command;
struct err;

struct guess_port { /* which actions a Slack user may use: an array of names, or null */
	uv_loop_t *loop;
	struct call *(*may)(void *ctx, const char *team, const char *user,
			    void (*done)(void *data, const json_t *actions, const struct err *err),
			    void *data);
	void *ctx;
};

enum { GUESS_NEAREST = 5, GUESS_NAMED = 3, GUESS_MS = 800 };

/* sentence: " Did you mean `workers scale`?", or "" when there is none, or no answer in GUESS_MS;
 * lent. */
typedef void (*guess_fn)(void *data, const char *sentence);

/* nearest: best first, NULL where there are fewer; the commands must live until done. */
struct call *guess_start(const struct guess_port *port, const char *team, const char *user,
			 const struct command *const nearest[GUESS_NEAREST], guess_fn done,
			 void *data);

#endif
