/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws - one client websocket through libwebsockets on our loop, reduced to five events.
 *
 * The guard rails of libwebsockets 4.1 live behind this header: names are resolved off the loop
 * and every address is tried; a connection attempt has one deadline; pings are our own; messages
 * have a size cap; closing sends a close frame, then leaves within 1 s whatever the peer does.
 */
#ifndef OPSD_NET_WS_H
#define OPSD_NET_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct err;
struct ws_context; /* libwebsockets' context: one per process */
struct ws;
struct ws_end;

struct ws_context_config {
	const char *ca_file; /* PEM; NULL: the system's bundle */
	const char *proxy;   /* "ip:port" or NULL */
	bool plain_loopback; /* allow ws:// to a loopback address */
};

/* NULL: err (the plugin package is missing, the CA file cannot be read, …). */
struct ws_context *ws_context_create(uv_loop_t *loop, const struct ws_context_config *config,
				     struct err *err);

/* Asynchronous, in two steps (libwebsockets needs it): destroy last, after every other user of the
 * loop has closed its descriptors.  done is called when the memory may go. */
void ws_context_destroy(struct ws_context *context, void (*done)(void *data), void *data);

struct ws_events {
	void (*open)(void *data);
	void (*message)(void *data, const char *text,
			size_t len); /* whole text message; NUL-terminated besides */
	void (*pong)(void *data, uint32_t rtt_ms);
	/* Before closed, for each frame that was queued and may not have left whole: the peer
	 * closes, or is lost.  May be NULL. */
	void (*unsent)(void *data, const char *text, size_t len);
	/* Last event, exactly once unless ws_abandon was called: refused, lost, closed by peer or
	 * by us. status: HTTP status of a refused upgrade or 0; code: close code of the peer or 0;
	 * retry_after_ms: -1 when none was given. */
	void (*closed)(void *data, const struct ws_end *end);
};

struct ws_end {
	bool opened; /* had it been open */
	bool ours;   /* we asked */
	int status;
	int code; /* libwebsockets 4.1 shows 1012 … 1014 as 1002 */
	int64_t retry_after_ms;
	const struct err *err; /* sentence; kind ERR_RETRY before open, ERR_UNCERTAIN after */
};

struct ws_config {
	const char *url;     /* wss://host[:port]/path?query sent untouched; copied */
	unsigned connect_ms; /* resolve + TCP + TLS + upgrade, together; 0: 10,000 */
	unsigned ping_ms;    /* 0: 10,000 */
	unsigned dead_ms;    /* no frame of any kind for so long: lost; 0: 30,000 */
	size_t max_message;  /* 0: 1 MiB; larger closes with 1009 */
	size_t max_queued;   /* bytes waiting to be sent; 0: 4 MiB */
};

struct ws *ws_start(struct ws_context *context, const struct ws_config *config,
		    const struct ws_events *events, void *data);

/* One unfragmented text frame.  false: not open, or the queue is full; nothing was queued. */
bool ws_send(struct ws *ws, const char *text, size_t len);
size_t ws_queued(const struct ws *ws); /* bytes not yet handed to the kernel */

void ws_close(struct ws *ws, int code, const char *reason); /* closed follows within 1 s or so */
void ws_abandon(struct ws *ws);                             /* no event any more; closes at once */

#endif
