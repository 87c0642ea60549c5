/* SPDX-License-Identifier: Apache-2.0 */
/* ws_internal.h - what the files of net/ws share: the context, one connection, and who calls whom.
 */
#ifndef OPSD_NET_WS_INTERNAL_H
#define OPSD_NET_WS_INTERNAL_H

#include <libwebsockets.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "net/resolve.h"
#include "net/ws.h"

enum {
	WS_HOST_MAX = 120,  /* libwebsockets cuts the Host line at 127 bytes, */
	WS_PATH_MAX = 1900, /* and the request line at 2047 */
	WS_CLOSE_MS = 1000, /* how long a peer may take to answer a close */
};

struct ws_context {
	uv_loop_t *loop;
	struct lws_context *lws; /* set to NULL by libwebsockets when it is gone */
	struct lws_vhost *vhost;
	bool plain_loopback, proxied;
	struct list sockets;
	uv_timer_t end; /* watches the end; closing it frees */
	unsigned ticks, quiet_ticks;
	bool ending; /* libwebsockets closes its handles */
	void (*done)(void *data);
	void *data;
};

enum ws_state {
	WS_RESOLVING,  /* the addresses of the host */
	WS_CONNECTING, /* TCP, TLS and upgrade with one address after the other */
	WS_OPEN,
	WS_FLUSHING,  /* ws_close was called: what is queued goes out first */
	WS_CLOSING,   /* a close frame is on its way, the peer has a second to answer */
	WS_ENDED,     /* closed is called on the next turn */
	WS_ABANDONED, /* it goes on the next turn, without a word */
};

struct ws_url {
	bool tls;
	char host[WS_HOST_MAX + 1]; /* without brackets */
	char authority[WS_HOST_MAX + 1];
	int port;
	char *path; /* and query */
};

struct ws {
	struct list_node node;
	struct ws_context *context;
	enum ws_state state;
	uv_timer_t
		deadline; /* RESOLVING, CONNECTING: all in all; OPEN: silence; CLOSING: patience */
	uv_timer_t attempt; /* CONNECTING: the one address; OPEN: the next ping */
	uv_timer_t turn;    /* "soon, but not inside this callback" */
	unsigned handles;   /* not yet closed; the last one frees */
	struct ws_events events;
	void *data;
	unsigned connect_ms, ping_ms, dead_ms;
	size_t max_message, max_queued;
	struct ws_url url;

	struct call *resolve;
	struct resolved addresses;
	size_t next; /* address to try */
	uint64_t give_up_ms;
	bool trying;          /* between the start of an attempt and its end */
	uv_handle_t *watcher; /* libwebsockets' own for the attempt, only to compare */
	bool watcher_leaked;

	struct lws *wsi; /* NULL: libwebsockets has, or had, nothing for us any more */
	struct buf in;   /* the message so far */
	uint64_t heard_ms;
	bool ping_due;
	struct list out; /* struct ws_frame; the first may be with libwebsockets already */
	size_t queued;
	bool writing; /* the first of out was handed over, and not yet confirmed */

	int close_code; /* what we say */
	char close_reason[80];
	struct ws_end end;
	struct err end_err;
};

/* ws_context.c */
int ws_on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		size_t len);
void ws_log_forget(void);
const char *ws_log_last(void); /* libwebsockets' last complaint since, or "" */

/* ws_url.c; err: ERR_RETRY, as every end before open */
bool ws_url_parse(const char *url, bool plain_loopback, struct ws_url *ret_url, struct err *err);
bool ws_proxy_ok(const char *proxy, struct err *err); /* err: ERR_INVALID */

/* ws_connect.c */
void ws_connect_start(struct ws *ws);
void ws_connect_next(struct ws *ws); /* on our own turn only */
void ws_connect_failed(struct ws *ws, struct lws *wsi, const char *why);
void ws_connect_sweep(struct ws *ws); /* closes a watcher that libwebsockets forgot */

/* ws.c */
void ws_enter(struct ws *ws, enum ws_state state); /* the only place where the state changes */
void ws_soon(struct ws *ws);
void ws_drop_wsi(struct ws *ws); /* on our own turn only: kills it without a close frame */
void ws_fail(struct ws *ws, enum err_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void ws_opened(struct ws *ws);
void ws_received(struct ws *ws, const char *piece, size_t len);
void ws_ponged(struct ws *ws, const char *payload, size_t len);
int ws_writeable(struct ws *ws);
void ws_peer_closes(struct ws *ws, const unsigned char *payload, size_t len);
void ws_closing(struct ws *ws);
void ws_gone(struct ws *ws, struct lws *wsi);

#endif
