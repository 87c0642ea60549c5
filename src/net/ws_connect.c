/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws_connect.c - from a URL to an upgrade: look-up, then one address after the other.
 *
 * libwebsockets would resolve on the loop's thread and would not go on to the next address, so both
 * are done here: it gets a numeric address beside the name.  Its timers do not run unless it is
 * nudged after every call from outside, so each attempt has a deadline of ours besides.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "ws_internal.h"

enum { ATTEMPT_MIN_MS = 1000 };

/* Its pings start after five minutes and end connections; ours are enough. */
static const lws_retry_bo_t no_policy = { .secs_since_valid_ping = 0 };

/* --- the watcher that libwebsockets forgets --- */

static void on_watcher(uv_handle_t *handle, void *data)
{
	uv_handle_t **ret_last = data;

	if (uv_handle_get_type(handle) == UV_POLL)
		*ret_last = handle; /* in the order of their making */
}

static uv_handle_t *last_watcher(uv_loop_t *loop)
{
	uv_handle_t *last = NULL;

	uv_walk(loop, on_watcher, &last);
	return last;
}

static void on_watcher_closed(uv_handle_t *handle)
{
	free(handle);
}

/*
 * When connect() fails, libwebsockets 4.1 closes the descriptor and forgets the poll handle, which
 * it had allocated by itself.  It is stopped; the loop would not close with it.
 */
void ws_connect_sweep(struct ws *ws)
{
	if (ws->watcher_leaked && ws->watcher != NULL && !uv_is_active(ws->watcher) &&
	    !uv_is_closing(ws->watcher))
		uv_close(ws->watcher, on_watcher_closed);
	ws->watcher_leaked = false;
	ws->watcher = NULL;
}

/* --- one attempt --- */

static void remember(struct ws *ws, const char *why)
{
	const char *complaint = ws_log_last();
	const char *address =
		ws->context->proxied ? "through the proxy" : ws->addresses.address[ws->next - 1];

	if (ws->end.status > 0) {
		err_set(&ws->end_err, ERR_RETRY, "%s refused the websocket with HTTP %d",
			ws->url.authority, ws->end.status);
		return;
	}
	/* Its own words for: connect() failed. */
	if (str_eq(why, "closed before established") || str_eq(why, "Unable to connect"))
		why = "refused or not reachable";
	err_set(&ws->end_err, ERR_RETRY, "no websocket to %s (%s): %s", ws->url.authority, address,
		complaint[0] != '\0' ? complaint : why);
}

static void read_refusal(struct ws *ws, struct lws *wsi)
{
	char text[24];
	int64_t seconds;
	int n;

	ws->end.status = (int)lws_http_client_http_response(wsi);
	if (ws->end.status <= 0 || ws->end.status == 101) { /* none, or a wrong upgrade */
		ws->end.status = 0;
		return;
	}
	n = lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_HTTP_RETRY_AFTER);
	if (n > 0 && str_to_i64(text, &seconds) && seconds >= 0)
		ws->end.retry_after_ms = (seconds > 3600 ? 3600 : seconds) * 1000;
}

/* From libwebsockets' callback: the attempt is over, wsi is about to go. */
void ws_connect_failed(struct ws *ws, struct lws *wsi, const char *why)
{
	ws->wsi = NULL;
	lws_set_opaque_user_data(wsi, NULL);
	if (!ws->trying)
		return;
	ws->trying = false;
	ws->watcher_leaked = lws_get_socket_fd(wsi) == LWS_SOCK_INVALID;
	read_refusal(ws, wsi);
	remember(ws, why != NULL ? why : "refused");
	ws_soon(ws);
}

static void on_attempt_deadline(uv_timer_t *timer)
{
	struct ws *ws = timer->data;

	ws_drop_wsi(ws);
	ws->trying = false;
	ws_log_forget();
	remember(ws, "no answer in time");
	ws_connect_next(ws);
}

static void attempt(struct ws *ws, const char *address)
{
	struct lws_client_connect_info to = { 0 };
	uv_handle_t *before = last_watcher(ws->context->loop), *after;
	struct lws *wsi;

	to.context = ws->context->lws;
	to.vhost = ws->context->vhost;
	to.address = address;
	to.host = ws->url.authority;
	to.port = ws->url.port;
	to.path = ws->url.path;
	to.alpn = "http/1.1";
	to.local_protocol_name = "opsd";
	to.ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT | (ws->url.tls ? LCCSCF_USE_SSL : 0);
	to.retry_and_idle_policy = &no_policy;
	to.opaque_user_data = ws;
	ws_log_forget();
	ws->trying = true;
	wsi = lws_client_connect_via_info(&to);
	lws_cancel_service(ws->context->lws);
	after = last_watcher(ws->context->loop);
	ws->watcher = after != before ? after : NULL;
	if (wsi != NULL && ws->trying) {
		ws->wsi = wsi;
		return;
	}
	if (ws->trying)
		remember(ws, "it cannot be reached");
	ws->trying = false;
	ws->watcher_leaked = wsi == NULL;
	ws_soon(ws);
}

/* The next address, or the end. */
void ws_connect_next(struct ws *ws)
{
	size_t n = ws->context->proxied ? 1 : ws->addresses.n;
	uint64_t now = uv_now(ws->context->loop), left;
	unsigned slice;

	ws_connect_sweep(ws);
	(void)uv_timer_stop(&ws->attempt);
	if (ws->next >= n || now >= ws->give_up_ms || ws->end.status > 0) {
		ws_fail(ws, ERR_RETRY, NULL);
		return;
	}
	left = ws->give_up_ms - now;
	slice = (unsigned)(left / (n - ws->next));
	if (slice < ATTEMPT_MIN_MS)
		slice = ATTEMPT_MIN_MS;
	ws->next++;
	(void)uv_timer_start(&ws->attempt, on_attempt_deadline, slice, 0);
	attempt(ws, ws->context->proxied ? ws->url.host : ws->addresses.address[ws->next - 1]);
}

/* --- start --- */

static void on_resolved(void *data, const struct resolved *found, const struct err *err)
{
	struct ws *ws = data;

	ws->resolve = NULL;
	if (err != NULL) {
		ws_fail(ws, ERR_RETRY, "no websocket to %s: %s", ws->url.authority, err->msg);
		return;
	}
	ws->addresses = *found;
	ws_enter(ws, WS_CONNECTING);
	ws_connect_next(ws);
}

static void on_deadline(uv_timer_t *timer)
{
	struct ws *ws = timer->data;

	if (ws->state == WS_CONNECTING) {
		ws_drop_wsi(ws);
		ws->trying = false;
	}
	ws_fail(ws, ERR_RETRY, "no websocket to %s within %u ms", ws->url.authority,
		ws->connect_ms);
}

void ws_connect_start(struct ws *ws)
{
	(void)uv_timer_start(&ws->deadline, on_deadline, ws->connect_ms, 0);
	ws->give_up_ms = uv_now(ws->context->loop) + ws->connect_ms;
	if (ws->context->proxied) {
		ws_enter(ws, WS_CONNECTING);
		ws_soon(ws);
	} else {
		ws->resolve = resolve_start(ws->context->loop, ws->url.host, ws->connect_ms,
					    on_resolved, ws);
	}
}
