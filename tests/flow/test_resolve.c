/* SPDX-License-Identifier: Apache-2.0 */
/* resolve: numeric hosts, known and unknown names, a resolver that hangs, cancelling. */
#include "../unit/test.h"

#include <netdb.h>
#include <semaphore.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "net/resolve.h"

static bool slow; /* the resolver hangs until it is let go */
static sem_t let_go;

/* In place of the C library's: the pool threads of libuv call this one. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret_list);
void freeaddrinfo(struct addrinfo *list);

static struct sockaddr_in known[3];
static struct addrinfo answer[3];

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret_list)
{
	(void)service;
	(void)hints;
	if (slow)
		(void)sem_wait(&let_go);
	if (strcmp(node, "known.example") != 0)
		return EAI_NONAME;
	*ret_list = answer;
	return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
	(void)list;
}

static void fill_answer(void)
{
	static const char *const text[] = { "192.0.2.7", "192.0.2.8", "192.0.2.7" };

	for (size_t i = 0; i < 3; i++) {
		known[i].sin_family = AF_INET;
		assert_int_equal(uv_inet_pton(AF_INET, text[i], &known[i].sin_addr), 0);
		answer[i] = (struct addrinfo){ .ai_family = AF_INET,
					       .ai_addrlen = sizeof(known[i]),
					       .ai_addr = (struct sockaddr *)&known[i],
					       .ai_next = i < 2 ? &answer[i + 1] : NULL };
	}
}

struct seen {
	uv_loop_t loop;
	struct call *call;
	unsigned n;
	struct resolved found;
	struct err err;
};

static int setup(void **state)
{
	static struct seen seen;

	seen = (struct seen){ 0 };
	slow = false;
	(void)sem_init(&let_go, 0, 0);
	*state = &seen;
	return uv_loop_init(&seen.loop);
}

static int teardown(void **state)
{
	struct seen *seen = *state;

	return uv_loop_close(&seen->loop);
}

static void on_done(void *data, const struct resolved *found, const struct err *err)
{
	struct seen *seen = data;

	assert_non_null(seen->call);
	assert_true((found == NULL) == (err != NULL));
	seen->call = NULL;
	seen->n++;
	if (err != NULL)
		seen->err = *err;
	else
		seen->found = *found;
}

static void ask(struct seen *seen, const char *host, unsigned timeout_ms)
{
	seen->call = resolve_start(&seen->loop, host, timeout_ms, on_done, seen);
	assert_non_null(seen->call);
	assert_int_equal(seen->n, 0);
	assert_int_equal(uv_run(&seen->loop, UV_RUN_DEFAULT), 0);
}

static void test_numeric(void **state)
{
	static const char *const rows[][2] = {
		{ "127.0.0.1", "127.0.0.1" },
		{ "::1", "::1" },
		{ "[2001:DB8:0::1]", "2001:db8::1" },
	};
	struct seen *seen = *state;

	for (size_t i = 0; i < 3; i++) {
		seen->n = 0;
		ask(seen, rows[i][0], 30000);
		assert_int_equal(seen->n, 1);
		assert_int_equal(seen->found.n, 1);
		assert_string_equal(seen->found.address[0], rows[i][1]);
	}
}

static void test_name(void **state)
{
	struct seen *seen = *state;

	ask(seen, "known.example", 30000);
	assert_int_equal(seen->n, 1);
	assert_int_equal(seen->found.n, 2); /* in order, no duplicates */
	assert_string_equal(seen->found.address[0], "192.0.2.7");
	assert_string_equal(seen->found.address[1], "192.0.2.8");
}

static void test_unknown_name(void **state)
{
	struct seen *seen = *state;

	ask(seen, "unknown.example", 30000);
	assert_int_equal(seen->n, 1);
	assert_int_equal(seen->err.kind, ERR_RETRY);
	assert_non_null(strstr(seen->err.msg, "unknown.example"));
}

static void test_not_a_name(void **state)
{
	static char longest[2000];
	struct seen *seen = *state;

	memset(longest, 'a', sizeof(longest) - 1);
	ask(seen, longest, 30000);
	assert_int_equal(seen->err.kind, ERR_RETRY);
	seen->n = 0;
	ask(seen, "", 30000);
	assert_int_equal(seen->err.kind, ERR_RETRY);
	assert_int_equal(seen->n, 1);
}

static void test_deadline(void **state)
{
	struct seen *seen = *state;

	slow = true;
	seen->call = resolve_start(&seen->loop, "known.example", 50, on_done, seen);
	while (seen->n == 0)
		(void)uv_run(&seen->loop, UV_RUN_ONCE);
	assert_int_equal(seen->err.kind, ERR_RETRY);
	assert_non_null(strstr(seen->err.msg, "50 ms"));
	(void)sem_post(&let_go); /* only now: it did not wait for the thread */
	(void)uv_run(&seen->loop, UV_RUN_DEFAULT);
	assert_int_equal(seen->n, 1);
}

static void test_cancel(void **state)
{
	struct seen *seen = *state;

	slow = true;
	seen->call = resolve_start(&seen->loop, "known.example", 30000, on_done, seen);
	(void)uv_run(&seen->loop, UV_RUN_NOWAIT);
	call_cancel(&seen->call);
	assert_int_equal(sem_post(&let_go), 0);
	(void)uv_run(&seen->loop, UV_RUN_DEFAULT);
	slow = false;
	seen->call = resolve_start(&seen->loop, "127.0.0.1", 30000, on_done, seen);
	call_cancel(&seen->call);
	(void)uv_run(&seen->loop, UV_RUN_DEFAULT);
	assert_int_equal(seen->n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_numeric, setup, teardown),
		cmocka_unit_test_setup_teardown(test_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_a_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
	};

	fill_answer();
	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}
