/* SPDX-License-Identifier: Apache-2.0 */
/* parse.c - one JSON text on a thread of the pool; a cancelled one ends silently when it is done.
 */
#include "net/parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/xalloc.h"

struct parse {
	struct call call;
	uv_work_t work;
	char *text;
	size_t len;
	json_t *value;
	struct err err;
	parse_done_fn done; /* NULL: cancelled */
	void *data;
};

static void on_work(uv_work_t *work)
{
	struct parse *parse = work->data;

	parse->value = json_parse(parse->text, parse->len, parse->len, &parse->err);
}

static void on_parsed(uv_work_t *work, int status)
{
	struct parse *parse = work->data;

	(void)status;
	if (parse->done != NULL)
		parse->done(parse->data, parse->value, parse->value == NULL ? &parse->err : NULL);
	json_decref(parse->value);
	free(parse->text);
	free(parse);
}

static void on_cancel(struct call *call)
{
	((struct parse *)call)->done = NULL;
}

struct call *parse_start(uv_loop_t *loop, const char *text, size_t len, parse_done_fn done,
			 void *data)
{
	struct parse *parse = xcalloc(1, sizeof(*parse));

	parse->call.cancel = on_cancel;
	parse->text = xstrndup(text, len);
	parse->len = len;
	parse->done = done;
	parse->data = data;
	parse->work.data = parse;
	(void)uv_queue_work(loop, &parse->work, on_work, on_parsed);
	return &parse->call;
}
