/* SPDX-License-Identifier: Apache-2.0 */
/* ws_url.c - ws:// and wss:// URLs, within the lengths that libwebsockets does not cut. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "ws_internal.h"

static bool refuse(struct err *err, const char *why)
{
	err_set(err, ERR_RETRY, "the websocket's URL cannot be used: %s", why);
	return false;
}

static bool is_loopback(const char *host)
{
	return str_ieq(host, "localhost") || str_eq(host, "::1") ||
	       (str_starts(host, "127.") && strspn(host, "0123456789.") == strlen(host));
}

static bool host_ok(const char *host, bool literal6)
{
	if (host[0] == '\0')
		return false;
	for (const char *c = host; *c != '\0'; c++)
		if (!isalnum((unsigned char)*c) && (literal6 ? *c != ':' : *c != '.') &&
		    strchr(literal6 ? "." : "-_", *c) == NULL)
			return false;
	return true;
}

static bool read_port(struct ws_url *url, const char *text)
{
	int64_t port;

	if (*text == '\0') {
		url->port = url->tls ? 443 : 80;
		return true;
	}
	if (*text != ':' || !str_to_i64(text + 1, &port) || port < 1 || port > 65535)
		return false;
	url->port = (int)port;
	return true;
}

/* host, [host], host:port, [host]:port */
static bool read_authority(struct ws_url *url)
{
	const char *text = url->authority, *end;
	bool literal6 = text[0] == '[';
	size_t len;

	if (literal6)
		text++;
	end = strchr(text, literal6 ? ']' : ':');
	if (end == NULL) {
		if (literal6)
			return false;
		end = text + strlen(text);
	}
	len = (size_t)(end - text);
	memcpy(url->host, text, len);
	url->host[len] = '\0';
	return host_ok(url->host, literal6) && read_port(url, literal6 ? end + 1 : end);
}

static bool path_ok(const char *path)
{
	if (path[0] != '/')
		return false;
	for (const char *c = path; *c != '\0'; c++)
		if (*c <= ' ' || *c == '#' || (unsigned char)*c >= 0x7f)
			return false;
	return true;
}

bool ws_url_parse(const char *text, bool plain_loopback, struct ws_url *ret_url, struct err *err)
{
	struct ws_url url = { .tls = str_starts(text, "wss://") };
	size_t len;

	if (!url.tls && !str_starts(text, "ws://"))
		return refuse(err, "it does not start with wss://");
	text += url.tls ? strlen("wss://") : strlen("ws://");
	len = strcspn(text, "/?#");
	if (len >= sizeof(url.authority))
		return refuse(err, "its host is too long");
	memcpy(url.authority, text, len);
	if (!read_authority(&url))
		return refuse(err, "it has no proper host and port");
	if (!url.tls && !(plain_loopback && is_loopback(url.host)))
		return refuse(err,
			      "without TLS only loopback is allowed, and only where configured");
	text += len;
	if (strlen(text) > WS_PATH_MAX)
		return refuse(err, "its path is too long");
	url.path = text[0] == '\0'  ? xstrdup("/")
		   : text[0] == '?' ? xasprintf("/%s", text)
				    : xstrdup(text);
	if (!path_ok(url.path)) {
		free(url.path);
		return refuse(err, "its path has characters that do not belong there");
	}
	*ret_url = url;
	return true;
}

/* A name would be looked up on the loop's thread. */
bool ws_proxy_ok(const char *proxy, struct err *err)
{
	char *url = xasprintf("wss://%s", str_starts(proxy, "http://") ? proxy + 7 : proxy);
	struct ws_url parsed = { .path = NULL };
	unsigned char address[16];
	struct err ignored;
	bool ok = ws_url_parse(url, false, &parsed, &ignored) && parsed.port != 443 &&
		  str_eq(parsed.path, "/") &&
		  (uv_inet_pton(AF_INET, parsed.host, address) == 0 ||
		   uv_inet_pton(AF_INET6, parsed.host, address) == 0);

	if (!ok)
		err_set(err, ERR_INVALID,
			"the proxy %.80s is not an address and a port, as in 192.0.2.1:3128",
			proxy);
	free(parsed.path);
	free(url);
	return ok;
}
