/* SPDX-License-Identifier: Apache-2.0 */
/* db_world.c - see db_world.h; with_postgres.py makes the server. */
#include "db_world.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum { LIMIT_MS = 100000 };

struct world world;

const char *url(void)
{
	return getenv("OPSD_TEST_DB_URL");
}

/* "$OPSD_TEST_DB_CTL what"; its output's first number. */
long control(const char *what)
{
	char command[512], line[64] = "0";
	FILE *out;

	snprintf(command, sizeof(command), "%s %s", getenv("OPSD_TEST_DB_CTL"), what);
	out = popen(command, "r");
	assert_non_null(out);
	if (fgets(line, sizeof(line), out) == NULL)
		line[0] = '\0';
	assert_int_equal(pclose(out), 0);
	return atol(line);
}

static void on_limit(uv_timer_t *timer)
{
	(void)timer;
	fprintf(stderr, "a test waited longer than %d ms: %s\n", LIMIT_MS,
		world.db != NULL ? db_last_error(world.db) : "");
	abort();
}

/* Of the handles of this kind the one started first runs last: db has sent. */
static void on_sent(uv_prepare_t *handle)
{
	(void)handle;
	if (world.cancel_sent == NULL)
		return;
	assert_in_range(db_stats(world.db)->in_flight, 1, UINT_MAX);
	call_cancel(world.cancel_sent);
	world.cancel_sent = NULL;
}

int world_setup(void **state)
{
	(void)state;
	world = (struct world){ 0 };
	uv_loop_init(&world.loop);
	uv_timer_init(&world.loop, &world.limit);
	uv_timer_start(&world.limit, on_limit, LIMIT_MS, 0);
	uv_prepare_init(&world.loop, &world.sent);
	uv_prepare_start(&world.sent, on_sent);
	uv_unref((uv_handle_t *)&world.sent);
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

int world_teardown(void **state)
{
	(void)state;
	db_destroy(world.db);
	world.db = NULL;
	uv_unref((uv_handle_t *)&world.limit); /* still guards what a failed test has left open */
	uv_run(&world.loop, UV_RUN_DEFAULT);
	uv_close((uv_handle_t *)&world.limit, NULL);
	uv_close((uv_handle_t *)&world.sent, NULL);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	return uv_loop_close(&world.loop);
}

static void on_notice(void *data, const char *payload)
{
	(void)data;
	if (payload == NULL) {
		world.listening++;
		return;
	}
	world.notices++;
	snprintf(world.payload, sizeof(world.payload), "%s", payload);
}

/* Linked in place of db_start: --wrap. */
struct call *__real_db_start(struct db *db, const struct db_statement *statements, size_t n,
			     unsigned timeout_ms, db_done_fn done, void *data);
struct call *__wrap_db_start(struct db *db, const struct db_statement *statements, size_t n,
			     unsigned timeout_ms, db_done_fn done, void *data);

struct call *__wrap_db_start(struct db *db, const struct db_statement *statements, size_t n,
			     unsigned timeout_ms, db_done_fn done, void *data)
{
	if (timeout_ms < world.patience_ms)
		timeout_ms = world.patience_ms;
	return __real_db_start(db, statements, n, timeout_ms, done, data);
}

void create_full(const char *to, unsigned connections, unsigned max_queued, const char *listen)
{
	static const char *const on_connect[] = { "SET lock_timeout = '700ms'",
						  "SET DateStyle = ISO", NULL };
	struct db_config config = { .name = "test",
				    .url = to,
				    .connections = connections,
				    .max_queued = max_queued,
				    .on_connect = on_connect,
				    .listen = listen,
				    .notice = on_notice };

	world.db = db_create(&world.loop, &config);
}

void create(unsigned connections)
{
	create_full(url(), connections, 0, NULL);
}

void once(void)
{
	uv_run(&world.loop, UV_RUN_ONCE);
}

void wait_up(unsigned n)
{
	while (db_stats(world.db)->up < n)
		once();
}

void wait_in_flight(unsigned n)
{
	while (db_stats(world.db)->in_flight < n)
		uv_run(&world.loop, UV_RUN_NOWAIT); /* what was sent wakes nobody */
}

void cancel_in_flight(struct call **call)
{
	world.cancel_sent = call;
	uv_run(&world.loop, UV_RUN_NOWAIT);
	assert_null(world.cancel_sent);
}

void on_done(void *data, const struct db_answer *answer, const struct err *err)
{
	struct seen *seen = data;

	seen->n++;
	seen->order = ++world.ended;
	if (err != NULL) {
		seen->kind = err->kind;
		snprintf(seen->msg, sizeof(seen->msg), "%s", err->msg);
	}
	snprintf(seen->sqlstate, sizeof(seen->sqlstate), "%s", answer->sqlstate);
	for (size_t i = 0; i < answer->n; i++) {
		const struct db_result *result = answer->results[i];

		if (result == NULL)
			continue;
		seen->answered++;
		seen->affected = db_affected(result);
		if (db_rows(result) == 0)
			continue;
		snprintf(seen->text, sizeof(seen->text), "%.60s", db_text(result, 0, 0));
		if (i == 0)
			snprintf(seen->first, sizeof(seen->first), "%s", seen->text);
	}
}

struct call *start(struct seen *seen, const char *name, const char *sql, unsigned timeout_ms)
{
	struct db_statement statement = { .name = name, .sql = sql };

	return db_start(world.db, &statement, 1, timeout_ms, on_done, seen);
}

void wait_for(const struct seen *seen)
{
	while (seen->n == 0)
		once();
	assert_int_equal(seen->n, 1);
}

void wait_error(const char *part)
{
	while (strstr(db_last_error(world.db), part) == NULL)
		once();
}

struct seen ask(const char *sql)
{
	struct seen seen = { 0 };

	start(&seen, NULL, sql, 30000);
	wait_for(&seen);
	return seen;
}

void good(const char *sql)
{
	struct seen seen = ask(sql);

	assert_string_equal(seen.msg, "");
}

void wait_alone(void)
{
	struct seen seen;

	do {
		seen = ask("SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
			   "AND backend_type = 'client backend'");
		assert_string_equal(seen.msg, "");
	} while (strcmp(seen.text, "0") != 0);
}

int world_main(const struct CMUnitTest *tests, size_t n)
{
	if (url() == NULL) {
		fprintf(stderr, "run it by with_postgres.py\n");
		return 77;
	}
	log_set_level(LOG_WARN);
	cmocka_set_test_filter(getenv("OPSD_TEST_ONLY"));
	return _cmocka_run_group_tests("db", tests, n, NULL, NULL);
}
