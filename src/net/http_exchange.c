/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_exchange.c - one exchange in libcurl's terms: what is asked for, what comes back, what an
 * end means.
 *
 * HTTP/1.1 only: there libcurl's count of request bytes says exactly whether anything was written.
 * libcurl sends a request again by itself when a kept connection dies before the answer begins; the
 * pre-request callback bars that for everything but reads once a byte was written.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "http_internal.h"

#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"
#define METADATA "169.254.169.254"

enum { DEFAULT_TIMEOUT_MS = 10000, DEFAULT_BODY_MAX = 1024 * 1024, CA_FILE_S = 600 };
static const long KEPT_S = 55; /* load balancers drop idle connections after 60 s */
static const long RECENT_S = 2;

bool exchange_is_read(const struct exchange *x)
{
	return str_eq(x->method, "GET") || str_eq(x->method, "HEAD");
}

/* --- taking a request --- */

static bool line_ok(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

static bool method_ok(const char *method)
{
	size_t n = method == NULL ? 0 : strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

	return n > 0 && n < 16 && method[n] == '\0';
}

static bool take_header(struct exchange *x, const char *text, struct err *err)
{
	struct curl_slist *more;

	if (!line_ok(text) || strchr(text, ':') == NULL) {
		err_set(err, ERR_INVALID, "%s: a header for %s holds a line break or no colon",
			x->http->config.name, x->host);
		return false;
	}
	more = curl_slist_append(x->headers, text);
	assert(more != NULL);
	x->headers = more;
	return true;
}

static bool take_headers(struct exchange *x, const struct http_request *request, struct err *err)
{
	bool typed = false, good = true;

	for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++) {
		typed = typed || strncasecmp(request->headers[i], "Content-Type:", 13) == 0;
		if (!take_header(x, request->headers[i], err))
			return false;
	}
	if (request->bearer != NULL) {
		char *text = xasprintf("Authorization: Bearer %s", request->bearer);

		good = take_header(x, text, err);
		explicit_bzero(text, strlen(text));
		free(text);
	}
	/* No wait for "100 Continue", and no type that libcurl makes up. */
	return good && take_header(x, "Expect:", err) &&
	       (typed || take_header(x, "Content-Type:", err));
}

static char *url_part(CURLU *url, CURLUPart part, unsigned flags)
{
	char *text = NULL, *own;

	if (curl_url_get(url, part, &text, flags) != CURLUE_OK)
		return NULL;
	own = xstrdup(text);
	curl_free(text);
	return own;
}

static bool loopback_name(const char *host)
{
	struct in_addr v4;

	if (str_ieq(host, "localhost") || str_eq(host, "[::1]"))
		return true;
	return inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

/* The cluster's certificate may carry another name than the address: ask for that name, go to the
 * address. */
static void take_server_name(struct exchange *x, CURLU *url)
{
	const char *name = x->http->config.tls.server_name;
	char *host = url_part(url, CURLUPART_HOST, 0);
	char *port = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	char *route, *header;

	if (name == NULL || x->plain || str_ieq(name, host)) {
		free(host);
		free(port);
		return;
	}
	route = xasprintf("%s:%s:%s:%s", name, port, host, port);
	header = xasprintf("Host: %s", x->host);
	x->connect_to = curl_slist_append(NULL, route);
	x->headers = curl_slist_append(x->headers, header);
	(void)curl_url_set(url, CURLUPART_HOST, name, 0);
	free(x->url);
	x->url = url_part(url, CURLUPART_URL, 0);
	free(route);
	free(header);
	free(host);
	free(port);
}

/* Where a cloud tells a machine about itself, without TLS: it is the machine's own host. */
static bool metadata_name(const char *host)
{
	return str_eq(host, METADATA);
}

/* NULL: http:// may lead there. */
static const char *plain_fault(const struct http_config *config, const char *host)
{
	if ((config->plain_loopback && loopback_name(host)) ||
	    (config->plain_metadata && metadata_name(host)))
		return NULL;
	return config->plain_loopback
		       ? "http:// is allowed to this machine only (127.0.0.1, [::1], localhost)"
		       : "it must begin with https://";
}

static bool url_check(CURLU *url, const char *text, const struct http_config *config,
		      struct err *err)
{
	char *scheme = NULL, *host = NULL, *user = NULL;
	const char *wrong = NULL;

	if (text == NULL || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK) {
		err_set(err, ERR_INVALID, "\"%.100s\" is not a URL", text == NULL ? "" : text);
		return false;
	}
	scheme = url_part(url, CURLUPART_SCHEME, 0);
	host = url_part(url, CURLUPART_HOST, 0);
	user = url_part(url, CURLUPART_USER, 0);
	if (!line_ok(text) || strchr(text, ' ') != NULL)
		wrong = "it holds a space or a control character";
	else if (user != NULL || strchr(host == NULL ? "" : host, '@') != NULL)
		wrong = "a name or password in a URL is not allowed";
	else if (strchr(text, '#') != NULL)
		wrong = "a fragment (#…) is not allowed";
	else if (host == NULL || *host == '\0' || strstr(text, ":///") != NULL ||
		 strstr(text, "://") == NULL)
		wrong = "it has no host";
	else if (str_eq(scheme, "http"))
		wrong = plain_fault(config, host);
	else if (!str_eq(scheme, "https"))
		wrong = "it must begin with https://";
	if (wrong != NULL)
		err_set(err, ERR_INVALID, "the URL for %.100s: %s",
			host == NULL || *host == '\0' ? "?" : host, wrong);
	free(scheme);
	free(host);
	free(user);
	return wrong == NULL;
}

bool http_url_ok(const char *url, bool plain_loopback, struct err *err)
{
	const struct http_config config = { .plain_loopback = plain_loopback };
	CURLU *parsed = curl_url();
	bool good;

	assert(parsed != NULL);
	good = url_check(parsed, url, &config, err);
	curl_url_cleanup(parsed);
	return good;
}

static bool take_url(struct exchange *x, const struct http_request *request, struct err *err)
{
	CURLU *url = curl_url();
	char *host, *port;

	assert(url != NULL);
	if (!url_check(url, request->url, &x->http->config, err)) {
		err_prefix(err, "%s", x->http->config.name);
		curl_url_cleanup(url);
		return false;
	}
	host = url_part(url, CURLUPART_HOST, 0);
	port = url_part(url, CURLUPART_PORT, 0);
	x->host = port == NULL ? xstrdup(host) : xasprintf("%s:%s", host, port);
	x->url = xstrdup(request->url);
	x->plain = strncasecmp(request->url, "http:", 5) == 0;
	take_server_name(x, url);
	free(host);
	free(port);
	curl_url_cleanup(url);
	return true;
}

bool exchange_take(struct exchange *x, const struct http_request *request, struct err *err)
{
	buf_init(&x->answer, request->max_body != 0 ? request->max_body : DEFAULT_BODY_MAX);
	buf_init(&x->head, HTTP_HEADERS_MAX);
	x->timeout_ms = request->timeout_ms != 0 ? request->timeout_ms : DEFAULT_TIMEOUT_MS;
	x->idle_ms = request->idle_ms;
	x->on_data = request->on_data;
	x->connection = request->connection;
	if (!method_ok(request->method)) {
		err_set(err, ERR_INVALID, "%s: no such HTTP method", x->http->config.name);
		return false;
	}
	x->method = xstrdup(request->method);
	if (request->body != NULL) {
		x->body = xmalloc(request->body_len + 1);
		memcpy(x->body, request->body, request->body_len);
		x->body_len = request->body_len;
	}
	return take_url(x, request, err) && take_headers(x, request, err);
}

static void forget_headers(struct curl_slist *list)
{
	for (struct curl_slist *item = list; item != NULL; item = item->next)
		explicit_bzero(item->data, strlen(item->data));
	curl_slist_free_all(list);
}

void exchange_release(struct exchange *x)
{
	if (x->body != NULL)
		explicit_bzero(x->body, x->body_len);
	free(x->body);
	free(x->method);
	free(x->url);
	free(x->host);
	forget_headers(x->headers);
	curl_slist_free_all(x->connect_to);
	buf_finish(&x->answer);
	buf_finish(&x->head);
}

/* --- what libcurl calls --- */

static bool is_stream(const struct exchange *x)
{
	long status = 0;

	(void)curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	return x->on_data != NULL && status >= 200 && status <= 299;
}

static size_t on_write(char *piece, size_t size, size_t n, void *data)
{
	struct exchange *x = data;
	size_t len = size * n;

	if (x->dead)
		return CURL_WRITEFUNC_ERROR;
	if (!is_stream(x))
		return buf_append(&x->answer, piece, len) ? len : CURL_WRITEFUNC_ERROR;
	if (x->idle_ms > 0)
		(void)uv_timer_again(&x->deadline);
	x->stopped = !x->on_data(x->data, piece, len);
	return x->stopped || x->dead ? CURL_WRITEFUNC_ERROR : len;
}

static void first_byte(struct exchange *x)
{
	uv_timer_cb expired = x->deadline.timer_cb;

	x->answering = true;
	if (x->on_data == NULL)
		return;
	(void)uv_timer_stop(&x->deadline);
	if (x->idle_ms > 0)
		(void)uv_timer_start(&x->deadline, expired, x->idle_ms, x->idle_ms);
}

/* Header lines, each ended by a NUL; those of an earlier answer (100 Continue) are dropped. */
static size_t on_header(char *line, size_t size, size_t n, void *data)
{
	struct exchange *x = data;
	size_t len = size * n, kept = len;

	if (x->dead)
		return 0;
	if (!x->answering)
		first_byte(x);
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
		buf_reset(&x->head);
	while (kept > 0 && (line[kept - 1] == '\r' || line[kept - 1] == '\n'))
		kept--;
	if (kept == 0 && is_stream(x)) {
		x->stopped = !x->on_data(x->data, "", 0);
		return x->stopped || x->dead ? 0 : len;
	}
	if (memchr(line, '\0', kept) != NULL)
		return len;
	return buf_append(&x->head, line, kept) && buf_append(&x->head, "", 1) ? len : 0;
}

bool exchange_sent(const struct exchange *x)
{
	long bytes = 0;

	if (x->easy != NULL)
		(void)curl_easy_getinfo(x->easy, CURLINFO_REQUEST_SIZE, &bytes);
	return x->attempts > 0 && bytes > 0;
}

static int on_ready(void *data, char *ip, char *local_ip, int port, int local_port)
{
	struct exchange *x = data;

	(void)ip;
	(void)local_ip;
	(void)port;
	(void)local_port;
	if (x->dead)
		return CURL_PREREQFUNC_ABORT;
	if (!exchange_is_read(x) && exchange_sent(x)) {
		x->resend_barred = true;
		return CURL_PREREQFUNC_ABORT;
	}
	x->attempts++;
	return CURL_PREREQFUNC_OK;
}

/* What plain_fault() allows, as an address. */
static bool plain_address(const struct http_config *config, const struct sockaddr *addr)
{
	if (addr->sa_family == AF_INET) {
		uint32_t v4 =
			ntohl(((const struct sockaddr_in *)(const void *)addr)->sin_addr.s_addr);

		return v4 >> 24 == 127 ||
		       (config->plain_metadata && v4 == ntohl(inet_addr(METADATA)));
	}
	return addr->sa_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr);
}

/* Not inherited by children; and a plain URL never leaves the machine, whatever its name resolves
 * to. */
static curl_socket_t on_open(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
	const struct exchange *x = data;

	(void)purpose;
	if (x->plain && !plain_address(&x->http->config, &address->addr))
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* --- options --- */

#define SET(option, value) (void)curl_easy_setopt(easy, (option), (value))

static void set_blob(CURL *easy, CURLoption option, const char *pem)
{
	struct curl_blob blob = { .data = (void *)pem,
				  .len = strlen(pem),
				  .flags = CURL_BLOB_NOCOPY };

	SET(option, &blob);
}

static void set_tls(CURL *easy, const struct http_tls *tls)
{
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	/* The compiled-in CAPATH would switch the CA cache off: 50 ms of parsing per connection. */
	SET(CURLOPT_CAPATH, NULL);
	/* A file of one's own is small and may be replaced while we run; the system's is large. */
	SET(CURLOPT_CA_CACHE_TIMEOUT, tls->ca_file != NULL ? (long)CA_FILE_S : -1L);
	if (tls->ca_pem != NULL) {
		SET(CURLOPT_CAINFO, NULL);
		set_blob(easy, CURLOPT_CAINFO_BLOB, tls->ca_pem);
	} else {
		SET(CURLOPT_CAINFO, tls->ca_file != NULL ? tls->ca_file : SYSTEM_CA);
	}
	if (tls->cert_pem != NULL && tls->key_pem != NULL) {
		set_blob(easy, CURLOPT_SSLCERT_BLOB, tls->cert_pem);
		set_blob(easy, CURLOPT_SSLKEY_BLOB, tls->key_pem);
	}
	SET(CURLOPT_SSL_VERIFYPEER, tls->insecure ? 0L : 1L);
	SET(CURLOPT_SSL_VERIFYHOST, tls->insecure ? 0L : 2L);
}

CURL *exchange_easy(struct http *http)
{
	CURL *easy;

	if (http->n_spare > 0)
		return http->spare[--http->n_spare];
	easy = curl_easy_init();
	assert(easy != NULL);
	SET(CURLOPT_SHARE, http->share);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L); /* else removing it waits for the resolver's thread */
	SET(CURLOPT_PROTOCOLS_STR,
	    http->config.plain_loopback || http->config.plain_metadata ? "https,http" : "https");
	SET(CURLOPT_REDIR_PROTOCOLS_STR, "https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_TCP_KEEPIDLE, 30L);
	SET(CURLOPT_TCP_KEEPINTVL, 10L);
	SET(CURLOPT_TIMEOUT_MS, 0L); /* deadlines are ours */
	SET(CURLOPT_USERAGENT, "opsd/" OPSD_VERSION);
	SET(CURLOPT_WRITEFUNCTION, on_write);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_PREREQFUNCTION, on_ready);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
	set_tls(easy, &http->config.tls);
	return easy;
}

static void set_method(CURL *easy, const struct exchange *x)
{
	bool post = x->body != NULL || str_eq(x->method, "POST");

	SET(CURLOPT_NOBODY, 0L);
	SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_POSTFIELDS, post ? (x->body != NULL ? x->body : "") : NULL);
	SET(CURLOPT_POSTFIELDSIZE_LARGE, post ? (curl_off_t)x->body_len : (curl_off_t)-1);
	if (post)
		SET(CURLOPT_POST, 1L);
	else
		SET(CURLOPT_HTTPGET, 1L);
	if (str_eq(x->method, "HEAD"))
		SET(CURLOPT_NOBODY, 1L);
	SET(CURLOPT_CUSTOMREQUEST, str_eq(x->method, "HEAD") ? NULL : x->method);
}

void exchange_prepare(struct exchange *x, unsigned left_ms)
{
	CURL *easy = x->easy;

	SET(CURLOPT_PRIVATE, x);
	SET(CURLOPT_WRITEDATA, x);
	SET(CURLOPT_HEADERDATA, x);
	SET(CURLOPT_PREREQDATA, x);
	SET(CURLOPT_OPENSOCKETDATA, x);
	SET(CURLOPT_ERRORBUFFER, x->why);
	SET(CURLOPT_URL, x->url);
	SET(CURLOPT_HTTPHEADER, x->headers);
	SET(CURLOPT_CONNECT_TO, x->connect_to);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)left_ms + 1000);
	SET(CURLOPT_FRESH_CONNECT, x->connection == HTTP_OWN ? 1L : 0L);
	SET(CURLOPT_FORBID_REUSE, x->connection == HTTP_OWN ? 1L : 0L);
	SET(CURLOPT_MAXAGE_CONN, x->connection == HTTP_RECENT ? RECENT_S : KEPT_S);
	/* "" also keeps the environment's proxies away. */
	SET(CURLOPT_PROXY, x->http->config.proxy != NULL && !x->plain ? x->http->config.proxy : "");
	set_method(easy, x);
}

/* --- what an end means --- */

static const char *reason(const struct exchange *x, CURLcode code)
{
	long os = 0;

	(void)curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &os);
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return "its name is not known to the resolver";
	case CURLE_COULDNT_CONNECT:
		return os != 0 ? strerrordesc_np((int)os) : "cannot connect";
	case CURLE_SSL_CACERT_BADFILE:
		return "the file of trusted certificates (ca_file) cannot be read";
	case CURLE_GOT_NOTHING:
		return "it closed the connection without an answer";
	case CURLE_PARTIAL_FILE:
		return "it closed the connection in the middle of its answer";
	case CURLE_HTTP2_STREAM:
	case CURLE_HTTP2:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return "its answer is not HTTP";
	default:
		return x->why[0] != '\0' ? x->why : curl_easy_strerror(code);
	}
}

bool exchange_error(struct exchange *x, CURLcode code, struct err *ret_err)
{
	const char *name = x->http->config.name;
	enum err_kind unclear = exchange_is_read(x) ? ERR_INVALID : ERR_UNCERTAIN;

	if (code == CURLE_OK || x->stopped)
		return false;
	if (x->answer.overflow)
		err_set(ret_err, unclear, "%s: the answer of %s is larger than %zu bytes", name,
			x->host, x->answer.max);
	else if (x->head.overflow)
		err_set(ret_err, unclear, "%s: the headers of %s are larger than %zu bytes", name,
			x->host, x->head.max);
	else if (x->resend_barred)
		err_set(ret_err, ERR_UNCERTAIN,
			"%s: %s closed the connection after the request was sent, without an "
			"answer",
			name, x->host);
	else
		err_set(ret_err, exchange_sent(x) ? ERR_UNCERTAIN : ERR_RETRY, "%s: %s: %s", name,
			x->host, reason(x, code));
	return true;
}

static const char *waited_for(const struct exchange *x)
{
	curl_off_t connected = 0, named = 0;

	if (x->easy == NULL)
		return "it waited for a free connection";
	(void)curl_easy_getinfo(x->easy, CURLINFO_CONNECT_TIME_T, &connected);
	(void)curl_easy_getinfo(x->easy, CURLINFO_NAMELOOKUP_TIME_T, &named);
	if (connected > 0)
		return "the TLS handshake did not end";
	return named > 0 ? "no connection" : "its name was not resolved";
}

void exchange_deadline_error(struct exchange *x, struct err *ret_err)
{
	const char *name = x->http->config.name;

	if (x->answering && x->on_data != NULL)
		err_set(ret_err, ERR_UNCERTAIN, "%s: %s sent nothing for %u ms", name, x->host,
			x->idle_ms);
	else if (exchange_sent(x))
		err_set(ret_err, ERR_UNCERTAIN, "%s: %s gave no complete answer within %u ms", name,
			x->host, x->timeout_ms);
	else
		err_set(ret_err, ERR_TIMEOUT, "%s: %s: %s within %u ms; nothing was sent", name,
			x->host, waited_for(x), x->timeout_ms);
}

/* --- small helpers of the public header --- */

const char *http_header_at(const struct http_response *response, const char *name, size_t nth)
{
	const struct buf *head = response->headers;
	size_t len = strlen(name), i = 0;

	while (head != NULL && i < head->len) {
		const char *line = head->data + i;

		i += strlen(line) + 1;
		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		if (nth-- > 0)
			continue;
		line += len + 1;
		return line + strspn(line, " \t");
	}
	return NULL;
}

const char *http_header(const struct http_response *response, const char *name)
{
	return http_header_at(response, name, 0);
}

char *http_escape(const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = xmalloc(3 * strlen(text) + 1), *p = out;

	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (isalnum(c) || strchr("-._~", c) != NULL) {
			*p++ = (char)c;
			continue;
		}
		*p++ = '%';
		*p++ = hex[c >> 4];
		*p++ = hex[c & 15];
	}
	*p = '\0';
	return out;
}

void http_library_init(void)
{
	CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);

	assert(code == CURLE_OK);
	(void)code;
}

void http_library_finish(void)
{
	curl_global_cleanup();
}
