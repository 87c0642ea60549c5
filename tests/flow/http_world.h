/* SPDX-License-Identifier: Apache-2.0 */
/* http_world - a loop, a client and the ends of its calls, for tests beside with_http.py. */
#ifndef OPSD_TESTS_FLOW_HTTP_WORLD_H
#define OPSD_TESTS_FLOW_HTTP_WORLD_H

#include <stdbool.h>
#include <uv.h>

#include "../unit/test.h"
#include "base/err.h"
#include "net/http.h"

struct world {
	uv_loop_t loop;
	struct http *http;
	unsigned done, waiting;
	uv_timer_t watchdog;
};

struct end { /* how one call ended */
	struct world *world;
	struct call *call; /* NULL once done */
	bool failed;
	struct err err;
	int status;
	int64_t retry_after_ms, elapsed_ms;
	char body[4096]; /* its beginning */
	size_t len;
	char two[2][16];
};

/* config NULL: plain HTTP to loopback. */
void world_open(struct world *world, const struct http_config *config);
void world_close(struct world *world); /* the loop must close with nothing left */

/* "https://127.0.0.1:<port of env>/path"; valid until the next call but three. */
const char *world_url(const char *env, const char *path);

void world_start(struct world *world, struct end *end, const struct http_request *request);
void world_wait(struct world *world); /* until every started call is done */
void world_turn(struct world *world, unsigned turns);

/* One whole exchange: GET of a path of the plain server unless request says more. */
struct end world_get(struct world *world, const char *url);
struct end world_ask(struct world *world, const struct http_request *request);
int world_count(struct world *world, const char *key); /* requests that reached the server */

#endif
