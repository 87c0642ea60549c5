/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws_context.c - libwebsockets' context on our loop: settings, its log, its callback, its end.
 *
 * Nothing is read from the environment, no system store but the one CA file is loaded (that once),
 * and redirects, extensions and its own pings stay off.  The context is destroyed in two steps: the
 * handles live inside it, so the second step must wait until the loop has closed them all; and it
 * closes one descriptor twice, so nobody may open any in between.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "ws_internal.h"

static const char system_bundle[] = "/etc/ssl/certs/ca-certificates.crt";

enum {
	END_TICK_MS = 1,
	END_QUIET_TICKS = 2,
	END_TICKS_MAX = 1000, /* should somebody go on closing handles */
	HEADER_MAX = 16384,   /* of the answer to an upgrade */
	FD_MAX = 256,
	/*
	 * The plain text of one TLS record, so that one read empties it.  With less, libwebsockets
	 * 4.1 spins for ever when it closes in the middle of a record: it loops until OpenSSL has
	 * nothing pending, but no longer reads.
	 */
	READ_MAX = 16384,
	/* Our own deadlines are shorter; its connect timeout must be the shorter of the two. */
	LWS_CONNECT_S = 50,
	LWS_TIMEOUT_S = 60,
};

/* --- its log --- */

/* The reason of a failed handshake is only told here, just before the callback. */
static char last_complaint[240];

static void on_log(int level, const char *line)
{
	size_t len = strcspn(line, "\n");

	if (level == LLL_ERR) {
		if (len >= sizeof(last_complaint))
			len = sizeof(last_complaint) - 1;
		memcpy(last_complaint, line, len);
		last_complaint[len] = '\0';
	}
	log_debug("libwebsockets", LOG_STR("line", line));
}

void ws_log_forget(void)
{
	last_complaint[0] = '\0';
}

const char *ws_log_last(void)
{
	return last_complaint;
}

/* --- its callback --- */

/* Everything that libwebsockets tells comes through here.  user data NULL: nobody cares any more.
 */
int ws_on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct ws *ws = lws_get_opaque_user_data(wsi);

	(void)user;
	if (ws == NULL)
		return 0;
	switch (reason) {
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		ws_connect_failed(ws, wsi, in);
		return 0;
	case LWS_CALLBACK_CLOSED_CLIENT_HTTP: /* reset in the middle of the upgrade */
		ws_connect_failed(ws, wsi, "closed before the upgrade");
		return 0;
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		ws_opened(ws);
		return 0;
	case LWS_CALLBACK_CLIENT_RECEIVE:
		ws_received(ws, in, len);
		return 0;
	case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
		ws_ponged(ws, in, len);
		return 0;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		return ws_writeable(ws);
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		ws_peer_closes(ws, in, len);
		return 0;
	case LWS_CALLBACK_WS_CLIENT_DROP_PROTOCOL:
		ws_closing(ws);
		return 0;
	case LWS_CALLBACK_CLIENT_CLOSED:
	case LWS_CALLBACK_WSI_DESTROY: /* should there be an end that we do not know */
		ws_gone(ws, wsi);
		return 0;
	default:
		return 0;
	}
}

static const struct lws_protocols protocols[] = {
	{ .name = "opsd",
	  .callback = ws_on_event,
	  .per_session_data_size = 1, /* unused; without any it does not say that it closes */
	  .rx_buffer_size = READ_MAX },
	{ .name = NULL },
};

/* --- its life --- */

static bool make_vhost(struct ws_context *context, const struct ws_context_config *config)
{
	struct lws_context_creation_info settings = { 0 };

	settings.port = CONTEXT_PORT_NO_LISTEN;
	settings.protocols = protocols;
	settings.options =
		LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
	settings.client_ssl_ca_filepath = config->ca_file;
	settings.http_proxy_address = config->proxy;
	settings.connect_timeout_secs = LWS_CONNECT_S;
	settings.timeout_secs = LWS_TIMEOUT_S;
	settings.ka_time = 30;
	settings.ka_interval = 10;
	settings.ka_probes = 3;
	settings.gid = settings.uid = -1;
	context->vhost = lws_create_vhost(context->lws, &settings);
	return context->vhost != NULL &&
	       lws_init_vhost_client_ssl(&settings, context->vhost) == 0 &&
	       last_complaint[0] == '\0';
}

static bool make_lws(struct ws_context *context)
{
	struct lws_context_creation_info settings = { 0 };
	void *loops[] = { context->loop };

	settings.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
			   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
	settings.foreign_loops = loops;
	settings.port = CONTEXT_PORT_NO_LISTEN;
	settings.pcontext = &context->lws;
	settings.connect_timeout_secs = LWS_CONNECT_S;
	settings.timeout_secs = LWS_TIMEOUT_S;
	settings.fd_limit_per_thread = FD_MAX;
	settings.pt_serv_buf_size = READ_MAX;
	settings.max_http_header_data = HEADER_MAX;
	settings.gid = settings.uid = -1;
	context->lws = lws_create_context(&settings);
	return context->lws != NULL;
}

static void on_end_closed(uv_handle_t *handle)
{
	struct ws_context *context = handle->data;
	void (*done)(void *) = context->done;
	void *data = context->data;

	free(context);
	if (done != NULL)
		done(data);
}

static void on_closing(uv_handle_t *handle, void *data)
{
	bool *ret_busy = data;

	if (uv_is_closing(handle))
		*ret_busy = true;
}

/* First our own sockets, then libwebsockets' handles, then itself; each when nothing closes any
 * more.
 */
static void on_end_tick(uv_timer_t *timer)
{
	struct ws_context *context = timer->data;
	bool busy = context->sockets.count > 0;

	uv_walk(timer->loop, on_closing, &busy);
	context->quiet_ticks = busy ? 0 : context->quiet_ticks + 1;
	context->ticks++;
	if (context->quiet_ticks < END_QUIET_TICKS && context->ticks < END_TICKS_MAX)
		return;
	context->quiet_ticks = 0;
	context->ticks = 0;
	if (context->lws != NULL && !context->ending) {
		context->ending = true;
		lws_context_destroy(context->lws);
		return;
	}
	while (context->lws != NULL)
		lws_context_destroy(context->lws);
	uv_close((uv_handle_t *)timer, on_end_closed);
}

struct ws_context *ws_context_create(uv_loop_t *loop, const struct ws_context_config *config,
				     struct err *err)
{
	struct ws_context_config with = *config;
	struct ws_context *context;

	if (with.ca_file == NULL)
		with.ca_file = system_bundle;
	if (access(with.ca_file, R_OK) != 0) {
		err_set(err, ERR_INVALID, "the CA file %s cannot be read", with.ca_file);
		return NULL;
	}
	if (with.proxy != NULL && !ws_proxy_ok(with.proxy, err))
		return NULL;
	(void)unsetenv("http_proxy"); /* it would be used, for wss:// too */
	lws_set_log_level(LLL_ERR | LLL_WARN, on_log);
	context = xcalloc(1, sizeof(*context));
	context->loop = loop;
	context->plain_loopback = config->plain_loopback;
	context->proxied = config->proxy != NULL;
	list_init(&context->sockets);
	(void)uv_timer_init(loop, &context->end);
	context->end.data = context;
	ws_log_forget();
	if (make_lws(context) && make_vhost(context, &with))
		return context;
	if (context->lws == NULL)
		err_set(err, ERR_INVALID,
			"libwebsockets does not start: %s (is its libuv plug-in installed?)",
			last_complaint);
	else
		err_set(err, ERR_INVALID, "libwebsockets does not take the CA file %s: %s",
			with.ca_file, last_complaint);
	ws_context_destroy(context, NULL, NULL);
	return NULL;
}

void ws_context_destroy(struct ws_context *context, void (*done)(void *data), void *data)
{
	struct list_node *node, *next;

	if (context == NULL)
		return;
	context->done = done;
	context->data = data;
	for (node = list_first(&context->sockets); node != NULL; node = next) {
		next = list_next(&context->sockets, node);
		ws_abandon(list_entry(node, struct ws, node));
	}
	(void)uv_timer_start(&context->end, on_end_tick, END_TICK_MS, END_TICK_MS);
}
