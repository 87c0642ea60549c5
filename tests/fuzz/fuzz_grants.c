/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_grants.c - any bytes as a file of grants: rows that each constrain every scope, or a
 * mistake. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/diag.h"
#include "base/err.h"
#include "base/str.h"
#include "core/grants.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] =
	"[{\"name\":\"datasets.read\",\"risk\":0,\"scope\":[]},"
	"{\"name\":\"workers.drop\",\"risk\":2,\"scope\":[{\"name\":\"team\",\"type\":\"enum\"}]},"
	"{\"name\":\"workers.scale\",\"risk\":1,\"scope\":[{\"name\":\"count\",\"type\":\"int\"},"
	"{\"name\":\"team\",\"type\":\"enum\"}]}]";

static void check(json_t *row)
{
	const char *action = jget_str_or(row, "action", "");
	json_t *scope = json_object_get(row, "scope");

	assert(!str_empty(jget_str(row, "key")));
	if (str_eq(jget_str(row, "effect"), "forbid"))
		return;
	if (str_eq(action, "workers.scale"))
		assert(json_object_get(scope, "count") != NULL &&
		       json_object_get(scope, "team") != NULL);
	else if (str_eq(action, "workers.drop"))
		assert(json_object_get(scope, "team") != NULL);
	else
		assert(str_eq(action, "datasets.read") && json_object_size(scope) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static json_t *actions;
	struct diags diags;
	struct err err;
	json_t *rows;

	if (actions == NULL)
		actions = json_parse(text, strlen(text), sizeof(text), &err);
	diags_init(&diags);
	rows = grants_parse("g.yaml", (const char *)data, size, actions, &diags);
	assert((rows == NULL) == (diags.total > 0));
	for (size_t i = 0; i < json_array_size(rows); i++)
		check(json_array_get(rows, i));
	json_decref(rows);
	diags_finish(&diags);
	return 0;
}
