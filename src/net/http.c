/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.c - libcurl's multi-socket interface on the loop: queue, deadlines, cancelling, sockets, the
 * end.
 *
 * libcurl 7.88 lets a transfer that waits for a place ignore its timeouts, so the queue, the count
 * and the deadlines are ours.  Transfers are only started and removed outside libcurl's callbacks:
 * either from our own handles' callbacks or, where a user may have come from on_data, on the next
 * turn.
 */
#include "net/http.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "http_internal.h"

struct sock { /* a descriptor of libcurl that is watched */
	struct list_node node;
	struct http *http;
	uv_poll_t poll;
	curl_socket_t fd;
};

#define POINT(x, what)                                                                             \
	"http." what " %s %s %s", (x)->http->config.name, (x)->method, failpoint_place((x)->url)

static void on_turn(uv_idle_t *turn);

static void wake(struct http *http)
{
	(void)uv_idle_start(&http->turn, on_turn);
}

/* --- life of an exchange --- */

static void move(struct exchange *x, struct list *list)
{
	if (x->on != NULL)
		list_remove(x->on, &x->node);
	x->on = list;
	if (list != NULL)
		list_push(list, &x->node);
}

static void on_exchange_closed(uv_handle_t *handle)
{
	struct exchange *x = handle->data;

	exchange_release(x);
	free(x);
}

/* Takes it away from libcurl and from our lists; the memory goes in the close callback. */
static void drop(struct exchange *x)
{
	struct http *http = x->http;

	move(x, NULL);
	if (x->easy != NULL) {
		(void)curl_multi_remove_handle(http->multi, x->easy);
		if (http->n_spare < HTTP_SPARE_MAX)
			http->spare[http->n_spare++] = x->easy;
		else
			curl_easy_cleanup(x->easy);
		x->easy = NULL;
	}
	uv_close((uv_handle_t *)&x->deadline, on_exchange_closed);
}

static int64_t retry_after(const struct http_response *response)
{
	const char *text = http_header(response, "Retry-After");
	int64_t seconds;

	if (text == NULL || !str_to_i64(text, &seconds) || seconds < 0)
		return -1;
	return seconds > 3600 ? 3600 * 1000 : seconds * 1000;
}

/* The one end of an exchange that was not cancelled. */
static void finish(struct exchange *x, const struct err *err)
{
	struct http *http = x->http;
	struct http_response response = {
		.body = buf_text(&x->answer),
		.len = x->answer.len,
		.headers = &x->head,
		.elapsed_ms = (int64_t)(uv_hrtime() / 1000 - x->started_us) / 1000,
	};
	long status = 0;

	if (x->easy != NULL)
		(void)curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	response.status = (int)status;
	response.retry_after_ms = retry_after(&response);
	FAILPOINT(POINT(x, "answered"));
	drop(x);
	if (err == NULL)
		http->stats.ok++;
	else
		http->stats.failed++;
	if (err != NULL)
		log_debug("http failed", LOG_STR("client", http->config.name),
			  LOG_STR("reason", err->msg));
	x->done(x->data, err == NULL ? &response : NULL, err);
}

static void on_deadline(uv_timer_t *timer)
{
	struct exchange *x = timer->data;
	struct http *http = x->http;
	struct err err;

	exchange_deadline_error(x, &err);
	http->stats.timeouts++;
	wake(http); /* a place is free */
	finish(x, &err);
}

static void on_cancel(struct call *call)
{
	struct exchange *x = (struct exchange *)call;

	assert(!x->dead);
	x->dead = true;
	(void)uv_timer_stop(&x->deadline);
	if (x->easy == NULL) {
		drop(x);
		return;
	}
	move(x, &x->http->killed); /* libcurl may be calling us just now */
	wake(x->http);
}

static void start(struct exchange *x)
{
	struct http *http = x->http;
	uint64_t left = uv_timer_get_due_in(&x->deadline);
	CURLMcode code;

	FAILPOINT(POINT(x, "start"));
	x->easy = exchange_easy(http);
	move(x, &http->active);
	exchange_prepare(x, left == 0 ? 1 : (unsigned)left);
	code = curl_multi_add_handle(http->multi, x->easy);
	assert(code == CURLM_OK);
	(void)code;
}

static void start_some(struct http *http)
{
	while (http->queue.count > 0 && http->active.count < http->config.max_active)
		start(list_entry(list_first(&http->queue), struct exchange, node));
}

/* --- libcurl on the loop --- */

static void drain(struct http *http)
{
	CURLMsg *msg;
	int left;

	while (!http->closing && (msg = curl_multi_info_read(http->multi, &left)) != NULL) {
		CURLcode code = msg->data.result;
		struct exchange *x = NULL;
		struct err err;
		bool failed;

		if (msg->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&x);
		if (x->dead) {
			drop(x);
			continue;
		}
		failed = exchange_error(x, code, &err);
		finish(x, failed ? &err : NULL);
	}
	start_some(http);
}

/* Of which requests did libcurl write something now? */
static void tell_sent(struct http *http)
{
#if OPSD_FAILPOINTS
	for (struct list_node *node = list_first(&http->active); node != NULL;
	     node = list_next(&http->active, node)) {
		struct exchange *x = list_entry(node, struct exchange, node);

		if (!x->told_sent && exchange_sent(x)) {
			x->told_sent = true;
			FAILPOINT(POINT(x, "sent"));
		}
	}
#else
	(void)http;
#endif
}

static void act(struct http *http, curl_socket_t fd, int what)
{
	int running;

	if (http->closing)
		return;
	(void)curl_multi_socket_action(http->multi, fd, what, &running);
	tell_sent(http);
	drain(http);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	const struct sock *sock = poll->data;
	int what = 0;

	if (status < 0)
		what = CURL_CSELECT_ERR;
	if (events & UV_READABLE)
		what |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		what |= CURL_CSELECT_OUT;
	act(sock->http, sock->fd, what);
}

static void on_timer(uv_timer_t *timer)
{
	act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *data)
{
	struct http *http = data;

	(void)multi;
	if (http->closing || timeout_ms < 0)
		return uv_timer_stop(&http->timer);
	uv_update_time(http->loop);
	return uv_timer_start(&http->timer, on_timer, (uint64_t)timeout_ms, 0);
}

static void release(struct http *http)
{
	if (--http->handles > 0)
		return;
	for (size_t i = 0; i < sizeof(http->texts) / sizeof(http->texts[0]); i++) {
		if (http->texts[i] != NULL)
			explicit_bzero(http->texts[i], strlen(http->texts[i]));
		free(http->texts[i]);
	}
	free(http);
}

static void on_sock_closed(uv_handle_t *handle)
{
	struct sock *sock = handle->data;

	release(sock->http);
	free(sock);
}

static void sock_close(struct sock *sock)
{
	list_remove(&sock->http->sockets, &sock->node);
	(void)uv_poll_stop(&sock->poll); /* at once: libcurl closes the descriptor next */
	uv_close((uv_handle_t *)&sock->poll, on_sock_closed);
}

static struct sock *sock_open(struct http *http, curl_socket_t fd)
{
	struct sock *sock = xcalloc(1, sizeof(*sock));
	int status = uv_poll_init_socket(http->loop, &sock->poll, fd);

	assert(status == 0);
	(void)status;
	sock->poll.data = sock;
	sock->http = http;
	sock->fd = fd;
	http->handles++;
	list_push(&http->sockets, &sock->node);
	(void)curl_multi_assign(http->multi, fd, sock);
	return sock;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *sock_data)
{
	struct http *http = data;
	struct sock *sock = sock_data;
	int events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		(void)curl_multi_assign(http->multi, fd, NULL);
		if (sock != NULL)
			sock_close(sock);
		return 0;
	}
	if (http->closing)
		return 0;
	if (sock == NULL)
		sock = sock_open(http, fd);
	if (what & CURL_POLL_IN)
		events |= UV_READABLE;
	if (what & CURL_POLL_OUT)
		events |= UV_WRITABLE;
	(void)uv_poll_start(&sock->poll, events, on_readable);
	return 0;
}

/* --- turns --- */

static void on_closed(uv_handle_t *handle)
{
	release(handle->data);
}

static void close_all(struct http *http)
{
	struct list_node *node;

	while (http->n_spare > 0)
		curl_easy_cleanup(http->spare[--http->n_spare]);
	(void)curl_multi_cleanup(http->multi);
	(void)curl_share_cleanup(http->share);
	while ((node = list_first(&http->sockets)) != NULL)
		sock_close(list_entry(node, struct sock, node));
	uv_close((uv_handle_t *)&http->timer, on_closed);
	uv_close((uv_handle_t *)&http->turn, on_closed);
}

static void on_turn(uv_idle_t *turn)
{
	struct http *http = turn->data;
	size_t refused = http->refused.count; /* those that come meanwhile wait for the next turn */
	struct list_node *node;

	(void)uv_idle_stop(turn);
	while ((node = list_first(&http->killed)) != NULL)
		drop(list_entry(node, struct exchange, node));
	while (refused-- > 0 && (node = list_first(&http->refused)) != NULL) {
		struct exchange *x = list_entry(node, struct exchange, node);
		struct err err = x->refusal;

		finish(x, &err);
	}
	if (http->closing)
		close_all(http);
	else
		start_some(http);
}

/* --- the public side --- */

static const char *keep(struct http *http, size_t place, const char *text)
{
	http->texts[place] = xstrdup_null(text);
	return http->texts[place];
}

static void keep_config(struct http *http, const struct http_config *config)
{
	struct http_config *own = &http->config;

	*own = *config;
	own->name = keep(http, 0, config->name != NULL ? config->name : "http");
	own->proxy = keep(http, 1, config->proxy);
	own->tls.ca_file = keep(http, 2, config->tls.ca_file);
	own->tls.ca_pem = keep(http, 3, config->tls.ca_pem);
	own->tls.cert_pem = keep(http, 4, config->tls.cert_pem);
	own->tls.key_pem = keep(http, 5, config->tls.key_pem);
	own->tls.server_name = keep(http, 6, config->tls.server_name);
	if (own->max_active == 0)
		own->max_active = 32;
	if (own->max_queued == 0)
		own->max_queued = 1000;
}

struct http *http_create(uv_loop_t *loop, const struct http_config *config)
{
	struct http *http = xcalloc(1, sizeof(*http));

	http->loop = loop;
	keep_config(http, config);
	list_init(&http->queue);
	list_init(&http->active);
	list_init(&http->killed);
	list_init(&http->refused);
	list_init(&http->sockets);
	(void)uv_timer_init(loop, &http->timer);
	(void)uv_idle_init(loop, &http->turn);
	http->timer.data = http;
	http->turn.data = http;
	http->handles = 2;
	http->multi = curl_multi_init();
	http->share = curl_share_init();
	assert(http->multi != NULL && http->share != NULL);
	(void)curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	(void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	(void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	(void)curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	(void)curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	(void)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)http->config.max_active);
	return http;
}

void http_destroy(struct http *http)
{
	if (http == NULL)
		return;
	assert(!http->closing);
	assert(http->queue.count + http->active.count + http->refused.count == 0);
	http->closing = true;
	wake(http); /* not here: the caller may be inside on_data or done */
}

struct call *http_start(struct http *http, const struct http_request *request, http_done_fn done,
			void *data)
{
	struct exchange *x = xcalloc(1, sizeof(*x));

	assert(!http->closing);
	x->call.cancel = on_cancel;
	x->http = http;
	x->done = done;
	x->data = data;
	x->started_us = uv_hrtime() / 1000;
	(void)uv_timer_init(http->loop, &x->deadline);
	x->deadline.data = x;
	http->stats.started++;
	if (!exchange_take(x, request, &x->refusal)) {
		move(x, &http->refused);
	} else if (http->queue.count >= http->config.max_queued) {
		err_set(&x->refusal, ERR_RETRY,
			"%s: %u requests to %s are waiting already; try again in a moment",
			http->config.name, http->config.max_queued, x->host);
		move(x, &http->refused);
	} else {
		move(x, &http->queue);
		uv_update_time(http->loop); /* else it counts from the begin of the turn */
		(void)uv_timer_start(&x->deadline, on_deadline, x->timeout_ms, 0);
	}
	wake(http);
	return &x->call;
}

const struct http_stats *http_stats(const struct http *http)
{
	struct http *own = (struct http *)http; /* the two gauges are counted when asked for */

	own->stats.active = (unsigned)http->active.count;
	own->stats.queued = (unsigned)http->queue.count;
	return &http->stats;
}
