/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_internal.h - what http.c (queue, deadlines, sockets on the loop) and http_exchange.c (one
 * exchange in libcurl's terms) share.
 */
#ifndef OPSD_NET_HTTP_INTERNAL_H
#define OPSD_NET_HTTP_INTERNAL_H

#include <curl/curl.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "net/http.h"

enum { HTTP_HEADERS_MAX = 64 * 1024, HTTP_SPARE_MAX = 64 };

struct http {
	uv_loop_t *loop;
	CURLM *multi;
	CURLSH *share;    /* TLS sessions, so that a new connection resumes */
	uv_timer_t timer; /* libcurl's */
	uv_idle_t turn;   /* runs while there is something to start, to remove or to close */
	unsigned handles; /* open handles that point here; at 0 after closing the memory goes */
	struct http_config config; /* its texts are ours */
	char *texts[8];
	struct list queue;   /* wait for a place */
	struct list active;  /* libcurl has them */
	struct list killed;  /* cancelled while libcurl had them */
	struct list refused; /* failed already, to be told on the next turn */
	struct list sockets;
	CURL *spare[HTTP_SPARE_MAX]; /* used handles, with the options that never change */
	unsigned n_spare;
	bool closing;
	struct http_stats stats;
};

struct exchange {
	struct call call;
	struct list_node node; /* on one of the four lists */
	struct list *on;
	struct http *http;
	uv_timer_t deadline;
	CURL *easy; /* NULL unless libcurl has it */
	char why[CURL_ERROR_SIZE];

	char *method, *url, *host; /* host: as in the URL, with its port, for sentences */
	char *body;
	size_t body_len;
	struct curl_slist *headers, *connect_to;
	unsigned timeout_ms, idle_ms;
	enum http_connection connection;
	bool plain;
	bool (*on_data)(void *data, const char *piece, size_t len);
	http_done_fn done;
	void *data;

	uint64_t started_us;
	unsigned attempts;  /* how often libcurl was about to send the request */
	bool resend_barred; /* it wanted to send a request again that must not be sent twice */
	bool dead;          /* cancelled: no callback does anything any more */
	bool answering;     /* the first byte came */
	bool stopped;       /* on_data wanted no more */
	bool told_sent;     /* only with failpoints */
	struct buf answer, head;
	struct err refusal; /* on refused */
};

/* Parses, checks and copies; false: err. */
bool exchange_take(struct exchange *x, const struct http_request *request, struct err *err);
void exchange_release(struct exchange *x);

/* A handle with the options that never change, from the spares or new. */
CURL *exchange_easy(struct http *http);
void exchange_prepare(struct exchange *x, unsigned left_ms);

/* Was any byte of the request written? */
bool exchange_sent(const struct exchange *x);

/* The error for what libcurl said; false: it ended well. */
bool exchange_error(struct exchange *x, CURLcode code, struct err *ret_err);
void exchange_deadline_error(struct exchange *x, struct err *ret_err);
bool exchange_is_read(const struct exchange *x);

#endif
