/* SPDX-License-Identifier: Apache-2.0 */
/* ws_world.c - what the tests of net/ws share. */
#include "ws_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fakes/stall.h"
#include "net/loop.h"

enum { WATCHDOG_MS = 250000 };

static void on_watchdog(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("the test did not end within its time");
}

uint64_t world_now(const struct world *world)
{
	return uv_now(&world->loop) - stall_ms();
}

void world_open(struct world *world)
{
	world_open_proxied(world, NULL);
}

void world_open_proxied(struct world *world, const char *proxy)
{
	const struct ws_context_config config = { .ca_file = getenv("WS_CA"),
						  .proxy = proxy,
						  .plain_loopback = true };
	struct err err = { 0 };

	memset(world, 0, sizeof(*world));
	if (config.ca_file == NULL)
		fail_msg("run me by hostile_ws.py");
	loop_init(&world->loop);
	world->context = ws_context_create(&world->loop, &config, &err);
	if (world->context == NULL)
		fail_msg("%s", err.msg);
	(void)uv_timer_init(&world->loop, &world->watchdog);
	(void)uv_timer_start(&world->watchdog, on_watchdog, WATCHDOG_MS, 0);
	uv_unref((uv_handle_t *)&world->watchdog);
}

static void on_gone(void *data)
{
	struct world *world = data;

	assert_false(world->gone);
	world->gone = true;
}

void world_close(struct world *world)
{
	uv_close((uv_handle_t *)&world->watchdog, NULL);
	ws_context_destroy(world->context, on_gone, world);
	(void)uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_true(world->gone);
	assert_int_equal(uv_loop_close(&world->loop), 0);
}

static void on_limit(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

static bool run_until(struct world *world, const unsigned *counter, unsigned value,
		      unsigned limit_ms)
{
	bool late = false;
	uv_timer_t limit;

	(void)uv_timer_init(&world->loop, &limit);
	limit.data = &late;
	(void)uv_timer_start(&limit, on_limit, limit_ms, 0);
	while (!late && (counter == NULL || *counter < value))
		(void)uv_run(&world->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&limit, NULL);
	(void)uv_run(&world->loop, UV_RUN_NOWAIT);
	return counter != NULL && *counter >= value;
}

bool world_run_until(struct world *world, const unsigned *counter, unsigned value)
{
	return run_until(world, counter, value, WORLD_LIMIT_MS);
}

void world_run_for(struct world *world, unsigned ms)
{
	(void)run_until(world, NULL, 0, ms);
}

const char *world_url(const char *host, const char *env, const char *path)
{
	static char url[3000];
	char name[32];

	(void)snprintf(name, sizeof(name), "WS_%s", env);
	assert_non_null(getenv(name));
	(void)snprintf(url, sizeof(url), "%s://%s:%s%s", strcmp(env, "PLAIN") == 0 ? "ws" : "wss",
		       host, getenv(name), path);
	return url;
}

static void on_open(void *data)
{
	struct seen *seen = data;

	assert_non_null(seen->ws); /* never before ws_start returned */
	assert_int_equal(seen->opened, 0);
	seen->opened++;
	seen->opened_ms = world_now(seen->world);
	if (seen->on_open != NULL)
		seen->on_open(seen);
}

static void on_message(void *data, const char *text, size_t len)
{
	struct seen *seen = data;
	size_t n = len < sizeof(seen->last) - 1 ? len : sizeof(seen->last) - 1;

	assert_non_null(seen->ws);
	assert_int_equal(seen->opened, 1);
	assert_int_equal(text[len], 0);
	seen->messages++;
	seen->bytes += len;
	memcpy(seen->last, text, n);
	seen->last[n] = '\0';
	if (seen->on_message != NULL)
		seen->on_message(seen, text, len);
}

static void on_pong(void *data, uint32_t rtt_ms)
{
	struct seen *seen = data;

	assert_non_null(seen->ws);
	assert_true(rtt_ms < WORLD_LIMIT_MS);
	seen->pongs++;
}

static void on_closed(void *data, const struct ws_end *end)
{
	struct seen *seen = data;

	assert_non_null(seen->ws);
	assert_int_equal(seen->closed, 0);
	assert_non_null(end->err);
	seen->ws = NULL;
	seen->closed++;
	seen->closed_ms = world_now(seen->world);
	seen->end = *end;
	seen->err = *end->err;
	assert_true(seen->err.msg[0] != '\0');
	assert_true(end->opened == (seen->opened == 1));
	assert_int_equal(seen->err.kind, end->opened ? ERR_UNCERTAIN : ERR_RETRY);
}

void world_start(struct world *world, struct seen *seen, const struct ws_config *config)
{
	static const struct ws_events events = {
		.open = on_open, .message = on_message, .pong = on_pong, .closed = on_closed
	};

	seen->world = world;
	uv_update_time(&world->loop);
	seen->started_ms = world_now(world);
	seen->ws = ws_start(world->context, config, &events, seen);
	assert_non_null(seen->ws);
	assert_int_equal(seen->opened + seen->closed, 0);
}

void world_end(struct world *world, struct seen *seen)
{
	if (!world_run_until(world, &seen->closed, 1))
		fail_msg("not closed within %d ms", WORLD_LIMIT_MS);
}

const char *world_ask(struct world *world, const char *key)
{
	static struct seen seen;
	char path[100];
	struct ws_config config = { .connect_ms = WORLD_LIMIT_MS };

	seen = (struct seen){ 0 };
	(void)snprintf(path, sizeof(path), "/seen/%s", key);
	config.url = world_url("127.0.0.1", "PLAIN", path);
	world_start(world, &seen, &config);
	assert_true(world_run_until(world, &seen.messages, 1));
	ws_close(seen.ws, 1000, "thanks");
	world_end(world, &seen);
	return seen.last;
}

const char *world_saw(struct world *world, const char *key, const char *text)
{
	const char *saw = world_ask(world, key);

	while (strstr(saw, text) == NULL) /* the watchdog ends what never is */
		saw = world_ask(world, key);
	return saw;
}
