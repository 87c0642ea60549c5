/* SPDX-License-Identifier: Apache-2.0 */
/* test_home.c - the home tab: what of a large catalog it shows, and that all of it fits. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/str.h"
#include "chat/home.h"
#include "core/catalog.h"
#include "core/expr.h"
#include "fake_kinds.h"

enum { BLOCKS_MAX = 100 }; /* of a view, by Slack */

/* n commands, every second one of the action jobs.even. */
static struct catalog *catalog_of(int n)
{
	char dir[] = "/tmp/opsd-home-XXXXXX", path[64];
	struct catalog *catalog;
	struct diags diags;
	FILE *file;

	diags_init(&diags);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/jobs.yaml", dir);
	file = fopen(path, "w");
	assert_non_null(file);
	(void)fputs("prefix: jobs\nabout: Jobs\ncommands:\n", file);
	for (int i = 0; i < n; i++)
		(void)fprintf(file,
			      "  list-%03d:\n    about: Show what is there\n    action: jobs.%s\n"
			      "    risk: 0\n    do:\n      kube.list: { cluster: main, kind: "
			      "Deployment, rows: \".items\" }\n",
			      i, i % 2 == 0 ? "even" : "odd");
	(void)fclose(file);
	catalog = catalog_load(dir, fake_kinds, NULL, &diags);
	assert_non_null(catalog);
	diags_finish(&diags);
	(void)unlink(path);
	assert_int_equal(rmdir(dir), 0);
	return catalog;
}

static json_t *shown(const struct catalog *catalog, const json_t *may, const json_t *home)
{
	const struct home_view view = {
		.catalog = catalog, .may = may, .home = home, .note = "It is kept."
	};

	return home_view(&view);
}

/* Each command that is shown has its line and its button in one block; the number of them. */
static size_t commands_of(const json_t *view)
{
	size_t n = 0, i;
	json_t *block;

	json_array_foreach(json_object_get(view, "blocks"), i, block)
	{
		const char *title = jget_str(block, "accessory.value");

		if (title == NULL)
			continue;
		assert_string_equal(jget_str(block, "accessory.action_id"), "open_form");
		assert_true(str_starts(jget_str(block, "text.text"), title));
		n++;
	}
	return n;
}

static const char *last_text(const json_t *view)
{
	const json_t *blocks = json_object_get(view, "blocks");
	const json_t *last = json_array_get(blocks, json_array_size(blocks) - 1);

	return jget_str(json_array_get(json_object_get(last, "elements"), 0), "text");
}

static void test_those_that_one_may_run(void **state)
{
	struct catalog *catalog = catalog_of(40);
	json_t *may = json_pack("[s]", "jobs.even");
	json_t *view = shown(catalog, may, NULL);

	(void)state;
	assert_int_equal(commands_of(view), 20);
	json_decref(view);
	json_decref(may);
	may = json_array();
	view = shown(catalog, may, NULL);
	assert_int_equal(commands_of(view), 0);
	json_decref(view);
	view = shown(catalog, NULL, NULL); /* not known: all of them */
	assert_int_equal(commands_of(view), 40);
	json_decref(view);
	json_decref(may);
	catalog_unref(catalog);
}

/* With every list above it as long as it gets. */
static void test_a_large_catalog_fits(void **state)
{
	struct catalog *catalog = catalog_of(150);
	json_t *item = json_pack("{s:s, s:s, s:s, s:I, s:{s:s, s:s}}", "request",
				 "R0000000000000000", "command", "jobs list", "state", "scheduled",
				 "ends_ms", (json_int_t)1764526800000, "facts", "request",
				 "R0000000000000000", "command", "jobs list");
	json_t *many = json_array(), *home, *view;

	(void)state;
	for (int i = 0; i <= HOME_ITEMS; i++)
		(void)json_array_append(many, item);
	home = json_pack("{s:O, s:O, s:O}", "active", many, "approve", many, "freezes", many);
	view = shown(catalog, NULL, home);
	assert_in_range(json_array_size(json_object_get(view, "blocks")), HOME_COMMANDS + 20,
			BLOCKS_MAX);
	assert_int_equal(commands_of(view), HOME_COMMANDS); /* nothing was cut to make it fit */
	json_decref(view);
	view = shown(catalog, NULL, NULL);
	assert_int_equal(commands_of(view), HOME_COMMANDS);
	assert_string_equal(last_text(view), "There are 90 more: the word help lists all of them.");
	json_decref(view);
	json_decref(home);
	json_decref(many);
	json_decref(item);
	catalog_unref(catalog);
	expr_forget();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_those_that_one_may_run),
		cmocka_unit_test(test_a_large_catalog_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
