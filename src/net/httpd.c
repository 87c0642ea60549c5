/* SPDX-License-Identifier: Apache-2.0 */
/*
 * httpd.c - libmicrohttpd without threads: its epoll descriptor is polled by the loop, its next
 * timeout is our timer.  It runs only from those two, so the page function is always called from
 * the loop.
 */
#include "net/httpd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"

enum { CONNECTIONS_MAX = 32, CONNECTION_S = 5, CONNECTION_MEMORY = 16 * 1024, PAGE_MAX = 1 << 20 };

struct httpd {
	struct MHD_Daemon *daemon;
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned handles;
	uint16_t port;
	httpd_page_fn page;
	void *data;
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* --- answers --- */

static struct MHD_Response *make_response(struct buf *body, const char *type)
{
	size_t len = body->len;
	struct MHD_Response *response =
		MHD_create_response_from_buffer(len, buf_take(body), MHD_RESPMEM_MUST_FREE);

	if (response == NULL)
		return NULL;
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	(void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	/* Scrapes and probes are seconds apart: a kept connection would only take a place. */
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	return response;
}

static enum MHD_Result answer(struct httpd *httpd, struct MHD_Connection *connection,
			      const char *url, const char *method)
{
	bool reads = str_eq(method, "GET") || str_eq(method, "HEAD");
	const char *type = "text/plain; charset=utf-8";
	int status = MHD_HTTP_METHOD_NOT_ALLOWED;
	struct MHD_Response *response;
	enum MHD_Result queued;
	struct buf body;

	buf_init(&body, PAGE_MAX);
	if (reads)
		status = httpd->page(httpd->data, url, &body, &type);
	if (body.overflow) {
		log_error("page too large", LOG_STR("path", url));
		buf_reset(&body);
		status = MHD_HTTP_INTERNAL_SERVER_ERROR;
	}
	response = make_response(&body, type);
	buf_finish(&body);
	if (response == NULL)
		return MHD_NO;
	if (!reads)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	queued = MHD_queue_response(connection, (unsigned)status, response);
	MHD_destroy_response(response);
	return queued;
}

/* Called once with the headers, perhaps with pieces of a body (dropped), and once at the end. */
static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_len, void **seen)
{
	static char first;

	(void)version;
	(void)upload;
	if (*seen == NULL) {
		*seen = &first;
		return MHD_YES;
	}
	if (*upload_len != 0) {
		*upload_len = 0;
		return MHD_YES;
	}
	return answer(data, connection, url, method);
}

/* --- on the loop --- */

static void run(struct httpd *httpd);

static void on_timer(uv_timer_t *timer)
{
	run(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	run(poll->data);
}

static void run(struct httpd *httpd)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;

	(void)MHD_run(httpd->daemon);
	if (MHD_get_timeout(httpd->daemon, &wait_ms) == MHD_YES)
		(void)uv_timer_start(&httpd->timer, on_timer, wait_ms, 0);
	else
		(void)uv_timer_stop(&httpd->timer);
}

static void on_closed(uv_handle_t *handle)
{
	struct httpd *httpd = handle->data;

	if (--httpd->handles == 0)
		free(httpd);
}

static void on_log(void *data, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

static void on_log(void *data, const char *fmt, va_list ap)
{
	struct err text;

	(void)data;
	err_vset(&text, ERR_INTERNAL, fmt, ap);
	log_debug("http page", LOG_STR("reason", text.msg));
}

/* --- listening --- */

/* "127.0.0.1:9464", "[::1]:0": numbers only, so that nothing is looked up. */
static bool parse_listen(const char *text, union address *ret_address, socklen_t *ret_len)
{
	const char *colon = text == NULL ? NULL : strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2] = "";
	size_t len = colon == NULL ? 0 : (size_t)(colon - text);
	int64_t port;

	memset(ret_address, 0, sizeof(*ret_address));
	if (len == 0 || len >= sizeof(host) || !str_to_i64(colon + 1, &port) || port < 0 ||
	    port > UINT16_MAX)
		return false;
	memcpy(host, text, len);
	if (inet_pton(AF_INET, host, &ret_address->v4.sin_addr) == 1) {
		ret_address->v4.sin_family = AF_INET;
		ret_address->v4.sin_port = htons((uint16_t)port);
		*ret_len = sizeof(ret_address->v4);
		return true;
	}
	if (host[0] != '[' || host[len - 1] != ']')
		return false;
	host[len - 1] = '\0';
	ret_address->v6.sin6_family = AF_INET6;
	ret_address->v6.sin6_port = htons((uint16_t)port);
	*ret_len = sizeof(ret_address->v6);
	return inet_pton(AF_INET6, host + 1, &ret_address->v6.sin6_addr) == 1;
}

/* A listening socket, or -1 with errno. */
static int open_listener(const union address *address, socklen_t len)
{
	int on = 1;
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &address->any, len) == 0 && listen(fd, CONNECTIONS_MAX) == 0)
		return fd;
	on = errno;
	(void)close(fd);
	errno = on;
	return -1;
}

static uint16_t bound_port(int fd)
{
	union address address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, &address.any, &len) != 0)
		return 0;
	return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port
						       : address.v4.sin_port);
}

static bool start_daemon(struct httpd *httpd, const char *text, struct err *err)
{
	union address address;
	socklen_t len = 0;
	int fd;

	if (!parse_listen(text, &address, &len)) {
		err_set(err, ERR_INVALID,
			"\"%s\" is not an address to listen on; write it like 127.0.0.1:9464 or "
			"[::1]:9464",
			text == NULL ? "" : text);
		return false;
	}
	fd = open_listener(&address, len);
	if (fd < 0) {
		err_set(err, ERR_INVALID, "cannot listen on %s: %s", text, strerrordesc_np(errno));
		return false;
	}
	httpd->port = bound_port(fd);
	httpd->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, httpd,
		MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNECTION_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
	if (httpd->daemon == NULL) {
		err_set(err, ERR_INTERNAL, "cannot serve pages on %s", text);
		(void)close(fd);
	}
	return httpd->daemon != NULL;
}

struct httpd *httpd_create(uv_loop_t *loop, const char *listen, httpd_page_fn page, void *data,
			   struct err *err)
{
	struct httpd *httpd = xcalloc(1, sizeof(*httpd));
	const union MHD_DaemonInfo *info;

	httpd->page = page;
	httpd->data = data;
	if (!start_daemon(httpd, listen, err)) {
		free(httpd);
		return NULL;
	}
	info = MHD_get_daemon_info(httpd->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL || uv_poll_init(loop, &httpd->poll, info->epoll_fd) != 0) {
		err_set(err, ERR_INTERNAL, "cannot watch the pages' connections");
		MHD_stop_daemon(httpd->daemon);
		free(httpd);
		return NULL;
	}
	(void)uv_timer_init(loop, &httpd->timer);
	httpd->poll.data = httpd;
	httpd->timer.data = httpd;
	httpd->handles = 2;
	(void)uv_poll_start(&httpd->poll, UV_READABLE, on_poll);
	return httpd;
}

uint16_t httpd_port(const struct httpd *httpd)
{
	return httpd->port;
}

void httpd_destroy(struct httpd *httpd)
{
	if (httpd == NULL)
		return;
	(void)uv_poll_stop(&httpd->poll); /* before its descriptor is closed */
	(void)uv_timer_stop(&httpd->timer);
	MHD_stop_daemon(httpd->daemon);
	uv_close((uv_handle_t *)&httpd->poll, on_closed);
	uv_close((uv_handle_t *)&httpd->timer, on_closed);
}
