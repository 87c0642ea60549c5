/* SPDX-License-Identifier: Apache-2.0 */
/* ldapc.c - see ldapc.h; the one place of libldap. */
#include "net/ldapc.h"

#include <ldap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"

enum { WHY_MAX = 300 };

struct ldapc {
	LDAP *handle;
	char *url;
	unsigned wait_s;
	struct ldap_conncb callbacks;
	struct ldapc_watch *watch;
};

struct ldapc_entry {
	LDAP *handle;
	LDAPMessage *message;
	char *dn;
};

/* ---- the watch ---- */

void ldapc_watch_init(struct ldapc_watch *watch)
{
	*watch = (struct ldapc_watch){ .fd = -1 };
	(void)uv_mutex_init(&watch->lock);
}

void ldapc_watch_finish(struct ldapc_watch *watch)
{
	uv_mutex_destroy(&watch->lock);
}

void ldapc_watch_look(struct ldapc_watch *watch)
{
	uv_mutex_lock(&watch->lock);
	if (watch->fd >= 0 && watch->until_ms > 0 && clock_mono_ms() > watch->until_ms) {
		(void)shutdown(watch->fd, SHUT_RDWR);
		watch->until_ms = 0;
	}
	uv_mutex_unlock(&watch->lock);
}

static void set_until(struct ldapc *ldap, int64_t until_ms)
{
	uv_mutex_lock(&ldap->watch->lock);
	ldap->watch->until_ms = until_ms;
	uv_mutex_unlock(&ldap->watch->lock);
}

static void set_fd(struct ldapc *ldap, int fd)
{
	uv_mutex_lock(&ldap->watch->lock);
	ldap->watch->fd = fd;
	uv_mutex_unlock(&ldap->watch->lock);
}

/* Around every call that may wait. */
static void begin_wait(struct ldapc *ldap)
{
	set_until(ldap, clock_mono_ms() + (int64_t)ldap->wait_s * 1000);
}

static void end_wait(struct ldapc *ldap)
{
	set_until(ldap, 0);
}

/* Connected, and not yet secured: from here on the socket blocks, since libldap with GnuTLS runs in
 * circles on one that does not. */
static int on_connected(LDAP *handle, Sockbuf *socket, LDAPURLDesc *server,
			struct sockaddr *address, struct ldap_conncb *callbacks)
{
	ber_socket_t fd = -1;

	(void)server;
	(void)address;
	(void)ldap_set_option(handle, LDAP_OPT_NETWORK_TIMEOUT, NULL);
	(void)ber_sockbuf_ctrl(socket, LBER_SB_OPT_GET_FD, &fd);
	set_fd(callbacks->lc_arg, fd);
	return 0;
}

static void on_disconnected(LDAP *handle, Sockbuf *socket, struct ldap_conncb *callbacks)
{
	(void)handle;
	(void)socket;
	set_fd(callbacks->lc_arg, -1);
}

bool ldapc_url_ok(const char *url, struct err *err)
{
	const char *host = str_starts(url, "ldaps://")  ? url + 8
			   : str_starts(url, "ldap://") ? url + 7
							: "";

	if (host[0] != '\0' && strpbrk(host, "/?@# \t") == NULL)
		return true;
	err_set(err, ERR_INVALID,
		"url is ldaps://host:port, or ldap://host:port for StartTLS, and nothing more");
	return false;
}

/* What libldap says of its last failure, as a sentence. */
static void put_error(const struct ldapc *ldap, int code, const char *what, struct err *err)
{
	const char *advice = "";
	char *more = NULL;

	if (ldap->handle != NULL)
		(void)ldap_get_option(ldap->handle, LDAP_OPT_DIAGNOSTIC_MESSAGE, &more);
	if (str_starts(more, "(unknown error code)")) { /* GnuTLS had nothing to say */
		ldap_memfree(more);
		more = NULL;
	}
	switch (code) {
	case LDAP_INVALID_CREDENTIALS:
		advice = "; check bind_dn and password";
		break;
	case LDAP_SIZELIMIT_EXCEEDED:
	case LDAP_ADMINLIMIT_EXCEEDED:
		advice = "; the server cuts the list off: raise its limit for bind_dn, or lower "
			 "page";
		break;
	case LDAP_NO_SUCH_OBJECT:
	case LDAP_INSUFFICIENT_ACCESS:
		advice = "; check the base, and that bind_dn may read below it";
		break;
	case LDAP_SERVER_DOWN:
	case LDAP_CONNECT_ERROR:
	case LDAP_TIMEOUT:
		advice = "; check url, ca_file, that the certificate names the host, and the way "
			 "there";
		break;
	default:
		break;
	}
	err_set(err, ERR_INVALID, "%s: %s (%d)%s%.*s%s", what, ldap_err2string(code), code,
		more != NULL && *more != '\0' ? ": " : "", WHY_MAX, more != NULL ? more : "",
		advice);
	ldap_memfree(more);
}

/* ---- opening ---- */

/* NULL: done; else what could not be set. */
static const char *set_options(struct ldapc *ldap, const struct ldapc_config *config)
{
	LDAP *handle = ldap->handle;
	const struct timeval wait = { .tv_sec = (time_t)config->wait_s };
	const int version = LDAP_VERSION3, demand = LDAP_OPT_X_TLS_DEMAND, never = LDAP_DEREF_NEVER;
	const int tls = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2, client = 0;

	if (ldap_set_option(handle, LDAP_OPT_PROTOCOL_VERSION, &version) != LDAP_SUCCESS ||
	    ldap_set_option(handle, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) != LDAP_SUCCESS ||
	    ldap_set_option(handle, LDAP_OPT_DEREF, &never) != LDAP_SUCCESS)
		return "the protocol";
	if (ldap_set_option(handle, LDAP_OPT_NETWORK_TIMEOUT, &wait) != LDAP_SUCCESS ||
	    ldap_set_option(handle, LDAP_OPT_TIMEOUT, &wait) != LDAP_SUCCESS ||
	    ldap_set_option(handle, LDAP_OPT_CONNECT_CB, &ldap->callbacks) != LDAP_SUCCESS)
		return "its time limits";
	if (ldap_set_option(handle, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand) != LDAP_SUCCESS ||
	    ldap_set_option(handle, LDAP_OPT_X_TLS_PROTOCOL_MIN, &tls) != LDAP_SUCCESS)
		return "the check of its certificate";
	if (ldap_set_option(handle, LDAP_OPT_X_TLS_CACERTFILE,
			    config->ca_file != NULL
				    ? config->ca_file
				    : "/etc/ssl/certs/ca-certificates.crt") != LDAP_SUCCESS)
		return "ca_file";
	/* The options above become those of this connection. */
	return ldap_set_option(handle, LDAP_OPT_X_TLS_NEWCTX, &client) == LDAP_SUCCESS
		       ? NULL
		       : "ca_file, which must be a readable PEM bundle";
}

static bool secure_and_bind(struct ldapc *ldap, const struct ldapc_config *config, struct err *err)
{
	struct berval password = { 0 };
	int code;

	if (str_starts(config->url, "ldap://")) {
		code = ldap_start_tls_s(ldap->handle, NULL, NULL);
		if (code != LDAP_SUCCESS) {
			put_error(ldap, code, "no TLS by StartTLS", err);
			return false;
		}
	}
	if (config->password != NULL) {
		password.bv_val = (char *)(uintptr_t)config->password;
		password.bv_len = strlen(config->password);
	}
	code = ldap_sasl_bind_s(ldap->handle, config->bind_dn, LDAP_SASL_SIMPLE, &password, NULL,
				NULL, NULL);
	if (code == LDAP_SUCCESS && !ldap_tls_inplace(ldap->handle))
		code = LDAP_CONNECT_ERROR; /* never in clear, whatever went wrong */
	if (code == LDAP_SUCCESS)
		return true;
	put_error(ldap, code, "no sign-in", err);
	return false;
}

struct ldapc *ldapc_open(const struct ldapc_config *config, struct err *err)
{
	struct ldapc *ldap = xcalloc(1, sizeof(*ldap));
	const char *wrong = NULL;
	bool good = false;
	int code;

	ldap->url = xstrdup(config->url);
	ldap->wait_s = config->wait_s;
	ldap->watch = config->watch;
	ldap->callbacks = (struct ldap_conncb){ .lc_add = on_connected,
						.lc_del = on_disconnected,
						.lc_arg = ldap };
	code = ldap_initialize(&ldap->handle, config->url);
	if (code != LDAP_SUCCESS)
		put_error(ldap, code, "url", err);
	else
		wrong = set_options(ldap, config);
	if (wrong != NULL)
		err_set(err, ERR_INVALID, "libldap does not take %s", wrong);
	if (code == LDAP_SUCCESS && wrong == NULL) {
		begin_wait(ldap);
		good = secure_and_bind(ldap, config, err);
		end_wait(ldap);
	}
	if (good)
		return ldap;
	err_prefix(err, "%s", config->url);
	ldapc_close(ldap);
	return NULL;
}

void ldapc_close(struct ldapc *ldap)
{
	if (ldap == NULL)
		return;
	if (ldap->handle != NULL)
		(void)ldap_unbind_ext_s(ldap->handle, NULL, NULL);
	free(ldap->url);
	free(ldap);
}

/* ---- searching ---- */

static bool take_entries(LDAP *handle, LDAPMessage *result, ldapc_entry_fn each, void *data,
			 struct err *err)
{
	LDAPMessage *message = ldap_first_entry(handle, result);
	bool good = true;

	for (; good && message != NULL; message = ldap_next_entry(handle, message)) {
		struct ldapc_entry entry = { .handle = handle,
					     .message = message,
					     .dn = ldap_get_dn(handle, message) };

		good = entry.dn != NULL && each(data, &entry, err);
		if (entry.dn == NULL)
			err_set(err, ERR_INVALID, "an entry without a name");
		ldap_memfree(entry.dn);
	}
	return good;
}

/* The cookie of the next page, or an empty one; false: the server did not page. */
static bool take_cookie(LDAP *handle, LDAPMessage *result, struct berval *cookie)
{
	LDAPControl **controls = NULL, *page;
	ber_int_t total;
	bool good;

	ber_memfree(cookie->bv_val);
	*cookie = (struct berval){ 0 };
	if (ldap_parse_result(handle, result, NULL, NULL, NULL, NULL, &controls, 0) != LDAP_SUCCESS)
		return false;
	page = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL);
	good = page != NULL &&
	       ldap_parse_pageresponse_control(handle, page, &total, cookie) == LDAP_SUCCESS;
	ldap_controls_free(controls);
	return good;
}

static int ask_page(struct ldapc *ldap, const struct ldapc_search *search, struct berval *cookie,
		    LDAPMessage **ret_result)
{
	struct timeval wait = { .tv_sec = (time_t)ldap->wait_s };
	LDAPControl *page = NULL, *controls[2] = { NULL, NULL };
	int code;

	*ret_result = NULL;
	if (search->page > 0) {
		code = ldap_create_page_control(ldap->handle, (ber_int_t)search->page, cookie, 1,
						&page);
		if (code != LDAP_SUCCESS)
			return code;
		controls[0] = page;
	}
	begin_wait(ldap);
	code = ldap_search_ext_s(ldap->handle, search->base,
				 search->base_only ? LDAP_SCOPE_BASE : LDAP_SCOPE_SUBTREE,
				 search->filter, (char **)(uintptr_t)search->attributes, 0,
				 controls, NULL, &wait, LDAP_NO_LIMIT, ret_result);
	end_wait(ldap);
	if (page != NULL)
		ldap_control_free(page);
	return code;
}

bool ldapc_search(struct ldapc *ldap, const struct ldapc_search *search, ldapc_entry_fn each,
		  void *data, struct err *err)
{
	struct berval cookie = { 0 };
	LDAPMessage *result;
	bool good;
	int code;

	do {
		good = clock_mono_ms() < search->until_ms;
		if (!good) {
			err_set(err, ERR_TIMEOUT, "%s was not read whole in time", search->base);
			break;
		}
		code = ask_page(ldap, search, &cookie, &result);
		good = code == LDAP_SUCCESS;
		if (!good)
			put_error(ldap, code, search->base, err);
		if (good && search->page > 0 && !take_cookie(ldap->handle, result, &cookie)) {
			err_set(err, ERR_INVALID,
				"%s: the server does not page its answers, so it may cut them off",
				search->base);
			good = false;
		}
		good = good && take_entries(ldap->handle, result, each, data, err);
		(void)ldap_msgfree(result);
	} while (good && cookie.bv_len > 0 && !search->first_only);
	ber_memfree(cookie.bv_val);
	return good;
}

const char *ldapc_dn(const struct ldapc_entry *entry)
{
	return entry->dn;
}

/* ---- values ---- */

/* "member;range=0-1499": the first number after the range, -1 for "*"; false: another attribute. */
static bool is_range(const char *name, const char *attribute, int64_t *ret_next)
{
	size_t len = strlen(attribute);
	char *end;

	*ret_next = -1;
	if (strncasecmp(name, attribute, len) != 0 || strncasecmp(name + len, ";range=", 7) != 0)
		return false;
	(void)strtoll(name + len + 7, &end, 10);
	if (*end != '-')
		return false;
	if (end[1] != '*')
		*ret_next = strtoll(end + 1, NULL, 10) + 1;
	return true;
}

/* AD gives an empty "member" beside "member;range=0-1499". */
static struct berval **find_range(const struct ldapc_entry *entry, const char *attribute,
				  int64_t *ret_next)
{
	BerElement *position = NULL;
	char *name = ldap_first_attribute(entry->handle, entry->message, &position);
	struct berval **values = NULL;

	for (; name != NULL && values == NULL;
	     name = ldap_next_attribute(entry->handle, entry->message, position)) {
		if (is_range(name, attribute, ret_next))
			values = ldap_get_values_len(entry->handle, entry->message, name);
		ldap_memfree(name);
	}
	ldap_memfree(name);
	ber_free(position, 0);
	return values;
}

void ldapc_values(const struct ldapc_entry *entry, const char *attribute,
		  struct ldapc_values *ret_values)
{
	struct berval **values = ldap_get_values_len(entry->handle, entry->message, attribute);
	size_t n = (size_t)ldap_count_values_len(values);

	*ret_values = (struct ldapc_values){ .next = -1 };
	if (n == 0) {
		ldap_value_free_len(values);
		values = find_range(entry, attribute, &ret_values->next);
		n = (size_t)ldap_count_values_len(values);
	}
	ret_values->raw = values;
	ret_values->n = n;
	ret_values->items = xcalloc(n + 1, sizeof(*ret_values->items));
	for (size_t i = 0; i < n; i++)
		ret_values->items[i] = (struct ldapc_value){ values[i]->bv_val, values[i]->bv_len };
}

void ldapc_values_free(struct ldapc_values *values)
{
	ldap_value_free_len(values->raw);
	free(values->items);
	*values = (struct ldapc_values){ .next = -1 };
}

char *ldapc_dn_key(const char *dn)
{
	LDAPDN parsed = NULL;
	char *text = NULL, *key;

	if (ldap_str2dn(dn, &parsed, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS)
		(void)ldap_dn2str(parsed, &text, LDAP_DN_FORMAT_LDAPV3);
	key = xstrdup(text != NULL ? text : dn);
	for (char *c = key; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	ldap_dnfree(parsed);
	ldap_memfree(text);
	return key;
}
