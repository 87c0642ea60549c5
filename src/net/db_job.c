/* SPDX-License-Identifier: Apache-2.0 */
/* db_job.c - one job: its copy of the statements, what the server owes it, how it ends; and
 * results. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "db_internal.h"

static size_t bytes_of(const struct db_statement *statements, size_t n)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++) {
		bytes += sizeof(statements[i]) + strlen(statements[i].sql) + 1;
		for (size_t k = 0; k < statements[i].n; k++) {
			const char *param = statements[i].params[k];

			bytes += sizeof(char *) + (param != NULL ? strlen(param) + 1 : 0);
		}
	}
	return bytes;
}

static char *put_text(char **at, const char *text)
{
	size_t len = strlen(text) + 1;
	char *copy = memcpy(*at, text, len);

	*at += len;
	return copy;
}

/* One block: the statements, the arrays of parameters, the texts. */
static void copy(struct db_job *job, const struct db_statement *statements, size_t n, size_t bytes)
{
	struct db_statement *to = xmalloc(bytes + sizeof(*to));
	const char **params = (const char **)(void *)(to + n);
	char *text;
	size_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += statements[i].n;
	text = (char *)(params + total);
	for (size_t i = 0; i < n; i++) {
		to[i] = statements[i];
		to[i].sql = put_text(&text, statements[i].sql);
		to[i].params = params;
		for (size_t k = 0; k < statements[i].n; k++) {
			const char *param = statements[i].params[k];

			*params++ = param != NULL ? put_text(&text, param) : NULL;
		}
	}
	job->statements = to;
}

struct db_job *db_job_create(const struct db_statement *statements, size_t n, db_done_fn done,
			     void *data)
{
	struct db_job *job = xcalloc(1, sizeof(*job));
	size_t bytes = bytes_of(statements, n);

	assert(n >= 1 && n <= DB_STATEMENTS_MAX);
	for (size_t i = 0; i < n; i++)
		assert(statements[i].n <= DB_PARAMS_MAX);
	job->done = done;
	job->data = data;
	job->n = n;
	if (bytes > DB_JOB_BYTES) {
		db_job_fail(job, ERR_INVALID, "more than %d MiB for the database in one request",
			    DB_JOB_BYTES >> 20);
		return job;
	}
	copy(job, statements, n, bytes);
	return job;
}

void db_job_fail(struct db_job *job, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (job->err == NULL)
		job->err = xmalloc(sizeof(*job->err));
	va_start(ap, fmt);
	err_vset(job->err, kind, fmt, ap);
	va_end(ap);
}

void db_job_free(struct db_job *job)
{
	call_cancel(&job->soon);
	for (size_t i = 0; i < job->n; i++)
		PQclear(job->results[i]);
	PQclear(job->failure);
	free(job->statements);
	free(job->err);
	free(job);
}

void db_job_again(struct db_job *job)
{
	for (size_t i = 0; i < job->n; i++) {
		PQclear(job->results[i]);
		job->results[i] = NULL;
	}
	PQclear(job->failure);
	job->failure = NULL;
	free(job->err);
	job->err = NULL;
	job->alone = true;
}

void db_job_answer(struct db_job *job)
{
	const struct db_result *view[DB_STATEMENTS_MAX];
	struct db_answer answer = { .n = job->n, .results = view };
	const char *sqlstate = NULL;

	for (size_t i = 0; i < job->n; i++) {
		bool good = job->failure == NULL || i < job->failed_at;

		view[i] = good ? (const struct db_result *)job->results[i] : NULL;
	}
	if (job->failure != NULL)
		sqlstate = PQresultErrorField(job->failure, PG_DIAG_SQLSTATE);
	FAILPOINT("db.answered %s%s", db_job_name(job), job->err != NULL ? " badly" : "");
	if (sqlstate != NULL)
		(void)snprintf(answer.sqlstate, sizeof(answer.sqlstate), "%s", sqlstate);
	if (job->done != NULL)
		job->done(job->data, &answer, job->err);
	db_job_free(job);
}

/* The server undid it all and would take it again. */
static bool may_retry(const char *sqlstate)
{
	static const char *const states[] = {
		"40",    /* serialization failure, deadlock */
		"53",    /* out of memory, disk, connections */
		"57",    /* cancelled by a time limit, shut down */
		"58",    /* the server's own input or output failed */
		"08",    /* a connection it needed */
		"55P03", /* lock not available */
		"25006", /* read-only: a standby, or just failed over */
		"26000", /* prepared statement is gone */
	};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (str_starts(sqlstate, states[i]))
			return true;
	}
	return false;
}

bool db_is_fatal(const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	return str_eq(severity, "FATAL") || str_eq(severity, "PANIC");
}

bool db_is_stale_plan(const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	return str_eq(sqlstate, "26000") ||
	       (str_eq(sqlstate, "0A000") && text != NULL && strstr(text, "cached plan") != NULL);
}

void db_refusal(const PGresult *result, const char *statement, struct err *err)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	bool retry = db_is_stale_plan(result) || (sqlstate != NULL && may_retry(sqlstate));

	if (sqlstate == NULL) /* libpq's own, for example a lost connection */
		sqlstate = "none";
	if (text == NULL)
		text = PQresultErrorMessage(result);
	err_set(err, retry ? ERR_RETRY : ERR_INVALID,
		"the database refused \"%s\": %s (SQLSTATE %s)",
		statement != NULL ? statement : "a statement", text, sqlstate);
	log_redact(err->msg);
}

static const PGresult *pg_of(const struct db_result *result)
{
	return (const PGresult *)result;
}

size_t db_rows(const struct db_result *result)
{
	return (size_t)PQntuples(pg_of(result));
}

size_t db_columns(const struct db_result *result)
{
	return (size_t)PQnfields(pg_of(result));
}

const char *db_column_name(const struct db_result *result, size_t column)
{
	return PQfname(pg_of(result), (int)column);
}

const char *db_text(const struct db_result *result, size_t row, size_t column)
{
	assert(row < db_rows(result) && column < db_columns(result));
	if (PQgetisnull(pg_of(result), (int)row, (int)column))
		return NULL;
	return PQgetvalue(pg_of(result), (int)row, (int)column);
}

int64_t db_int(const struct db_result *result, size_t row, size_t column)
{
	const char *text = db_text(result, row, column);
	int64_t n = 0;

	return text != NULL && str_to_i64(text, &n) ? n : 0;
}

bool db_bool(const struct db_result *result, size_t row, size_t column)
{
	return str_eq(db_text(result, row, column), "t");
}

uint64_t db_affected(const struct db_result *result)
{
	/* PQcmdTuples only takes a result that it may not change, but says so without const. */
	const char *text = PQcmdTuples((PGresult *)(uintptr_t)pg_of(result));

	return strtoull(text, NULL, 10);
}
