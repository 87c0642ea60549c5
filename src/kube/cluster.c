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
	char *label = xasprintf("%s %s", what, kube->name);
	struct http_config config = {
		.name = label,
		.max_active = max_active,
		.plain_loopback = str_starts(target->server, "http://"),
		.proxy = target->proxy,
		.tls = { .ca_file = target->ca_file,
			 .ca_pem = target->ca_pem,
			 .cert_pem = target->cert_pem,
			 .key_pem = target->key_pem,
			 .server_name = target->server_name,
			 .insecure = target->insecure },
	};
	struct http *http = http_create(kube->loop, &config);

	free(label);
	return http;
}

static void kube_free(struct kube *kube)
{
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
	kube->token = kube_token_create(loop, kube->target.token, kube->target.token_file, err);
	if (kube->token == NULL) {
		err_prefix(err, "clusters.%s", name);
		kube_free(kube);
		return NULL;
	}
	if (loop != NULL)
		kube->http = open_http(kube, "cluster", 0);
	return kube;
}

void kube_destroy(struct kube *kube)
{
	if (kube == NULL)
		return;
	assert(kube->watches.count == 0);
	kube_token_destroy(kube->token);
	http_destroy(kube->http);
	http_destroy(kube->streams);
	kube_free(kube);
}

const char *kube_name(const struct kube *kube)
{
	return kube->name;
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
	return http_stats(kube->http);
}

struct http *kube_streams(struct kube *kube)
{
	if (kube->streams == NULL)
		kube->streams = open_http(kube, "watches of cluster", STREAMS_MAX);
	return kube->streams;
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

void kube_headers_build(struct kube_headers *headers, const struct kube_request *request)
{
	const char *type = request->content_type, *accept = request->accept;

	add(headers, xasprintf("Accept: %s", accept != NULL ? accept : "application/json"));
	if (request->body != NULL)
		add(headers,
		    xasprintf("Content-Type: %s", type != NULL ? type : "application/json"));
	if (request->request_id != NULL)
		add(headers, xasprintf("Audit-ID: %s", request->request_id));
}

void kube_headers_finish(struct kube_headers *headers)
{
	for (size_t i = 0; i < headers->n; i++)
		free(headers->items[i]);
	free(headers->items);
	headers->items = NULL;
	headers->n = 0;
}
