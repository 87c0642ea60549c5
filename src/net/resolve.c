/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve.c - uv_getaddrinfo with a deadline.
 *
 * A look-up that runs cannot be stopped.  So its request is an object of its own: it outlives the
 * call, whose end (answer, deadline, cancel) only lets go of it.
 */
#include "net/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"

struct resolve;

struct lookup {
	uv_getaddrinfo_t request;
	struct resolve *resolve; /* NULL: nobody waits any more */
};

struct resolve {
	struct call call;
	uv_timer_t deadline; /* closing it frees */
	struct lookup *lookup;
	char *host;
	unsigned timeout_ms;
	resolve_done_fn done;
	void *data;
	struct resolved found;
	struct err err;
};

static void on_closed(uv_handle_t *handle)
{
	struct resolve *resolve = handle->data;

	free(resolve->host);
	free(resolve);
}

static void resolve_close(struct resolve *resolve)
{
	if (resolve->lookup != NULL) {
		resolve->lookup->resolve = NULL;
		(void)uv_cancel((uv_req_t *)&resolve->lookup->request); /* if still queued */
		resolve->lookup = NULL;
	}
	uv_close((uv_handle_t *)&resolve->deadline, on_closed);
}

static void on_cancel(struct call *call)
{
	resolve_close((struct resolve *)call);
}

/* The one end of a call that was not cancelled. */
static void resolve_end(struct resolve *resolve)
{
	const struct err *err = resolve->err.kind == ERR_NONE ? NULL : &resolve->err;

	resolve_close(resolve);
	resolve->done(resolve->data, err == NULL ? &resolve->found : NULL, err);
}

static void on_deadline(uv_timer_t *timer)
{
	struct resolve *resolve = timer->data;

	if (resolve->lookup != NULL)
		err_set(&resolve->err, ERR_RETRY, "the name %s was not resolved within %u ms",
			resolve->host, resolve->timeout_ms);
	resolve_end(resolve);
}

static void add(struct resolved *found, int family, const void *address)
{
	char text[RESOLVE_TEXT];

	if (found->n == RESOLVE_MAX || uv_inet_ntop(family, address, text, sizeof(text)) != 0)
		return;
	for (size_t i = 0; i < found->n; i++)
		if (str_eq(found->address[i], text))
			return;
	memcpy(found->address[found->n++], text, sizeof(text));
}

static void add_all(struct resolved *found, const struct addrinfo *list)
{
	for (; list != NULL; list = list->ai_next) {
		if (list->ai_family == AF_INET) {
			struct sockaddr_in in;

			memcpy(&in, list->ai_addr, sizeof(in));
			add(found, AF_INET, &in.sin_addr);
		} else if (list->ai_family == AF_INET6) {
			struct sockaddr_in6 in6;

			memcpy(&in6, list->ai_addr, sizeof(in6));
			add(found, AF_INET6, &in6.sin6_addr);
		}
	}
}

static void on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
	struct lookup *lookup = request->data;
	struct resolve *resolve = lookup->resolve;

	if (resolve != NULL) {
		resolve->lookup = NULL;
		if (status == 0)
			add_all(&resolve->found, list);
		if (status != 0)
			err_set(&resolve->err, ERR_RETRY, "the name %s was not resolved: %s",
				resolve->host, uv_strerror(status));
		else if (resolve->found.n == 0)
			err_set(&resolve->err, ERR_RETRY, "the name %s has no address",
				resolve->host);
	}
	uv_freeaddrinfo(list);
	free(lookup);
	if (resolve != NULL)
		resolve_end(resolve);
}

/* "[::1]" as in a URL counts too. */
static bool add_numeric(struct resolved *found, const char *host)
{
	unsigned char address[sizeof(struct in6_addr)];
	char bare[RESOLVE_TEXT];
	size_t len = strlen(host);

	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	if (len >= sizeof(bare))
		return false;
	memcpy(bare, host, len);
	bare[len] = '\0';
	if (uv_inet_pton(AF_INET, bare, address) == 0)
		add(found, AF_INET, address);
	else if (uv_inet_pton(AF_INET6, bare, address) == 0)
		add(found, AF_INET6, address);
	return found->n > 0;
}

static void look_up(struct resolve *resolve, uv_loop_t *loop)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct lookup *lookup = xcalloc(1, sizeof(*lookup));
	int status;

	lookup->resolve = resolve;
	lookup->request.data = lookup;
	resolve->lookup = lookup;
	status = uv_getaddrinfo(loop, &lookup->request, on_answer, resolve->host, NULL, &hints);
	if (status == 0) {
		(void)uv_timer_start(&resolve->deadline, on_deadline, resolve->timeout_ms, 0);
		return;
	}
	resolve->lookup = NULL;
	free(lookup);
	err_set(&resolve->err, ERR_RETRY, "the name %s cannot be looked up: %s", resolve->host,
		uv_strerror(status));
	(void)uv_timer_start(&resolve->deadline, on_deadline, 0, 0);
}

struct call *resolve_start(uv_loop_t *loop, const char *host, unsigned timeout_ms,
			   resolve_done_fn done, void *data)
{
	struct resolve *resolve = xcalloc(1, sizeof(*resolve));

	resolve->call.cancel = on_cancel;
	resolve->host = xstrdup(host);
	resolve->timeout_ms = timeout_ms;
	resolve->done = done;
	resolve->data = data;
	(void)uv_timer_init(loop, &resolve->deadline);
	resolve->deadline.data = resolve;
	if (add_numeric(&resolve->found, host))
		(void)uv_timer_start(&resolve->deadline, on_deadline, 0, 0);
	else
		look_up(resolve, loop);
	return &resolve->call;
}
