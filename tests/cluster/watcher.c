/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watcher - watches one kind of a cluster for the Python tests and prints a line for each thing it
 * is told: there|gone NAME VERSION, synced, stale WHY, over WHY.  Ends when standard input does.
 *
 * watcher CLUSTER-AS-JSON KIND NAMESPACE [NAME]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/err.h"
#include "base/json.h"
#include "kube/client.h"
#include "kube/kind.h"
#include "kube/watch.h"
#include "net/http.h"

static struct call *watch;

static void on_seen(void *data, enum kube_seen seen, const json_t *object, const struct err *err)
{
	static const char *const words[] = { [KUBE_THERE] = "there",
					     [KUBE_GONE] = "gone",
					     [KUBE_SYNCED] = "synced",
					     [KUBE_STALE] = "stale" };

	(void)data;
	(void)printf("%s %s %s\n", words[seen],
		     object != NULL ? jget_str_or(object, "metadata.name", "?")
		     : err != NULL  ? err->msg
				    : "",
		     jget_str_or(object, "metadata.annotations.turn", ""));
	(void)fflush(stdout);
}

static void on_over(void *data, const struct err *err)
{
	(void)data;
	watch = NULL;
	(void)printf("over %s\n", err->msg);
	(void)fflush(stdout);
}

static void on_room(uv_handle_t *handle, size_t size, uv_buf_t *ret)
{
	static char room[64];

	(void)handle;
	(void)size;
	*ret = uv_buf_init(room, sizeof(room));
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	if (n >= 0)
		return;
	uv_close((uv_handle_t *)stream, NULL);
	call_cancel(&watch);
}

int main(int argc, char **argv)
{
	json_t *node = argc > 3 ? json_loads(argv[1], 0, NULL) : NULL;
	struct kube_wish wish = { 0 };
	struct kube *kube;
	uv_pipe_t input;
	uv_loop_t loop;
	struct err err;

	if (node == NULL)
		return 2;
	http_library_init();
	(void)uv_loop_init(&loop);
	kube = kube_create(&loop, "main", node, "", &err);
	if (kube == NULL) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 3;
	}
	wish.kind = kube_kind_find(argv[2]);
	wish.space = argv[3];
	wish.name = argc > 4 ? argv[4] : NULL;
	(void)uv_pipe_init(&loop, &input, 0);
	(void)uv_pipe_open(&input, 0);
	(void)uv_read_start((uv_stream_t *)&input, on_room, on_input);
	watch = kube_watch(kube, &wish, on_seen, on_over, NULL);
	while (uv_is_active((uv_handle_t *)&input))
		(void)uv_run(&loop, UV_RUN_ONCE);
	kube_destroy(kube);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&loop) != 0)
		return 4;
	json_decref(node);
	http_library_finish();
	return 0;
}
