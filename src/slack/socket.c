/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket.c - Socket Mode: one state machine a connection, and what they are together.
 *
 * Every slot has one current connection, and some that drain: they were told to go, a successor
 * dials already, and they are still read and answered.  A connection that fails is dialled
 * again as itself, with a new generation.  Events of a websocket that was left never come
 * (ws_abandon), so no event can meet the wrong state.
 */
#include "slack/socket.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/call.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/failpoint.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "net/backoff.h"
#include "net/http.h"
#include "net/ws.h"
#include "slack/envelope.h"
#include "socket_internal.h"

enum {
	SLOTS_MAX = 4,
	DRAINS_MAX = 3,       /* of a slot; Slack lets an app have ten connections */
	STAGGER_MS = 250,     /* dials at the same moment are refused with 409 */
	OPEN_MS = 10000,      /* apps.connections.open */
	CONNECT_MS = 10000,   /* TCP, TLS, upgrade */
	GREET_MS = 10000,     /* until hello */
	STABLE_MS = 30000,    /* ready for so long: it was no fluke */
	QUICK_REFRESHES = 20, /* before the back-off slows them: 50 opens a minute are too many */
	DRAIN_MS = 15000,     /* a socket that was warned goes after about 10 s */
	DRAIN_MORE_MS = 5000, /* while its successor is not ready */
	PROBE_MS = 300000,    /* stopped, but it may have been repaired */
	PING_MS = 10000,
	DEAD_MS = 30000,
	RETRY_BASE_MS = 1000,
	RETRY_CAP_MS = 60000,
	SLOW_BASE_MS = 60000,
	SLOW_CAP_MS = 600000,
	CROWD_BASE_MS = 20000,
	CROWD_CAP_MS = 300000, /* the least delay is half the base */
};

enum conn_state {
	CONN_OPENING,    /* the Web API's answer with a ticket */
	CONN_CONNECTING, /* the websocket's handshake */
	CONN_GREETING,   /* Slack's hello */
	CONN_READY,      /* envelopes, pings, a disconnect */
	CONN_DRAINING,   /* its end: told to go, still read and answered */
	CONN_BACKOFF,    /* a timer */
	CONN_STOPPED,    /* the operator; a probe now and then */
	CONN_LEAVING,    /* the close handshake at our own end */
	CONN_GONE,       /* the close callback of its timer */
};

static const char *const state_names[] = {
	[CONN_OPENING] = "opening", [CONN_CONNECTING] = "connecting", [CONN_GREETING] = "greeting",
	[CONN_READY] = "ready",     [CONN_DRAINING] = "draining",     [CONN_BACKOFF] = "backoff",
	[CONN_STOPPED] = "stopped", [CONN_LEAVING] = "leaving",       [CONN_GONE] = "gone",
};

struct slot {
	uint32_t generation; /* of the last dial */
	bool stable;         /* the current connection has been ready for long enough */
	unsigned refreshed;  /* times since one was stable */
	struct backoff retry, slow, crowd;
};

struct conn {
	struct list_node node;
	struct slack_socket *socket;
	enum conn_state state;
	uint32_t slot, generation;
	uv_timer_t timer; /* what the state allows; closing it frees */
	uint32_t wait_ms; /* BACKOFF: how long */
	struct call *call;
	struct ws *ws;
};

struct slack_socket {
	uv_loop_t *loop;
	struct http *http;
	struct ws_context *ws;
	struct slack_socket_config config;
	char *open_url;
	struct slot slots[SLOTS_MAX];
	struct list conns;
	struct list held;         /* acknowledgements for the next socket */
	int64_t limited_until_ms; /* no dial of this app before */
	struct err last_err;      /* ERR_NONE: none since a socket was ready */
	bool fatal;               /* the last answer about our token; until a socket is ready */
	unsigned told_ready;
	bool told_fatal;

	bool was_ready;
	int64_t deaf_since_ms;            /* 0: not deaf */
	struct slack_socket_stats *stats; /* apart: a const reader brings deaf_ms up to date */
	int64_t deaf_sum_ms;

	bool stopping;        /* no state is told any more */
	struct call *stopped; /* nothing was open: closed is owed on the next turn */
	void (*closed)(void *data);
	void *closed_data;
};

static void conn_enter(struct conn *conn, enum conn_state state, const char *why);

/* --- all together --- */

static struct conn *next_conn(struct slack_socket *socket, const struct conn *conn)
{
	struct list_node *node =
		conn == NULL ? list_first(&socket->conns) : list_next(&socket->conns, &conn->node);

	return node == NULL ? NULL : list_entry(node, struct conn, node);
}

static bool hears(const struct conn *conn)
{
	return conn->state == CONN_READY || conn->state == CONN_DRAINING;
}

static void count_deaf(struct slack_socket *socket, unsigned ready)
{
	int64_t now = clock_mono_ms();

	if (ready > 0 && socket->deaf_since_ms > 0) {
		socket->deaf_sum_ms += now - socket->deaf_since_ms;
		socket->deaf_since_ms = 0;
	} else if (ready == 0 && socket->was_ready && socket->deaf_since_ms == 0) {
		socket->deaf_since_ms = now;
	}
	socket->was_ready = socket->was_ready || ready > 0;
}

/* Slots with a connection that hears; counted, not kept, so that it cannot be wrong. */
static void tell(struct slack_socket *socket, bool failed)
{
	bool heard[SLOTS_MAX] = { false };
	unsigned ready = 0;

	for (const struct conn *conn = next_conn(socket, NULL); conn;
	     conn = next_conn(socket, conn)) {
		heard[conn->slot] = heard[conn->slot] || hears(conn);
	}
	for (size_t i = 0; i < SLOTS_MAX; i++)
		ready += heard[i] ? 1 : 0;
	socket->stats->ready = ready;
	if (socket->stopping)
		return;
	count_deaf(socket, ready);
	if (ready == socket->told_ready && socket->fatal == socket->told_fatal && !failed)
		return;
	socket->told_ready = ready;
	socket->told_fatal = socket->fatal;
	socket->config.state(socket->config.data, ready,
			     socket->last_err.kind == ERR_NONE ? NULL : &socket->last_err,
			     socket->fatal);
}

static struct conn *current(struct slack_socket *socket, uint32_t slot)
{
	for (struct conn *conn = next_conn(socket, NULL); conn; conn = next_conn(socket, conn)) {
		if (conn->slot == slot && conn->state != CONN_DRAINING)
			return conn;
	}
	return NULL;
}

/* --- one connection: life and failures --- */

static void on_gone(uv_handle_t *handle)
{
	struct conn *conn = handle->data;
	struct slack_socket *socket = conn->socket;

	list_remove(&socket->conns, &conn->node);
	free(conn);
	if (socket->stopping && socket->conns.count == 0 && socket->closed != NULL)
		socket->closed(socket->closed_data);
}

static void leave(struct conn *conn)
{
	call_cancel(&conn->call);
	ws_abandon(conn->ws);
	conn->ws = NULL;
}

static struct conn *conn_create(struct slack_socket *socket, uint32_t slot)
{
	struct conn *conn = xcalloc(1, sizeof(*conn));

	conn->socket = socket;
	conn->slot = slot;
	conn->state = CONN_BACKOFF;
	(void)uv_timer_init(socket->loop, &conn->timer);
	conn->timer.data = conn;
	list_push(&socket->conns, &conn->node);
	return conn;
}

/* The one way to another attempt: by the class of the failure. */
static void conn_fail(struct conn *conn, enum dial_class class, uint32_t floor_ms,
		      const struct err *err)
{
	struct slack_socket *socket = conn->socket;
	struct slot *slot = &socket->slots[conn->slot];

	socket->last_err = *err;
	leave(conn);
	switch (class) {
	case DIAL_FATAL:
		socket->fatal = true;
		conn_enter(conn, CONN_STOPPED, err->msg);
		tell(socket, true);
		return;
	case DIAL_SLOW:
		conn->wait_ms = backoff_next(&slot->slow, floor_ms);
		break;
	case DIAL_CROWDED:
		conn->wait_ms = backoff_next(&slot->crowd, floor_ms);
		break;
	case DIAL_LIMITED:
		if (socket->limited_until_ms < clock_mono_ms() + floor_ms)
			socket->limited_until_ms = clock_mono_ms() + floor_ms;
		conn->wait_ms = backoff_next(&slot->retry, floor_ms);
		break;
	case DIAL_OK:
	case DIAL_TRANSIENT:
		conn->wait_ms = backoff_next(&slot->retry, floor_ms);
		break;
	}
	conn_enter(conn, CONN_BACKOFF, err->msg);
	tell(socket, true);
}

/* After ms, but not before Slack's limit allows any socket of this app. */
static void dial_in(struct conn *conn, uint32_t ms, const char *why)
{
	int64_t limited_ms = conn->socket->limited_until_ms - clock_mono_ms();

	conn->wait_ms = ms;
	if (limited_ms > ms)
		conn->wait_ms = (uint32_t)limited_ms + conn->slot * STAGGER_MS;
	conn_enter(conn, conn->wait_ms > 0 ? CONN_BACKOFF : CONN_OPENING, why);
}

/* Told to go: the successor dials, this one is still read.  At once, unless sockets are refreshed
 * over and over before any is stable. */
static void conn_replace(struct conn *conn, const char *why)
{
	struct slack_socket *socket = conn->socket;
	struct slot *slot = &socket->slots[conn->slot];
	struct conn *oldest = NULL, *next;
	unsigned drains = 0;

	for (struct conn *it = next_conn(socket, NULL); it; it = next_conn(socket, it)) {
		if (it->slot == conn->slot && it->state == CONN_DRAINING && drains++ == 0)
			oldest = it;
	}
	if (drains == DRAINS_MAX)
		conn_enter(oldest, CONN_GONE, "too many drain");
	socket->stats->refreshed++;
	conn_enter(conn, CONN_DRAINING, why);
	next = conn_create(socket, conn->slot);
	slot->refreshed++;
	dial_in(next, slot->refreshed > QUICK_REFRESHES ? backoff_next(&slot->retry, 0) : 0, why);
	tell(socket, false);
}

/* --- what comes on the websocket --- */

static bool send_ack(struct conn *conn, const char *text, size_t len)
{
	if (conn == NULL || conn->ws == NULL || !ws_send(conn->ws, text, len))
		return false;
	conn->socket->stats->acks++;
	return true;
}

/* To any that is ready; else it waits a moment for one. */
static bool move_ack(struct slack_socket *socket, const char *text, size_t len)
{
	for (struct conn *conn = next_conn(socket, NULL); conn; conn = next_conn(socket, conn)) {
		if (conn->state == CONN_READY && send_ack(conn, text, len)) {
			socket->stats->acks_moved++;
			return true;
		}
	}
	if (!socket->stopping && held_add(&socket->held, text, len))
		return true;
	socket->stats->acks_lost++;
	return false;
}

static void on_held(void *data, const char *text, size_t len)
{
	(void)move_ack(data, text, len);
}

/* What stopped one slot is over when another has been let in. */
static void wake_stopped(struct slack_socket *socket)
{
	for (struct conn *conn = next_conn(socket, NULL); conn; conn = next_conn(socket, conn)) {
		if (conn->state == CONN_STOPPED)
			dial_in(conn, 0, "another one is ready");
	}
}

static void on_hello(struct conn *conn, const struct envelope *envelope)
{
	struct slack_socket *socket = conn->socket;

	socket->stats->num_connections = envelope->num_connections;
	if (conn->state != CONN_GREETING)
		return;
	socket->stats->opened++;
	socket->last_err = (struct err){ .kind = ERR_NONE };
	socket->fatal = false;
	conn_enter(conn, CONN_READY, "hello");
	held_send(&socket->held, &socket->stats->acks_lost, on_held, socket);
	wake_stopped(socket);
	tell(socket, false);
}

static void on_disconnect(struct conn *conn, enum disconnect_reason reason)
{
	struct err err;

	switch (reason) {
	case DISCONNECT_DISABLED:
		err_set(&err, ERR_INVALID,
			"Slack closes the socket: link_disabled (Socket Mode is off in the app's "
			"settings)");
		conn_fail(conn, DIAL_FATAL, 0, &err);
		break;
	case DISCONNECT_TOO_MANY:
		err_set(&err, ERR_RETRY,
			"Slack closes the socket: the app has more than ten (too_many_websockets)");
		conn_fail(conn, DIAL_CROWDED, 0, &err);
		break;
	case DISCONNECT_WARNING:
	case DISCONNECT_REFRESH:
		if (conn->state == CONN_READY) {
			conn_replace(conn, reason == DISCONNECT_WARNING ? "warning"
									: "refresh_requested");
		} else if (conn->state == CONN_GREETING) {
			err_set(&err, ERR_RETRY, "Slack closes the socket before it has greeted");
			conn_fail(conn, DIAL_TRANSIENT, 0, &err);
		}
		break;
	}
}

static void on_envelope(struct conn *conn, const struct envelope *envelope)
{
	struct slack_socket *socket = conn->socket;
	struct slack_via via = { .slot = conn->slot, .generation = conn->generation };

	FAILPOINT("envelope.received %s", jget_str_or(envelope->json, "type", ""));
	socket->stats->envelopes++;
	if (envelope->kind != ENVELOPE_UNKNOWN) {
		socket->config.envelope(socket->config.data, envelope, via);
		return;
	}
	log_debug("envelope of an unknown type", LOG_STR("envelope", envelope->id),
		  LOG_STR("type", jget_str(envelope->json, "type")));
	(void)slack_socket_ack(socket, via, envelope->id, NULL);
}

static void on_message(void *data, const char *text, size_t len)
{
	struct conn *conn = data;
	struct envelope envelope;
	struct err err;

	if (!envelope_parse(text, len, &envelope, &err)) {
		conn->socket->stats->bad_frames++;
		log_debug("frame ignored", LOG_STR("reason", err.msg), LOG_INT("bytes", len));
		return;
	}
	if (envelope.kind == ENVELOPE_HELLO)
		on_hello(conn, &envelope);
	else if (envelope.kind == ENVELOPE_DISCONNECT)
		on_disconnect(conn, envelope.reason);
	else
		on_envelope(conn, &envelope);
	envelope_finish(&envelope);
}

static void on_open(void *data)
{
	conn_enter(data, CONN_GREETING, "open");
}

/* Slack closes, or is lost, with acknowledgements still queued: they count on another socket too.
 */
static void on_unsent(void *data, const char *text, size_t len)
{
	struct conn *conn = data;

	conn->socket->stats->acks--;
	(void)move_ack(conn->socket, text, len);
}

/* The end of a ready one: at once again if it had been stable, else not so fast. */
static void on_lost(struct conn *conn, const struct ws_end *end)
{
	struct slack_socket *socket = conn->socket;

	socket->stats->lost++;
	if (!socket->slots[conn->slot].stable) {
		conn_fail(conn, DIAL_TRANSIENT, 0, end->err);
		return;
	}
	socket->last_err = *end->err;
	dial_in(conn, conn->slot * STAGGER_MS, end->err->msg);
	tell(socket, true);
}

static void on_closed(void *data, const struct ws_end *end)
{
	struct conn *conn = data;
	uint32_t floor_ms = end->retry_after_ms > 0 ? (uint32_t)end->retry_after_ms : 0;

	conn->ws = NULL;
	switch (conn->state) {
	case CONN_CONNECTING:
	case CONN_GREETING:
		conn_fail(conn, end->status == 429 ? DIAL_LIMITED : DIAL_TRANSIENT, floor_ms,
			  end->err);
		break;
	case CONN_READY:
		on_lost(conn, end);
		break;
	case CONN_DRAINING:
	case CONN_LEAVING:
		conn_enter(conn, CONN_GONE, end->err->msg);
		tell(conn->socket, false);
		break;
	case CONN_OPENING:
	case CONN_BACKOFF:
	case CONN_STOPPED:
	case CONN_GONE:
		assert(conn->ws != NULL); /* a state without a websocket has no events */
	}
}

/* --- the states --- */

static void on_ticket(void *data, const struct http_response *response, const struct err *err)
{
	static const struct ws_events events = {
		.open = on_open, .message = on_message, .unsent = on_unsent, .closed = on_closed
	};
	struct conn *conn = data;
	struct ticket ticket;

	conn->call = NULL;
	ticket_read(response, err, &ticket);
	if (ticket.class != DIAL_OK) {
		conn_fail(conn, ticket.class, ticket.wait_ms, &ticket.err);
		return;
	}
	conn->ws = ws_start(conn->socket->ws,
			    &(struct ws_config){ .url = ticket.url,
						 .connect_ms = CONNECT_MS,
						 .ping_ms = PING_MS,
						 .dead_ms = DEAD_MS },
			    &events, conn);
	free(ticket.url);
	conn_enter(conn, CONN_CONNECTING, "ticket");
}

static void ask_for_ticket(struct conn *conn)
{
	static const char *const headers[] = { "Content-Type: application/x-www-form-urlencoded",
					       NULL };
	struct slack_socket *socket = conn->socket;
	const struct http_request request = {
		.method = "POST",
		.url = socket->open_url,
		.headers = headers,
		.bearer = socket->config.app_token,
		.body = "",
		.timeout_ms = OPEN_MS,
	};

	conn->generation = ++socket->slots[conn->slot].generation;
	conn->call = http_start(socket->http, &request, on_ticket, conn);
}

static void on_dial_time(uv_timer_t *timer)
{
	dial_in(timer->data, 0, "time");
}

static void on_no_hello(uv_timer_t *timer)
{
	struct err err;

	err_set(&err, ERR_RETRY, "Slack did not greet on a new socket within %d ms", GREET_MS);
	conn_fail(timer->data, DIAL_TRANSIENT, 0, &err);
}

static void on_stable(uv_timer_t *timer)
{
	struct conn *conn = timer->data;
	struct slot *slot = &conn->socket->slots[conn->slot];

	slot->stable = true;
	slot->refreshed = 0;
	backoff_reset(&slot->retry);
	backoff_reset(&slot->slow);
	backoff_reset(&slot->crowd);
}

static void on_drained(uv_timer_t *timer)
{
	struct conn *conn = timer->data;
	const struct conn *next = current(conn->socket, conn->slot);

	if (next == NULL || next->state != CONN_READY) {
		(void)uv_timer_start(timer, on_drained, DRAIN_MORE_MS, 0);
		return;
	}
	conn_enter(conn, CONN_GONE, "drained");
	tell(conn->socket, false);
}

static void log_move(const struct conn *conn, enum conn_state state, const char *why)
{
	log_debug("slack socket", LOG_INT("slot", conn->slot),
		  LOG_INT("generation", conn->generation),
		  LOG_STR("from", state_names[conn->state]), LOG_STR("to", state_names[state]),
		  LOG_STR("why", why));
}

/* The only place where a state changes. */
static void conn_enter(struct conn *conn, enum conn_state state, const char *why)
{
	assert(conn->state != CONN_GONE);
	log_move(conn, state, why);
	conn->state = state;
	(void)uv_timer_stop(&conn->timer);
	switch (state) {
	case CONN_OPENING:
		ask_for_ticket(conn);
		break;
	case CONN_CONNECTING:
	case CONN_LEAVING: /* both end within ws's own time */
		break;
	case CONN_GREETING:
		(void)uv_timer_start(&conn->timer, on_no_hello, GREET_MS, 0);
		break;
	case CONN_READY:
		conn->socket->slots[conn->slot].stable = false;
		(void)uv_timer_start(&conn->timer, on_stable, STABLE_MS, 0);
		break;
	case CONN_DRAINING:
		(void)uv_timer_start(&conn->timer, on_drained, DRAIN_MS, 0);
		break;
	case CONN_BACKOFF:
		(void)uv_timer_start(&conn->timer, on_dial_time, conn->wait_ms, 0);
		break;
	case CONN_STOPPED:
		(void)uv_timer_start(&conn->timer, on_dial_time, PROBE_MS, 0);
		break;
	case CONN_GONE:
		leave(conn);
		uv_close((uv_handle_t *)&conn->timer, on_gone);
		break;
	}
}

/* --- what is asked of it --- */

struct slack_socket *slack_socket_create(uv_loop_t *loop, struct http *http, struct ws_context *ws,
					 const struct slack_socket_config *config)
{
	struct slack_socket *socket = xcalloc(1, sizeof(*socket));

	assert(config->connections >= 1 && config->connections <= SLOTS_MAX);
	socket->loop = loop;
	socket->http = http;
	socket->ws = ws;
	socket->config = *config;
	socket->open_url = xasprintf("%sapps.connections.open", config->api_url);
	socket->stats = xcalloc(1, sizeof(*socket->stats));
	list_init(&socket->conns);
	list_init(&socket->held);
	for (uint32_t i = 0; i < config->connections; i++) {
		struct conn *conn = conn_create(socket, i);

		backoff_init(&socket->slots[i].retry, RETRY_BASE_MS, RETRY_CAP_MS);
		backoff_init(&socket->slots[i].slow, SLOW_BASE_MS, SLOW_CAP_MS);
		backoff_init(&socket->slots[i].crowd, CROWD_BASE_MS, CROWD_CAP_MS);
		conn->wait_ms = i * STAGGER_MS;
		conn_enter(conn, CONN_BACKOFF, "start");
	}
	return socket;
}

static void on_nothing_open(void *data)
{
	struct slack_socket *socket = data;

	socket->stopped = NULL;
	socket->closed(socket->closed_data);
}

void slack_socket_stop(struct slack_socket *socket, void (*closed)(void *data), void *data)
{
	struct list_node *node, *next;

	assert(!socket->stopping);
	socket->stopping = true;
	count_deaf(socket, 1); /* from here on it is on purpose */
	socket->closed = closed;
	socket->closed_data = data;
	if (socket->conns.count == 0)
		socket->stopped = call_defer(socket->loop, on_nothing_open, socket);
	for (node = list_first(&socket->conns); node != NULL; node = next) {
		struct conn *conn = list_entry(node, struct conn, node);

		next = list_next(&socket->conns, node);
		if (conn->state == CONN_GONE)
			continue;
		if (!hears(conn)) {
			conn_enter(conn, CONN_GONE, "stop");
			continue;
		}
		conn_enter(conn, CONN_LEAVING, "stop");
		ws_close(conn->ws, 1000, "stopping");
	}
	socket->stats->ready = 0;
}

void slack_socket_destroy(struct slack_socket *socket)
{
	if (socket == NULL)
		return;
	assert(socket->stopping && socket->conns.count == 0);
	call_cancel(&socket->stopped);
	held_drop(&socket->held);
	free(socket->open_url);
	free(socket->stats);
	free(socket);
}

/* On the socket it came on, else once on any that hears. */
static bool deliver_ack(struct slack_socket *socket, struct slack_via via, const char *text)
{
	size_t len = strlen(text);

	for (struct conn *conn = next_conn(socket, NULL); conn; conn = next_conn(socket, conn)) {
		if (conn->slot == via.slot && conn->generation == via.generation &&
		    send_ack(conn, text, len))
			return true;
	}
	return move_ack(socket, text, len);
}

bool slack_socket_ack(struct slack_socket *socket, struct slack_via via, const char *envelope_id,
		      const char *payload)
{
	char *text = envelope_ack(envelope_id, payload);
	bool whole = strlen(text) <= SLACK_ACK_MAX, sent;

	if (!whole) {
		free(text);
		text = envelope_ack(envelope_id, NULL);
	}
	FAILPOINT("ack.queue");
	sent = deliver_ack(socket, via, text);
	FAILPOINT("ack.queued");
	free(text);
	return whole && sent;
}

const struct slack_socket_stats *slack_socket_stats(const struct slack_socket *socket)
{
	socket->stats->deaf_ms = socket->deaf_sum_ms;
	if (socket->deaf_since_ms > 0)
		socket->stats->deaf_ms += clock_mono_ms() - socket->deaf_since_ms;
	return socket->stats;
}
