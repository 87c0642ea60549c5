/* SPDX-License-Identifier: Apache-2.0 */
/* http under trouble: the queue, cancelling in each phase, streams, a slow resolver, TLS, many at
 * once. */
#include "http_world.h"

#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define assert_kind(end, wanted)                                                                   \
	do {                                                                                       \
		assert_true((end).failed);                                                         \
		if ((end).err.kind != (wanted))                                                    \
			fail_msg("%s, wanted %s: %s", err_kind_name((end).err.kind),               \
				 err_kind_name(wanted), (end).err.msg);                            \
	} while (0)

/* A resolver that answers for slow.example only when it is let go. */
static sem_t let_go;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret);
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (node != NULL && strcmp(node, "slow.example") == 0) {
		(void)sem_wait(&let_go);
		return EAI_NONAME;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(node, service, hints, ret);
}

static void test_slow_resolver_stalls_nothing(void **state)
{
	struct http_request request = { .method = "GET",
					.url = "https://slow.example/",
					.timeout_ms = 50 };
	struct world world;
	struct end end, other;

	(void)state;
	world_open(&world, NULL);
	end = world_ask(&world, &request); /* would never return if the loop waited */
	assert_kind(end, ERR_TIMEOUT);
	assert_non_null(strstr(end.err.msg, "not resolved"));
	request.timeout_ms = 60000;
	world_start(&world, &end, &request);
	world_turn(&world, 5);
	call_cancel(&end.call);
	world.waiting--;
	other = world_get(&world, world_url("PLAIN", "/hello"));
	assert_string_equal(other.body, "hello");
	world_close(&world);
	(void)sem_post(&let_go);
	(void)sem_post(&let_go);
}

static void test_deadline_runs_in_the_queue(void **state)
{
	struct http_config config = { .name = "peer", .plain_loopback = true, .max_active = 1 };
	struct http_request hang = { .method = "GET",
				     .url = world_url("PLAIN", "/hang"),
				     .timeout_ms = 4000 };
	struct http_request waits = { .method = "POST",
				      .url = world_url("PLAIN", "/hello?key=queued"),
				      .timeout_ms = 2000 };
	struct http_request patient = { .method = "GET",
					.url = world_url("PLAIN", "/hello"),
					.timeout_ms = 60000 };
	struct world world;
	struct end first, second, third;

	(void)state;
	world_open(&world, &config);
	world_start(&world, &first, &hang);
	world_start(&world, &second, &waits);
	world_start(&world, &third, &patient);
	world_turn(&world, 3);
	assert_int_equal(http_stats(world.http)->active, 1);
	assert_int_equal(http_stats(world.http)->queued, 2);
	world_wait(&world);
	assert_kind(first, ERR_UNCERTAIN);
	assert_kind(second, ERR_TIMEOUT);
	assert_non_null(strstr(second.err.msg, "free connection"));
	assert_string_equal(third.body, "hello");
	assert_int_equal(world_count(&world, "queued"), 0);
	world_close(&world);
}

static void test_full_queue_refuses(void **state)
{
	struct http_config config = {
		.name = "peer", .plain_loopback = true, .max_active = 1, .max_queued = 2
	};
	struct http_request request = { .method = "POST",
					.url = world_url("PLAIN", "/hello?key=full") };
	struct world world;
	struct end ends[4];

	(void)state;
	world_open(&world, &config);
	for (size_t i = 0; i < 4; i++)
		world_start(&world, &ends[i], &request);
	world_wait(&world);
	assert_false(ends[0].failed);
	assert_false(ends[1].failed);
	assert_kind(ends[2], ERR_RETRY);
	assert_kind(ends[3], ERR_RETRY);
	assert_non_null(strstr(ends[3].err.msg, "waiting already"));
	assert_int_equal(world_count(&world, "full"), 2);
	world_close(&world);
}

static void test_cancel_in_each_phase(void **state)
{
	static const char *const envs[] = { "PLAIN", "PLAIN", "MUTE", "REFUSED", "TLS" };
	static const char *const paths[] = { "/hang", "/chunks/1000/1", "/", "/", "/hang" };
	struct http_config config = { .name = "peer",
				      .plain_loopback = true,
				      .tls = { .ca_file = getenv("HTTP_CA") } };

	(void)state;
	for (size_t kind = 0; kind < 5; kind++) {
		for (unsigned turns = 0; turns < 12; turns++) {
			struct http_request request = { .method = "POST",
							.url = world_url(envs[kind], paths[kind]) };
			struct world world;
			struct end end;

			world_open(&world, &config);
			world_start(&world, &end, &request);
			world_turn(&world, turns);
			if (end.call != NULL) {
				call_cancel(&end.call);
				assert_int_equal(world.done, 0);
			}
			world_turn(&world, 3);
			world_close(&world); /* nothing left, done never called */
		}
	}
}

/* --- streams --- */

static struct stream {
	struct world *world;
	struct end *end, other;
	char text[4096];
	unsigned opened, pieces, stop_at, cancel_at, start_at;
} stream;

enum { OPENING = 1 << 20 }; /* of cancel_at: when the headers have come */

static bool on_piece(void *data, const char *piece, size_t len)
{
	const struct http_request hello = { .method = "GET", .url = world_url("PLAIN", "/hello") };

	assert_ptr_equal(data, stream.end);
	(void)snprintf(stream.text + strlen(stream.text), sizeof(stream.text) - strlen(stream.text),
		       "%.*s", (int)len, piece);
	if (len == 0) {
		assert_int_equal(stream.opened++, 0);
		assert_int_equal(stream.pieces, 0);
	} else {
		stream.pieces++;
	}
	if (len > 0 && stream.pieces == stream.start_at)
		world_start(stream.world, &stream.other, &hello);
	if (stream.cancel_at == (len == 0 ? OPENING : stream.pieces)) {
		call_cancel(&stream.end->call);
		stream.world->waiting--;
	}
	return stream.stop_at == 0 || stream.pieces != stream.stop_at;
}

static struct end play_within(unsigned timeout_ms, const char *path, unsigned stop_at,
			      unsigned cancel_at, unsigned idle_ms)
{
	struct http_request request = { .method = "GET",
					.url = world_url("PLAIN", path),
					.on_data = on_piece,
					.timeout_ms = timeout_ms,
					.idle_ms = idle_ms };
	struct world world;
	struct end end;

	memset(&stream, 0, sizeof(stream));
	world_open(&world, NULL);
	stream.world = &world;
	stream.end = &end;
	stream.stop_at = stop_at;
	stream.cancel_at = cancel_at;
	stream.start_at = 2;
	world_start(&world, &end, &request);
	world_wait(&world);
	if (cancel_at != 0)
		/* only the one that was started from within */
		assert_int_equal(world.done, cancel_at == OPENING ? 0 : 1);
	world_close(&world);
	return end;
}

static struct end play(const char *path, unsigned stop_at, unsigned cancel_at, unsigned idle_ms)
{
	return play_within(60000, path, stop_at, cancel_at, idle_ms);
}

static void test_streams(void **state)
{
	struct end end;

	(void)state;
	end = play("/chunks/3/5", 0, 0, 60000);
	assert_false(end.failed);
	assert_string_equal(stream.text, "piece 0\npiece 1\npiece 2\n");
	assert_int_equal(end.len, 0);
	assert_string_equal(stream.other.body, "hello");

	end = play("/chunks/1000/5", 3, 0, 60000); /* enough: a good end */
	assert_false(end.failed);
	assert_int_equal(stream.pieces, 3);

	(void)play("/chunks/1000/5", 0, 3, 60000);
	assert_int_equal(stream.pieces, 3);

	(void)play("/chunks/1000/5", 0, OPENING, 60000);
	assert_int_equal(stream.opened, 1);
	assert_int_equal(stream.pieces, 0);

	end = play("/chunks/2/5/hang", 0, 0, 150);
	assert_kind(end, ERR_UNCERTAIN);
	assert_non_null(strstr(end.err.msg, "sent nothing for 150 ms"));

	/* longer than timeout_ms, never silent */
	end = play_within(5000, "/chunks/110/50", 0, 0, 60000);
	assert_false(end.failed);
	assert_int_equal(stream.pieces, 110);

	end = play_within(2000, "/hang", 0, 0, 0);
	assert_kind(end, ERR_UNCERTAIN);

	end = play("/status/410", 0, 0, 60000); /* an error is not a piece */
	assert_int_equal(end.status, 410);
	assert_string_equal(end.body, "said");
	assert_int_equal(stream.opened + stream.pieces, 0);
}

/* --- TLS --- */

static char *slurp(const char *env)
{
	FILE *file = fopen(getenv(env), "r");
	char *text = calloc(1, 16384);

	assert_non_null(file);
	assert_true(fread(text, 1, 16383, file) > 0);
	(void)fclose(file);
	return text;
}

static void test_tls_trust(void **state)
{
	static const struct {
		const char *env, *says;
	} bad[] = { { "EXPIRED", "expired" },
		    { "MISNAMED", "127.0.0.1" },
		    { "STRANGE", "certificate" } };
	struct http_config config = { .name = "cluster main",
				      .tls = { .ca_file = getenv("HTTP_CA") } };
	struct world world;
	struct end end;

	(void)state;
	world_open(&world, &config);
	end = world_get(&world, world_url("TLS", "/hello"));
	assert_string_equal(end.body, "hello");
	for (size_t i = 0; i < 3; i++) {
		end = world_get(&world, world_url(bad[i].env, "/hello"));
		assert_kind(end, ERR_RETRY);
		assert_non_null(strstr(end.err.msg, "cluster main: 127.0.0.1:"));
		assert_non_null(strstr(end.err.msg, bad[i].says));
	}
	world_close(&world);
	config.tls.ca_file = "/nonexistent/ca.pem";
	world_open(&world, &config);
	end = world_get(&world, world_url("TLS", "/hello"));
	assert_kind(end, ERR_RETRY);
	assert_non_null(strstr(end.err.msg, "(ca_file) cannot be read"));
	world_close(&world);
	config.tls = (struct http_tls){ 0 }; /* the system's own know nothing of the test's CA */
	world_open(&world, &config);
	end = world_get(&world, world_url("TLS", "/hello"));
	assert_kind(end, ERR_RETRY);
	world_close(&world);
	config.tls.insecure = true;
	world_open(&world, &config);
	end = world_get(&world, world_url("EXPIRED", "/hello"));
	assert_string_equal(end.body, "hello");
	world_close(&world);
}

static void test_tls_in_memory(void **state)
{
	char *ca = slurp("HTTP_CA"), *cert = slurp("HTTP_CERT"), *key = slurp("HTTP_KEY");
	struct http_config config = { .name = "peer", .tls = { .ca_pem = ca } };
	struct world world;
	struct end end;

	(void)state;
	world_open(&world, &config);
	end = world_get(&world, world_url("TLS", "/hello"));
	assert_string_equal(end.body, "hello");
	end = world_get(&world, world_url("MUTUAL", "/hello")); /* wants a certificate */
	assert_true(end.failed);
	world_close(&world);
	config.tls.cert_pem = cert;
	config.tls.key_pem = key;
	world_open(&world, &config);
	memset(ca, 'x', 10); /* it has its own copy */
	end = world_get(&world, world_url("MUTUAL", "/hello"));
	assert_string_equal(end.body, "hello");
	world_close(&world);
	free(ca);
	free(cert);
	free(key);
}

static void test_tls_server_name(void **state)
{
	struct http_config config = { .name = "peer",
				      .tls = { .ca_file = getenv("HTTP_CA"),
					       .server_name = "kube.example" } };
	struct world world;
	struct end end;
	char host[64];

	(void)state;
	world_open(&world, &config);
	end = world_get(&world, world_url("MISNAMED", "/echo"));
	assert_false(end.failed);
	(void)snprintf(host, sizeof(host), "[\"host\", \"127.0.0.1:%s\"]", getenv("HTTP_MISNAMED"));
	assert_non_null(strstr(end.body, host));
	end = world_get(&world, world_url("TLS", "/hello"));
	assert_kind(end, ERR_RETRY);
	assert_non_null(strstr(end.err.msg, "kube.example"));
	world_close(&world);
}

static void test_five_hundred_at_once(void **state)
{
	static struct end ends[500];
	struct http_config config = { .name = "peer", .plain_loopback = true, .max_active = 64 };
	struct http_request request = {
		.method = "POST", .body = "abc", .body_len = 3, .timeout_ms = 100000
	};
	struct world world;

	(void)state;
	world_open(&world, &config);
	for (size_t i = 0; i < 500; i++) {
		request.url =
			world_url("PLAIN", i % 2 == 0 ? "/length?key=many" : "/slow/5?key=many");
		world_start(&world, &ends[i], &request);
	}
	world_wait(&world);
	for (size_t i = 0; i < 500; i++) {
		if (ends[i].failed)
			fail_msg("%s", ends[i].err.msg);
		assert_string_equal(ends[i].body, i % 2 == 0 ? "3" : "late");
	}
	assert_int_equal(world_count(&world, "many"), 500);
	assert_int_equal(http_stats(world.http)->ok, 501);
	assert_int_equal(http_stats(world.http)->active, 0);
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_resolver_stalls_nothing),
		cmocka_unit_test(test_deadline_runs_in_the_queue),
		cmocka_unit_test(test_full_queue_refuses),
		cmocka_unit_test(test_cancel_in_each_phase),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_tls_trust),
		cmocka_unit_test(test_tls_in_memory),
		cmocka_unit_test(test_tls_server_name),
		cmocka_unit_test(test_five_hundred_at_once),
	};
	int failed;

	(void)sem_init(&let_go, 0, 0);
	http_library_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	http_library_finish();
	return failed;
}
