/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory_csv.c - the CSV form of a snapshot: one record a line, six columns each, RFC 4180
 * quotes.
 *
 *   dirsnap/1,GENERATED_AT,,,,        first
 *   person,ID,EMAIL,NAME,STATE,KIND
 *   alias,PERSON,ADDRESS,,,
 *   group,ID,NAME,EVERYONE,,          true or empty
 *   member,GROUP,PERSON,,,
 *   nested,GROUP,GROUP,,,             the second is inside the first
 *   end,PEOPLE,GROUPS,MEMBERS,SHA256, last; the digest is of all bytes before this line, or empty
 */
#include <string.h>

#include "base/arena.h"
#include "base/digest.h"
#include "base/str.h"
#include "directory_internal.h"

enum { COLUMNS = 6, FIELD_MAX = 1000 };

struct csv {
	struct directory *directory;
	struct directory_where where;
	const char *start, *at, *end;
	const char *record; /* where the record began */
	char field[COLUMNS][FIELD_MAX + 1];
	size_t n;
	bool begun, ended;
};

static bool complain(struct csv *csv, const char *what)
{
	diag_add(csv->where.diags, csv->where.file, csv->where.line, 1, "%s", what);
	return false;
}

/* One field, up to its comma or line end; quotes may hold both, and "" for a quote. */
static bool read_field(struct csv *csv, char ret_field[FIELD_MAX + 1])
{
	bool quoted = csv->at < csv->end && *csv->at == '"';
	bool open = quoted;
	size_t len = 0;

	if (quoted)
		csv->at++;
	for (; csv->at < csv->end; csv->at++) {
		char c = *csv->at;

		if (c == '\0')
			return complain(csv, "a NUL byte");
		if (open && c == '"' && csv->at + 1 < csv->end && csv->at[1] == '"') {
			csv->at++;
		} else if (open && c == '"') {
			open = false;
			continue;
		} else if (!open && (c == ',' || c == '\n' || c == '\r')) {
			break;
		} else if (quoted && !open) {
			return complain(csv, "text after a closing quote");
		} else if (!quoted && c == '"') {
			return complain(csv, "a quote inside a field that does not begin with one");
		}
		if (len == FIELD_MAX)
			return complain(csv, "a field of more than 1000 bytes");
		ret_field[len++] = c;
	}
	ret_field[len] = '\0';
	return open ? complain(csv, "a quote that is not closed") : true;
}

static bool read_record(struct csv *csv)
{
	csv->record = csv->at;
	for (csv->n = 0;; csv->at++) {
		if (csv->n == COLUMNS)
			return complain(csv, "more than 6 columns");
		if (!read_field(csv, csv->field[csv->n++]))
			return false;
		if (csv->at == csv->end || *csv->at != ',')
			break;
	}
	if (csv->at < csv->end && *csv->at == '\r')
		csv->at++;
	if (csv->at < csv->end && *csv->at == '\n')
		csv->at++;
	else if (csv->at < csv->end)
		return complain(csv, "a carriage return without a line feed");
	if (csv->n < COLUMNS)
		return complain(csv, csv->at < csv->end ? "fewer than 6 columns"
							: "fewer than 6 columns: is the file cut "
							  "off?");
	return true;
}

static bool take_end(struct csv *csv)
{
	int64_t n[3];
	struct directory_counts counts;
	char digest[DIGEST_HEX_LEN];

	for (size_t i = 0; i < 3; i++) {
		if (!str_to_i64(csv->field[1 + i], &n[i]))
			return complain(csv,
					"the last record is end,PEOPLE,GROUPS,MEMBERS,SHA256,");
	}
	csv->ended = true;
	if (csv->field[4][0] != '\0') {
		digest_hex(csv->start, (size_t)(csv->record - csv->start), digest);
		if (!str_eq(digest, csv->field[4]))
			return complain(csv, "the SHA-256 of what stands before is another one");
	}
	counts = (struct directory_counts){ n[0], n[1], n[2] };
	return directory_check(csv->directory, &counts, &csv->where);
}

static bool take_record(struct csv *csv)
{
	struct directory *directory = csv->directory;
	char(*f)[FIELD_MAX + 1] = csv->field;

	if (!csv->begun) {
		csv->begun = true;
		if (!str_eq(f[0], "dirsnap/1"))
			return complain(csv, "a snapshot begins with dirsnap/1,GENERATED_AT,,,,");
		return directory_set_time(directory, f[1], &csv->where);
	}
	if (csv->ended)
		return complain(csv, "a record after the last one");
	if (str_eq(f[0], "person")) {
		struct directory_person person = {
			.id = f[1], .email = f[2], .name = f[3], .state = f[4], .kind = f[5]
		};

		return directory_add_person(directory, &person, &csv->where);
	}
	if (str_eq(f[0], "group")) {
		struct directory_group group = { .id = f[1],
						 .name = f[2],
						 .everyone = str_eq(f[3], "true") };

		return directory_add_group(directory, &group, &csv->where);
	}
	if (str_eq(f[0], "alias"))
		return directory_add_pair(directory, &directory->aliases, f[1], f[2], &csv->where);
	if (str_eq(f[0], "member"))
		return directory_add_pair(directory, &directory->members, f[1], f[2], &csv->where);
	if (str_eq(f[0], "nested"))
		return directory_add_pair(directory, &directory->nested, f[1], f[2], &csv->where);
	if (str_eq(f[0], "end"))
		return take_end(csv);
	return complain(csv, "a record is person, alias, group, member, nested or end");
}

static int lines_in(const char *from, const char *to)
{
	int n = 0;

	for (; from < to; from++)
		n += *from == '\n';
	return n;
}

bool directory_read_csv(struct directory *directory, const char *file, const char *text, size_t len,
			struct diags *diags)
{
	struct csv csv = { .directory = directory,
			   .where = { .file = file, .line = 1, .column = 1, .diags = diags },
			   .start = text,
			   .at = text,
			   .end = text + len };

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		csv.at += 3;
	while (csv.at < csv.end) {
		/* A broken record may swallow others: the first complaint of the reader is the
		 * last. */
		if (!read_record(&csv))
			return false;
		if (!take_record(&csv) && diags->total >= DIAG_MAX)
			return false;
		csv.where.line += lines_in(csv.record, csv.at);
	}
	return csv.ended
		       ? true
		       : complain(&csv,
				  "the last record, end,PEOPLE,GROUPS,MEMBERS,SHA256, is missing: "
				  "the file is cut off");
}
