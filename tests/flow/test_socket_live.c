/* SPDX-License-Identifier: Apache-2.0 */
/* socket over real websockets and HTTP, beside the Slack stand-in: refreshes under load, faults. */
#include "../unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/ws.h"
#include "slack/envelope.h"
#include "slack/socket.h"

enum { LIMIT_MS = 60000 };

struct world {
	uv_loop_t loop;
	struct http *http;
	struct ws_context *ws;
	struct slack_socket *socket;
	unsigned ready, envelopes, closed, gone;
	unsigned losses, openings; /* to wait for */
	bool fatal;
	struct err err;
	const char *answer; /* the payload of each ack, or NULL */
	json_t *control;    /* the last answer of the control API */
	bool controlled;
};

static void on_envelope(void *data, const struct envelope *envelope, struct slack_via via)
{
	struct world *world = data;

	world->envelopes++;
	assert_true(slack_socket_ack(world->socket, via, envelope->id,
				     envelope->accepts_payload ? world->answer : NULL));
}

static void on_state(void *data, unsigned ready, const struct err *err, bool fatal)
{
	struct world *world = data;

	world->ready = ready;
	world->fatal = fatal;
	world->err = err != NULL ? *err : (struct err){ .kind = ERR_NONE };
}

static void on_closed(void *data)
{
	((struct world *)data)->closed++;
}

static void on_gone(void *data)
{
	((struct world *)data)->gone++;
}

static void on_limit(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

static bool run_for_or(struct world *world, bool (*enough)(const struct world *), unsigned limit_ms)
{
	bool late = false;
	uv_timer_t limit;

	(void)uv_timer_init(&world->loop, &limit);
	limit.data = &late;
	(void)uv_timer_start(&limit, on_limit, limit_ms, 0);
	while (!late && (enough == NULL || !enough(world)))
		(void)uv_run(&world->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&limit, NULL);
	(void)uv_run(&world->loop, UV_RUN_NOWAIT);
	return !late;
}

static void run_for(struct world *world, unsigned ms)
{
	(void)run_for_or(world, NULL, ms);
}

static bool run_until(struct world *world, bool (*enough)(const struct world *))
{
	return run_for_or(world, enough, LIMIT_MS);
}

static bool is_controlled(const struct world *world)
{
	return world->controlled;
}

static void on_control(void *data, const struct http_response *response, const struct err *err)
{
	struct world *world = data;
	struct err ignored;

	if (err != NULL)
		fail_msg("%s", err->msg);
	world->control = json_parse(response->body, response->len, 1 << 20, &ignored);
	world->controlled = true;
	if (!jget_bool(world->control, "ok", false))
		fail_msg("control: %s", response->body);
}

/* A call of the stand-in's control API; the answer stays in world->control. */
static void control(struct world *world, const char *name, const char *args)
{
	static const char *const headers[] = { "Content-Type: application/json", NULL };
	struct http_request request = { .method = "POST", .headers = headers, .body = args };
	char url[200];

	(void)snprintf(url, sizeof(url), "%s/_/%s", getenv("SLACK_BASE"), name);
	request.url = url;
	request.body_len = strlen(args);
	json_decref(world->control);
	world->control = NULL;
	world->controlled = false;
	(void)http_start(world->http, &request, on_control, world);
	assert_true(run_until(world, is_controlled));
}

/* All but the socket, so that a fault is there before it. */
static void world_begin(struct world *world)
{
	struct http_config http = { .name = "slack", .tls = { .ca_file = getenv("SLACK_CA") } };
	struct ws_context_config ws = { .ca_file = getenv("SLACK_CA") };
	struct err err;

	if (getenv("SLACK_API") == NULL)
		fail_msg("run me by with_slack.py");
	memset(world, 0, sizeof(*world));
	loop_init(&world->loop);
	world->http = http_create(&world->loop, &http);
	world->ws = ws_context_create(&world->loop, &ws, &err);
	assert_non_null(world->ws);
	control(world, "clear", "{}");
	control(world, "violations", "{\"clear\":true}");
	control(world, "reset", "{}");
}

static void world_connect(struct world *world, unsigned connections)
{
	struct slack_socket_config config = { .api_url = getenv("SLACK_API"),
					      .app_token = getenv("SLACK_APP_TOKEN"),
					      .connections = connections,
					      .envelope = on_envelope,
					      .state = on_state,
					      .data = world };

	world->socket = slack_socket_create(&world->loop, world->http, world->ws, &config);
}

static void world_open(struct world *world, unsigned connections)
{
	world_begin(world);
	world_connect(world, connections);
}

static bool is_closed(const struct world *world)
{
	return world->closed > 0;
}

static void world_close(struct world *world)
{
	slack_socket_stop(world->socket, on_closed, world);
	assert_true(run_until(world, is_closed));
	slack_socket_destroy(world->socket);
	http_destroy(world->http);
	json_decref(world->control);
	run_for(world, 5);
	ws_context_destroy(world->ws, on_gone, world);
	(void)uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(world->gone, 1);
	assert_int_equal(uv_loop_close(&world->loop), 0);
}

static void assert_no_violations(struct world *world)
{
	control(world, "violations", "{}");
	if (jget_int(world->control, "count", -1) != 0) {
		char *text = json_text(world->control);

		fail_msg("%s", text);
		free(text);
	}
}

static bool one_ready(const struct world *world)
{
	return world->ready == 1;
}

static bool two_ready(const struct world *world)
{
	return world->ready == 2;
}

static bool four_ready(const struct world *world)
{
	return world->ready == 4;
}

static bool is_fatal(const struct world *world)
{
	return world->fatal;
}

static bool has_lost(const struct world *world)
{
	return slack_socket_stats(world->socket)->lost >= world->losses;
}

static bool has_opened(const struct world *world)
{
	return slack_socket_stats(world->socket)->opened >= world->openings;
}

static bool has_failed(const struct world *world)
{
	return world->err.kind != ERR_NONE;
}

/* The numbers of the sockets that are open, so many, for control calls that take one. */
static void list_sockets(struct world *world, int *ret_numbers, size_t n)
{
	const json_t *sockets;
	size_t open = 0;

	control(world, "state", "{\"limit\":1}");
	sockets = jget(world->control, "sockets");
	for (size_t i = 0; i < json_array_size(sockets); i++) {
		const json_t *socket = json_array_get(sockets, i);

		if (!jget_bool(socket, "open", false))
			continue;
		assert_true(open < n);
		ret_numbers[open++] = (int)jget_int(socket, "number", 0);
	}
	assert_int_equal(open, n);
}

/* 20 commands a second, every ticket takes 400 ms; a warning, then a request to refresh. */
static void refreshes_under_load(unsigned connections)
{
	/* each is closed when its successor has been greeted */
	static const char *const kinds[] = {
		"{\"kind\":\"warning\",\"close\":false}",
		"{\"kind\":\"refresh_requested\",\"close\":false}",
	};
	const struct slack_socket_stats *stats;
	struct world world;
	int numbers[4];

	world_open(&world, connections);
	assert_true(run_until(&world, connections == 2 ? two_ready : one_ready));
	control(&world, "fault", "{\"name\":\"open\",\"mode\":\"slow\",\"ms\":400}");
	control(&world, "burst", "{\"count\":60,\"rate\":20,\"wait\":false}");
	stats = slack_socket_stats(world.socket);
	world.openings = connections;
	for (size_t i = 0; i < 2; i++) {
		list_sockets(&world, numbers, connections);
		control(&world, "refresh", kinds[i]);
		world.openings += connections;
		assert_true(run_until(&world, has_opened));
		for (unsigned n = 0; n < connections; n++) {
			char args[60];

			(void)snprintf(args, sizeof(args), "{\"socket\":%d,\"mode\":\"close\"}",
				       numbers[n]);
			control(&world, "socket", args);
		}
	}
	do
		control(&world, "burst_state", "{}");
	while (jget_int(world.control, "done", 0) < 60);
	assert_int_equal(jget_int(world.control, "outcomes.acked", 0), 60);
	assert_int_equal(world.envelopes, 60);
	assert_int_equal(stats->deaf_ms, 0);
	assert_int_equal(stats->acks_lost, 0);
	assert_int_equal(stats->lost, 0);
	assert_int_equal(stats->refreshed, 2 * connections);
	assert_int_equal(stats->opened, 3 * connections);
	assert_int_equal(world.ready, connections);
	assert_no_violations(&world);
	world_close(&world);
}

static void test_two_are_refreshed_under_load(void **state)
{
	(void)state;
	refreshes_under_load(2);
}

static void test_one_is_refreshed_under_load(void **state)
{
	(void)state;
	refreshes_under_load(1);
}

/* The call with that socket, and its loss. */
static void spoil(struct world *world, const char *name, int number, const char *args)
{
	char text[200];

	(void)snprintf(text, sizeof(text), "{\"socket\":%d,%s}", number, args);
	control(world, name, text);
	world->losses++;
	if (!run_until(world, has_lost))
		fail_msg("%s %s changed nothing", name, text);
}

static void test_ends_of_all_kinds(void **state)
{
	static const char *const ends[] = { "\"mode\":\"abort\"", "\"mode\":\"eof\"",
					    "\"mode\":\"close\",\"code\":1001",
					    "\"mode\":\"close\",\"code\":1012" };
	const struct slack_socket_stats *stats;
	struct world world;
	int numbers[4];

	(void)state;
	world_open(&world, 4);
	assert_true(run_until(&world, four_ready));
	list_sockets(&world, numbers, 4);
	stats = slack_socket_stats(world.socket);
	for (size_t i = 0; i < 4; i++) {
		spoil(&world, "socket", numbers[i], ends[i]);
	}
	assert_true(run_until(&world, four_ready));
	assert_int_equal(stats->opened, 8);
	control(&world, "slash", "{\"user\":\"U0ANA\",\"wait\":true}");
	assert_string_equal(jget_str(world.control, "outcome"), "acked");
	assert_no_violations(&world);
	world_close(&world);
}

static void test_a_hard_way_in(void **state)
{
	static const char *const faults[] = {
		"{\"name\":\"open\",\"times\":1,\"mode\":\"http\",\"status\":503}",
		"{\"name\":\"open\",\"times\":1,\"mode\":\"garbage\"}",
		"{\"name\":\"handshake\",\"times\":1,\"mode\":\"http\",\"status\":409}",
		"{\"name\":\"handshake\",\"times\":1,\"mode\":\"close\"}",
		"{\"name\":\"open\",\"times\":1,\"mode\":\"bad_url\",\"url\":\"https://x\"}",
		"{\"name\":\"handshake\",\"times\":1,\"mode\":\"bad_accept\"}",
		"{\"name\":\"hello\",\"times\":1,\"mode\":\"disconnect\",\"reason\":\"warning\"}",
		"{\"name\":\"hello\",\"times\":1,\"mode\":\"odd\"}",
		"{\"name\":\"hello\",\"times\":1,\"mode\":\"no_debug_info\"}",
		"{\"name\":\"handshake\",\"times\":1,\"mode\":\"colons\"}",
		"{\"name\":\"socket\",\"times\":1,\"mode\":\"fragment\",\"size\":7,\"pings\":true}",
		"{\"name\":\"socket\",\"times\":1,\"mode\":\"dribble\",\"size\":1}",
	};
	enum { N = sizeof(faults) / sizeof(faults[0]) };

	(void)state;
	for (size_t i = 0; i < N; i += 4) {
		struct world world;

		world_begin(&world);
		for (size_t n = i; n < i + 4 && n < N; n++)
			control(&world, "fault", faults[n]);
		world_connect(&world, 4);
		if (!run_until(&world, four_ready))
			fail_msg("%u ready after %s …: %s", world.ready, faults[i], world.err.msg);
		for (size_t n = 0; n < 4; n++) {
			control(&world, "slash", "{\"user\":\"U0ANA\",\"wait\":true}");
			assert_string_equal(jget_str(world.control, "outcome"), "acked");
		}
		control(&world, "faults", "{}");
		assert_int_equal(json_array_size(jget(world.control, "active")),
				 0); /* all struck */
		assert_false(world.fatal);
		world_close(&world);
	}
}

static void test_refused_token(void **state)
{
	struct world world;

	(void)state;
	world_begin(&world);
	control(&world, "token", "{\"which\":\"app\",\"state\":\"token_revoked\"}");
	world_connect(&world, 2);
	assert_true(run_until(&world, is_fatal));
	assert_non_null(strstr(world.err.msg, "token_revoked"));
	run_for(&world, 1500);
	control(&world, "calls", "{\"method\":\"apps.connections.open\"}");
	assert_true(json_array_size(jget(world.control, "calls")) <= 40);
	control(&world, "token", "{\"which\":\"app\",\"state\":null}");
	world_close(&world);
}

static void test_odd_frames(void **state)
{
	static const char *const kinds[] = {
		"not_json",   "malformed", "empty_object",   "array",         "number",
		"null_type",  "deep",      "deep_object",    "binary",        "twice_hello",
		"nul_escape", "masked",    "lone_pong",      "bad_utf8",      "unknown_type",
		"no_event",   "fragments", "payload_string", "payload_array", "missing_fields"
	};
	struct world world;

	(void)state;
	world_open(&world, 1);
	assert_true(run_until(&world, one_ready));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		char args[60];

		(void)snprintf(args, sizeof(args), "{\"kind\":\"%s\"}", kinds[i]);
		control(&world, "inject", args);
		control(&world, "slash", "{\"user\":\"U0ANA\",\"wait\":true}");
		if (!str_eq(jget_str(world.control, "outcome"), "acked"))
			fail_msg("after %s: %s", kinds[i], jget_str(world.control, "outcome"));
	}
	assert_int_equal(slack_socket_stats(world.socket)->opened, 1);
	assert_true(slack_socket_stats(world.socket)->bad_frames >= 8);
	world_close(&world);
}

static void test_frames_that_end_it(void **state)
{
	/* huge_header is not among them: nothing follows, so it is found by 30 s of silence. */
	static const char *const kinds[] = {
		"reserved_bits", "reserved_opcode", "long_ping",         "fragmented_ping",
		"close_1_byte",  "close_empty",     "lone_continuation", "close_bad_code",
	};
	struct world world;

	(void)state;
	for (size_t i = 0; i < 8; i += 4) {
		int numbers[4];

		world_open(&world, 4);
		assert_true(run_until(&world, four_ready));
		list_sockets(&world, numbers, 4);
		for (size_t n = 0; n < 4; n++) {
			char args[60];

			(void)snprintf(args, sizeof(args), "\"kind\":\"%s\"", kinds[i + n]);
			spoil(&world, "inject", numbers[n], args);
		}
		assert_true(run_until(&world, four_ready));
		assert_int_equal(slack_socket_stats(world.socket)->lost, 4);
		world_close(&world);
	}
}

/* As large as an ack may be: neither refused nor in fragments. */
static void test_large_acks(void **state)
{
	char *large = malloc(16001);
	struct world world;

	(void)state;
	(void)snprintf(large, 16001, "{\"text\":\"%15980s\"}", "x");
	world_open(&world, 1);
	world.answer = large;
	assert_true(run_until(&world, one_ready));
	for (unsigned i = 0; i < 20; i++) {
		control(&world, "slash", "{\"user\":\"U0ANA\",\"wait\":true}");
		assert_string_equal(jget_str(world.control, "outcome"), "acked");
	}
	assert_no_violations(&world);
	world_close(&world);
	free(large);
}

static void test_link_disabled_and_too_many(void **state)
{
	struct world world;

	(void)state;
	world_open(&world, 1);
	assert_true(run_until(&world, one_ready));
	control(&world, "refresh", "{\"kind\":\"too_many_websockets\",\"after\":0.2}");
	assert_true(run_until(&world, has_failed));
	assert_int_equal(world.ready, 0);
	assert_false(world.fatal);
	world_close(&world);
	world_open(&world, 1);
	assert_true(run_until(&world, one_ready));
	control(&world, "refresh", "{\"kind\":\"link_disabled\"}");
	assert_true(run_until(&world, is_fatal));
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_are_refreshed_under_load),
		cmocka_unit_test(test_one_is_refreshed_under_load),
		cmocka_unit_test(test_ends_of_all_kinds),
		cmocka_unit_test(test_a_hard_way_in),
		cmocka_unit_test(test_refused_token),
		cmocka_unit_test(test_odd_frames),
		cmocka_unit_test(test_frames_that_end_it),
		cmocka_unit_test(test_large_acks),
		cmocka_unit_test(test_link_disabled_and_too_many),
	};
	int failed;

	http_library_init();
	failed = cmocka_run_group_tests_name("socket_live", tests, NULL, NULL);
	http_library_finish();
	return failed;
}
