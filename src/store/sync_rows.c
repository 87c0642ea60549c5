/* SPDX-License-Identifier: Apache-2.0 */
/* sync_rows.c - see sync_rows.h; COPY's text format: tabs, \N, backslash escapes. */
#include "sync_rows.h"

#include "core/directory.h"
#include "core/email.h"
#include "store/sync.h"

enum { CHUNK = 32 << 10, CHUNK_MAX = 128 << 10 };

static const char *const copies[SYNC_TABLES] = {
	[SYNC_USER] = "COPY pg_temp.sync_user (ext, state, kind, name) FROM STDIN",
	[SYNC_EMAIL] = "COPY pg_temp.sync_email (ext, email_key, is_primary) FROM STDIN",
	[SYNC_GRP] = "COPY pg_temp.sync_grp (ext, name_key, everyone, read, aside) FROM STDIN",
	[SYNC_MU] = "COPY pg_temp.sync_mu (gext, uext) FROM STDIN",
	[SYNC_MG] = "COPY pg_temp.sync_mg (pext, cext) FROM STDIN",
};

const char *sync_rows_sql(enum sync_table table)
{
	return copies[table];
}

void sync_rows_init(struct sync_rows *rows, const struct store_sync *sync)
{
	*rows = (struct sync_rows){ .sync = sync };
	buf_init(&rows->chunk, CHUNK_MAX);
}

void sync_rows_finish(struct sync_rows *rows)
{
	buf_finish(&rows->chunk);
}

void sync_rows_begin(struct sync_rows *rows, enum sync_table table)
{
	rows->table = table;
	rows->at = 0;
}

static void put(struct buf *buf, const char *text, char end)
{
	for (; *text != '\0'; text++) {
		const char *escape = *text == '\\'   ? "\\\\"
				     : *text == '\t' ? "\\t"
				     : *text == '\n' ? "\\n"
						     : NULL;

		if (escape != NULL)
			(void)buf_puts(buf, escape);
		else
			(void)buf_append(buf, text, 1);
	}
	(void)buf_append(buf, &end, 1);
}

static void put_pair(struct buf *buf, const struct directory_pair *pair)
{
	put(buf, pair->a, '\t');
	put(buf, pair->b, '\n');
}

/* What is no usable address of the allowed domains finds nobody: it is left out. */
static void put_email(struct sync_rows *rows, const char *id, const char *address, bool primary)
{
	char key[EMAIL_KEY_LEN];
	const char *why;

	if (address == NULL ||
	    !email_key(address, rows->sync->domains, rows->sync->n_domains, key, &why))
		return;
	put(&rows->chunk, id, '\t');
	put(&rows->chunk, key, '\t');
	put(&rows->chunk, primary ? "t" : "f", '\n');
}

static bool put_row(struct sync_rows *rows)
{
	const struct directory *d = rows->sync->directory;
	size_t i = rows->at++;

	switch (rows->table) {
	case SYNC_USER:
		if (i >= d->n_people)
			return false;
		put(&rows->chunk, d->people[i].id, '\t');
		put(&rows->chunk, d->people[i].state, '\t');
		put(&rows->chunk, d->people[i].kind, '\t');
		put(&rows->chunk, d->people[i].name, '\n');
		return true;
	case SYNC_EMAIL:
		if (i < d->n_people)
			put_email(rows, d->people[i].id, d->people[i].email, true);
		else if (i < d->n_people + d->aliases.n)
			put_email(rows, d->aliases.items[i - d->n_people].a,
				  d->aliases.items[i - d->n_people].b, false);
		return i < d->n_people + d->aliases.n;
	case SYNC_GRP:
		if (i >= d->n_groups)
			return false;
		put(&rows->chunk, d->groups[i].id, '\t');
		put(&rows->chunk, d->groups[i].name, '\t');
		put(&rows->chunk, d->groups[i].everyone ? "t" : "f", '\t');
		put(&rows->chunk, d->groups[i].unread ? "f" : "t", '\t');
		put(&rows->chunk, d->groups[i].aside ? "t" : "f", '\n');
		return true;
	case SYNC_MU:
		if (i < d->members.n)
			put_pair(&rows->chunk, &d->members.items[i]);
		return i < d->members.n;
	case SYNC_MG:
		if (i < d->nested.n)
			put_pair(&rows->chunk, &d->nested.items[i]);
		return i < d->nested.n;
	case SYNC_TABLES:
		break;
	}
	return false;
}

bool sync_rows_next(struct sync_rows *rows, const char **ret_text, size_t *ret_len)
{
	buf_reset(&rows->chunk);
	while (rows->chunk.len < CHUNK && put_row(rows))
		;
	*ret_text = buf_text(&rows->chunk);
	*ret_len = rows->chunk.len;
	return rows->chunk.len > 0;
}
