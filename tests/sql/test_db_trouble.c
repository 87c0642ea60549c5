/* SPDX-License-Identifier: Apache-2.0 */
/* db: a server that is stopped, started, frozen, killed and lied to; and NOTIFY. */
#include "db_world.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void test_deadline_drops_the_connection(void **state)
{
	struct seen late = { 0 }, behind = { 0 };
	uint64_t before;

	(void)state;
	create(1);
	wait_up(1);
	before = db_stats(world.db)->reconnects;
	start(&late, NULL, "SELECT pg_sleep(600)", 2000);
	start(&behind, NULL, "SELECT 1", 30000);
	wait_for(&late);
	assert_int_equal(db_stats(world.db)->reconnects, before + 1);
	assert_int_equal(late.kind, ERR_UNCERTAIN);
	assert_non_null(strstr(late.msg, "no answer within 2000 ms"));
	wait_for(&behind);
	assert_int_equal(behind.kind, ERR_UNCERTAIN); /* it had been sent */
	good("SELECT 1");
}

static void test_terminated_backend(void **state)
{
	struct seen slow = { 0 }, behind = { 0 }, idle = { 0 };
	struct db *other;
	struct seen killed = { 0 };
	struct db_statement kill = { .sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
					    " WHERE application_name = 'opsd-test'" };
	struct db_config config = { .name = "killer", .url = url(), .connections = 1 };
	uint64_t before;

	(void)state;
	create(1);
	wait_up(1);
	other = db_create(&world.loop, &config);
	start(&slow, NULL, "SELECT pg_sleep(600)", 600000);
	start(&behind, NULL, "SELECT 1", 60000);
	db_start(other, &kill, 1, 30000, on_done, &killed);
	wait_for(&slow);
	wait_for(&behind);
	assert_int_equal(slow.kind, ERR_RETRY); /* the server said that it had not been done */
	assert_string_equal(slow.sqlstate, "57P01");
	assert_int_equal(behind.kind, ERR_RETRY);
	wait_for(&killed);
	good("SELECT 1");
	killed = (struct seen){ 0 };
	before = db_stats(world.db)->reconnects;
	db_start(other, &kill, 1, 30000, on_done, &killed); /* while idle */
	while (db_stats(world.db)->reconnects == before)
		once();
	assert_false(db_up(world.db));
	assert_non_null(strstr(db_last_error(world.db), "database test: "));
	start(&idle, NULL, "SELECT 'back'", 30000);
	wait_for(&idle);
	assert_string_equal(idle.text, "back");
	db_destroy(other);
}

/* Deaf: as if the network had dropped the connection without a word. */
static void drop_sockets(void)
{
	for (int fd = 3; fd < 256; fd++) {
		struct sockaddr_in peer;
		socklen_t len = sizeof(peer);

		if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0 &&
		    peer.sin_family == AF_INET &&
		    ntohs(peer.sin_port) == atoi(strrchr(url(), ':') + 1))
			(void)shutdown(fd, SHUT_RD);
	}
}

/* libpq makes an error of its own of it, which is not the server's refusal. */
static void test_connection_dropped_without_a_word(void **state)
{
	struct seen slow = { 0 }, behind = { 0 };

	(void)state;
	create(1);
	wait_up(1);
	start(&slow, NULL, "SELECT pg_sleep(600)", 60000);
	start(&behind, NULL, "SELECT 1", 60000);
	drop_sockets();
	wait_for(&slow);
	wait_for(&behind);
	assert_int_equal(slow.kind, ERR_UNCERTAIN);
	assert_int_equal(behind.kind, ERR_UNCERTAIN);
	good("SELECT 1");
}

static void test_server_stops_and_starts(void **state)
{
	struct seen queued = { 0 }, late = { 0 };

	(void)state;
	create(2);
	wait_up(2);
	control("stop");
	while (db_up(world.db))
		once();
	start(&late, NULL, "SELECT 1", 200);
	wait_for(&late);
	assert_int_equal(late.kind, ERR_TIMEOUT);
	assert_non_null(strstr(late.msg, "not sent within 200 ms: database test: "));
	start(&queued, NULL, "SELECT 'waited'", 60000);
	control("start");
	wait_for(&queued);
	assert_string_equal(queued.text, "waited");
	wait_up(2);
}

/* Its kernel still acknowledges: only our own deadlines notice. */
static void test_frozen_backend(void **state)
{
	struct seen seen = { 0 }, pid = { 0 };
	pid_t backend;

	(void)state;
	create(1);
	start(&pid, NULL, "SELECT pg_backend_pid()", 30000);
	wait_for(&pid);
	backend = (pid_t)atol(pid.text);
	assert_int_equal(kill(backend, SIGSTOP), 0);
	start(&seen, NULL, "SELECT 1", 2000);
	wait_for(&seen);
	assert_int_equal(seen.kind, ERR_UNCERTAIN);
	good("SELECT 1");
	assert_int_equal(kill(backend, SIGCONT), 0);
}

static void test_frozen_server_while_connecting(void **state)
{
	pid_t postmaster = (pid_t)control("pid");

	(void)state;
	assert_int_equal(kill(postmaster, SIGSTOP), 0);
	create(1);
	wait_error("no connection within 5 s");
	assert_int_equal(kill(postmaster, SIGCONT), 0);
	good("SELECT 1");
}

static void test_sentences_of_connecting(void **state)
{
	static const struct {
		const char *user, *host, *database, *sentence;
	} cases[] = {
		{ "owner:wrong-horse", "127.0.0.1", "postgres",
		  "password authentication failed for user \"owner\"" },
		{ "owner:correct-horse", "no-such-host.invalid", "postgres",
		  "no-such-host.invalid" },
		{ "owner:correct-horse", "127.0.0.1", "nowhere",
		  "database \"nowhere\" does not exist" },
	};
	const char *port = strrchr(url(), ':') + 1;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char to[256];

		snprintf(to, sizeof(to), "postgresql://%s@%s:%d/%s", cases[i].user, cases[i].host,
			 atoi(port), cases[i].database);
		create_full(to, 1, 0, NULL);
		wait_error(cases[i].sentence);
		assert_null(strstr(db_last_error(world.db), "horse"));
		db_destroy(world.db);
	}
	create_full("postgresql://localhost:port/x", 1, 0, NULL);
	wait_error("database test: invalid integer value \"port\"");
}

/* The first host refuses; the second one, by name, is taken. */
static void test_several_hosts(void **state)
{
	char to[256];

	(void)state;
	snprintf(to, sizeof(to),
		 "postgresql://owner:correct-horse@127.0.0.1:1,localhost:%d/postgres",
		 atoi(strrchr(url(), ':') + 1));
	create_full(to, 1, 0, NULL);
	assert_string_equal(ask("SELECT 'second'").text, "second");
}

/* The first host takes the connection and never says a word: the next attempt begins with the
 * second. */
static void test_silent_host(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct seen seen = { 0 };
	char to[256];

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	snprintf(to, sizeof(to),
		 "postgresql://owner:correct-horse@127.0.0.1:%d,127.0.0.1:%d/postgres",
		 ntohs(address.sin_port), atoi(strrchr(url(), ':') + 1));
	create_full(to, 1, 0, NULL);
	start(&seen, NULL, "SELECT 'second'", 60000);
	wait_for(&seen);
	assert_string_equal(seen.text, "second");
	assert_int_equal(db_stats(world.db)->reconnects, 1);
	close(listener);
}

/* The name is checked although libpq is given a number to connect to. */
static void test_tls(void **state)
{
	static const char *const hosts[] = { "localhost", "127.0.0.1" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char to[400];

		snprintf(to, sizeof(to),
			 "postgresql://owner:correct-horse@%s:%d/"
			 "postgres?sslmode=verify-full&sslrootcert=%s",
			 hosts[i], atoi(strrchr(url(), ':') + 1), getenv("OPSD_TEST_DB_CA"));
		create_full(to, 1, 0, NULL);
		if (i == 0) {
			assert_string_equal(
				ask("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
					.text,
				"TLSv1.3");
			db_destroy(world.db);
			continue;
		}
		wait_error("does not match host name \"127.0.0.1\"");
	}
}

static void test_notify(void **state)
{
	struct seen killed = { 0 };

	(void)state;
	create_full(url(), 1, 0, "ops_wake");
	while (world.listening == 0)
		once();
	assert_int_equal(world.listening, 1);
	good("NOTIFY ops_wake, 'R1'");
	while (world.notices == 0)
		once();
	assert_string_equal(world.payload, "R1");
	start(&killed, NULL,
	      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
	      " WHERE application_name = 'opsd-test' AND pid <> pg_backend_pid()",
	      30000);
	while (world.listening < 2) /* told again, to look for what was missed */
		once();
	good("NOTIFY ops_wake, 'R2'");
	while (world.notices < 2)
		once();
	assert_string_equal(world.payload, "R2");
}

static void on_other(void *data, const char *payload)
{
	if (payload != NULL)
		(*(int *)data)++;
}

/* Others hear it, we do not; many that are wanted at once are few; it does not wait for the disk.
 */
static void test_notify_others(void **state)
{
	int heard = 0;
	struct db_config config = { .name = "other",
				    .url = url(),
				    .connections = 1,
				    .listen = "ops_wake",
				    .notice = on_other,
				    .data = &heard };
	struct db *other;

	(void)state;
	create_full(url(), 1, 0, "ops_wake");
	while (world.listening == 0)
		once();
	other = db_create(&world.loop, &config);
	while (world.notices ==
	       0) /* one that begins to listen is heard, as a test of the channel */
		once();
	for (int i = 0; i < 100; i++)
		db_notify(world.db);
	while (heard < 2)
		once();
	good("SELECT 1");
	assert_in_range(heard, 2, 3);
	assert_int_equal(db_stats(other)->notices, heard);
	assert_in_range(db_stats(world.db)->notified, 2, 4);
	assert_int_equal(world.notices, 1); /* not our own */
	db_destroy(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_deadline_drops_the_connection),
		TEST(test_terminated_backend),
		TEST(test_connection_dropped_without_a_word),
		TEST(test_server_stops_and_starts),
		TEST(test_frozen_backend),
		TEST(test_frozen_server_while_connecting),
		TEST(test_sentences_of_connecting),
		TEST(test_several_hosts),
		TEST(test_silent_host),
		TEST(test_tls),
		TEST(test_notify),
		TEST(test_notify_others),
	};

	return world_main(tests, sizeof(tests) / sizeof(tests[0]));
}
