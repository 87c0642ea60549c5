/* SPDX-License-Identifier: Apache-2.0 */
/* ws_world - a loop, a context and what its websockets told, for tests beside hostile_ws.py. */
#ifndef OPSD_TESTS_FLOW_WS_WORLD_H
#define OPSD_TESTS_FLOW_WS_WORLD_H

#include <stdbool.h>
#include <uv.h>

#include "../unit/test.h"
#include "base/err.h"
#include "net/ws.h"

enum { WORLD_LIMIT_MS = 90000 };

struct world {
	uv_loop_t loop;
	struct ws_context *context;
	bool gone;
	uv_timer_t watchdog;
};

struct seen { /* what one websocket told */
	struct world *world;
	struct ws *ws; /* NULL once closed */
	unsigned opened, closed, messages, pongs;
	size_t bytes;
	char last[512]; /* the last message's beginning */
	struct ws_end end;
	struct err err;
	uint64_t started_ms, opened_ms, closed_ms; /* by world_now */
	/* Called for each, when not NULL. */
	void (*on_open)(struct seen *seen);
	void (*on_message)(struct seen *seen, const char *text, size_t len);
};

void world_open(struct world *world); /* trusts the test's CA, allows ws:// to loopback */
void world_open_proxied(struct world *world, const char *proxy);
void world_close(struct world *world);         /* the loop must close with nothing left */
uint64_t world_now(const struct world *world); /* ms, without what stalled us */
/* false: not within WORLD_LIMIT_MS, which is for what is broken, not for what is slow. */
bool world_run_until(struct world *world, const unsigned *counter, unsigned value);
void world_run_for(struct world *world, unsigned ms);

/* "wss://127.0.0.1:<port of WS_env>/path"; ws:// for PLAIN; a port given as "=9" stays. */
const char *world_url(const char *host, const char *env, const char *path);

/* config->url NULL stays; the others as given. */
void world_start(struct world *world, struct seen *seen, const struct ws_config *config);
void world_end(struct world *world, struct seen *seen); /* waits for closed */

/* What the server saw of a connection with ?key=…; valid until the next call. */
const char *world_ask(struct world *world, const char *key);

/* … once it has seen this, for it may read later than we close. */
const char *world_saw(struct world *world, const char *key, const char *text);

#endif
