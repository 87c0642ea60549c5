/* SPDX-License-Identifier: Apache-2.0 */
/* http_world.c - what the tests of net/http share. */
#include "http_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_watchdog(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("the test did not end within its time");
}

void world_open(struct world *world, const struct http_config *config)
{
	const struct http_config plain = { .name = "peer", .plain_loopback = true };

	memset(world, 0, sizeof(*world));
	assert_int_equal(uv_loop_init(&world->loop), 0);
	world->http = http_create(&world->loop, config == NULL ? &plain : config);
	(void)uv_timer_init(&world->loop, &world->watchdog);
	(void)uv_timer_start(&world->watchdog, on_watchdog, 250000, 0);
	uv_unref((uv_handle_t *)&world->watchdog);
}

void world_close(struct world *world)
{
	http_destroy(world->http);
	uv_close((uv_handle_t *)&world->watchdog, NULL);
	(void)uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
}

const char *world_url(const char *env, const char *path)
{
	static char text[4][200];
	static unsigned turn;
	char *url = text[turn++ % 4];
	bool plain = strcmp(env, "PLAIN") == 0;
	char name[32];

	(void)snprintf(name, sizeof(name), "HTTP_%s", env);
	if (getenv(name) == NULL)
		fail_msg("run me by with_http.py");
	(void)snprintf(url, sizeof(text[0]), "%s://127.0.0.1:%s%s", plain ? "http" : "https",
		       getenv(name), path);
	return url;
}

static void on_done(void *data, const struct http_response *response, const struct err *err)
{
	struct end *end = data;
	size_t n;

	assert_non_null(end->call); /* never before http_start returned, never twice */
	end->call = NULL;
	end->world->done++;
	end->world->waiting--;
	if (err != NULL) {
		assert_null(response);
		end->failed = true;
		end->err = *err;
		return;
	}
	end->status = response->status;
	end->retry_after_ms = response->retry_after_ms;
	end->elapsed_ms = response->elapsed_ms;
	end->len = response->len;
	assert_int_equal(response->body[response->len], 0);
	n = response->len < sizeof(end->body) - 1 ? response->len : sizeof(end->body) - 1;
	memcpy(end->body, response->body, n);
	for (size_t i = 0; i < 2; i++)
		if (http_header_at(response, "x-two", i) != NULL)
			(void)snprintf(end->two[i], sizeof(end->two[i]), "%s",
				       http_header_at(response, "x-two", i));
}

void world_start(struct world *world, struct end *end, const struct http_request *request)
{
	memset(end, 0, sizeof(*end));
	end->world = world;
	world->waiting++;
	end->call = http_start(world->http, request, on_done, end);
}

void world_wait(struct world *world)
{
	while (world->waiting > 0)
		(void)uv_run(&world->loop, UV_RUN_ONCE);
}

void world_turn(struct world *world, unsigned turns)
{
	while (turns-- > 0)
		(void)uv_run(&world->loop, UV_RUN_NOWAIT);
}

struct end world_ask(struct world *world, const struct http_request *request)
{
	struct end end;

	world_start(world, &end, request);
	world_wait(world);
	return end;
}

struct end world_get(struct world *world, const char *url)
{
	const struct http_request request = { .method = "GET", .url = url, .timeout_ms = 30000 };

	return world_ask(world, &request);
}

int world_count(struct world *world, const char *key)
{
	char path[100];
	struct end end;

	(void)snprintf(path, sizeof(path), "/count/%s", key);
	end = world_get(world, world_url("PLAIN", path));
	assert_false(end.failed);
	return (int)strtol(end.body, NULL, 10);
}
