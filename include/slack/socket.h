/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket - Socket Mode: keeps n websockets to Slack open, hands over envelopes, sends acks.
 *
 * The state machine of each connection: OPENING, CONNECTING, GREETING, READY, DRAINING, BACKOFF,
 * STOPPED (facts: Slack's Socket Mode pages).  A new ticket for every dial.  At "warning" or
 * "refresh_requested" the next socket greets before the old one is left, and the old one is read
 * and answered until it closes.  At "too_many_websockets" it closes first.  Refused tokens and
 * link_disabled stop fast dialling (a probe every 5 minutes) and are reported.
 */
#ifndef OPSD_SLACK_SOCKET_H
#define OPSD_SLACK_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct envelope;
struct err;
struct http;
struct slack_socket;
struct ws_context;

/* Which socket an envelope came on; an ack goes there, else to any ready one, once. */
struct slack_via {
	uint32_t slot, generation;
};

struct slack_socket_config {
	const char *api_url;   /* ends in "/api/" */
	const char *app_token; /* xapp-…: a secret, borrowed for the life of the socket */
	unsigned connections;  /* 1 … 4 */
	bool plain_loopback;
	/* An envelope with an id; lent.  Whoever gets it must ack it by slack_socket_ack within 3
	 * s. */
	void (*envelope)(void *data, const struct envelope *envelope, struct slack_via via);
	/* The overall state changed: number of ready sockets, and the last failure (or NULL). */
	void (*state)(void *data, unsigned ready, const struct err *err, bool fatal);
	void *data;
};

struct slack_socket *slack_socket_create(uv_loop_t *loop, struct http *http, struct ws_context *ws,
					 const struct slack_socket_config *config);

/* Stops taking envelopes, sends what is queued, closes each with 1000, then calls closed (once). */
void slack_socket_stop(struct slack_socket *socket, void (*closed)(void *data), void *data);
void slack_socket_destroy(struct slack_socket *socket); /* after closed */

enum { SLACK_ACK_MAX = 16 * 1024 };

/* payload: JSON text or NULL.  false: the frame would pass SLACK_ACK_MAX (an empty ack is sent
 * instead: use the Web API), or no socket took it (Slack may deliver again). */
bool slack_socket_ack(struct slack_socket *socket, struct slack_via via, const char *envelope_id,
		      const char *payload);

struct slack_socket_stats {
	unsigned ready;
	int64_t num_connections; /* as of the last hello; more than ours means another program
				    listens too */
	uint64_t opened, refreshed, lost, envelopes, acks, acks_moved, acks_lost, bad_frames;
	int64_t deaf_ms; /* sum of times without any ready socket since the first */
};
const struct slack_socket_stats *slack_socket_stats(const struct slack_socket *socket);

#endif
