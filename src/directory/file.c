/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.c - a document that a job of the company writes: a file, or one behind HTTPS.
 *
 * Its closing counts say that it is whole.  Behind HTTPS an ETag saves the reading of one that has
 * not changed; who asks decides whether it may be skipped.
 */
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/directory.h"
#include "internal.h"

enum { DOCUMENT_MS = 300000, ETAG_MAX = 200 };

static const char *const keys[] = { "path", "format", "bearer", "max_mib", NULL };

struct reading {
	struct call call;
	struct call *wait;
	struct source *source;
	char *validator;
	source_done_fn done;
	void *data;
};

static bool check(struct source *source, struct err *err)
{
	const char *path = source_text(source, "path"), *format = source_text(source, "format");
	int64_t most = jget_int(source->node, "max_mib", 1);

	if ((path == NULL) == (source->url == NULL)) {
		err_set(err, ERR_INVALID, "either path names the file, or url the document");
		return false;
	}
	if (format != NULL && !str_eq(format, "yaml") && !str_eq(format, "json") &&
	    !str_eq(format, "csv")) {
		err_set(err, ERR_INVALID, "format is yaml, json or csv, not \"%.40s\"", format);
		return false;
	}
	if (most < 1 || most > DIRECTORY_FILE_MAX >> 20) {
		err_set(err, ERR_INVALID, "max_mib must be a whole number from 1 to %d",
			DIRECTORY_FILE_MAX >> 20);
		return false;
	}
	return json_object_get(source->node, "bearer") == NULL ||
	       source_need_secret(source, "bearer", err);
}

static void reading_free(struct reading *reading)
{
	call_cancel(&reading->wait);
	free(reading->validator);
	free(reading);
}

static void on_cancel(struct call *call)
{
	reading_free((struct reading *)call);
}

/* The first mistake, and how many more there are. */
static void put_diags(const struct source *source, struct diags *diags, struct err *err)
{
	err_set(err, ERR_INVALID, "%s: %s", source->label, diag_text(&diags->items[0]));
	for (size_t i = 1; i < diags->n; i++)
		log_warn("directory document", LOG_STR("source", source->name),
			 LOG_STR("mistake", diag_text(&diags->items[i])));
	if (diags->total > 1) {
		char *text = xasprintf("%s (and %zu more mistakes)", err->msg, diags->total - 1);

		err_set(err, ERR_INVALID, "%s", text);
		free(text);
	}
}

static void finish(struct reading *reading, struct directory *directory, const char *etag,
		   struct diags *diags)
{
	json_t *notes = json_object();
	struct source_answer answer = { .directory = directory, .validator = etag, .notes = notes };
	struct err err;

	if (directory != NULL && reading->source->probing) {
		notes_count(notes, directory->n_people, directory->n_groups);
		directory_destroy(directory);
		answer.directory = NULL;
	}
	if (directory == NULL && diags->n > 0) {
		put_diags(reading->source, diags, &err);
		reading->done(reading->data, NULL, &err);
	} else {
		reading->done(reading->data, &answer, NULL);
	}
	json_decref(notes);
	reading_free(reading);
}

static void fail(struct reading *reading, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void fail(struct reading *reading, const char *fmt, ...)
{
	struct err err;
	va_list ap;

	va_start(ap, fmt);
	err_vset(&err, ERR_INVALID, fmt, ap);
	va_end(ap);
	if (!str_starts(err.msg, reading->source->label))
		err_prefix(&err, "%s", reading->source->label);
	reading->done(reading->data, NULL, &err);
	reading_free(reading);
}

/* The name that mistakes are told by, whose ending says how to read it.  The caller frees. */
static char *named(const char *name, const char *form)
{
	size_t len = strlen(name);
	const char *end = form == NULL || strlen(form) > len ? "" : name + len - strlen(form);

	return form == NULL || str_eq(end, form) ? xstrdup(name) : xasprintf("%s.%s", name, form);
}

/* ---- a file ---- */

static void on_file(void *data)
{
	struct reading *reading = data;
	const char *format = source_text(reading->source, "format");
	char *path = source_path(reading->source, "path"), *text, *name;
	struct directory *directory = NULL;
	struct diags diags;
	struct err err;
	size_t len;

	reading->wait = NULL;
	diags_init(&diags);
	text = file_read(path, DIRECTORY_FILE_MAX, &len, &err);
	if (text == NULL)
		diag_add(&diags, path, 0, 0, "%s", err.msg);
	name = named(path, format);
	if (text != NULL)
		directory = directory_parse(name, text, len, &diags);
	finish(reading, directory, NULL, &diags);
	diags_finish(&diags);
	free(name);
	free(text);
	free(path);
}

/* ---- a document ---- */

/* What the document is: as it is set, as its type says, or (NULL) as its URL ends. */
static const char *form_of(const struct source *source, const char *type)
{
	static const char *const forms[] = { "json", "yaml", "csv" };
	const char *format = source_text(source, "format");

	for (size_t i = 0; format == NULL && type != NULL && i < 3; i++)
		if (strstr(type, forms[i]) != NULL)
			format = forms[i];
	return format;
}

static void take_document(struct reading *reading, const struct http_response *response)
{
	const char *type = http_header(response, "Content-Type");
	const char *etag = http_header(response, "ETag");
	struct directory *directory;
	struct diags diags;
	char *name;

	if (type != NULL && strstr(type, "html") != NULL) {
		fail(reading,
		     "%s answers 200 with %.60s: a proxy or a sign-in page stands in its place; "
		     "check url and the way there",
		     reading->source->url, type);
		return;
	}
	if (etag != NULL && strlen(etag) > ETAG_MAX)
		etag = NULL;
	diags_init(&diags);
	name = named(reading->source->url, form_of(reading->source, type));
	directory = directory_parse(name, response->body, response->len, &diags);
	finish(reading, directory, etag, &diags);
	diags_finish(&diags);
	free(name);
}

static void on_response(void *data, const struct http_response *response, const struct err *err)
{
	struct reading *reading = data;
	struct diags none;

	reading->wait = NULL;
	if (err != NULL) {
		fail(reading, "%s", err->msg);
	} else if (response->status == 304 && reading->validator != NULL) {
		diags_init(&none);
		finish(reading, NULL, reading->validator, &none);
	} else if (response->status != 200) {
		fail(reading, "%s answers %d; check url%s", reading->source->url, response->status,
		     response->status == 401 || response->status == 403 ? " and bearer" : "");
	} else {
		take_document(reading, response);
	}
}

static void on_document(void *data)
{
	struct reading *reading = data;
	struct source *source = reading->source;
	char *if_none_match = reading->validator == NULL
				      ? NULL
				      : xasprintf("If-None-Match: %s", reading->validator);
	const char *headers[] = { "Accept: application/json, application/yaml, text/csv",
				  if_none_match, NULL };
	struct http_request request = { .method = "GET",
					.url = source->url,
					.headers = headers,
					.timeout_ms = DOCUMENT_MS,
					.max_body = DIRECTORY_FILE_MAX };
	int64_t most = jget_int(source->node, "max_mib", 0);
	char *bearer = NULL;
	struct err err;

	reading->wait = NULL;
	if (most > 0)
		request.max_body = (size_t)most << 20;
	if (json_object_get(source->node, "bearer") != NULL) {
		bearer = source_secret(source, "bearer", &err);
		if (bearer == NULL) {
			free(if_none_match);
			fail(reading, "%s", err.msg);
			return;
		}
		request.bearer = bearer;
	}
	reading->wait = http_start(source->http, &request, on_response, reading);
	secret_free(bearer);
	free(if_none_match);
}

static struct call *fetch(struct source *source, const char *validator, source_done_fn done,
			  void *data)
{
	struct reading *reading = xcalloc(1, sizeof(*reading));

	reading->call.cancel = on_cancel;
	reading->source = source;
	reading->validator = xstrdup_null(validator);
	reading->done = done;
	reading->data = data;
	reading->wait =
		call_defer(source->loop, source->url != NULL ? on_document : on_file, reading);
	return &reading->call;
}

const struct source_kind source_file = {
	.name = "file", .keys = keys, .url = "", .check = check, .fetch = fetch
};
