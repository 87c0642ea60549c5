/* SPDX-License-Identifier: Apache-2.0 */
/* core/lever: what is wanted, as the command that does it. */
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/json.h"
#include "core/action.h"
#include "core/catalog.h"
#include "core/lever.h"

static const struct action_param params[] = {
	{ "cluster", ACTION_TEXT, true, "c" }, { "namespace", ACTION_TEXT, true, "n" },
	{ "name", ACTION_TEXT, true, "n" },    { "min", ACTION_NUMBER, false, "m" },
	{ "max", ACTION_NUMBER, false, "m" },  { NULL, ACTION_TEXT, false, NULL },
};

static struct call *never(struct action_env *env, const struct action_run *run, action_done_fn done,
			  void *data)
{
	(void)env;
	(void)run;
	(void)done;
	(void)data;
	return NULL;
}

static const struct action_kind range = { .name = "kube.autoscale",
					  .about = "a",
					  .params = params,
					  .effect = ACTION_CONDITIONAL,
					  .plan = never,
					  .apply = never,
					  .look = never };
static const struct action_kind *const kinds[] = { &range, NULL };

static const char catalog_text[] =
	"prefix: workers\n"
	"about: Workers\n"
	"commands:\n"
	"  range:\n"
	"    about: Set the range\n"
	"    action: workers.range\n"
	"    scope: { team: \"{team}\" }\n"
	"    risk: 2\n"
	"    params:\n"
	"      team: { type: string, pattern: \"[a-z]{1,30}\" }\n"
	"      role: { type: enum, values: [dev, prod] }\n"
	"      min: { type: integer, min: 1, max: 50 }\n"
	"      max: { type: integer, min: 1, max: 50 }\n"
	"      reason: { type: text, max: 300 }\n"
	"    do:\n"
	"      kube.autoscale: { cluster: main, namespace: \"{team}\", name: \"workers-{role}\", "
	"min: "
	"\"{min}\", max: \"{max}\" }\n"
	"    tests:\n"
	"      - { as: [x], text: team=ads role=dev min=1 max=2 reason=x, expect: allow }\n";

static struct catalog *load(void)
{
	char dir[] = "/tmp/opsd-lever-XXXXXX", path[64];
	struct catalog *catalog;
	struct diags diags;
	FILE *file;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/workers.yaml", dir);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(catalog_text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	diags_init(&diags);
	catalog = catalog_load(dir, kinds, NULL, &diags);
	if (catalog == NULL)
		fail_msg("%s", diag_text(&diags.items[0]));
	diags_finish(&diags);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	return catalog;
}

static json_t *resolve(const struct catalog *catalog, const char *with, const char *args)
{
	json_t *lever = json_pack("{s:s, s:o}", "kind", "kube.autoscale", "with",
				  json_loads(with, 0, NULL));
	json_t *given = json_loads(args, 0, NULL);
	json_t *found = lever_resolve(catalog, lever, given);

	json_decref(lever);
	json_decref(given);
	return found;
}

#define WITH(cluster, ns, name, min, max)                                                          \
	"{\"cluster\":\"" cluster "\",\"namespace\":\"" ns "\",\"name\":\"" name                   \
	"\",\"min\":" #min ",\"max\":" #max "}"

static void test_resolves(void **state)
{
	struct catalog *catalog = load();
	json_t *found = resolve(catalog, WITH("main", "ads", "workers-prod", 20, 30),
				"{\"reason\":\"the backlog grows\",\"team\":\"other\"}");

	(void)state;
	assert_non_null(found);
	assert_string_equal(jget_str(found, "command"), "workers range");
	assert_string_equal(
		jget_str(found, "text"),
		"workers range team=ads role=prod min=20 max=30 reason=\"the backlog grows\"");
	assert_string_equal(jget_str(found, "values.role"), "prod");
	assert_string_equal(jget_str(found, "values.min"), "20");
	json_decref(found);
	/* without a reason to take over: to be filled in */
	found = resolve(catalog, WITH("main", "ads", "workers-prod", 20, 30), "{}");
	assert_non_null(found);
	assert_null(json_object_get(found, "text"));
	assert_string_equal(jget_str(found, "values.max"), "30");
	json_decref(found);
	catalog_unref(catalog);
}

static void test_no_command_does_it(void **state)
{
	static const char *const rows[] = {
		WITH("other", "ads", "workers-prod", 2, 3),  /* another cluster */
		WITH("main", "ads", "web-prod", 2, 3),       /* another name */
		WITH("main", "ads", "workers-", 2, 3),       /* no role */
		WITH("main", "ads", "workers-test", 2, 3),   /* no such role */
		WITH("main", "Ads!", "workers-prod", 2, 3),  /* not a team */
		WITH("main", "ads", "workers-prod", 2, 500), /* beyond what it may */
		"{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"workers-prod\",\"min\":2}",
		"{\"cluster\":\"main\",\"namespace\":\"ads\",\"name\":\"workers-prod\",\"min\":2,"
		"\"max\":3,\"more\":1}",
	};
	struct catalog *catalog = load();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_null(resolve(catalog, rows[i], "{\"reason\":\"x\"}"));
	catalog_unref(catalog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resolves),
		cmocka_unit_test(test_no_command_does_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
