/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_directory.c - any bytes as a snapshot, in each form: whole and consistent, or refused. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/diag.h"
#include "base/str.h"
#include "core/directory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct directory *directory)
{
	assert(strlen(directory->generated_at) == 20);
	for (size_t i = 0; i < directory->n_people; i++) {
		assert(!str_empty(directory->people[i].id));
		assert(strlen(directory->people[i].id) <= DIRECTORY_ID_MAX);
		assert(str_utf8_valid(directory->people[i].name,
				      strlen(directory->people[i].name)));
	}
	for (size_t i = 0; i < directory->members.n; i++) {
		bool known = false;

		for (size_t k = 0; k < directory->n_people; k++)
			known |= str_eq(directory->members.items[i].b, directory->people[k].id);
		assert(known);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const files[] = { "d.csv", "d.yaml", "d.json" };

	for (size_t i = 0; i < 3; i++) {
		struct diags diags;
		struct directory *directory;

		diags_init(&diags);
		directory = directory_parse(files[i], (const char *)data, size, &diags);
		assert((directory == NULL) == (diags.total > 0));
		if (directory != NULL)
			check(directory);
		directory_destroy(directory);
		diags_finish(&diags);
	}
	return 0;
}
