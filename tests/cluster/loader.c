/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loader - reads from a cluster as fast as its slots let it, for the Python tests; then one line of
 * JSON: how many were done, how many failed, and what the first failure said.
 *
 * loader CLUSTER-AS-JSON NAMESPACE SLOTS SECONDS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/err.h"
#include "base/json.h"
#include "kube/client.h"
#include "kube/kind.h"
#include "net/http.h"

enum { SLOTS_MAX = 64, PAUSE_MS = 10 };

static struct load {
	struct kube *kube;
	const char *space;
	unsigned done, failed;
	struct err first;
	bool over;
} load;

struct slot {
	uv_timer_t timer;
};

static void ask(struct slot *slot);

static void on_pause(uv_timer_t *timer)
{
	ask(timer->data);
}

static void on_answer(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct slot *slot = data;

	(void)answer;
	load.done++;
	if (err != NULL && load.failed++ == 0)
		load.first = *err;
	if (load.over)
		uv_close((uv_handle_t *)&slot->timer, NULL);
	else
		(void)uv_timer_start(&slot->timer, on_pause, PAUSE_MS, 0);
}

static void ask(struct slot *slot)
{
	struct kube_request request = { .method = "GET",
					.kind = kube_kind_find("ConfigMap"),
					.space = load.space,
					.query = "limit=1",
					.timeout_ms = 30000 };

	(void)kube_call(load.kube, &request, on_answer, slot);
}

static void on_over(uv_timer_t *timer)
{
	load.over = true;
	uv_close((uv_handle_t *)timer, NULL);
}

int main(int argc, char **argv)
{
	static struct slot slots[SLOTS_MAX];
	json_t *node = argc == 5 ? json_loads(argv[1], 0, NULL) : NULL;
	unsigned n = argc == 5 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
	uv_timer_t end;
	uv_loop_t loop;
	struct err err;
	json_t *said;

	if (node == NULL || n == 0 || n > SLOTS_MAX)
		return 2;
	http_library_init();
	(void)uv_loop_init(&loop);
	load.space = argv[2];
	load.kube = kube_create(&loop, "main", node, "", &err);
	if (load.kube == NULL) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 3;
	}
	(void)uv_timer_init(&loop, &end);
	(void)uv_timer_start(&end, on_over, strtoul(argv[4], NULL, 10) * 1000, 0);
	for (unsigned i = 0; i < n; i++) {
		(void)uv_timer_init(&loop, &slots[i].timer);
		slots[i].timer.data = &slots[i];
		ask(&slots[i]);
	}
	(void)uv_run(&loop, UV_RUN_DEFAULT); /* what has begun is waited for */
	kube_destroy(load.kube);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&loop) != 0)
		return 4;
	said = json_pack("{s:i, s:i, s:s}", "done", load.done, "failed", load.failed, "first",
			 load.first.msg);
	(void)json_dumpf(said, stdout, 0);
	json_decref(said);
	json_decref(node);
	http_library_finish();
	return 0;
}
