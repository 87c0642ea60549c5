/* SPDX-License-Identifier: Apache-2.0 */
/* socket_world - Socket Mode with fakes at both ends, on a clock that jumps. */
#ifndef OPSD_TESTS_FLOW_SOCKET_WORLD_H
#define OPSD_TESTS_FLOW_SOCKET_WORLD_H

#include <stdbool.h>
#include <uv.h>

#include "../fakes/fake_http.h"
#include "../fakes/fake_time.h"
#include "../fakes/fake_ws.h"
#include "../unit/test.h"
#include "base/err.h"
#include "slack/socket.h"

#define HELLO                                                                                      \
	"{\"type\":\"hello\",\"num_connections\":2,\"debug_info\":"                                \
	"{\"approximate_connection_time\":18060}}"
#define DISCONNECT(reason) "{\"type\":\"disconnect\",\"reason\":\"" reason "\"}"
#define SLASH                                                                                      \
	"{\"envelope_id\":\"e-1\",\"type\":\"slash_commands\",\"accepts_response_payload\":true,"  \
	"\"payload\":{\"user_id\":\"U1\",\"trigger_id\":\"1.2.3\"}}"

struct world {
	uv_loop_t loop;
	struct http *http;
	struct slack_socket *socket;
	unsigned ready, states, envelopes, closed;
	bool fatal;
	struct err err; /* ERR_NONE: NULL was told */
	struct slack_via via;
};

void world_open(struct world *world, unsigned connections);

/* Stops, lets the fakes answer the close, and wants an empty loop. */
void world_close(struct world *world);
void world_on_closed(void *data); /* for slack_socket_stop */

void world_run(struct world *world, unsigned ms);

/* Until request number i has been asked; gives the time that passed, at most limit_ms. */
int64_t world_wait_ask(struct world *world, size_t i, int64_t limit_ms);

void world_give_ticket(struct world *world, size_t i);

/* Ticket i, the newest websocket opens and greets; gives its number. */
size_t world_let_in(struct world *world, size_t i);

const struct slack_socket_stats *world_stats(const struct world *world);

#endif
