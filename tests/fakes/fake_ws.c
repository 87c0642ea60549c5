/* SPDX-License-Identifier: Apache-2.0 */
/* fake_ws.c - linked in place of src/net/ws.c. */
#include "fake_ws.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/xalloc.h"
#include "net/ws.h"

struct ws {
	struct fake_ws seen;
	struct ws_events events;
	void *data;
	bool opened;
};

static struct ws *sockets[FAKE_WS_MAX];
static size_t n_sockets;

void fake_ws_reset(void)
{
	while (n_sockets > 0) {
		struct ws *ws = sockets[--n_sockets];

		assert(ws->seen.life == FAKE_WS_CLOSED || ws->seen.life == FAKE_WS_ABANDONED);
		while (ws->seen.n_sent > 0)
			free(ws->seen.sent[--ws->seen.n_sent]);
		free(ws->seen.url);
		free(ws);
	}
}

size_t fake_ws_count(void)
{
	return n_sockets;
}

struct fake_ws *fake_ws_at(size_t i)
{
	assert(i < n_sockets);
	return &sockets[i]->seen;
}

size_t fake_ws_living(void)
{
	size_t n = 0;

	for (size_t i = 0; i < n_sockets; i++)
		n += sockets[i]->seen.life < FAKE_WS_CLOSED ? 1 : 0;
	return n;
}

void fake_ws_open(size_t i)
{
	struct ws *ws = sockets[i];

	assert(i < n_sockets && ws->seen.life == FAKE_WS_DIALLING);
	ws->seen.life = FAKE_WS_OPEN;
	ws->opened = true;
	ws->events.open(ws->data);
}

void fake_ws_say(size_t i, const char *text)
{
	struct ws *ws = sockets[i];

	assert(i < n_sockets && ws->seen.life == FAKE_WS_OPEN);
	ws->events.message(ws->data, text, strlen(text));
}

void fake_ws_close(size_t i, int status, int code, int64_t retry_after_ms, const char *why)
{
	struct ws *ws = sockets[i];
	struct ws_end end = { .opened = ws->opened,
			      .ours = ws->seen.life == FAKE_WS_CLOSING,
			      .status = status,
			      .code = code,
			      .retry_after_ms = retry_after_ms };
	struct err err;

	assert(i < n_sockets && ws->seen.life < FAKE_WS_CLOSED);
	err_set(&err, ws->opened ? ERR_UNCERTAIN : ERR_RETRY, "%s", why);
	end.err = &err;
	ws->seen.life = FAKE_WS_CLOSED;
	ws->events.closed(ws->data, &end);
}

struct ws *ws_start(struct ws_context *context, const struct ws_config *config,
		    const struct ws_events *events, void *data)
{
	struct ws *ws = xcalloc(1, sizeof(*ws));

	(void)context;
	assert(n_sockets < FAKE_WS_MAX);
	ws->seen.url = xstrdup(config->url);
	ws->events = *events;
	ws->data = data;
	sockets[n_sockets++] = ws;
	return ws;
}

bool ws_send(struct ws *ws, const char *text, size_t len)
{
	assert(ws->seen.life < FAKE_WS_CLOSED);
	if (ws->seen.life != FAKE_WS_OPEN || ws->seen.full || ws->seen.n_sent == FAKE_WS_SENT)
		return false;
	ws->seen.sent[ws->seen.n_sent++] = xstrndup(text, len);
	return true;
}

size_t ws_queued(const struct ws *ws)
{
	(void)ws;
	return 0;
}

void ws_close(struct ws *ws, int code, const char *reason)
{
	(void)reason;
	assert(ws->seen.life < FAKE_WS_CLOSED);
	ws->seen.life = FAKE_WS_CLOSING;
	ws->seen.close_code = code;
}

void ws_abandon(struct ws *ws)
{
	if (ws == NULL)
		return;
	assert(ws->seen.life < FAKE_WS_CLOSED);
	ws->seen.life = FAKE_WS_ABANDONED;
}
