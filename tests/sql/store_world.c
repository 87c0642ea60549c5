/* SPDX-License-Identifier: Apache-2.0 */
/* store_world.c - see store_world.h. */
#include "store_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/secret.h"
#include "base/str.h"
#include "core/action.h"
#include "store/migrate.h"

enum { CALLS_MAX = 8 };

struct replica replicas[2];
static unsigned made; /* numbers envelopes and intents */

static const struct action_kind kind = { .name = "kube.scale", .effect = ACTION_CONDITIONAL };
static const struct param params[] = {
	{ .name = "team", .about = "team", .type = PARAM_STRING },
	{ .name = "count", .about = "count", .type = PARAM_INTEGER, .optional = true, .max = 500 },
};
static const struct param secret_params[] = {
	{ .name = "team", .about = "team", .type = PARAM_STRING },
	{ .name = "token", .about = "token", .type = PARAM_STRING, .secret = true },
};

/* clang-format off */
#define COMMAND(PREFIX, NAME, ACTION, RISK, PARAMS) {                                   \
	.prefix = PREFIX, .name = NAME, .title = PREFIX " " NAME, .action = ACTION,      \
	.risk = RISK, .params = PARAMS, .n_params = 2, .kind = &kind }
static const struct command commands[] = {
	COMMAND("datasets", "list",    "datasets.list",	  0, params),
	COMMAND("workers",  "scale",   "workers.scale",	  1, params),
	COMMAND("workers",  "restart", "workers.restart", 2, params),
	COMMAND("workers",  "drop",    "workers.drop",	  3, params),
	COMMAND("workers",  "join",    "workers.scale",	  1, secret_params),
};
/* clang-format on */

void on_end(void *data, const struct err *err)
{
	struct end *end = data;

	end->n++;
	if (err != NULL) {
		end->kind = err->kind;
		snprintf(end->msg, sizeof(end->msg), "%s", err->msg);
	}
}

void wait_end(struct end *end)
{
	assert_int_equal(end->n, 0);
	while (end->n == 0)
		once();
	assert_int_equal(end->n, 1);
}

void expect_good(const struct end *end)
{
	assert_string_equal(end->msg, "");
	assert_int_equal(end->kind, ERR_NONE);
}

void expect_sql(const char *sql, const char *text)
{
	struct seen seen = ask(sql);

	assert_string_equal(seen.msg, "");
	assert_string_equal(seen.text, text);
}

void wait_sql(const char *sql, const char *text)
{
	struct seen seen = ask(sql);

	while (strcmp(seen.text, text) != 0) /* the world's limit ends it */
		seen = ask(sql);
}

static void on_aside(void *data, struct db_session *session, const struct err *err)
{
	assert_null(err);
	*(struct db_session **)data = session;
}

struct db_session *aside(void)
{
	struct db_session *session = NULL;

	db_session_open(world.db, 0, on_aside, &session);
	while (session == NULL)
		once();
	return session;
}

void aside_run(struct db_session *session, const char *sql)
{
	struct end end = { 0 };

	db_session_script(session, sql, 0, on_end, &end);
	wait_end(&end);
	expect_good(&end);
}

static void on_migrated(void *data, const json_t *value, const struct err *err)
{
	(void)value;
	on_end(data, err);
}

static void seed(void)
{
	struct err err;
	size_t len;
	char *text = file_read("store_seed.sql", 1 << 16, &len, &err), *at = text, *next;

	assert_non_null(text);
	for (; (next = strstr(at, ";\n")) != NULL; at = next + 2) {
		next[0] = '\0';
		good(at);
	}
	free(text);
}

static void on_ready(void *data, struct owed *owed)
{
	struct replica *replica = data;

	assert_true(replica->n_owed < OWED_SEEN_MAX);
	replica->owed[replica->n_owed++] = owed;
}

void owed_forget(struct replica *replica)
{
	while (replica->n_owed > 0)
		owed_destroy(replica->owed[--replica->n_owed]);
}

static void open_replica(struct replica *replica, const char *boot)
{
	static const char *const sets[] = { "SET lock_timeout = '30s'", "SET jit = off", NULL };
	static char to[300];
	struct db_config db = {
		.name = "test", .url = to, .connections = CALLS_MAX, .on_connect = sets
	};
	struct store_config config = { .boot_id = boot,
				       .version = "1.2.3",
				       .audit_channel = "CAUDIT",
				       .approval_channel = "CAPPROVE",
				       .approval_s = 4 * 3600,
				       .deployment = "test" };
	struct end end = { 0 };

	snprintf(to, sizeof(to), "postgresql://svc:svc-horse@%s", strchr(url(), '@') + 1);
	*replica = (struct replica){ 0 };
	replica->intake = config.intake = db_create(&world.loop, &db);
	replica->work = config.work = db_create(&world.loop, &db);
	replica->store = store_create(&world.loop, &config);
	store_outbox_set_ready(replica->store, on_ready, replica);
	store_outbox_room(replica->store, 100);
	store_hello(replica->store, on_end, &end);
	wait_end(&end);
	expect_good(&end);
	while (!db_up(replica->intake))
		once();
}

/* The first test migrates; the next ones start from empty tables, which is a hundred times quicker.
 */
static void empty_database(void)
{
	static bool migrated;
	struct end end = { 0 };

	if (migrated) {
		good("DO $$ BEGIN SET LOCAL session_replication_role = replica;"
		     " EXECUTE (SELECT 'TRUNCATE ' || string_agg(format('%I.%I', schemaname, "
		     "tablename), ', ')"
		     " || ' RESTART IDENTITY' FROM pg_tables WHERE schemaname IN ('dir', 'authz', "
		     "'ops')"
		     " AND tablename NOT IN ('migration', 'setting')); END $$");
		return;
	}
	good("DROP SCHEMA IF EXISTS ops, dir, authz CASCADE");
	store_migrate_start(world.db, store_migrations, store_migrations_n, false, on_migrated,
			    &end);
	wait_end(&end);
	expect_good(&end);
	good("DO $$ BEGIN CREATE ROLE svc LOGIN PASSWORD 'svc-horse' IN ROLE opsd_service;"
	     " EXCEPTION WHEN duplicate_object THEN NULL; END $$");
	migrated = true;
}

int store_setup(void **state)
{
	if (world_setup(state) != 0)
		return -1;
	world.patience_ms = PATIENCE_MS;
	create(1);
	wait_alone();
	empty_database();
	seed();
	open_replica(&replicas[0], "00000000-0000-4000-8000-00000000000a");
	open_replica(&replicas[1], "00000000-0000-4000-8000-00000000000b");
	return 0;
}

int store_teardown(void **state)
{
	for (int i = 0; i < 2; i++) {
		owed_forget(&replicas[i]);
		json_decref(replicas[i].row);
		store_destroy(replicas[i].store);
		db_destroy(replicas[i].intake);
		db_destroy(replicas[i].work);
	}
	return world_teardown(state);
}

static const struct command *find(const char *title)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (str_eq(commands[i].title, title))
			return &commands[i];
	fail_msg("no command %s", title);
	return NULL;
}

struct request *make(const char *title, const char *user, const char *args, const char *dedup)
{
	struct request *rq = request_create();
	struct err err;

	made++;
	rq->delivery.envelope_id = arena_printf(rq->arena, "env-%u", made);
	rq->delivery.dedup = dedup != NULL ? arena_strdup(rq->arena, dedup)
					   : arena_printf(rq->arena, "d-%u", made);
	rq->delivery.kind = "slash";
	rq->delivery.takes_text = true;
	rq->asker.team = "T1";
	rq->asker.user = arena_printf(rq->arena, "U-%s", user);
	rq->asker.channel = "C1";
	rq->asker.response_url = "https://hooks.example/1";
	rq->asker.facts_fresh = true;
	rq->asker.verdict = "ok";
	rq->asker.email_key = arena_printf(rq->arena, "%s@example.com", user);
	rq->asker.name = user;
	rq->text = arena_printf(rq->arena, "%s %s", title, args);
	rq->command = find(title);
	rq->args = json_parse(args, strlen(args), 10000, &err);
	rq->scope = json_object();
	json_object_set(rq->scope, "team", json_object_get(rq->args, "team"));
	if (json_object_get(rq->args, "count") != NULL && rq->command->risk == 1)
		json_object_set(rq->scope, "count", json_object_get(rq->args, "count"));
	if (rq->id[0] == '\0')
		id_request(rq->id);
	return rq;
}

struct request *make_click(const struct request *rq, const char *user, const char *dedup)
{
	struct request *click = make("workers restart", user, "{}", dedup);

	click->command = NULL;
	memcpy(click->id, rq->id, sizeof(click->id));
	memcpy(click->digest, rq->digest, sizeof(click->digest));
	click->delivery.kind = "confirm";
	click->asker.response_url = "https://hooks.example/2";
	return click;
}

json_t *plan_of(int from, int to)
{
	return json_pack("{s:{s:s,s:s,s:s,s:s}, s:[{s:s,s:i,s:i}], s:[], s:[s]}", "target",
			 "cluster", "main", "namespace", "ads", "kind", "Deployment", "name",
			 "workers", "changes", "field", "replicas", "from", from, "to", to,
			 "owners", "warnings", "mind");
}

struct end receive(struct replica *replica, struct request *rq)
{
	struct end end = { 0 };

	store_receive(replica->store, rq, on_end, &end);
	wait_end(&end);
	return end;
}

struct end confirm(struct replica *replica, struct request *rq, bool yes, json_t **ret_row)
{
	struct end end = { 0 };

	store_confirm(replica->store, rq, yes, ret_row, on_end, &end);
	wait_end(&end);
	return end;
}

struct end offer(struct replica *replica, struct request *rq)
{
	json_t *preview = json_pack("{s:s}", "preview", rq->id);
	struct end end = { 0 };

	store_offer(replica->store, rq, preview, on_end, &end);
	json_decref(preview);
	wait_end(&end);
	return end;
}

struct end begin(struct replica *replica, struct request *rq)
{
	json_t *with = json_pack("{s:s}", "cluster", "main");
	struct end end = { 0 };

	store_start(replica->store, rq, "conditional", with, on_end, &end);
	json_decref(with);
	wait_end(&end);
	return end;
}

struct end settle(struct replica *replica, struct request *rq, enum request_state state)
{
	json_t *announce =
		json_pack("{s:s,s:s}", "request", rq->id, "outcome", request_state_name(state));
	json_t *reply = json_pack("{s:s,s:s}", "request", rq->id, "answer", "42");
	struct end end = { 0 };

	rq->state = state;
	store_settle(replica->store, rq, announce, reply, on_end, &end);
	json_decref(announce);
	json_decref(reply);
	wait_end(&end);
	return end;
}

struct asked { /* data of found and of done */
	struct end end;
	struct replica *replica;
};

static void on_found(void *data, const json_t *row)
{
	struct asked *asked = data;
	struct replica *replica = asked->replica;

	replica->rows++;
	snprintf(replica->row_id, sizeof(replica->row_id), "%s", jget_str_or(row, "id", ""));
	replica->row_fence = jget_int(row, "fence", 0);
	json_decref(replica->row);
	replica->row = json_deep_copy(row);
}

static void on_asked(void *data, const struct err *err)
{
	struct asked *asked = data;

	on_end(&asked->end, err);
}

struct end claim_due(struct replica *replica)
{
	struct asked asked = { .replica = replica };

	replica->rows = 0;
	store_claim_due(replica->store, 10, on_found, on_asked, &asked);
	wait_end(&asked.end);
	return asked.end;
}

struct end renew(struct replica *replica)
{
	struct end end = { 0 };

	store_renew(replica->store, on_end, &end);
	wait_end(&end);
	return end;
}

struct end outbox_claim_lanes(struct replica *replica, unsigned audit, unsigned replies,
			      unsigned cards)
{
	unsigned limits[OWED_LANES] = {
		[OWED_AUDIT] = audit, [OWED_REPLIES] = replies, [OWED_CARDS] = cards
	};
	struct end end = { 0 };

	store_outbox_claim(replica->store, limits, on_end, &end);
	wait_end(&end);
	return end;
}

struct end outbox_claim(struct replica *replica, unsigned limit)
{
	return outbox_claim_lanes(replica, limit, limit, limit);
}
