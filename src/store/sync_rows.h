/* SPDX-License-Identifier: Apache-2.0 */
/* sync_rows - a snapshot as the rows of COPY; private to src/store. */
#ifndef OPSD_STORE_SYNC_ROWS_H
#define OPSD_STORE_SYNC_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct store_sync;

enum sync_table { SYNC_USER, SYNC_EMAIL, SYNC_GRP, SYNC_MU, SYNC_MG, SYNC_TABLES };

struct sync_rows {
	const struct store_sync *sync;
	enum sync_table table;
	size_t at;
	struct buf chunk;
};

void sync_rows_init(struct sync_rows *rows, const struct store_sync *sync);
void sync_rows_finish(struct sync_rows *rows);
const char *sync_rows_sql(enum sync_table table); /* COPY … */
void sync_rows_begin(struct sync_rows *rows, enum sync_table table);

/* Some rows; false: no more. */
bool sync_rows_next(struct sync_rows *rows, const char **ret_text, size_t *ret_len);

#endif
