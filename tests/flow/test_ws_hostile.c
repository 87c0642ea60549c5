/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws against a peer that breaks rules: each case ends with one clear closed event, in time, and
 * leaves nothing on the loop.
 */
#include "ws_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

enum { NEVER_MS = 2 * WORLD_LIMIT_MS };

struct hostile {
	const char *env, *path;
	bool opens;
	unsigned messages;
	int status, code; /* code -1: any */
	int64_t retry_after_ms;
	unsigned deadline_ms; /* connect_ms, or dead_ms once open, ends it; 0: neither */
	const char *says;     /* part of the sentence */
};

#define OPENS .opens = true, .retry_after_ms = -1
#define REFUSED .opens = false, .retry_after_ms = -1

/* clang-format off */
static const struct hostile cases[] = {
	/* Frames that break a rule: refused with a close, after what came before. */
	{ "TLS", "/raw/rsv", OPENS, .messages = 1, .code = -1 },
	{ "TLS", "/raw/stray", OPENS, .messages = 1, .code = -1 },
	{ "TLS", "/raw/nested", OPENS, .messages = 1, .code = -1 },
	{ "TLS", "/raw/ping126", OPENS, .messages = 1, .code = -1 },
	{ "TLS", "/raw/longclose", OPENS, .messages = 1, .code = -1 },
	{ "TLS", "/raw/opcode", OPENS, .messages = 1, .code = -1 },
	{ "TLS", "/raw/fragmented-ping", OPENS, .messages = 1, .code = -1 },
	{ "TLS", "/raw/garbage", OPENS, .messages = 1, .code = -1 },
	{ "TLS", "/raw/close1", OPENS, .messages = 1, .code = -1 },
	{ "TLS", "/rawmore/rsv", OPENS, .messages = 1, .code = -1 },
	{ "TLS", "/rawmore/stray", OPENS, .messages = 1, .code = -1 },
	{ "TLS", "/rawmore/nested", OPENS, .messages = 1, .code = -1 },
	{ "TLS", "/rawmore/ping126", OPENS, .messages = 1, .code = -1 },
	{ "TLS", "/rawmore/opcode", OPENS, .messages = 1, .code = -1 },
	{ "TLS", "/rawmore/close", OPENS, .messages = 1, .code = 1001 },
	{ "PLAIN", "/rawmore/rsv", OPENS, .messages = 1, .code = -1 },
	{ "PLAIN", "/rawmore/close", OPENS, .messages = 1, .code = 1001 },
	{ "TLS", "/raw/tera", OPENS, .messages = 1, .code = -1,
	  .says = "too large" },
	{ "TLS", "/big/1048577", OPENS, .code = -1, .says = "too large" },
	{ "TLS", "/endless", OPENS, .code = -1, .says = "too large" },
	/* Proper and improper ends. */
	{ "TLS", "/code/1000", OPENS, .code = 1000, .says = "1000: because" },
	{ "TLS", "/code/1009", OPENS, .code = 1009, .says = "1009: because" },
	{ "TLS", "/code/1011", OPENS, .code = 1011 },
	{ "TLS", "/code/1012", OPENS, .code = 1002 }, /* libwebsockets 4.1 */
	{ "TLS", "/code/4000", OPENS, .code = 4000 },
	{ "TLS", "/code/999", OPENS, .code = 1002 },
	{ "TLS", "/bareclose", OPENS, .code = -1 },
	{ "TLS", "/lingercode/1001", OPENS, .code = 1001 },
	{ "PLAIN", "/lingercode/1001", OPENS, .code = 1001 },
	{ "TLS", "/drop", OPENS, .says = "lost" },
	{ "PLAIN", "/drop", OPENS, .says = "lost" },
	{ "TLS", "/reset", OPENS, .code = -1, .says = "lost" },
	{ "PLAIN", "/reset", OPENS, .code = -1, .says = "lost" },
	{ "TLS", "/silent", OPENS, .deadline_ms = 600, .says = "nothing was heard" },
	{ "TLS", "/deaf", OPENS, .deadline_ms = 600, .says = "nothing was heard" },
	/* Answers that are no upgrade. */
	{ "TLS", "/badaccept", REFUSED },
	{ "TLS", "/status/200", REFUSED, .status = 200, .says = "HTTP 200" },
	{ "TLS", "/status/302", REFUSED, .status = 302, .says = "HTTP 302" },
	{ "TLS", "/status/401", REFUSED, .status = 401, .says = "HTTP 401" },
	{ "TLS", "/status/403", REFUSED, .status = 403, .says = "HTTP 403" },
	{ "TLS", "/status/409", REFUSED, .status = 409, .says = "HTTP 409" },
	{ "TLS", "/status/429/17", .status = 429, .retry_after_ms = 17000 },
	{ "TLS", "/status/503/99999", .status = 503, .retry_after_ms = 3600000 },
	{ "TLS", "/status/503/soon", REFUSED, .status = 503 },
	{ "TLS", "/abort", REFUSED },
	{ "PLAIN", "/abort", REFUSED },
	{ "PLAIN", "/nobody", REFUSED },
	{ "TLS", "/nobody", REFUSED },
	{ "TLS", "/hang", REFUSED, .deadline_ms = 300, .says = "within 300 ms" },
	{ "TLS", "/http", REFUSED, .deadline_ms = 300, .says = "within 300 ms" },
	{ "TLS", "/slowhead", REFUSED, .deadline_ms = 300, .says = "within 300 ms" },
	{ "TLS", "/longhead", REFUSED },
	/* TLS that is not ours, slow or dead. */
	{ "STRANGE", "/echo", REFUSED, .says = "certificate" },
	{ "MISNAMED", "/echo", REFUSED, .says = "mismatch" },
	{ "EXPIRED", "/echo", REFUSED, .says = "expired" },
	{ "SLOWTLS", "/code/1001", OPENS, .code = 1001 },
	{ "STALLTLS", "/echo", REFUSED, .deadline_ms = 300, .says = "within 300 ms" },
	{ "MUTE", "/echo", REFUSED, .deadline_ms = 300, .says = "within 300 ms" },
	{ "FULL", "/echo", REFUSED, .deadline_ms = 300, .says = "within 300 ms" },
	{ "REFUSED", "/echo", REFUSED, .says = "refused or not reachable" },
};
/* clang-format on */

static void check_end(const struct hostile *hostile, const struct seen *seen)
{
	const struct ws_end *end = &seen->end;

	print_message("# %s %s: %d ms, status %d, code %d: %s\n", hostile->env, hostile->path,
		      (int)(seen->closed_ms - seen->started_ms), end->status, end->code,
		      seen->err.msg);
	assert_true(seen->opened == hostile->opens);
	assert_int_equal(seen->closed, 1);
	assert_false(end->ours);
	if (hostile->messages > 0)
		assert_int_equal(seen->messages, hostile->messages);
	assert_int_equal(end->status, hostile->status);
	assert_int_equal(end->retry_after_ms, hostile->retry_after_ms);
	if (hostile->code != -1)
		assert_int_equal(end->code, hostile->code);
	if (hostile->deadline_ms > 0)
		assert_true(seen->closed_ms -
				    (hostile->opens ? seen->opened_ms : seen->started_ms) <=
			    hostile->deadline_ms + 2000);
	if (hostile->says != NULL && strstr(seen->err.msg, hostile->says) == NULL)
		fail_msg("'%s' is not in: %s", hostile->says, seen->err.msg);
}

/* So that the server knows that it is open. */
static void greet(struct seen *seen)
{
	assert_true(ws_send(seen->ws, "hello", 5));
}

static void test_each_case_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct seen seen = { .on_open = greet };
		struct ws_config config = { .url = world_url("127.0.0.1", cases[i].env,
							     cases[i].path),
					    .connect_ms = NEVER_MS,
					    .ping_ms = 200,
					    .dead_ms = NEVER_MS };
		struct world world;

		if (cases[i].deadline_ms > 0)
			*(cases[i].opens ? &config.dead_ms : &config.connect_ms) =
				cases[i].deadline_ms;
		world_open(&world);
		world_start(&world, &seen, &config);
		world_end(&world, &seen);
		check_end(&cases[i], &seen);
		world_close(&world);
	}
}

/* The same on one context at once, beside one that lives through it all. */
static void test_all_cases_at_once(void **state)
{
	enum { N = sizeof(cases) / sizeof(cases[0]) };
	static struct seen seen[N];
	struct seen good = { 0 };
	struct ws_config config = { .ping_ms = 100, .dead_ms = NEVER_MS };
	struct world world;

	(void)state;
	memset(seen, 0, sizeof(seen));
	world_open(&world);
	config.url = world_url("127.0.0.1", "TLS", "/echo");
	world_start(&world, &good, &config);
	assert_true(world_run_until(&world, &good.opened, 1));
	for (size_t i = 0; i < N; i++) {
		config = (struct ws_config){ .url = world_url("127.0.0.1", cases[i].env,
							      cases[i].path),
					     .connect_ms = cases[i].opens ? 10000 : 1000,
					     .ping_ms = 500,
					     .dead_ms = 2000 };
		seen[i].on_open = greet;
		world_start(&world, &seen[i], &config);
	}
	for (size_t i = 0; i < N; i++) {
		world_end(&world, &seen[i]);
		assert_int_equal(seen[i].closed, 1);
	}
	assert_int_equal(good.closed, 0);
	assert_true(ws_send(good.ws, "still here", 10));
	assert_true(world_run_until(&world, &good.messages, 1));
	ws_close(good.ws, 1000, "");
	world_end(&world, &good);
	world_close(&world);
}

/* What a close of ours meets: no answer, an answer but the connection stays, a peer that reads
 * nothing. */
static void test_closing_is_never_waited_for(void **state)
{
	static const char *const paths[] = { "/noclose", "/linger", "/deaf", "/echo" };

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		struct seen seen = { 0 };
		struct ws_config config = { .url = world_url("127.0.0.1", i < 4 ? "TLS" : "PLAIN",
							     paths[i % 4]) };
		struct world world;
		uint64_t asked_ms;
		char *large = calloc(1, 3000000);

		world_open(&world);
		world_start(&world, &seen, &config);
		assert_true(world_run_until(&world, &seen.opened, 1));
		if (i % 4 == 2)
			assert_true(ws_send(seen.ws, large, 3000000));
		asked_ms = world_now(&world);
		ws_close(seen.ws, 1001, "going");
		world_end(&world, &seen);
		assert_true(seen.end.ours);
		assert_true(seen.closed_ms - asked_ms < 2000);
		world_close(&world);
		free(large);
	}
}

/* The context goes while all kinds of things are under way. */
static void test_context_goes_in_the_middle(void **state)
{
	static const unsigned turns[] = { 0, 1, 2, 5, 10, 20, 40, 80 };
	static const char *const envs[] = { "TLS",  "PLAIN", "SLOWTLS", "STALLTLS",
					    "MUTE", "FULL",  "REFUSED", "STRANGE" };

	(void)state;
	for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
		struct seen seen[8] = { { 0 } };
		struct world world;

		world_open(&world);
		for (size_t n = 0; n < 8; n++) {
			struct ws_config config = { .url = world_url("127.0.0.1", envs[n],
								     "/burst/100/1000") };

			world_start(&world, &seen[n], &config);
		}
		for (unsigned n = 0; n < turns[i]; n++)
			(void)uv_run(&world.loop, UV_RUN_NOWAIT);
		for (size_t n = 0; n < 8; n++)
			if (seen[n].closed == 0)
				ws_abandon(seen[n].ws);
		world_close(&world);
	}
}

/* Eight at a time; each lives or ends, and goes when it is told to.  DICE: how many in all. */
static void test_frames_by_chance(void **state)
{
	const char *text = getenv("DICE");
	int64_t n = 32;
	struct world world;

	(void)state;
	assert_true(text == NULL || str_to_i64(text, &n));
	world_open(&world);
	for (int64_t seed = 0; seed < n; seed += 8) {
		struct seen seen[8] = { { 0 } };

		for (size_t i = 0; i < 8; i++) {
			char path[40];
			struct ws_config config = { .ping_ms = 100, .max_message = 100000 };

			(void)snprintf(path, sizeof(path), "/dice/%d", (int)seed + (int)i);
			config.url = world_url("127.0.0.1", i % 2 != 0 ? "TLS" : "PLAIN", path);
			world_start(&world, &seen[i], &config);
		}
		world_run_for(&world, 150);
		for (size_t i = 0; i < 8; i++) {
			if (seen[i].closed == 0)
				ws_close(seen[i].ws, 1000, "enough");
			world_end(&world, &seen[i]);
		}
	}
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_case_alone),
		cmocka_unit_test(test_all_cases_at_once),
		cmocka_unit_test(test_closing_is_never_waited_for),
		cmocka_unit_test(test_context_goes_in_the_middle),
		cmocka_unit_test(test_frames_by_chance),
	};

	return cmocka_run_group_tests_name("ws_hostile", tests, NULL, NULL);
}
