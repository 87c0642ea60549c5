/* SPDX-License-Identifier: Apache-2.0 */
/* kube/watch: against the stand-in for Kubernetes, whatever becomes of the stream. */
#include "kube_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube/watch.h"

enum { KEPT = 600 };

struct eye { /* one watcher and all that it was told */
	struct call *call;
	unsigned synced, stale, gone, there;
	int64_t seen[KEPT]; /* spec.replicas of each THERE */
	char last_uid[64];
	unsigned leave_at; /* cancels at the nth THERE */
	bool ended;
	struct err err, stale_err;
};

static void on_seen(void *data, enum kube_seen seen, const json_t *object, const struct err *err)
{
	struct eye *eye = data;

	assert_non_null(eye->call);
	assert_int_equal(object != NULL, seen == KUBE_THERE || seen == KUBE_GONE);
	assert_int_equal(err != NULL, seen == KUBE_STALE);
	if (object != NULL) {
		assert_non_null(jget_str(object, "kind"));
		assert_non_null(jget_str(object, "apiVersion"));
	}
	switch (seen) {
	case KUBE_THERE:
		if (eye->there < KEPT)
			eye->seen[eye->there] = jget_int(object, "spec.replicas", -1);
		(void)snprintf(eye->last_uid, sizeof(eye->last_uid), "%s",
			       jget_str_or(object, "metadata.uid", ""));
		if (++eye->there == eye->leave_at)
			call_cancel(&eye->call);
		break;
	case KUBE_GONE:
		eye->gone++;
		break;
	case KUBE_SYNCED:
		eye->synced++;
		break;
	case KUBE_STALE:
		eye->stale++;
		eye->stale_err = *err;
		break;
	}
}

static void on_end(void *data, const struct err *err)
{
	struct eye *eye = data;

	assert_non_null(err);
	eye->call = NULL;
	eye->ended = true;
	eye->err = *err;
}

static struct kube_wish one(void)
{
	struct kube_wish wish = { .kind = kube_kind_find("Deployment"),
				  .space = "ads",
				  .name = "workers-dev" };

	return wish;
}

static void look(struct world *world, struct eye *eye, const struct kube_wish *wish)
{
	memset(eye, 0, sizeof(*eye));
	eye->call = kube_watch(world->kube, wish, on_seen, on_end, eye);
}

/* Turns the loop until it is so; the watchdog ends what never is. */
#define until(world, condition)                                                                    \
	do {                                                                                       \
		while (!(condition))                                                               \
			(void)uv_run(&(world)->loop, UV_RUN_ONCE);                                 \
	} while (0)

static void wait_open(struct world *world, int n)
{
	world_do(world, "wait", "{\"watches\":%d}", n);
}

/* It has seen what is there, and its stream is open. */
static void look_well(struct world *world, struct eye *eye, const struct kube_wish *wish)
{
	look(world, eye, wish);
	until(world, eye->synced == 1);
	wait_open(world, 1);
}

static void begin(struct world *world, struct eye *eye, const struct kube_wish *wish)
{
	world_open(world);
	look_well(world, eye, wish);
}

static void finish(struct world *world, struct eye *eye)
{
	call_cancel(&eye->call);
	world_close(world);
}

static void set_replicas(struct world *world, int n)
{
	world_do(
		world, "set",
		"{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\",\"replicas\":%d}",
		n);
}

static int64_t last(const struct eye *eye)
{
	return eye->there == 0 ? -1 : eye->seen[(eye->there - 1) % KEPT];
}

static void test_present_and_changes(void **state)
{
	const struct kube_wish wish = one();
	struct eye first, second;
	struct world world;
	char uid[64];

	(void)state;
	world_open(&world);
	look(&world, &first, &wish);
	assert_int_equal(first.there, 0); /* never before it has returned */
	until(&world, first.synced == 1);
	assert_int_equal(first.there, 1);
	assert_int_equal(last(&first), 2);
	wait_open(&world, 1);
	set_replicas(&world, 7);
	until(&world, last(&first) == 7);
	look(&world, &second, &wish); /* is told what is there, of the same stream */
	until(&world, second.synced == 1);
	assert_int_equal(last(&second), 7);
	assert_int_equal(world_count(&world, "watch", "deployments"), 1);
	(void)snprintf(uid, sizeof(uid), "%s", first.last_uid);
	world_do(&world, "delete",
		 "{\"kind\":\"Deployment\",\"ns\":\"ads\",\"name\":\"workers-dev\"}");
	until(&world, first.gone == 1 && second.gone == 1);
	call_cancel(&first.call);
	call_cancel(&second.call);
	wait_open(&world, 0); /* nobody looks: nothing stays open */
	world_close(&world);
}

/* Every change once and in order, though the stream is cut 100 times and things change while it
 * is. */
static void test_cut_a_hundred_times(void **state)
{
	static const char *const ways[] = { "abort", "close" };
	const struct kube_wish wish = one();
	struct world world;
	struct eye eye;
	int64_t wanted = 0;

	(void)state;
	world_open(&world);
	world_do(&world, "settings", "{\"workloads\":\"off\"}");
	look_well(&world, &eye, &wish);
	for (int i = 0; i < 100; i++) {
		set_replicas(&world, 1000 + 2 * i);
		world_do(&world, "watches", "{\"do\":\"%s\"}", ways[i % 2]);
		set_replicas(&world, 1001 + 2 * i);
		until(&world, last(&eye) == 1001 + 2 * i);
	}
	assert_int_equal(eye.there, 201);
	for (unsigned i = 1; i < eye.there; i++)
		assert_int_equal(eye.seen[i], 1000 + wanted++);
	assert_true(world_count(&world, "watch", "deployments") >= 100);
	assert_int_equal(eye.synced, 1);
	assert_int_equal(eye.stale, 0);
	finish(&world, &eye);
}

/* The version is too old to resume from: what differs is told, what is gone too. */
static void test_expired(void **state)
{
	const struct kube_wish all = { .kind = kube_kind_find("ConfigMap"), .space = "ads" };
	struct world world;
	struct eye eye;
	unsigned there;

	(void)state;
	world_open(&world);
	world_do(&world, "create",
		 "{\"object\":{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{"
		 "\"name\":\"brief\",\"namespace\":\"ads\"},\"data\":{\"a\":\"b\"}}}");
	look_well(&world, &eye, &all);
	there = eye.there;
	world_do(&world, "listen", "{\"on\":false}");
	world_do(&world, "delete", "{\"kind\":\"ConfigMap\",\"ns\":\"ads\",\"name\":\"brief\"}");
	world_do(&world, "watches", "{\"do\":\"expire\"}");
	until(&world, eye.stale == 1);
	world_do(&world, "listen", "{\"on\":true}");
	until(&world, eye.synced == 2);
	assert_int_equal(eye.gone, 1);
	assert_int_equal(eye.there, there);
	wait_open(&world, 1);
	world_do(&world, "fault", "{\"mode\":\"watch\",\"how\":\"gone_http\",\"times\":1}");
	world_do(&world, "watches", "{\"do\":\"expire\"}"); /* 410 in the 200, then as the status */
	world_do(&world, "set",
		 "{\"kind\":\"ConfigMap\",\"ns\":\"ads\",\"name\":\"settings\",\"data\":{"
		 "\"LOG_LEVEL\":\"trace\"}}");
	until(&world, eye.there == there + 1);
	finish(&world, &eye);
}

static void test_no_connection(void **state)
{
	const struct kube_wish wish = one();
	struct world world;
	struct eye eye;

	(void)state;
	begin(&world, &eye, &wish);
	world_do(&world, "listen", "{\"on\":false}");
	set_replicas(&world, 9);
	until(&world, eye.stale == 1);
	assert_non_null(strstr(eye.stale_err.msg, "refused"));
	world_do(&world, "listen", "{\"on\":true}");
	until(&world, eye.synced == 2);
	assert_int_equal(last(&eye), 9); /* before it is SYNCED again */
	assert_int_equal(eye.stale, 1);
	finish(&world, &eye);
}

/* Lines that come byte by byte, half, broken and endless. */
static void test_bad_streams(void **state)
{
	static const char *const modes[] = { "split", "cut", "garbage", "huge" };
	const struct kube_wish wish = one();

	(void)state;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		struct world world;
		struct eye eye;

		world_open(&world);
		world_do(&world, "fault",
			 "{\"mode\":\"watch\",\"how\":\"%s\",\"verb\":\"watch\",\"times\":1}",
			 modes[i]);
		look_well(&world, &eye, &wish);
		set_replicas(&world, 8);
		until(&world, last(&eye) == 8);
		set_replicas(&world, 9);
		until(&world, last(&eye) == 9);
		finish(&world, &eye);
	}
}

/* Without either verb it ends, and says which one. */
static void test_forbidden(void **state)
{
	static const char *const verbs[] = { "watch", "list" };
	const struct kube_wish wish = one();

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct world world;
		struct eye eye;

		world_open(&world);
		world_do(&world, "rbac",
			 "{\"deny\":[{\"resource\":\"deployments\",\"verb\":\"%s\"}]}", verbs[i]);
		look(&world, &eye, &wish);
		until(&world, eye.ended);
		assert_int_equal(eye.err.kind, ERR_DENIED);
		assert_non_null(strstr(eye.err.msg, verbs[i]));
		assert_null(kube_watched(world.kube, &wish));
		world_close(&world);
	}
}

/* What it was allowed before may be refused by a server that has just been started. */
static void test_refused_for_a_while(void **state)
{
	const struct kube_wish wish = one();
	struct world world;
	struct eye eye;

	(void)state;
	begin(&world, &eye, &wish);
	world_do(&world, "rbac", "{\"deny\":[{\"resource\":\"deployments\"}]}");
	world_do(&world, "watches", "{\"do\":\"close\"}");
	until(&world, eye.stale == 1);
	assert_int_equal(eye.stale_err.kind, ERR_DENIED);
	set_replicas(&world, 6);
	world_do(&world, "rbac", "{\"reset\":true}");
	until(&world, eye.synced == 2);
	assert_int_equal(last(&eye), 6);
	assert_false(eye.ended);
	finish(&world, &eye);
}

/* What is known can be asked for, but not while it is not in step with the cluster. */
static void test_known(void **state)
{
	const struct kube_wish wish = one();
	struct kube_wish named = wish;
	struct world world;
	struct eye eye;

	(void)state;
	world_open(&world);
	named.request_id = REQUEST_ID;
	assert_null(kube_watched(world.kube, &wish));
	look(&world, &eye, &named);
	assert_null(kube_watched(world.kube, &wish)); /* nothing has come yet */
	until(&world, eye.synced == 1);
	wait_open(&world, 1);
	assert_int_equal(
		jget_int(json_object_get(kube_watched(world.kube, &wish), "ads/workers-dev"),
			 "spec.replicas", 0),
		2);
	assert_int_equal(world_asked(&world, "list", REQUEST_ID), 1);
	assert_int_equal(world_asked(&world, "watch", REQUEST_ID), 1);
	world_do(&world, "listen", "{\"on\":false}");
	until(&world, eye.stale == 1);
	assert_null(kube_watched(world.kube, &wish));
	world_do(&world, "listen", "{\"on\":true}");
	until(&world, eye.synced == 2);
	assert_non_null(kube_watched(world.kube, &wish));
	call_cancel(&eye.call);
	assert_null(kube_watched(world.kube, &wish));
	world_close(&world);
}

/* So many streams and no more; who shares one is welcome. */
static void test_crowd(void **state)
{
	struct eye eyes[KUBE_WATCHES_MAX], late, twin;
	char selectors[KUBE_WATCHES_MAX + 1][32];
	struct kube_wish wish = { .kind = kube_kind_find("Pod"), .space = "ads" };
	struct world world;

	(void)state;
	world_open(&world);
	for (int i = 0; i <= KUBE_WATCHES_MAX; i++) {
		(void)snprintf(selectors[i], sizeof(selectors[i]), "app=app-%d", i);
		wish.selector = selectors[i];
		look(&world, i < KUBE_WATCHES_MAX ? &eyes[i] : &late, &wish);
	}
	assert_int_equal(kube_watches(world.kube), KUBE_WATCHES_MAX);
	until(&world, late.ended);
	assert_int_equal(late.err.kind, ERR_RETRY);
	wish.selector = selectors[0];
	look(&world, &twin, &wish);
	until(&world, twin.synced == 1);
	call_cancel(&twin.call);
	for (int i = 0; i < KUBE_WATCHES_MAX; i++)
		call_cancel(&eyes[i].call);
	assert_int_equal(kube_watches(world.kube), 0);
	world_close(&world);
}

static void test_new_token(void **state)
{
	const struct kube_wish wish = one();
	struct world world;
	struct eye eye;

	(void)state;
	begin(&world, &eye, &wish);
	world_do(&world, "token", "{\"file\":\"%s\"}", getenv("KUBE_TOKEN"));
	world_do(&world, "watches", "{\"do\":\"close\"}");
	set_replicas(&world, 5);
	until(&world, last(&eye) == 5);
	assert_false(eye.ended);
	finish(&world, &eye);
}

/* Leaving at every moment, also while being told. */
static void test_leaving(void **state)
{
	const struct kube_wish wish = one();

	(void)state;
	for (unsigned turns = 0; turns < 12; turns++) {
		struct world world;
		struct eye eye, other;

		world_open(&world);
		look(&world, &eye, &wish);
		look(&world, &other, &wish);
		other.leave_at = 1 + turns % 2;
		for (unsigned i = 0; i < turns && eye.synced == 0; i++)
			(void)uv_run(&world.loop, UV_RUN_ONCE);
		call_cancel(&eye.call);
		if (turns % 3 == 0) {
			call_cancel(&other.call);
		} else {
			until(&world, other.there > 0);
			set_replicas(&world, 4);
			until(&world, other.call == NULL || other.there > 1);
			call_cancel(&other.call);
		}
		world_close(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_present_and_changes),
		cmocka_unit_test(test_cut_a_hundred_times),
		cmocka_unit_test(test_expired),
		cmocka_unit_test(test_no_connection),
		cmocka_unit_test(test_bad_streams),
		cmocka_unit_test(test_forbidden),
		cmocka_unit_test(test_refused_for_a_while),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_new_token),
		cmocka_unit_test(test_leaving),
	};

	http_library_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
