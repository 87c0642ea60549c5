/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_sync.c - opsd sync [--plan] [SOURCE]: one run of the directory sync.
 *
 * Its exit codes are for a job that runs every quarter of an hour: 0 applied or nothing to do, 1
 * could not run, 2 --plan found changes, 3 a brake stopped or held something, 4 the source is
 * incomplete, 5 another run or a newer snapshot was first.  Without SOURCE all sources are synced,
 * one after the other, and the gravest code counts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/config.h"
#include "app/once.h"
#include "app/options.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/directory.h"
#include "directory/source.h"
#include "store/sync.h"

enum { SYNC_GOOD, SYNC_COULD_NOT, SYNC_CHANGES, SYNC_BRAKE, SYNC_INCOMPLETE, SYNC_LATE };
enum { BY_MAX = 8 };

/* One run: what may be skipped is asked of the database, the source is read, the database decides.
 */
struct syncing {
	struct store_sync sync;
	const struct config *config;
	const char *only; /* the source that was named; NULL: all */
	const char *by[BY_MAX];
	/* of the run */
	const json_t *node;
	char settings[DIGEST_HEX_LEN];
	uv_loop_t *loop;
	struct db *db;
	struct source *source;
	struct directory *directory;
	char *validator, *failure;
	json_t *notes;
	int64_t began_ms;
	store_sync_fn answer;
	void *answer_data;
	bool answered;
};

/* clang-format off */
static const struct {
	const char *outcome;
	int code;
	const char *sentence;
} outcomes[] = {
	{ "applied",	SYNC_GOOD,	 "Applied." },
	{ "unchanged",	SYNC_GOOD,	 "Nothing to change." },
	{ "planned",	SYNC_GOOD,	 "Planned; nothing was changed." },
	{ "refused",	SYNC_BRAKE,	 "Stopped by a brake; only departures were applied." },
	{ "failed",	SYNC_INCOMPLETE,
	  "The source was not read whole; nothing was changed. The next run tries again." },
	{ "busy",	SYNC_LATE,	 "Another run of it is under way; nothing was changed." },
	{ "stale",	SYNC_LATE,	 "A newer snapshot was first; nothing was changed." },
};
/* clang-format on */

static bool read_options(const struct app_options *options, struct syncing *syncing)
{
	for (int i = 0; i < options->argc; i++) {
		const char *word = options->argv[i];
		const char *value = i + 1 < options->argc ? options->argv[i + 1] : NULL;

		if (str_eq(word, "--plan")) {
			syncing->sync.plan_only = true;
		} else if (str_eq(word, "--accept") && value != NULL) {
			syncing->sync.accept = value;
			i++;
		} else if (str_eq(word, "--by") && value != NULL && syncing->sync.n_by < BY_MAX) {
			syncing->by[syncing->sync.n_by++] = value;
			i++;
		} else if (word[0] != '-' && syncing->only == NULL) {
			syncing->only = word;
		} else {
			return false;
		}
	}
	syncing->sync.by = syncing->by;
	return true;
}

static void on_synced(void *data, const json_t *value, const struct err *err)
{
	struct syncing *syncing = data;

	source_close(syncing->source);
	syncing->source = NULL;
	syncing->answer(syncing->answer_data, value, err);
}

static void on_fetched(void *data, const struct source_answer *answer, const struct err *err)
{
	struct syncing *syncing = data;
	struct store_sync *sync = &syncing->sync;

	if (answer != NULL)
		syncing->notes = json_deep_copy(answer->notes);
	if (err != NULL) {
		syncing->failure = xstrdup(err->msg);
	} else {
		syncing->directory = answer->directory;
		free(syncing->validator);
		syncing->validator = xstrdup_null(answer->validator);
	}
	sync->directory = syncing->directory;
	sync->failure = syncing->failure;
	sync->validator = syncing->validator;
	sync->notes = syncing->notes;
	sync->fetch_ms = clock_mono_ms() - syncing->began_ms;
	uv_update_time(syncing->loop); /* a large directory was read in this turn */
	(void)store_sync_start(syncing->db, sync, on_synced, syncing);
}

static void on_before(void *data, const json_t *value, const struct err *err)
{
	struct syncing *syncing = data;

	if (err != NULL) {
		on_synced(syncing, NULL, err);
		return;
	}
	/* A plan that is shown or accepted is always made. */
	if (!syncing->sync.plan_only && syncing->sync.accept == NULL)
		syncing->validator = xstrdup_null(jget_str(value, "validator"));
	source_scope(syncing->source, json_object_get(value, "groups"));
	(void)source_fetch(syncing->source, syncing->validator, on_fetched, syncing);
}

static struct call *ask(struct db *db, void *data, store_sync_fn answer, void *answer_data)
{
	struct syncing *syncing = data;
	struct source_config config = { .loop = syncing->loop,
					.name = syncing->sync.source,
					.node = syncing->node,
					.dir = config_dir(syncing->config) };
	struct err err;

	syncing->db = db;
	syncing->answer = answer;
	syncing->answer_data = answer_data;
	syncing->source = source_open(&config, &err);
	if (syncing->source == NULL) { /* its settings were good a moment ago */
		on_synced(syncing, NULL, &err);
		return NULL;
	}
	syncing->sync.kind = source_kind(syncing->source);
	syncing->sync.domains = source_domains(syncing->source, &syncing->sync.n_domains);
	syncing->began_ms = clock_mono_ms(); /* before it is known which groups are in use */
	return store_sync_before(db, syncing->sync.source, syncing->settings, on_before, syncing);
}

/* accept: the digest of what is left to be accepted. */
static void print_scope(const json_t *plan)
{
	size_t i;
	json_t *item;

	(void)printf("Members are read of %lld of %lld groups",
		     (long long)jget_int(plan, "counts.groups_read", 0),
		     (long long)jget_int(plan, "counts.groups", 0));
	if (jget_int(plan, "counts.groups_in", 0) > 0)
		(void)printf("; %lld come into use (%lld members)",
			     (long long)jget_int(plan, "counts.groups_in", 0),
			     (long long)jget_int(plan, "counts.members_in", 0));
	if (jget_int(plan, "counts.groups_out", 0) > 0)
		(void)printf("; %lld go (%lld members)",
			     (long long)jget_int(plan, "counts.groups_out", 0),
			     (long long)jget_int(plan, "counts.members_out", 0));
	(void)puts(".");
	json_array_foreach(json_object_get(plan, "aside"), i, item)
	{
		(void)printf("SET ASIDE %s\n", json_string_value(item));
	}
}

static void print_plan(const json_t *plan, const char *source, const char *accept)
{
	json_t *lines = json_object_get(plan, "lines");
	int64_t changes = jget_int(plan, "changes", 0);
	size_t i;
	json_t *item;

	json_array_foreach(lines, i, item)
	{
		(void)printf("%s\n", json_string_value(item));
	}
	if ((size_t)changes > json_array_size(lines))
		(void)printf("… and %lld more\n",
			     (long long)changes - (long long)json_array_size(lines));
	(void)printf(
		"Plan: %lld to add, %lld to change, %lld to remove, %lld to look at; %lld people, "
		"%lld groups, %lld memberships. Plan %s\n",
		(long long)jget_int(plan, "counts.adds", 0),
		(long long)jget_int(plan, "counts.changes", 0),
		(long long)jget_int(plan, "counts.removals", 0),
		(long long)jget_int(plan, "counts.warnings", 0),
		(long long)jget_int(plan, "counts.people", 0),
		(long long)jget_int(plan, "counts.groups", 0),
		(long long)jget_int(plan, "counts.memberships", 0),
		jget_str_or(plan, "sha256", ""));
	print_scope(plan);
	json_array_foreach(json_object_get(plan, "brakes"), i, item)
	{
		(void)printf("BRAKE %s: %s%s\n", jget_str_or(item, "name", ""),
			     jget_str_or(item, "detail", ""),
			     jget_bool(item, "hold", false) ? " (these are held, the rest is not)"
							    : "");
	}
	if (json_array_size(json_object_get(plan, "brakes")) > 0)
		(void)printf(
			"If this is meant, two people accept it within the hour after a run that "
			"was stopped:\n  opsd sync %s --accept %s --by ADDRESS --by ADDRESS\nIf "
			"not, repair the source; the next run tries again.\n",
			source, accept);
}

/* What was left out of the copy, and why the source was read again. */
static void print_notes(const json_t *notes)
{
	static const struct {
		const char *name, *sentence;
	} kinds[] = {
		{ "outside_members", "members from outside are kept as guests" },
		{ "left_out_members", "members are no person or group of this source: left out" },
		{ "shared_names", "groups share their name with another: their id is in it now" },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const json_t *note = json_object_get(notes, kinds[i].name);
		const char *example =
			json_string_value(json_array_get(json_object_get(note, "examples"), 0));

		if (note != NULL)
			(void)printf("Note: %lld %s (%s, …)\n",
				     (long long)jget_int(note, "count", 0), kinds[i].sentence,
				     example != NULL ? example : "");
	}
	if (jget_str(notes, "group") != NULL)
		(void)printf("Note: it is the members of group %s; if it fails again and again, "
			     "docs/directory.md says how to set it aside\n",
			     jget_str(notes, "group"));
	if (jget_str(notes, "read_again") != NULL)
		(void)printf("Note: the source was read again: %s\n",
			     jget_str(notes, "read_again"));
}

static int print(const json_t *value, bool json, void *data)
{
	struct syncing *syncing = data;
	const char *outcome = jget_str_or(value, "outcome", "");
	const json_t *plan = json_object_get(value, "plan");
	bool braked = json_array_size(json_object_get(plan, "brakes")) > 0 &&
		      syncing->sync.accept == NULL;
	size_t i = 0;

	syncing->answered = true;
	while (!str_eq(outcomes[i].outcome, outcome) &&
	       i + 1 < sizeof(outcomes) / sizeof(outcomes[0]))
		i++;
	if (json) {
		char *text = json_text(value);

		(void)puts(text);
		free(text);
	} else {
		if (plan != NULL)
			print_plan(plan, syncing->sync.source,
				   jget_str_or(value, "result.sha256",
					       jget_str_or(plan, "sha256", "")));
		print_notes(syncing->notes);
		if (json_object_get(value, "error") != NULL)
			(void)printf("%s\n", jget_str_or(value, "error", ""));
		(void)puts(outcomes[i].sentence);
	}
	if (outcomes[i].code != SYNC_GOOD)
		return outcomes[i].code;
	if (braked)
		return SYNC_BRAKE;
	return syncing->sync.plan_only && jget_int(plan, "changes", 0) > 0 ? SYNC_CHANGES
									   : SYNC_GOOD;
}

static void forget(struct syncing *syncing)
{
	directory_destroy(syncing->directory);
	json_decref(syncing->notes);
	free(syncing->validator);
	free(syncing->failure);
	syncing->directory = NULL;
	syncing->notes = NULL;
	syncing->validator = syncing->failure = NULL;
}

/* One source, from its settings to the exit code. */
static int run_source(struct app_options *options, struct syncing *syncing, const char *name,
		      const json_t *node)
{
	const struct once once = { .url_setting = "database.sync_url",
				   .ask = ask,
				   .print = print,
				   .data = syncing,
				   .ret_loop = &syncing->loop };
	const struct source_config checked = { .name = name,
					       .node = node,
					       .dir = config_dir(syncing->config) };
	struct source *source;
	struct err err;
	char *text;
	int code;

	source = source_open(&checked, &err);
	if (source == NULL) {
		(void)app_fail(APP_COULD_NOT, "%s", err.msg);
		return SYNC_COULD_NOT;
	}
	source_close(source);
	text = json_canonical(node);
	digest_hex(text, strlen(text), syncing->settings);
	free(text);
	syncing->node = node;
	syncing->answered = false;
	syncing->sync.source = name;
	syncing->sync.settings = syncing->settings;
	syncing->sync.channel = config_str(syncing->config, "slack.audit_channel");
	code = once_run(options, &once);
	forget(syncing);
	return syncing->answered ? code : SYNC_COULD_NOT;
}

static int graver(int a, int b)
{
	static const int order[] = { SYNC_GOOD,  SYNC_CHANGES,    SYNC_LATE,
				     SYNC_BRAKE, SYNC_INCOMPLETE, SYNC_COULD_NOT };
	int grave = SYNC_GOOD;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		if (a == order[i] || b == order[i])
			grave = order[i];
	return grave;
}

static int run(struct app_options *options, struct syncing *syncing)
{
	json_t *sources = jget(config_node(syncing->config, "directory"), "sources");
	bool several = syncing->only == NULL && json_object_size(sources) > 1;
	int code = SYNC_GOOD;
	const char *name;
	json_t *node;

	if (json_object_size(sources) == 0 ||
	    (syncing->only != NULL && json_object_get(sources, syncing->only) == NULL)) {
		(void)app_fail(APP_COULD_NOT, "directory.sources has no \"%s\"",
			       syncing->only != NULL ? syncing->only : "source");
		return SYNC_COULD_NOT;
	}
	if (several && syncing->sync.accept != NULL) {
		(void)app_fail(APP_COULD_NOT,
			       "directory.sources names %zu sources: say whose plan is accepted",
			       json_object_size(sources));
		return SYNC_COULD_NOT;
	}
	json_object_foreach(sources, name, node)
	{
		if (syncing->only != NULL && !str_eq(name, syncing->only))
			continue;
		if (several && !options->json)
			(void)printf("== %s\n", name);
		code = graver(code, run_source(options, syncing, name, node));
	}
	return code;
}

int cmd_sync(struct app_options *options)
{
	struct syncing syncing = { .config = NULL };
	struct diags diags;
	struct config *config;
	int code;

	if (!read_options(options, &syncing))
		return app_fail(
			APP_USAGE,
			"sync [--plan] [--accept SHA256 --by ADDRESS --by ADDRESS] [SOURCE]");
	diags_init(&diags);
	config = config_load(options->config, &diags);
	syncing.config = config;
	if (config == NULL) {
		(void)app_fail(APP_COULD_NOT, "%s",
			       diags.n > 0 ? diag_text(&diags.items[0]) : "no configuration");
		code = SYNC_COULD_NOT;
	} else {
		code = run(options, &syncing);
	}
	config_destroy(config);
	diags_finish(&diags);
	return code;
}
