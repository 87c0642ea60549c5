/* SPDX-License-Identifier: Apache-2.0 */
/* directory_internal - what the two readers of a snapshot share. */
#ifndef OPSD_CORE_DIRECTORY_INTERNAL_H
#define OPSD_CORE_DIRECTORY_INTERNAL_H

#include "base/diag.h"
#include "core/directory.h"

/* How a reader says that something is wrong, at the place it is reading. */
struct directory_where {
	const char *file;
	int line, column;
	struct diags *diags;
};

/* Each copies its texts and checks them alone; false: said so, or a ceiling is reached. */
bool directory_add_person(struct directory *directory, const struct directory_person *person,
			  const struct directory_where *where);
bool directory_add_group(struct directory *directory, const struct directory_group *group,
			 const struct directory_where *where);
bool directory_add_pair(struct directory *directory, struct directory_pairs *pairs, const char *a,
			const char *b, const struct directory_where *where);
bool directory_set_time(struct directory *directory, const char *text,
			const struct directory_where *where);

struct directory_counts {
	long long people, groups, members;
};

/* What only the whole can tell: counts, ids twice, unknown ids. */
bool directory_check(const struct directory *directory, const struct directory_counts *counts,
		     const struct directory_where *where);

bool directory_read_csv(struct directory *directory, const char *file, const char *text, size_t len,
			struct diags *diags);

#endif
