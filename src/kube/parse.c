/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.c - JSON of some hundred kilobytes takes tens of milliseconds: it is parsed by a pool
 * thread, so that the loop goes on.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/xalloc.h"
#include "internal.h"

struct parse {
	struct call call;
	uv_work_t work;
	char *text;
	size_t len;
	json_t *value;
	struct err err;
	kube_parsed_fn done; /* NULL: cancelled */
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

struct call *kube_parse(uv_loop_t *loop, const char *text, size_t len, kube_parsed_fn done,
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
