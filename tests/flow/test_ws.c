/* SPDX-License-Identifier: Apache-2.0 */
/* ws: messages both ways, pings, closing, refusals, addresses, TLS, abandoning at any moment. */
#include "ws_world.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum { CLOSE_MS = 900 }; /* a peer has a little longer to answer a close */

/* Names of the test resolve here; all else goes to the C library. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret_list);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret_list)
{
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (node != NULL && strcmp(node, "many.example") == 0) {
		/* Refused, not reachable, good: the order is that of the list. */
		struct addrinfo *first = NULL, *second = NULL, **tail = &first;

		(void)real("::1", service, hints, &first);
		while (*tail != NULL)
			tail = &(*tail)->ai_next;
		(void)real("255.255.255.255", service, hints, tail);
		while (*tail != NULL)
			tail = &(*tail)->ai_next;
		(void)real("127.0.0.1", service, hints, &second);
		*tail = second;
		*ret_list = first;
		return 0;
	}
	return real(node, service, hints, ret_list);
}

static void send_on_open(struct seen *seen)
{
	assert_true(ws_send(seen->ws, "{\"a\":1}", 7));
}

static void close_on_message(struct seen *seen, const char *text, size_t len)
{
	(void)text;
	(void)len;
	ws_close(seen->ws, 1000, "enough");
	assert_false(ws_send(seen->ws, "late", 4));
}

static void test_echo_over_tls(void **state)
{
	struct seen seen = { .on_open = send_on_open, .on_message = close_on_message };
	struct ws_config config = { 0 };
	struct world world;
	const char *server;

	(void)state;
	world_open(&world);
	config.url = world_url("127.0.0.1", "TLS", "/echo?key=first");
	world_start(&world, &seen, &config);
	world_end(&world, &seen);
	assert_int_equal(seen.messages, 1);
	assert_string_equal(seen.last, "{\"a\":1}");
	assert_true(seen.end.ours);
	assert_int_equal(seen.end.status, 0);
	server = world_saw(&world, "first", "text 7; close 1000 enough");
	assert_non_null(strstr(server, "query key=first"));
	assert_null(strstr(server, "unmasked"));
	assert_null(strstr(server, "offers"));
	world_close(&world);
}

static void test_what_the_peer_fragments(void **state)
{
	static const struct {
		const char *path;
		unsigned messages;
		size_t bytes;
	} rows[] = {
		{ "/fragments?key=f", 1, 70018 },
		{ "/split", 4, 5 + 300 + 2 + 0 },
		{ "/big/125", 1, 125 },
		{ "/big/126", 1, 126 },
		{ "/big/65535", 1, 65535 },
		{ "/big/65536", 1, 65536 },
		{ "/big/1048576", 1, 1024 * 1024 },
		{ "/binary", 1, 5 },
		{ "/burst/3000/4000", 3000, 3000 * 4006 },
	};
	struct world world;

	(void)state;
	world_open(&world);
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		struct seen seen = { 0 };
		struct ws_config config = { .url = world_url("127.0.0.1", i % 2 ? "TLS" : "PLAIN",
							     rows[i / 2].path) };

		world_start(&world, &seen, &config);
		if (!world_run_until(&world, &seen.messages, rows[i / 2].messages))
			fail_msg("%s: %u messages", rows[i / 2].path, seen.messages);
		assert_int_equal(seen.bytes, rows[i / 2].bytes);
		ws_close(seen.ws, 1000, "");
		world_end(&world, &seen);
		assert_int_equal(seen.messages, rows[i / 2].messages);
	}
	(void)world_saw(&world, "f", "pong one; pong two");
	world_close(&world);
}

/* Closes after frames of every length.  false: the machine stood still for longer than a close
 * waits for its peer, and what was under way was dropped. */
static bool send_all_sizes(struct world *world, unsigned turn)
{
	static const size_t sizes[] = { 0, 1, 125, 126, 65535, 65536, 600000 };
	char *text = calloc(1, 600000), key[20], path[40];
	struct seen seen = { 0 };
	struct ws_config config = { .url = path };
	struct buf expected;
	uint64_t began_ms;
	bool in_time;

	memset(text, 'x', 600000);
	buf_init(&expected, 1000);
	(void)snprintf(key, sizeof(key), "sizes-%u", turn);
	(void)snprintf(path, sizeof(path), "/linger?key=%s", key);
	config.url = world_url("127.0.0.1", "TLS", path);
	world_start(world, &seen, &config);
	assert_false(ws_send(seen.ws, "early", 5));
	assert_true(world_run_until(world, &seen.opened, 1));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_true(ws_send(seen.ws, text, sizes[i]));
		assert_true(buf_printf(&expected, "text %zu; ", sizes[i]));
	}
	assert_true(ws_queued(seen.ws) > 700000);
	assert_true(buf_puts(&expected, "close 4001 bye"));
	began_ms = uv_now(&world->loop);
	ws_close(seen.ws, 4001, "bye");
	world_end(world, &seen);
	in_time = uv_now(&world->loop) - began_ms < CLOSE_MS;
	if (in_time)
		(void)world_saw(world, key, buf_text(&expected));
	buf_finish(&expected);
	free(text);
	return in_time;
}

/* A frame of every length form goes out in one piece, and all of the queue before the close. */
static void test_sending(void **state)
{
	struct world world;
	unsigned turn = 0;

	(void)state;
	world_open(&world);
	while (!send_all_sizes(&world, turn))
		turn++;
	world_close(&world);
}

static void test_queue_has_a_ceiling(void **state)
{
	struct seen seen = { 0 };
	struct ws_config config = { .max_queued = 100 };
	struct world world;

	(void)state;
	world_open(&world);
	config.url = world_url("127.0.0.1", "PLAIN", "/echo");
	world_start(&world, &seen, &config);
	assert_true(world_run_until(&world, &seen.opened, 1));
	assert_true(ws_send(seen.ws, "12345678901234567890123456789012345678901234567890", 50));
	assert_true(ws_send(seen.ws, "12345678901234567890123456789012345678901234567890", 50));
	assert_false(ws_send(seen.ws, "1", 1));
	assert_int_equal(ws_queued(seen.ws), 100);
	assert_true(world_run_until(&world, &seen.messages, 2));
	assert_int_equal(ws_queued(seen.ws), 0);
	assert_false(ws_send(seen.ws, "", SIZE_MAX));
	world_close(&world); /* drops it silently */
	assert_int_equal(seen.closed, 0);
}

/* Pongs keep one, and data the other, for longer than dead_ms; the third hears neither. */
static void test_liveness(void **state)
{
	enum { DEAD_MS = 6000, PING_MS = 200 };
	struct seen silent = { 0 }, chatty = { 0 }, pinged = { 0 };
	struct ws_config config = { .ping_ms = PING_MS, .dead_ms = DEAD_MS };
	struct world world;

	(void)state;
	world_open(&world);
	config.url = world_url("127.0.0.1", "TLS", "/echo");
	world_start(&world, &pinged, &config);
	config.url = world_url("127.0.0.1", "TLS", "/chatty/130"); /* every 50 ms, and no pong */
	world_start(&world, &chatty, &config);
	config.dead_ms = 200;
	config.ping_ms = 60;
	config.url = world_url("127.0.0.1", "TLS", "/silent");
	world_start(&world, &silent, &config);
	world_end(&world, &silent);
	assert_non_null(strstr(silent.err.msg, "nothing was heard"));
	assert_false(silent.end.ours);
	assert_true(world_run_until(&world, &chatty.messages, 130));
	assert_true(world_run_until(&world, &pinged.pongs, DEAD_MS / PING_MS + 1));
	assert_int_equal(chatty.pongs, 0);
	assert_int_equal(chatty.closed + pinged.closed, 0);
	world_close(&world);
}

static void test_addresses_are_tried_in_turn(void **state)
{
	struct seen seen = { .on_open = send_on_open, .on_message = close_on_message };
	struct ws_config config = { 0 };
	struct world world;

	(void)state;
	world_open(&world);
	config.url = world_url("many.example", "TLS", "/echo?key=many");
	world_start(&world, &seen, &config);
	world_end(&world, &seen);
	assert_int_equal(seen.messages, 1);
	assert_non_null(strstr(world_ask(&world, "many"), "host many.example:"));
	world_close(&world);
}

static void test_many_failures_leave_nothing(void **state)
{
	static const char *const hosts[] = { "127.0.0.1", "255.255.255.255", "nowhere.invalid",
					     "[::1]" };
	struct world world;

	(void)state;
	world_open(&world);
	for (size_t i = 0; i < 40; i++) {
		struct seen seen = { 0 };
		struct ws_config config = { .url = world_url(hosts[i % 4], "REFUSED", "/"),
					    .connect_ms = 20000 };

		world_start(&world, &seen, &config);
		world_end(&world, &seen);
		assert_false(seen.end.opened);
	}
	world_close(&world);
}

static void test_bad_urls(void **state)
{
	static const char *const urls[] = {
		"",
		"https://127.0.0.1/",
		"ws://slack.example/",
		"ws://127.0.0.1.example/",
		"wss://",
		"wss:///path",
		"wss://user@127.0.0.1/",
		"wss://127.0.0.1:0/",
		"wss://127.0.0.1:65536/",
		"wss://127.0.0.1:x/",
		"wss://[::1/",
		"wss://[::1]x/",
		"wss://127.0.0.1/a b",
		"wss://127.0.0.1/a\r\nX: y",
		"wss://127.0.0.1/#frag",
		"wss://127.0.0.1#frag",
	};
	struct world world;
	char longest[2200] = "wss://127.0.0.1/";

	(void)state;
	world_open(&world);
	for (size_t i = 0; i <= sizeof(urls) / sizeof(urls[0]); i++) {
		bool last = i == sizeof(urls) / sizeof(urls[0]);
		struct seen seen = { 0 };
		struct ws_config config = { .url = last ? longest : urls[i] };

		if (last)
			memset(longest + 16, 'p', sizeof(longest) - 17);
		world_start(&world, &seen, &config);
		world_end(&world, &seen);
		if (strstr(seen.err.msg, "URL") == NULL)
			fail_msg("%s: %s", config.url, seen.err.msg);
	}
	world_close(&world);
}

/* After each number of turns: no event may come, nothing may be left. */
static void test_abandoned_at_any_moment(void **state)
{
	static const char *const envs[] = { "TLS", "PLAIN", "MUTE", "FULL", "REFUSED" };

	(void)state;
	for (size_t i = 0; i < sizeof(envs) / sizeof(envs[0]); i++) {
		struct world world;

		world_open(&world);
		for (unsigned turns = 0; turns < 25; turns++) {
			struct seen seen = { .on_open = send_on_open };
			struct ws_config config = { .url = world_url("localhost", envs[i],
								     "/burst/100/100") };

			world_start(&world, &seen, &config);
			for (unsigned n = 0; n < turns && seen.closed == 0; n++)
				(void)uv_run(&world.loop, UV_RUN_NOWAIT);
			if (seen.closed > 0)
				continue;
			ws_abandon(seen.ws);
			seen.ws = NULL; /* any event fails from here on */
			world_run_for(&world, 3);
		}
		world_close(&world);
	}
}

static void abandon_on_message(struct seen *seen, const char *text, size_t len)
{
	(void)text;
	(void)len;
	ws_abandon(seen->ws);
	seen->ws = NULL;
}

static void close_on_open(struct seen *seen)
{
	ws_close(seen->ws, 1000, "at once");
}

static void test_leaving_from_inside(void **state)
{
	struct seen abandoned = { .on_message = abandon_on_message };
	struct seen closed = { .on_open = close_on_open };
	struct seen never = { 0 };
	struct ws_config config = { 0 };
	struct world world;

	(void)state;
	world_open(&world);
	config.url = world_url("127.0.0.1", "TLS", "/burst/50/3000?key=abandoned");
	world_start(&world, &abandoned, &config);
	config.url = world_url("127.0.0.1", "TLS", "/echo?key=closed");
	world_start(&world, &closed, &config);
	world_end(&world, &closed);
	assert_int_equal(closed.opened, 1);
	assert_true(world_run_until(&world, &abandoned.messages, 1));
	config.url = world_url("127.0.0.1", "MUTE", "/");
	world_start(&world, &never, &config);
	ws_close(never.ws, 1000, "not wanted any more");
	ws_close(never.ws, 1000, "twice");
	world_end(&world, &never);
	assert_false(never.end.opened);
	assert_true(never.end.ours);
	world_run_for(&world, 50);
	assert_int_equal(abandoned.messages, 1);
	assert_int_equal(abandoned.closed, 0);
	(void)world_saw(&world, "closed", "close 1000 at once");
	(void)world_saw(&world, "abandoned", "close 1000");
	world_close(&world);
}

static void test_context_needs_a_ca(void **state)
{
	struct ws_context_config config = { .ca_file = "/nonexistent/ca.pem" };
	struct err err = { 0 };
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_null(ws_context_create(&loop, &config, &err));
	assert_non_null(strstr(err.msg, "/nonexistent/ca.pem"));
	config.ca_file = getenv("WS_EMPTY_CA");
	err = (struct err){ 0 };
	assert_null(ws_context_create(&loop, &config, &err));
	assert_non_null(strstr(err.msg, "empty.pem"));
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_through_a_proxy(void **state)
{
	struct seen seen = { .on_open = send_on_open, .on_message = close_on_message };
	struct seen forbidden = { 0 };
	struct ws_config config = { 0 };
	struct world world;
	char proxy[40];

	(void)state;
	(void)snprintf(proxy, sizeof(proxy), "127.0.0.1:%s", getenv("WS_PROXY"));
	world_open_proxied(&world, proxy);
	config.url = world_url("many.example", "TLS", "/echo"); /* the proxy looks the name up */
	world_start(&world, &seen, &config);
	world_end(&world, &seen);
	if (seen.messages != 1)
		fail_msg("%s", seen.err.msg);
	config.url = "wss://many.example:9/";
	world_start(&world, &forbidden, &config);
	world_end(&world, &forbidden);
	assert_false(forbidden.end.opened);
	world_close(&world);
	world_open(&world);
	assert_non_null(strstr(world_ask(&world, "proxy"), "many.example:"));
	world_close(&world);
}

static void test_proxy_must_be_numeric(void **state)
{
	static const char *const proxies[] = { "proxy.example:3128", "127.0.0.1", "127.0.0.1:x", "",
					       "127.0.0.1:3128/x" };
	struct err err;
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++) {
		struct ws_context_config config = { .ca_file = getenv("WS_CA"),
						    .proxy = proxies[i] };

		err = (struct err){ 0 };
		assert_null(ws_context_create(&loop, &config, &err));
		assert_non_null(strstr(err.msg, "3128"));
	}
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_environment_is_not_read(void **state)
{
	struct seen seen = { .on_open = send_on_open, .on_message = close_on_message };
	struct ws_config config = { 0 };
	struct world world;

	(void)state;
	(void)setenv("http_proxy", "127.0.0.1:1", 1);
	world_open(&world);
	config.url = world_url("127.0.0.1", "TLS", "/echo");
	world_start(&world, &seen, &config);
	world_end(&world, &seen);
	assert_int_equal(seen.messages, 1);
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo_over_tls),
		cmocka_unit_test(test_what_the_peer_fragments),
		cmocka_unit_test(test_sending),
		cmocka_unit_test(test_queue_has_a_ceiling),
		cmocka_unit_test(test_liveness),
		cmocka_unit_test(test_addresses_are_tried_in_turn),
		cmocka_unit_test(test_many_failures_leave_nothing),
		cmocka_unit_test(test_bad_urls),
		cmocka_unit_test(test_abandoned_at_any_moment),
		cmocka_unit_test(test_leaving_from_inside),
		cmocka_unit_test(test_context_needs_a_ca),
		cmocka_unit_test(test_through_a_proxy),
		cmocka_unit_test(test_proxy_must_be_numeric),
		cmocka_unit_test(test_environment_is_not_read),
	};

	return cmocka_run_group_tests_name("ws", tests, NULL, NULL);
}
