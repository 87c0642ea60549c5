/* SPDX-License-Identifier: Apache-2.0 */
/* sync_world.c - see sync_world.h. */
#include "sync_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/directory.h"
#include "store/migrate.h"

void on_value(void *data, const json_t *value, const struct err *err)
{
	struct ran *ran = data;

	ran->n++;
	if (err != NULL)
		snprintf(ran->msg, sizeof(ran->msg), "%s", err->msg);
	else
		ran->value = json_deep_copy(value);
}

static bool migrated; /* once per process, and emptied for each test */

void fresh(void)
{
	struct ran ran = { 0 };

	world.patience_ms = PATIENCE_MS;
	create(1);
	wait_alone();
	if (migrated) {
		good("DO $$ BEGIN PERFORM set_config('session_replication_role', 'replica', true);"
		     " EXECUTE (SELECT 'TRUNCATE ' || string_agg(c.oid::regclass::text, ', ') || ' "
		     "RESTART IDENTITY'"
		     " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE "
		     "c.relkind IN ('r', 'p')"
		     " AND n.nspname IN ('dir', 'authz', 'ops') AND c.relname NOT IN ('migration', "
		     "'setting'));"
		     " END $$");
		return;
	}
	store_migrate_start(world.db, store_migrations, store_migrations_n, false, on_value, &ran);
	while (ran.n == 0)
		once();
	assert_string_equal(ran.msg, "");
	json_decref(ran.value);
	migrated = true;
}

struct db *as_role(const char *role)
{
	return as_login(role, role);
}

struct db *as_login(const char *role, const char *login)
{
	char sql[300], to[300];
	struct db_config config = { .name = "role", .url = to, .connections = 1 };

	snprintf(sql, sizeof(sql),
		 "DO $$ BEGIN CREATE ROLE %s_login LOGIN PASSWORD 'login-horse' IN ROLE %s;"
		 " EXCEPTION WHEN duplicate_object THEN NULL; END $$",
		 login, role);
	good(sql);
	snprintf(to, sizeof(to), "postgresql://%s_login:login-horse@%s", login,
		 strchr(url(), '@') + 1);
	return db_create(&world.loop, &config);
}

void owner_sees(const char *sql, const char *text)
{
	struct seen seen = ask(sql);

	assert_string_equal(seen.msg, "");
	assert_string_equal(seen.text, text);
}

static const char *word(const char *at, const char *stop, char ret_word[64])
{
	size_t len = strcspn(at, stop);

	assert_true(len < 64);
	memcpy(ret_word, at, len);
	ret_word[len] = '\0';
	return at + len;
}

static int put_people(struct buf *yaml, const char *at)
{
	char name[64], state[64];
	int n = 0;

	for (; *at != '\0'; n++) {
		snprintf(state, sizeof(state), "active");
		at = word(at, ": ", name);
		if (*at == ':')
			at = word(at + 1, " ", state);
		buf_printf(yaml, "  - { id: p-%s, email: %s@example.com, name: %s, state: %s }\n",
			   name, name, name, state);
		at += strspn(at, " ");
	}
	return n;
}

static int put_groups(struct buf *yaml, const char *at, int *ret_members)
{
	char name[64], member[64];
	int n = 0;

	for (; *at != '\0'; n++) {
		at = word(at, "= ", name);
		buf_printf(yaml, "  - { id: g-%s, name: %s, members: [", name, name);
		for (at += *at == '='; *at != '\0' && *at != ' ' && *at != '+'; at += *at == ',') {
			at = word(at, ",+ ", member);
			buf_printf(yaml, "p-%s,", member);
			(*ret_members)++;
		}
		buf_puts(yaml, "], groups: [");
		while (*at == '+') {
			at = word(at + 1, "+ ", member);
			buf_printf(yaml, "g-%s,", member);
		}
		buf_puts(yaml, "] }\n");
		at += strspn(at, " ");
	}
	return n;
}

void snapshot(struct buf *yaml, const char *time, const char *people, const char *groups)
{
	int n_people, n_groups, n_members = 0;

	buf_init(yaml, 1 << 20);
	buf_printf(yaml, "format: dirsnap/1\ngenerated_at: 2026-11-25T%s:00Z\npeople:%s\n", time,
		   *people == '\0' ? " []" : "");
	n_people = put_people(yaml, people);
	buf_printf(yaml, "groups:%s\n", *groups == '\0' ? " []" : "");
	n_groups = put_groups(yaml, groups, &n_members);
	buf_printf(yaml, "counts: { people: %d, groups: %d, members: %d }\n", n_people, n_groups,
		   n_members);
	assert_false(yaml->overflow);
}

const char *sync_by[2] = { "ana@example.com", "ben@example.com" };
const char *sync_unread, *sync_aside, *sync_failure, *sync_failing;

static bool named(const char *list, const char *id)
{
	char word[80];

	snprintf(word, sizeof(word), " %s ", id);
	return list != NULL && strstr(list, word) != NULL;
}

static void mark_unread(struct directory *directory)
{
	for (size_t i = 0; directory != NULL && i < directory->n_groups; i++) {
		struct directory_group *group = &directory->groups[i];

		group->unread = named(sync_unread, group->id);
		group->aside = named(sync_aside, group->id);
	}
}

struct ran sync_run(const char *yaml, bool plan_only, const char *accept)
{
	static const char *const domains[] = { "example.com" };
	struct ran ran = { 0 };
	struct diags diags;
	struct store_sync sync = { .source = "company",
				   .kind = "file",
				   .settings = "s",
				   .channel = "C0AUDIT",
				   .domains = domains,
				   .n_domains = 1,
				   .plan_only = plan_only,
				   .accept = accept,
				   .by = sync_by,
				   .n_by = 2 };
	struct db *db = as_role("opsd_sync");
	struct directory *directory;
	json_t *notes = json_pack("{s:s*}", "group", sync_failing);

	diags_init(&diags);
	directory = directory_parse("directory.yaml", yaml, strlen(yaml), &diags);
	mark_unread(directory);
	sync.directory = sync_failure == NULL ? directory : NULL;
	sync.failure = diags.n > 0 ? diag_text(&diags.items[0]) : sync_failure;
	sync.notes = notes;
	store_sync_start(db, &sync, on_value, &ran);
	while (ran.n == 0)
		once();
	directory_destroy(directory);
	json_decref(notes);
	diags_finish(&diags);
	db_destroy(db);
	return ran;
}

void expect_outcome(const struct ran *ran, const char *outcome)
{
	assert_string_equal(ran->msg, "");
	assert_string_equal(jget_str_or(ran->value, "outcome", ""), outcome);
}

bool has_brake(const struct ran *ran, const char *name)
{
	size_t i;
	json_t *brake;

	json_array_foreach(json_object_get(json_object_get(ran->value, "plan"), "brakes"), i, brake)
	{
		if (str_eq(jget_str(brake, "name"), name))
			return true;
	}
	return false;
}

bool has_line(const struct ran *ran, const char *line)
{
	size_t i;
	json_t *item;

	json_array_foreach(json_object_get(json_object_get(ran->value, "plan"), "lines"), i, item)
	{
		if (str_eq(json_string_value(item), line))
			return true;
	}
	return false;
}

void expect_sync(const char *time, const char *people, const char *groups, const char *outcome)
{
	struct buf yaml;
	struct ran ran;

	snapshot(&yaml, time, people, groups);
	ran = sync_run(yaml.data, false, NULL);
	expect_outcome(&ran, outcome);
	json_decref(ran.value);
	buf_finish(&yaml);
}
