/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws.c - the life of one websocket after it is open, and every end.
 *
 * libwebsockets calls back in the middle of its own work, and it must not be told there to close.
 * So its callbacks only note what happened; closing, the next address and the closed event wait for
 * our own turn, a timer of 0 ms.  A connection whose wsi is dropped gets no callback any more: its
 * user data is NULL then.
 */
#include "net/ws.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "ws_internal.h"

enum {
	DEFAULT_CONNECT_MS = 10000,
	DEFAULT_PING_MS = 10000,
	DEFAULT_DEAD_MS = 30000,
	DEFAULT_MESSAGE_MAX = 1024 * 1024,
	DEFAULT_QUEUE_MAX = 4 * 1024 * 1024,
	KEEP_BUFFER = 64 * 1024, /* a larger one is given back after its message */
};

struct ws_frame {
	struct list_node node;
	size_t len;
	unsigned char data[]; /* LWS_PRE, then the text */
};

/* --- the state --- */

static const char *const state_names[] = {
	[WS_RESOLVING] = "resolving", [WS_CONNECTING] = "connecting", [WS_OPEN] = "open",
	[WS_FLUSHING] = "flushing",   [WS_CLOSING] = "closing",       [WS_ENDED] = "ended",
	[WS_ABANDONED] = "abandoned",
};

static void on_turn(uv_timer_t *timer);
static void on_ping_time(uv_timer_t *timer);
static void on_silence(uv_timer_t *timer);
static void on_impatience(uv_timer_t *timer);

void ws_soon(struct ws *ws)
{
	(void)uv_timer_start(&ws->turn, on_turn, 0, 0);
}

void ws_enter(struct ws *ws, enum ws_state state)
{
	bool patient = ws->state == WS_FLUSHING; /* one second for both, not each */

	log_debug("websocket", LOG_STR("peer", ws->url.authority),
		  LOG_STR("from", state_names[ws->state]), LOG_STR("to", state_names[state]));
	ws->state = state;
	switch (state) {
	case WS_RESOLVING:
	case WS_CONNECTING:
		break;
	case WS_OPEN:
		(void)uv_timer_start(&ws->attempt, on_ping_time, ws->ping_ms, ws->ping_ms);
		(void)uv_timer_start(&ws->deadline, on_silence, ws->dead_ms, 0);
		break;
	case WS_FLUSHING:
	case WS_CLOSING:
		(void)uv_timer_stop(&ws->attempt);
		if (!patient)
			(void)uv_timer_start(&ws->deadline, on_impatience, WS_CLOSE_MS, 0);
		if (state == WS_FLUSHING)
			ws_soon(ws);
		break;
	case WS_ENDED:
	case WS_ABANDONED:
		call_cancel(&ws->resolve);
		(void)uv_timer_stop(&ws->attempt);
		(void)uv_timer_stop(&ws->deadline);
		ws_soon(ws);
		break;
	}
}

/* --- endings --- */

static void on_closed(uv_handle_t *handle)
{
	struct ws *ws = handle->data;

	if (--ws->handles > 0)
		return;
	while (ws->out.count > 0)
		free(list_entry(list_pop(&ws->out), struct ws_frame, node));
	buf_finish(&ws->in);
	free(ws->url.path);
	free(ws);
}

static void dispose(struct ws *ws)
{
	ws_connect_sweep(ws);
	list_remove(&ws->context->sockets, &ws->node);
	uv_close((uv_handle_t *)&ws->deadline, on_closed);
	uv_close((uv_handle_t *)&ws->attempt, on_closed);
	uv_close((uv_handle_t *)&ws->turn, on_closed);
}

/* Without a nudge libwebsockets would not arm its own timers for what is left to do. */
static void kill_wsi(struct ws *ws, struct lws *wsi)
{
	lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
	lws_cancel_service(ws->context->lws);
}

static void detach(struct ws *ws)
{
	lws_set_opaque_user_data(ws->wsi, NULL);
	ws->wsi = NULL;
}

void ws_drop_wsi(struct ws *ws)
{
	struct lws *wsi = ws->wsi;

	if (wsi == NULL)
		return;
	detach(ws);
	kill_wsi(ws, wsi);
}

/* With a reason noted, killing means: send a close frame, wait for the answer. */
static void say_close(struct ws *ws)
{
	lws_close_reason(ws->wsi, (enum lws_close_status)ws->close_code,
			 (unsigned char *)ws->close_reason, strlen(ws->close_reason));
	kill_wsi(ws, ws->wsi);
}

/* What the peer will not read any more goes back to the user, who may have another way. */
static void give_back(struct ws *ws)
{
	ws->writing = false;
	ws->queued = 0;
	while (ws->out.count > 0) {
		struct ws_frame *frame = list_entry(list_pop(&ws->out), struct ws_frame, node);

		if (ws->events.unsent != NULL)
			ws->events.unsent(ws->data, (const char *)frame->data + LWS_PRE,
					  frame->len);
		free(frame);
	}
}

static void finish(struct ws *ws)
{
	give_back(ws);
	ws->end.err = &ws->end_err;
	dispose(ws);
	ws->events.closed(ws->data, &ws->end);
}

static void leave(struct ws *ws)
{
	struct lws *wsi = ws->wsi;

	if (wsi != NULL && ws->end.opened) {
		ws->close_code = LWS_CLOSE_STATUS_NORMAL;
		lws_set_opaque_user_data(wsi, NULL);
		say_close(ws);
		ws->wsi = NULL;
	} else {
		ws_drop_wsi(ws);
	}
	dispose(ws);
}

/* What was noted, done outside of libwebsockets' callbacks. */
static void on_turn(uv_timer_t *timer)
{
	struct ws *ws = timer->data;

	switch (ws->state) {
	case WS_CONNECTING:
		if (!ws->trying)
			ws_connect_next(ws);
		break;
	case WS_FLUSHING:
		if (ws->out.count > 0)
			break;
		ws_enter(ws, WS_CLOSING);
		say_close(ws);
		break;
	case WS_ENDED:
		ws_drop_wsi(ws);
		finish(ws);
		break;
	case WS_ABANDONED:
		leave(ws);
		break;
	case WS_RESOLVING:
	case WS_OPEN:
	case WS_CLOSING:
		break;
	}
}

/* fmt NULL: the reason is known already. */
void ws_fail(struct ws *ws, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (fmt != NULL) {
		va_start(ap, fmt);
		err_vset(&ws->end_err, kind, fmt, ap);
		va_end(ap);
	}
	ws_enter(ws, WS_ENDED);
}

static void on_silence(uv_timer_t *timer)
{
	struct ws *ws = timer->data;
	uint64_t silent = uv_now(timer->loop) - ws->heard_ms;

	if (silent < ws->dead_ms)
		(void)uv_timer_start(timer, on_silence, ws->dead_ms - silent, 0);
	else
		ws_fail(ws, ERR_UNCERTAIN, "nothing was heard from %s for %u ms", ws->url.authority,
			ws->dead_ms);
}

/* The peer did not take our last frames, or did not answer the close frame: leave all the same. */
static void on_impatience(uv_timer_t *timer)
{
	struct ws *ws = timer->data;

	ws_drop_wsi(ws);
	ws_enter(ws, WS_ENDED);
}

/* --- what libwebsockets tells --- */

void ws_opened(struct ws *ws)
{
	if (ws->state != WS_CONNECTING)
		return;
	ws->trying = false;
	ws->watcher = NULL;
	ws->end.opened = true;
	ws->end.status = 0;
	ws->heard_ms = uv_now(ws->context->loop);
	err_set(&ws->end_err, ERR_UNCERTAIN, "the connection to %s was lost, or broke the protocol",
		ws->url.authority);
	ws_enter(ws, WS_OPEN);
	ws->events.open(ws->data);
}

/*
 * Never anything but 0 to libwebsockets: it would leave its buffer full, and while it waits for the
 * answer to its close frame it would write the rest of the frame behind the buffer's end.
 */
static void refuse(struct ws *ws, int code, const char *reason)
{
	err_set(&ws->end_err, ERR_UNCERTAIN, "%s sent too much: %s", ws->url.authority, reason);
	ws->close_code = code;
	(void)snprintf(ws->close_reason, sizeof(ws->close_reason), "%s", reason);
	ws_enter(ws, WS_FLUSHING);
}

void ws_received(struct ws *ws, const char *piece, size_t len)
{
	ws->heard_ms = uv_now(ws->context->loop);
	if (ws->state != WS_OPEN || lws_frame_is_binary(ws->wsi))
		return;
	if (lws_is_first_fragment(ws->wsi))
		buf_reset(&ws->in);
	if (lws_remaining_packet_payload(ws->wsi) > ws->max_message - ws->in.len ||
	    !buf_append(&ws->in, piece, len)) {
		refuse(ws, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "message too large");
		return;
	}
	if (!lws_is_final_fragment(ws->wsi))
		return;
	ws->events.message(ws->data, buf_text(&ws->in), ws->in.len);
	if (ws->in.cap > KEEP_BUFFER) {
		buf_finish(&ws->in);
		buf_init(&ws->in, ws->max_message);
	}
}

void ws_ponged(struct ws *ws, const char *payload, size_t len)
{
	uint64_t sent_us, now_us = uv_hrtime() / 1000;

	ws->heard_ms = uv_now(ws->context->loop);
	if (ws->state != WS_OPEN || len != sizeof(sent_us))
		return;
	memcpy(&sent_us, payload, sizeof(sent_us));
	if (sent_us <= now_us && now_us - sent_us < UINT32_MAX && ws->events.pong != NULL)
		ws->events.pong(ws->data, (uint32_t)((now_us - sent_us) / 1000));
}

static int write_ping(struct ws *ws)
{
	unsigned char data[LWS_PRE + sizeof(uint64_t)];
	uint64_t now_us = uv_hrtime() / 1000;

	memcpy(data + LWS_PRE, &now_us, sizeof(now_us));
	ws->ping_due = false;
	return lws_write(ws->wsi, data + LWS_PRE, sizeof(now_us), LWS_WRITE_PING);
}

static struct ws_frame *first_frame(const struct ws *ws)
{
	struct list_node *node = list_first(&ws->out);

	return node == NULL ? NULL : list_entry(node, struct ws_frame, node);
}

/* The first frame is with the kernel: libwebsockets kept nothing of it, or no longer does. */
static void confirm_written(struct ws *ws)
{
	struct ws_frame *frame = first_frame(ws);

	if (!ws->writing)
		return;
	ws->writing = false;
	ws->queued -= frame->len;
	list_remove(&ws->out, &frame->node);
	free(frame);
}

/* One frame a call.  No close from here: the packaged library sends no close frame then. */
int ws_writeable(struct ws *ws)
{
	struct ws_frame *frame;
	int n = 0;

	if (ws->state != WS_OPEN && ws->state != WS_FLUSHING)
		return 0;
	confirm_written(ws);
	frame = first_frame(ws);
	if (ws->ping_due && ws->state == WS_OPEN) {
		n = write_ping(ws);
	} else if (frame != NULL) {
		ws->writing = true;
		FAILPOINT("ws.write");
		n = lws_write(ws->wsi, frame->data + LWS_PRE, frame->len, LWS_WRITE_TEXT);
		FAILPOINT("ws.written");
	}
	if (n < 0)
		return -1;
	if (!lws_partial_buffered(ws->wsi))
		confirm_written(ws); /* else on the next call, which comes when all is out */
	if (ws->writing || ws->out.count > 0)
		(void)lws_callback_on_writable(ws->wsi);
	else if (ws->state == WS_FLUSHING)
		ws_soon(ws);
	return 0;
}

void ws_peer_closes(struct ws *ws, const unsigned char *payload, size_t len)
{
	int reason_len = len > 2 ? (int)len - 2 : 0;

	if (ws->state != WS_OPEN && ws->state != WS_FLUSHING && ws->state != WS_CLOSING)
		return;
	if (len >= 2)
		ws->end.code = payload[0] << 8 | payload[1];
	if (ws->end.code > 0 && !ws->end.ours)
		err_set(&ws->end_err, ERR_UNCERTAIN, "%s closed with code %d%s%.*s",
			ws->url.authority, ws->end.code, reason_len > 0 ? ": " : "", reason_len,
			reason_len > 0 ? (const char *)payload + 2 : "");
	else if (!ws->end.ours)
		err_set(&ws->end_err, ERR_UNCERTAIN, "%s closed", ws->url.authority);
	if (ws->state == WS_CLOSING)
		return;
	ws_enter(ws, WS_CLOSING);
	give_back(ws);
}

/*
 * libwebsockets begins to close by itself: the connection is lost, or the peer broke a rule.  In
 * the latter case it would say so and go on reading from the middle of what it refused: rather drop
 * it.
 */
void ws_closing(struct ws *ws)
{
	if (ws->state == WS_OPEN || ws->state == WS_FLUSHING)
		ws_enter(ws, WS_ENDED);
}

void ws_gone(struct ws *ws, struct lws *wsi)
{
	if (ws->state == WS_CONNECTING) {
		ws_connect_failed(ws, wsi, "closed before the upgrade");
		return;
	}
	lws_set_opaque_user_data(wsi, NULL);
	ws->wsi = NULL;
	if (ws->state == WS_OPEN || ws->state == WS_FLUSHING || ws->state == WS_CLOSING)
		ws_enter(ws, WS_ENDED);
}

/* --- what the user asks --- */

static void on_ping_time(uv_timer_t *timer)
{
	struct ws *ws = timer->data;

	ws->ping_due = true;
	(void)lws_callback_on_writable(ws->wsi);
}

static unsigned or_default(unsigned value, unsigned fallback)
{
	return value != 0 ? value : fallback;
}

struct ws *ws_start(struct ws_context *context, const struct ws_config *config,
		    const struct ws_events *events, void *data)
{
	struct ws *ws = xcalloc(1, sizeof(*ws));
	uv_timer_t *timers[] = { &ws->deadline, &ws->attempt, &ws->turn };

	ws->context = context;
	ws->events = *events;
	ws->data = data;
	ws->connect_ms = or_default(config->connect_ms, DEFAULT_CONNECT_MS);
	ws->ping_ms = or_default(config->ping_ms, DEFAULT_PING_MS);
	ws->dead_ms = or_default(config->dead_ms, DEFAULT_DEAD_MS);
	ws->max_message = config->max_message != 0 ? config->max_message : DEFAULT_MESSAGE_MAX;
	ws->max_queued = config->max_queued != 0 ? config->max_queued : DEFAULT_QUEUE_MAX;
	ws->end.retry_after_ms = -1;
	buf_init(&ws->in, ws->max_message);
	list_init(&ws->out);
	list_push(&context->sockets, &ws->node);
	for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
		(void)uv_timer_init(context->loop, timers[i]);
		timers[i]->data = ws;
		ws->handles++;
	}
	if (ws_url_parse(config->url, context->plain_loopback, &ws->url, &ws->end_err))
		ws_connect_start(ws);
	else
		ws_enter(ws, WS_ENDED);
	return ws;
}

bool ws_send(struct ws *ws, const char *text, size_t len)
{
	struct ws_frame *frame;

	if (ws->state != WS_OPEN || len > ws->max_queued - ws->queued)
		return false;
	frame = xmalloc(sizeof(*frame) + LWS_PRE + len);
	frame->node = (struct list_node){ NULL, NULL };
	frame->len = len;
	memcpy(frame->data + LWS_PRE, text, len);
	list_push(&ws->out, &frame->node);
	ws->queued += len;
	(void)lws_callback_on_writable(ws->wsi);
	return true;
}

size_t ws_queued(const struct ws *ws)
{
	return ws->queued;
}

void ws_close(struct ws *ws, int code, const char *reason)
{
	size_t len = reason != NULL ? strlen(reason) : 0;

	assert(ws->state != WS_ABANDONED);
	if (ws->end.ours || ws->state == WS_ENDED)
		return;
	ws->end.ours = true;
	if (len >= sizeof(ws->close_reason))
		len = sizeof(ws->close_reason) - 1;
	if (len > 0)
		memcpy(ws->close_reason, reason, len);
	ws->close_code = code;
	if (ws->state == WS_CLOSING)
		return;
	err_set(&ws->end_err, ws->end.opened ? ERR_UNCERTAIN : ERR_RETRY, "we closed: %s",
		ws->close_reason);
	ws_enter(ws, ws->state == WS_OPEN ? WS_FLUSHING : WS_ENDED);
}

void ws_abandon(struct ws *ws)
{
	if (ws != NULL && ws->state != WS_ABANDONED)
		ws_enter(ws, WS_ABANDONED);
}
