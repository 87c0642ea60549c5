/* SPDX-License-Identifier: Apache-2.0 */
/* httpd: pages over a real socket, asked for by our own client on the same loop. */
#include "http_world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/httpd.h"

static struct httpd *httpd;
static unsigned asked;

static int page(void *data, const char *path, struct buf *body, const char **ret_type)
{
	assert_ptr_equal(data, &asked);
	asked++;
	if (strcmp(path, "/hello") == 0) {
		*ret_type = "text/x-test";
		(void)buf_puts(body, "hello");
		return 200;
	}
	if (strcmp(path, "/big") == 0 || strcmp(path, "/huge") == 0) {
		size_t n = strcmp(path, "/big") == 0 ? 1024 : 1025;

		for (size_t i = 0; i < n; i++)
			(void)buf_printf(body, "%01024d", 7);
		return 200;
	}
	(void)buf_puts(body, "no such page");
	return 404;
}

static void open_both(struct world *world)
{
	struct err err = { 0 };

	world_open(world, NULL);
	asked = 0;
	httpd = httpd_create(&world->loop, "127.0.0.1:0", page, &asked, &err);
	if (httpd == NULL)
		fail_msg("%s", err.msg);
	assert_true(httpd_port(httpd) != 0);
}

static void close_both(struct world *world)
{
	httpd_destroy(httpd);
	world_close(world);
}

static struct end ask(struct world *world, const char *method, const char *path, const char *body)
{
	char url[100];
	struct http_request request = { .method = method,
					.url = url,
					.body = body,
					.body_len = body == NULL ? 0 : strlen(body),
					.max_body = 2 << 20 };

	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", httpd_port(httpd), path);
	return world_ask(world, &request);
}

static void test_pages(void **state)
{
	struct world world;
	struct end end;

	(void)state;
	open_both(&world);
	end = ask(&world, "GET", "/hello", NULL);
	assert_int_equal(end.status, 200);
	assert_string_equal(end.body, "hello");
	end = ask(&world, "GET", "/hello?with=query", NULL);
	assert_string_equal(end.body, "hello");
	end = ask(&world, "HEAD", "/hello", NULL);
	assert_int_equal(end.status, 200);
	assert_int_equal(end.len, 0);
	end = ask(&world, "GET", "/other", NULL);
	assert_int_equal(end.status, 404);
	end = ask(&world, "GET", "/big", NULL);
	assert_int_equal(end.len, 1024 * 1024);
	end = ask(&world, "GET", "/huge", NULL); /* over the ceiling: nothing rather than a part */
	assert_int_equal(end.status, 500);
	assert_int_equal(end.len, 0);
	close_both(&world);
}

static void test_only_reads(void **state)
{
	static const char *const methods[] = { "POST", "PUT", "DELETE", "PATCH" };
	struct world world;

	(void)state;
	open_both(&world);
	for (size_t i = 0; i < 4; i++) {
		struct end end = ask(&world, methods[i], "/hello", i % 2 == 0 ? "x=1" : NULL);

		assert_int_equal(end.status, 405);
	}
	assert_int_equal(asked, 0);
	close_both(&world);
}

static void test_many(void **state)
{
	static struct end ends[200];
	char url[100];
	struct http_request request = { .method = "GET", .url = url, .timeout_ms = 100000 };
	struct http_config config = { .name = "page", .plain_loopback = true, .max_active = 64 };
	struct world world;
	struct http *first;

	(void)state;
	open_both(&world);
	first = world.http;
	world.http = http_create(&world.loop, &config);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/hello", httpd_port(httpd));
	for (size_t i = 0; i < 200; i++)
		world_start(&world, &ends[i], &request);
	world_wait(&world); /* 32 connections at once are served, the others wait */
	for (size_t i = 0; i < 200; i++) {
		if (ends[i].failed)
			fail_msg("%zu: %s", i, ends[i].err.msg);
		assert_string_equal(ends[i].body, "hello");
	}
	http_destroy(first);
	close_both(&world);
}

static int raw_connect(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(httpd_port(httpd)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void test_end_with_open_connections(void **state)
{
	struct world world;
	int idle, half;

	(void)state;
	open_both(&world);
	idle = raw_connect();
	half = raw_connect();
	assert_int_equal(write(half, "GET /hel", 8), 8);
	world_turn(&world, 10);
	close_both(&world);
	(void)close(idle);
	(void)close(half);
}

static void test_listen_texts(void **state)
{
	static const char *const bad[] = {
		"",       "9464",       "localhost:9464", "127.0.0.1",
		":9464",  "::1:9464",   "[::1]",          "127.0.0.1:99999",
		"[x]:80", "127.0.0.1:", "127.0.0.1:-1"
	};
	char taken[40];
	struct world world;
	struct err err;

	(void)state;
	open_both(&world);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(httpd_create(&world.loop, bad[i], page, NULL, &err));
		assert_int_equal(err.kind, ERR_INVALID);
		assert_non_null(strstr(err.msg, bad[i]));
	}
	(void)snprintf(taken, sizeof(taken), "127.0.0.1:%u", httpd_port(httpd));
	assert_null(httpd_create(&world.loop, taken, page, NULL, &err));
	assert_non_null(strstr(err.msg, "in use"));
	close_both(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_only_reads),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_end_with_open_connections),
		cmocka_unit_test(test_listen_texts),
	};
	int failed;

	http_library_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_library_finish();
	return failed;
}
