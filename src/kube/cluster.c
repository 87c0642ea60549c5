/* SPDX-License-Identifier: Apache-2.0 */
/* cluster.c - one cluster: its description, our credentials and the connections; and how a request
 * to it is addressed. */
#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"
#include "kube/kind.h"
#include "net/http.h"

enum { STREAMS_MAX = 200 };

static struct http *open_http(const struct kube *kube, const char *what, unsigned max_active)
{
	const struct kube_target *target = &kube->target;
	const char *key, *cert = kube_creds_cert(kube->creds, &key);
	char *label = xasprintf("%s %s", what, kube->name);
	struct http_config config = {
		.name = label,
		.max_active = max_active,
		.plain_loopback = str_starts(target->server, "http://"),
		.proxy = target->proxy,
		.tls = { .ca_file = target->ca_file,
			 .ca_pem = target->ca_pem,
			 .cert_pem = cert,
			 .key_pem = key,
			 .server_name = target->server_name,
			 .insecure = target->insecure },
	};
	struct http *http = http_create(kube->loop, &config);

	free(label);
	return http;
}

static void line_free(struct line *line)
{
	if (line == NULL)
		return;
	assert(line->users == 0);
	http_destroy(line->http);
	http_destroy(line->streams);
	free(line);
}

static void open_line(struct kube *kube)
{
	kube->line = xcalloc(1, sizeof(*kube->line));
	kube->line->http = open_http(kube, "cluster", 0);
	kube->line->version = kube_creds_cert_version(kube->creds);
}

/* A connection says who we are by the certificate it was made with: with another one, others. */
static void change_line(struct kube *kube)
{
	struct line *old = kube->line;

	if (old->version == kube_creds_cert_version(kube->creds))
		return;
	open_line(kube);
	old->retired = true;
	if (old->users == 0)
		line_free(old);
}

struct line *kube_line_take(struct kube *kube)
{
	change_line(kube);
	kube->line->users++;
	return kube->line;
}

void kube_line_give(struct line **linep)
{
	struct line *line = *linep;

	*linep = NULL;
	if (line != NULL && --line->users == 0 && line->retired)
		line_free(line);
}

struct http *kube_line_streams(struct kube *kube, struct line *line)
{
	if (line->streams == NULL)
		line->streams = open_http(kube, "watches of cluster", STREAMS_MAX);
	return line->streams;
}

static void kube_free(struct kube *kube)
{
	kube_creds_destroy(kube->creds);
	kube_target_finish(&kube->target);
	free(kube->name);
	free(kube);
}

struct kube *kube_create(uv_loop_t *loop, const char *name, const json_t *node, const char *dir,
			 struct err *err)
{
	struct kube *kube = xcalloc(1, sizeof(*kube));

	kube->loop = loop;
	kube->name = xstrdup(name);
	list_init(&kube->watches);
	if (!kube_target_read(&kube->target, name, node, dir, err)) {
		kube_free(kube);
		return NULL;
	}
	kube->creds = kube_creds_create(loop, &kube->target, err);
	if (kube->creds == NULL) {
		err_prefix(err, "clusters.%s", name);
		kube_free(kube);
		return NULL;
	}
	if (loop != NULL)
		open_line(kube);
	return kube;
}

void kube_destroy(struct kube *kube)
{
	if (kube == NULL)
		return;
	assert(kube->watches.count == 0);
	line_free(kube->line);
	kube_free(kube);
}

const char *kube_name(const struct kube *kube)
{
	return kube->name;
}

bool kube_impersonates(const struct kube *kube)
{
	return kube->target.impersonate;
}

const char *kube_server(const struct kube *kube)
{
	return kube->target.server;
}

const char *kube_namespace(const struct kube *kube)
{
	return kube->target.space;
}

const struct http_stats *kube_stats(const struct kube *kube)
{
	return http_stats(kube->line->http);
}

/* --- a request's address and headers --- */

void kube_url(struct buf *buf, const struct kube *kube, const struct kube_request *request)
{
	bool writes = !str_eq(request->method, "GET") && !str_eq(request->method, "DELETE");
	char *path = request->kind != NULL ? kube_kind_path(request->kind, request->space,
							    request->name, request->subresource)
					   : xstrdup(request->path);
	char mark = '?';

	(void)buf_printf(buf, "%s%s", kube->target.server, path);
	free(path);
	if (!str_empty(request->query)) {
		(void)buf_printf(buf, "?%s", request->query);
		mark = '&';
	}
	if (writes) {
		(void)buf_printf(buf, "%cfieldManager=opsd&fieldValidation=Strict", mark);
		mark = '&';
	}
	if (request->dry_run)
		(void)buf_printf(buf, "%cdryRun=All", mark);
}

static void add(struct kube_headers *headers, char *line)
{
	headers->items = xrealloc(headers->items, (headers->n + 2) * sizeof(*headers->items));
	headers->items[headers->n++] = line;
	headers->items[headers->n] = NULL;
}

/* One that holds a line break is left out by libcurl's rules and would be another request. */
static void add_value(struct kube_headers *headers, const char *name, const char *value)
{
	for (const char *c = value; c != NULL && *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return;
	if (!str_empty(value))
		add(headers, xasprintf("%s: %s", name, value));
}

/* Impersonate-Extra-<key>: the key lower-case and escaped. */
static void add_extra(struct kube_headers *headers, const json_t *extra)
{
	const char *key;
	json_t *values, *value;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)extra, key, values)
	{
		char *escaped = http_escape(key);
		char *name = xasprintf("Impersonate-Extra-%s", escaped);

		json_array_foreach(values, i, value)
		{
			add_value(headers, name, json_string_value(value));
		}
		free(name);
		free(escaped);
	}
}

static void add_person(struct kube_headers *headers, const struct kube_person *person)
{
	json_t *group;
	size_t i;

	if (person == NULL || str_empty(person->name))
		return;
	add_value(headers, "Impersonate-User", person->name);
	add_value(headers, "Impersonate-Uid", person->uid);
	json_array_foreach(person->groups, i, group)
	{
		add_value(headers, "Impersonate-Group", json_string_value(group));
	}
	add_extra(headers, person->extra);
}

void kube_headers_build(struct kube_headers *headers, const struct kube *kube,
			const struct kube_request *request)
{
	const char *type = request->content_type, *accept = request->accept;

	add(headers, xasprintf("Accept: %s", accept != NULL ? accept : "application/json"));
	if (request->body != NULL)
		add(headers,
		    xasprintf("Content-Type: %s", type != NULL ? type : "application/json"));
	if (request->request_id != NULL)
		add(headers, xasprintf("Audit-ID: %s", request->request_id));
	add_person(headers, kube->target.impersonate ? request->person : &kube->target.as);
}

void kube_headers_finish(struct kube_headers *headers)
{
	for (size_t i = 0; i < headers->n; i++)
		free(headers->items[i]);
	free(headers->items);
	headers->items = NULL;
	headers->n = 0;
}
