/* SPDX-License-Identifier: Apache-2.0 */
/* http: what is sent and what comes back; and how each kind of end is told. */
#include "http_world.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { RECENT_MS = 1000 }; /* half of the time that makes a connection recent */

#define assert_kind(end, wanted)                                                                   \
	do {                                                                                       \
		assert_true((end).failed);                                                         \
		if ((end).err.kind != (wanted))                                                    \
			fail_msg("%s, wanted %s: %s", err_kind_name((end).err.kind),               \
				 err_kind_name(wanted), (end).err.msg);                            \
	} while (0)

static void test_request_and_answer(void **state)
{
	static const char *const headers[] = { "Content-Type: application/json", "X-One: 1", NULL };
	struct http_request request = { .method = "PATCH",
					.url = world_url("PLAIN", "/echo?a=b%20c"),
					.headers = headers,
					.bearer = "token-of-test",
					.body = "{\"n\":1}",
					.body_len = 7 };
	struct world world;
	struct end end;

	(void)state;
	world_open(&world, NULL);
	end = world_ask(&world, &request);
	assert_false(end.failed);
	assert_int_equal(end.status, 200);
	assert_non_null(strstr(end.body, "\"method\": \"PATCH\""));
	assert_non_null(strstr(end.body, "\"target\": \"/echo?a=b%20c\""));
	assert_non_null(strstr(end.body, "[\"authorization\", \"Bearer token-of-test\"]"));
	assert_non_null(strstr(end.body, "[\"content-type\", \"application/json\"]"));
	assert_non_null(strstr(end.body, "[\"x-one\", \"1\"]"));
	assert_non_null(strstr(end.body, "[\"user-agent\", \"opsd/"));
	assert_non_null(strstr(end.body, "{\\\"n\\\":1}"));
	assert_null(strstr(end.body, "\"expect\""));
	assert_string_equal(end.two[0], "one");
	assert_string_equal(end.two[1], "two");
	assert_int_equal(end.retry_after_ms, -1);
	world_close(&world);
}

static void test_methods_on_one_handle(void **state)
{
	static const struct {
		const char *method, *body, *says;
	} rows[] = {
		{ "POST", NULL, "[\"content-length\", \"0\"]" },
		{ "GET", NULL, "\"method\": \"GET\"" },
		{ "PUT", "p", "[\"content-length\", \"1\"]" },
		{ "DELETE", NULL, "\"method\": \"DELETE\"" },
		{ "DELETE", "{}", "[\"content-length\", \"2\"]" },
		{ "GET", NULL, "\"body\": \"\"" },
		{ "POST", "xyz", "\"body\": \"xyz\"" },
		{ "HEAD", NULL, "" },
		{ "GET", NULL, "\"nth\": 9" }, /* all of them on one connection */
	};
	struct world world;

	(void)state;
	world_open(&world, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_request request = { .method = rows[i].method,
						.url = world_url("PLAIN", "/echo"),
						.body = rows[i].body };
		struct end end;

		request.body_len = rows[i].body != NULL ? strlen(rows[i].body) : 0;
		if (strcmp(rows[i].method, "HEAD") == 0)
			request.url = world_url("PLAIN", "/status/200");
		end = world_ask(&world, &request);
		/* the stand-in sends a body to HEAD too, which must not be taken for an answer */
		if (strcmp(rows[i].method, "HEAD") == 0) {
			assert_int_equal(end.len, 0);
			break;
		}
		assert_false(end.failed);
		assert_non_null(strstr(end.body, rows[i].says));
	}
	world_close(&world);
}

static void test_every_status_is_an_answer(void **state)
{
	static const int statuses[] = { 200, 201, 301, 302, 401, 404, 409, 422, 500, 503 };
	struct world world;

	(void)state;
	world_open(&world, NULL);
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		char path[32];
		struct end end;

		(void)snprintf(path, sizeof(path), "/status/%d", statuses[i]);
		end = world_get(&world, world_url("PLAIN", path));
		assert_false(end.failed);
		assert_int_equal(end.status, statuses[i]); /* redirects are not followed */
		assert_string_equal(end.body, "said");
	}
	world_close(&world);
}

static void test_retry_after(void **state)
{
	static const struct {
		const char *path;
		int64_t ms;
	} rows[] = { { "/retry-after/0", 0 },
		     { "/retry-after/7", 7000 },
		     { "/retry-after/999999", 3600000 },
		     { "/retry-after/-3", -1 },
		     { "/retry-after/soon", -1 } };
	struct world world;

	(void)state;
	world_open(&world, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct end end = world_get(&world, world_url("PLAIN", rows[i].path));

		assert_int_equal(end.status, 429);
		assert_int_equal(end.retry_after_ms, rows[i].ms);
	}
	world_close(&world);
}

static void test_only_the_last_answer_counts(void **state)
{
	struct world world;
	struct end end;

	(void)state;
	world_open(&world, NULL);
	end = world_get(&world, world_url("PLAIN", "/continue"));
	assert_int_equal(end.status, 200);
	assert_string_equal(end.body, "after");
	world_close(&world);
}

/* Nothing was sent: RETRY, or TIMEOUT when it was the deadline. */
static void test_ends_before_sending(void **state)
{
	struct http_request request = {
		.method = "POST", .timeout_ms = 30000, .body = "x", .body_len = 1
	};
	struct http_config config = { .name = "peer", .tls = { .ca_file = getenv("HTTP_CA") } };
	struct world world;
	struct end end;

	(void)state;
	world_open(&world, &config);
	request.url = world_url("REFUSED", "/");
	end = world_ask(&world, &request);
	assert_kind(end, ERR_RETRY);
	assert_non_null(strstr(end.err.msg, "peer: 127.0.0.1:"));
	assert_non_null(strstr(end.err.msg, "refused"));
	request.url = world_url("MUTE", "/"); /* the TLS handshake never ends */
	request.timeout_ms = 300;
	end = world_ask(&world, &request);
	assert_kind(end, ERR_TIMEOUT);
	assert_non_null(strstr(end.err.msg, "nothing was sent"));
	request.url = "https://no-such-host.invalid/";
	request.timeout_ms = 30000;
	end = world_ask(&world, &request);
	assert_kind(end, ERR_RETRY);
	assert_non_null(strstr(end.err.msg, "no-such-host.invalid"));
	assert_int_equal(http_stats(world.http)->failed, 3);
	assert_int_equal(http_stats(world.http)->timeouts, 1);
	world_close(&world);
}

/* Sent, but no complete answer: UNCERTAIN. */
static void test_ends_after_sending(void **state)
{
	static const char *const paths[] = { "/drop?key=drop", "/part", "/garbage" };
	struct http_request request = { .method = "POST", .body = "x", .body_len = 1 };
	struct world world;
	struct end end;

	(void)state;
	world_open(&world, NULL);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		request.url = world_url("PLAIN", paths[i]);
		end = world_ask(&world, &request);
		assert_kind(end, ERR_UNCERTAIN);
	}
	assert_int_equal(world_count(&world, "drop"), 1);
	request.url = world_url("PLAIN", "/hang");
	request.timeout_ms = 2000;
	end = world_ask(&world, &request);
	assert_kind(end, ERR_UNCERTAIN);
	assert_non_null(strstr(end.err.msg, "within 2000 ms"));
	world_close(&world);
}

/* libcurl would send it again; only a read may be. */
static void test_nothing_but_reads_is_sent_twice(void **state)
{
	static const struct {
		const char *method, *body, *key;
		enum http_connection connection;
		bool failed;
		int count;
	} rows[] = {
		{ "POST", "x", "post", HTTP_KEPT, true, 1 },
		{ "POST", NULL, "bare", HTTP_KEPT, true, 1 },
		{ "PATCH", "{}", "patch", HTTP_KEPT, true, 1 },
		{ "DELETE", NULL, "delete", HTTP_KEPT, true, 1 },
		{ "GET", NULL, "get", HTTP_KEPT, false, 2 },
		{ "POST", "x", "recent", HTTP_RECENT, true, 1 },
		{ "POST", "x", "own", HTTP_OWN, false, 1 }, /* never on a kept connection */
	};

	(void)state;
	for (size_t i = 0, turn = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world world;
		char path[64], key[32];
		struct http_request request = { .method = rows[i].method,
						.body = rows[i].body,
						.connection = rows[i].connection };
		struct end end;
		uint64_t began_ms;

		world_open(&world, NULL);
		began_ms = uv_now(&world.loop);
		end = world_get(&world, world_url("PLAIN", "/hello")); /* a connection to keep */
		assert_false(end.failed);
		(void)snprintf(key, sizeof(key), "%s-%zu", rows[i].key, turn++);
		(void)snprintf(path, sizeof(path), "/drop-reused?key=%s", key);
		request.url = world_url("PLAIN", path);
		request.body_len = rows[i].body != NULL ? strlen(rows[i].body) : 0;
		end = world_ask(&world, &request);
		uv_update_time(&world.loop);
		if (rows[i].connection == HTTP_RECENT &&
		    uv_now(&world.loop) - began_ms > RECENT_MS) {
			world_close(&world); /* we stood still: it was recent no more */
			i--;
			continue;
		}
		assert_int_equal(end.failed, rows[i].failed);
		if (rows[i].failed)
			assert_kind(end, ERR_UNCERTAIN);
		assert_int_equal(world_count(&world, key), rows[i].count);
		world_close(&world);
	}
}

static void test_answers_have_a_ceiling(void **state)
{
	struct http_request request = { .method = "GET", .max_body = 1000 };
	struct world world;
	struct end end;

	(void)state;
	world_open(&world, NULL);
	request.url = world_url("PLAIN", "/big/1000");
	end = world_ask(&world, &request);
	assert_int_equal(end.len, 1000);
	request.url = world_url("PLAIN", "/big/1001");
	end = world_ask(&world, &request);
	assert_kind(end, ERR_INVALID);
	request.url = world_url("PLAIN", "/endless");
	end = world_ask(&world, &request);
	assert_kind(end, ERR_INVALID);
	assert_non_null(strstr(end.err.msg, "larger than 1000 bytes"));
	request.method = "POST";
	end = world_ask(&world, &request);
	assert_kind(end, ERR_UNCERTAIN);
	request.method = "GET";
	request.url = world_url("PLAIN", "/heads");
	end = world_ask(&world, &request);
	assert_kind(end, ERR_INVALID);
	request.url = world_url("PLAIN", "/big/3000000");
	request.max_body = 3000000;
	end = world_ask(&world, &request);
	assert_int_equal(end.len, 3000000);
	world_close(&world);
}

static void test_large_requests(void **state)
{
	enum { SIZE = 3 * 1024 * 1024 };
	char *body = calloc(1, SIZE);
	struct http_request request = { .method = "POST",
					.url = world_url("PLAIN", "/length"),
					.body = body,
					.body_len = SIZE };
	struct http_config config = { .name = "peer", .tls = { .ca_file = getenv("HTTP_CA") } };
	struct world world;
	struct end end;

	(void)state;
	world_open(&world, NULL);
	end = world_ask(&world, &request);
	assert_string_equal(end.body, "3145728");
	world_close(&world);
	world_open(&world, &config);
	request.url = world_url("TLS", "/length");
	end = world_ask(&world, &request);
	assert_string_equal(end.body, "3145728");
	world_close(&world);
	free(body);
}

static void test_what_is_refused_at_once(void **state)
{
	static const char *const split[] = { "X: a\r\nY: b", NULL };
	static const char *const nameless[] = { "no colon", NULL };
	const char *url = world_url("PLAIN", "/hello?key=refused");
	const struct http_request rows[] = {
		{ .method = "GET", .url = "http://192.0.2.1/" },
		{ .method = "GET", .url = "ftp://127.0.0.1/" },
		{ .method = "GET", .url = "file:///etc/passwd" },
		{ .method = "GET", .url = "" },
		{ .method = "GET", .url = NULL },
		{ .method = "get", .url = url },
		{ .method = "GET X", .url = url },
		{ .method = NULL, .url = url },
		{ .method = "GET", .url = url, .headers = split },
		{ .method = "GET", .url = url, .headers = nameless },
		{ .method = "GET", .url = url, .bearer = "a\r\nX: b" },
	};
	struct world world;

	(void)state;
	world_open(&world, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct end end = world_ask(&world, &rows[i]);

		assert_kind(end, ERR_INVALID);
		assert_non_null(strstr(end.err.msg, "peer"));
	}
	assert_int_equal(world_count(&world, "refused"), 0);
	world_close(&world);
}

static void test_urls(void **state)
{
	static const struct {
		const char *url;
		bool plain_loopback, good;
	} rows[] = {
		{ "https://slack.com/api/", false, true },
		{ "https://slack.com:8443/api/?x=1", false, true },
		{ "https://[2001:db8::1]/", false, true },
		{ "http://127.0.0.1:8080/", true, true },
		{ "http://127.9.9.9/", true, true },
		{ "http://localhost:1/", true, true },
		{ "http://[::1]:1/", true, true },
		{ "http://127.0.0.1:8080/", false, false },
		{ "http://localhost.example/", true, false },
		{ "http://127.0.0.1.example/", true, false },
		{ "http://10.0.0.1/", true, false },
		{ "https://user@slack.com/", false, false },
		{ "https://user:pw@slack.com/", false, false },
		{ "http://127.0.0.1:80@evil.example/", true, false },
		{ "https://slack.com/#part", false, false },
		{ "https://slack.com/a b", false, false },
		{ "slack.com/api", false, false },
		{ "https:///nothing", false, false },
		{ "gopher://slack.com/", false, false },
		{ "", false, false },
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(&err, 0, sizeof(err));
		if (http_url_ok(rows[i].url, rows[i].plain_loopback, &err) != rows[i].good)
			fail_msg("%s: %s", rows[i].url, err.msg);
		assert_int_equal(err.kind, rows[i].good ? ERR_NONE : ERR_INVALID);
	}
}

/* Only that one address, and only where it is allowed. */
static void test_plain_metadata(void **state)
{
	static const char *const urls[] = { "http://169.254.169.253/", "http://127.0.0.1/",
					    "http://metadata.google.internal/",
					    "http://169.254.169.254/" };
	struct http_config config = { .name = "peer", .plain_metadata = true };
	struct world world;
	struct end end;

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		config.plain_metadata = i + 1 < sizeof(urls) / sizeof(urls[0]);
		world_open(&world, &config);
		end = world_get(&world, urls[i]);
		assert_kind(end, ERR_INVALID);
		assert_non_null(strstr(end.err.msg, "https://"));
		world_close(&world);
	}
}

static void test_escape(void **state)
{
	char *text = http_escape("a-Z_0.9~ /?#[]@!$&'()*+,;=%\xc3\xa4\n");

	(void)state;
	assert_string_equal(text,
			    "a-Z_0.9~%20%2F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D%25"
			    "%C3%A4%0A");
	free(text);
}

/* Not a pair of libcurl's own, which leads nowhere. */
static bool is_connection(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_INET;
}

/* What a child process must not inherit. */
static void test_sockets_are_not_inherited(void **state)
{
	bool before[256];
	struct world world;
	struct end end;
	unsigned seen = 0;

	(void)state;
	for (int fd = 0; fd < 256; fd++)
		before[fd] = is_connection(fd);
	world_open(&world, NULL);
	end = world_get(&world, world_url("PLAIN", "/hello")); /* its connection is kept */
	assert_false(end.failed);
	for (int fd = 0; fd < 256; fd++) {
		if (before[fd] || !is_connection(fd))
			continue;
		if ((fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0)
			fail_msg("descriptor %d", fd);
		seen++;
	}
	assert_true(seen > 0);
	world_close(&world);
}

static void test_environment_is_not_asked(void **state)
{
	static const char *const names[] = { "http_proxy", "https_proxy", "all_proxy",
					     "ALL_PROXY" };
	struct world world;
	struct end end;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		(void)setenv(names[i], world_url("REFUSED", "/"), 1);
	world_open(&world, NULL);
	end = world_get(&world, world_url("PLAIN", "/hello"));
	assert_string_equal(end.body, "hello");
	world_close(&world);
	for (size_t i = 0; i < 4; i++)
		(void)unsetenv(names[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_and_answer),
		cmocka_unit_test(test_methods_on_one_handle),
		cmocka_unit_test(test_every_status_is_an_answer),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_only_the_last_answer_counts),
		cmocka_unit_test(test_ends_before_sending),
		cmocka_unit_test(test_ends_after_sending),
		cmocka_unit_test(test_nothing_but_reads_is_sent_twice),
		cmocka_unit_test(test_answers_have_a_ceiling),
		cmocka_unit_test(test_large_requests),
		cmocka_unit_test(test_what_is_refused_at_once),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_plain_metadata),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_sockets_are_not_inherited),
		cmocka_unit_test(test_environment_is_not_asked),
	};
	int failed;

	http_library_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_library_finish();
	return failed;
}
