/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_args.c - any text as a command line: understood, or a problem in UTF-8; and what was
 * understood reads back the same. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/str.h"
#include "core/args.h"
#include "core/catalog.h"
#include "core/command.h"
#include "fake_kinds.h"

static const char file[] =
	"prefix: workers\nabout: Fleets\ncommands:\n"
	"  scale:\n"
	"    about: Scale\n    action: workers.scale\n    risk: 2\n"
	"    scope: { team: \"{team}\", role: \"{role}\" }\n"
	"    params:\n"
	"      team: { type: string, pattern: \"[a-z][a-z0-9-]{1,30}\" }\n"
	"      role: { type: enum, values: [dev, prod] }\n"
	"      count: { type: integer, min: 0, max: 200 }\n"
	"      for: { type: duration, max: 24h, optional: true }\n"
	"      when: { type: time, optional: true }\n"
	"      who: { type: person, optional: true }\n"
	"      dry: { type: boolean, default: false }\n"
	"      reason: { type: text, max: 300 }\n"
	"    do: { kube.scale: { cluster: main, namespace: \"{team}\", name: \"workers-{role}\", "
	"replicas: \"{count}\" } }\n"
	"  list: { about: List, action: workers.read, risk: 0, "
	"do: { kube.list: { cluster: main, kind: Pod } } }\n";

static struct catalog *catalog;

static void load(void)
{
	char dir[] = "/tmp/opsd-fuzz-XXXXXX", path[64];
	struct diags diags;
	FILE *out;

	diags_init(&diags);
	if (mkdtemp(dir) == NULL)
		abort();
	(void)snprintf(path, sizeof(path), "%s/w.yaml", dir);
	out = fopen(path, "w");
	if (out == NULL)
		abort();
	(void)fputs(file, out);
	(void)fclose(out);
	catalog = catalog_load(dir, fake_kinds, NULL, &diags);
	(void)unlink(path);
	(void)rmdir(dir);
	for (size_t i = 0; i < diags.n; i++)
		(void)fprintf(stderr, "%s\n", diag_text(&diags.items[i]));
	if (catalog == NULL)
		abort();
	diags_finish(&diags);
}

static void check_problems(const struct args_problems *problems)
{
	assert(problems->n > 0 && problems->n <= ARGS_PROBLEMS_MAX);
	for (size_t i = 0; i < problems->n; i++) {
		const char *text = problems->items[i].text;

		assert(*text != '\0' && str_utf8_valid(text, strlen(text)));
	}
}

static void check_args(const struct command *command, const char *rest)
{
	struct args_problems problems;
	json_t *args = args_from_text(command, rest, &problems), *typed, *again;
	char *text;

	typed = args_typed(command, rest);
	assert(typed != NULL);
	json_decref(typed);
	if (args == NULL) {
		check_problems(&problems);
		return;
	}
	text = args_text(command, args);
	again = args_from_text(command, text, &problems);
	assert(again != NULL && json_equal(args, again));
	json_decref(again);
	again = args_from_json(command, args, &problems);
	assert(again != NULL && json_equal(args, again));
	json_decref(again);
	json_decref(args);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct line line;

	if (text == NULL)
		abort();
	if (catalog == NULL)
		load();
	memcpy(text, data, size);
	text[size] = '\0';
	check_args(catalog_find(catalog, "workers", "scale"), text);
	args_line(catalog, NULL, text, &line);
	assert(line.kind != LINE_UNKNOWN || *line.problem != '\0');
	if (line.kind == LINE_COMMAND)
		check_args(line.command, line.rest);
	free(text);
	return 0;
}
