/* SPDX-License-Identifier: Apache-2.0 */
/* guess.c - did-you-mean for commands.  The acknowledgement waits for it, so it has a deadline of
 * its own. */
#include "chat/guess.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/command.h"

enum { SENTENCE_MAX = 600 };

struct guess {
	struct call call;
	struct call *asking;
	uv_timer_t timer; /* closing it frees */
	const struct command *nearest[GUESS_NEAREST];
	guess_fn done;
	void *data;
};

static void on_closed(uv_handle_t *timer)
{
	free(timer->data);
}

static void end(struct guess *guess)
{
	call_cancel(&guess->asking);
	uv_close((uv_handle_t *)&guess->timer, on_closed);
}

static void tell(struct guess *guess, const char *sentence)
{
	guess_fn done = guess->done;
	void *data = guess->data;

	end(guess);
	done(data, sentence);
}

static bool holds(const json_t *actions, const char *action)
{
	size_t i;
	json_t *name;

	json_array_foreach(actions, i,
			   name) if (str_eq(json_string_value(name), action)) return true;
	return false;
}

static void on_may(void *data, const json_t *actions, const struct err *err)
{
	struct guess *guess = data;
	struct buf buf;
	size_t n = 0;

	guess->asking = NULL;
	buf_init(&buf, SENTENCE_MAX);
	for (size_t i = 0; err == NULL && i < GUESS_NEAREST && n < GUESS_NAMED; i++) {
		const struct command *command = guess->nearest[i];

		if (command == NULL || !holds(actions, command->action))
			continue;
		buf_printf(&buf, "%s`%s`", n == 0 ? " Did you mean " : " or ", command->title);
		n++;
	}
	if (n > 0)
		buf_puts(&buf, "?");
	tell(guess, buf_text(&buf));
	buf_finish(&buf);
}

static void on_timer(uv_timer_t *timer)
{
	tell(timer->data, "");
}

static void cancel(struct call *call)
{
	end((struct guess *)call);
}

struct call *guess_start(const struct guess_port *port, const char *team, const char *user,
			 const struct command *const nearest[GUESS_NEAREST], guess_fn done,
			 void *data)
{
	struct guess *guess = xcalloc(1, sizeof(*guess));

	guess->call.cancel = cancel;
	guess->done = done;
	guess->data = data;
	memcpy(guess->nearest, nearest, sizeof(guess->nearest));
	uv_timer_init(port->loop, &guess->timer);
	guess->timer.data = guess;
	/* With nobody to name, the answer is known: it comes on the next turn. */
	uv_timer_start(&guess->timer, on_timer, nearest[0] == NULL ? 0 : GUESS_MS, 0);
	if (nearest[0] != NULL)
		guess->asking = port->may(port->ctx, team, user, on_may, guess);
	return &guess->call;
}
