/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http - HTTP exchanges through libcurl's multi-socket interface on the uv loop.
 *
 * One struct http is a client with its own connection cache, queue and limits: make one per peer
 * (Slack, each cluster, each API; one more for watches) so that none starves another.  Requests
 * over max_active wait in our queue, where their deadline runs too.  Redirects are never
 * followed.  Answers over max_body are cut off and fail.  The system's CA bundle is loaded once, a
 * ca_file every 10 minutes.
 */
#ifndef OPSD_NET_HTTP_H
#define OPSD_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/call.h"

struct http;

struct http_tls { /* all borrowed; NULL where not used */
	const char
		*ca_file; /* PEM bundle; NULL: the system's, "/etc/ssl/certs/ca-certificates.crt" */
	const char *ca_pem; /* instead of ca_file */
	const char *cert_pem, *key_pem;
	const char *server_name; /* SNI and the name that is checked, when not the URL's host */
	bool insecure;           /* kubeconfig's insecure-skip-tls-verify only */
};

struct http_config {
	const char *name;    /* "slack", "cluster main": in errors, logs and metrics */
	unsigned max_active; /* exchanges at once; 0: 32 */
	unsigned
		max_queued; /* waiting; beyond it a request fails at once with ERR_RETRY; 0: 1000 */
	bool plain_loopback; /* allow http:// to 127.0.0.0/8, [::1], localhost */
	bool plain_metadata; /* and to 169.254.169.254, where a cloud tells a machine who it is */
	const char *proxy;   /* NULL: none (the environment is never read) */
	struct http_tls tls;
};

struct http *http_create(uv_loop_t *loop, const struct http_config *config);

/* Every call must be done or cancelled before.  Its handles close; memory goes in the close
 * callbacks. */
void http_destroy(struct http *http);

enum http_connection {
	HTTP_KEPT,   /* also one that was kept idle for up to 55 s */
	HTTP_RECENT, /* or for up to 2 s: no peer closes it that soon */
	HTTP_OWN,    /* a new one, not kept */
};

struct http_request {               /* everything is copied by http_start */
	const char *method;         /* "GET", "POST", "PATCH", … */
	const char *url;            /* https://…, or http:// to loopback where allowed */
	const char *const *headers; /* "Name: value", NULL-ended; may be NULL */
	const char *bearer;         /* Authorization: Bearer …; NULL: none */
	const void *body;
	size_t body_len;
	unsigned timeout_ms; /* from http_start, queue included; 0: 10,000.  Streams: until the
				first byte */
	size_t max_body;     /* 0: 1 MiB */
	/* Should a kept connection die before the answer, only GET and HEAD are sent again, others
	 * end ERR_UNCERTAIN. */
	enum http_connection connection;

	/* Streams (watch, log follow): each piece of a 2xx answer as it comes, first an empty one
	 * for its headers (other answers are collected as usual); false ends it well.  From the
	 * first byte on the deadline is idle_ms after each piece (0: none).  on_data may cancel and
	 * start calls. */
	bool (*on_data)(void *data, const char *piece, size_t len);
	unsigned idle_ms;
};

struct http_response {    /* lent during done */
	int status;       /* 100 … 599 */
	const char *body; /* NUL-terminated besides */
	size_t len;
	const void *headers;    /* for http_header */
	int64_t retry_after_ms; /* from Retry-After in seconds, at most an hour; -1: none */
	int64_t elapsed_ms;
};

const char *http_header(const struct http_response *response, const char *name); /* NULL: none */

/* The nth (from 0) of several with one name, as for Warning. */
const char *http_header_at(const struct http_response *response, const char *name, size_t nth);

/*
 * Any HTTP status is a success here.  err kinds: ERR_RETRY certainly no request byte was sent
 * (queue full, DNS, connect, TLS); ERR_TIMEOUT deadline passed before any byte was sent;
 * ERR_UNCERTAIN sent, but no complete answer; ERR_INVALID url or answer over max_body
 * (ERR_UNCERTAIN when the method is not GET).  Sentences name config.name, host and reason.
 */
typedef void (*http_done_fn)(void *data, const struct http_response *response,
			     const struct err *err);

struct call *http_start(struct http *http, const struct http_request *request, http_done_fn done,
			void *data);

struct http_stats {
	uint64_t started, ok, failed, timeouts;
	unsigned active, queued;
};
const struct http_stats *http_stats(const struct http *http);

/* curl_global_init and its end: once per process, before any thread and after the loop. */
void http_library_init(void);
void http_library_finish(void);

/* Percent-encodes one path segment or query value (RFC 3986 unreserved kept).  The caller frees. */
char *http_escape(const char *text);

/* https://, or http:// to a loopback host when plain_loopback; no userinfo, no fragment.  err:
 * ERR_INVALID. */
bool http_url_ok(const char *url, bool plain_loopback, struct err *err);

#endif
