/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_sync.c - opsd sync [--plan] [SOURCE]: one run of the directory sync.
 *
 * Its exit codes are for a job that runs every quarter of an hour: 0 applied or nothing to do, 1
 * could not run, 2 --plan found changes, 3 a brake stopped or held something, 4 the source is
 * incomplete, 5 another run or a newer snapshot was first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/config.h"
#include "app/once.h"
#include "app/options.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/directory.h"
#include "store/sync.h"

enum { SYNC_GOOD, SYNC_COULD_NOT, SYNC_CHANGES, SYNC_BRAKE, SYNC_INCOMPLETE, SYNC_LATE };
enum { DOMAINS_MAX = 64, BY_MAX = 8 };

struct syncing {
	struct store_sync sync;
	const char *only; /* the source that was named; NULL: the only one */
	const char *domains[DOMAINS_MAX];
	const char *by[BY_MAX];
	char *path;
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
	{ "failed",	SYNC_INCOMPLETE, "The source is incomplete; nothing was changed." },
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
		} else if (str_eq(word, "--accept-plan") && value != NULL) {
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

/* The file beside opsd.yaml, unless its path is absolute. */
static char *beside(const char *config_path, const char *path)
{
	const char *slash = strrchr(config_path, '/');

	if (path[0] == '/' || slash == NULL)
		return xstrdup(path);
	return xasprintf("%.*s/%s", (int)(slash - config_path), config_path, path);
}

static bool read_source(const struct config *config, const char *name, const json_t *source,
			struct syncing *syncing, struct err *err)
{
	const char *path = jget_str(source, "path");
	const char *kind = jget_str_or(source, "kind", "file");
	json_t *domains = json_object_get(source, "domains");
	size_t i;
	json_t *domain;

	if (!str_eq(kind, "file") || path == NULL) {
		err_set(err, ERR_INVALID, "directory.sources.%s: kind is file, and path names it",
			name);
		return false;
	}
	json_array_foreach(domains, i, domain)
	{
		if (i < DOMAINS_MAX && json_is_string(domain))
			syncing->domains[syncing->sync.n_domains++] = json_string_value(domain);
	}
	if (syncing->sync.n_domains == 0) {
		err_set(err, ERR_INVALID,
			"directory.sources.%s: domains lists the mail domains whose addresses "
			"identify people",
			name);
		return false;
	}
	syncing->sync.source = name;
	syncing->sync.kind = "file";
	syncing->sync.domains = syncing->domains;
	syncing->path = beside(config_path(config), path);
	return true;
}

static bool find_source(const struct config *config, struct syncing *syncing, struct err *err)
{
	json_t *sources = jget(config_node(config, "directory"), "sources");
	const char *name = syncing->only;

	if (name == NULL && json_object_size(sources) == 1)
		name = json_object_iter_key(json_object_iter(sources));
	if (name == NULL) {
		err_set(err, ERR_INVALID, "directory.sources names %zu sources: say which",
			json_object_size(sources));
		return false;
	}
	if (json_object_get(sources, name) == NULL) {
		err_set(err, ERR_INVALID, "directory.sources has no \"%s\"", name);
		return false;
	}
	return read_source(config, name, json_object_get(sources, name), syncing, err);
}

static struct call *ask(struct db *db, void *data,
			void (*answer)(void *data, const json_t *value, const struct err *err),
			void *answer_data)
{
	struct syncing *syncing = data;

	return store_sync_start(db, &syncing->sync, answer, answer_data);
}

static void print_plan(const json_t *plan)
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
	(void)printf("%lld people, %lld groups, %lld memberships; %lld changes, plan %s\n",
		     (long long)jget_int(plan, "counts.people", 0),
		     (long long)jget_int(plan, "counts.groups", 0),
		     (long long)jget_int(plan, "counts.memberships", 0), (long long)changes,
		     jget_str_or(plan, "sha256", ""));
	json_array_foreach(json_object_get(plan, "brakes"), i, item)
	{
		(void)printf("BRAKE %s: %s%s\n", jget_str_or(item, "name", ""),
			     jget_str_or(item, "detail", ""),
			     jget_bool(item, "hold", false) ? " (these are held, the rest is not)"
							    : "");
	}
	if (json_array_size(json_object_get(plan, "brakes")) > 0)
		(void)printf("If this is meant: opsd sync --accept-plan %s --by PERSON --by "
			     "PERSON, within the hour "
			     "after a run that was stopped.\n",
			     jget_str_or(plan, "sha256", ""));
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
			print_plan(plan);
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

/* Reads the source, then lets the database decide what it means. */
static int run(struct app_options *options, const struct config *config, struct syncing *syncing)
{
	const struct once once = {
		.url_setting = "database.sync_url", .ask = ask, .print = print, .data = syncing
	};
	struct directory *directory;
	struct diags diags;
	struct err err;
	int64_t began = clock_mono_ms();
	int code;

	if (!find_source(config, syncing, &err)) {
		(void)app_fail(APP_COULD_NOT, "%s", err.msg);
		return SYNC_COULD_NOT;
	}
	diags_init(&diags);
	directory = directory_load(syncing->path, &diags);
	for (size_t i = 0; i < diags.n; i++)
		(void)fprintf(stderr, "%s\n", diag_text(&diags.items[i]));
	syncing->sync.directory = directory;
	syncing->sync.failure = diags.n > 0 ? diag_text(&diags.items[0]) : NULL;
	syncing->sync.fetch_ms = clock_mono_ms() - began;
	code = once_run(options, &once);
	directory_destroy(directory);
	diags_finish(&diags);
	return syncing->answered ? code : SYNC_COULD_NOT;
}

int cmd_sync(struct app_options *options)
{
	struct syncing syncing = { .path = NULL };
	struct diags diags;
	struct config *config;
	int code;

	if (!read_options(options, &syncing))
		return app_fail(
			APP_USAGE,
			"sync [--plan] [--accept-plan SHA256 --by PERSON --by PERSON] [SOURCE]");
	diags_init(&diags);
	config = config_load(options->config, &diags);
	if (config == NULL) {
		(void)app_fail(APP_COULD_NOT, "%s",
			       diags.n > 0 ? diag_text(&diags.items[0]) : "no configuration");
		code = SYNC_COULD_NOT;
	} else {
		code = run(options, config, &syncing);
	}
	free(syncing.path);
	config_destroy(config);
	diags_finish(&diags);
	return code;
}
