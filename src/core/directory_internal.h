/* SPDX-License-Identifier: Apache-2.0 */
/* directory_internal - what the two readers of a snapshot share. */
#ifndef OPSD_CORE_DIRECTORY_INTERNAL_H
#define OPSD_CORE_DIRECTORY_INTERNAL_H

#include "base/diag.h"
#include "core/directory.h"

bool directory_set_time(struct directory *directory, const char *text,
			const struct directory_where *where);

bool directory_read_csv(struct directory *directory, const char *file, const char *text, size_t len,
			struct diags *diags);

#endif
