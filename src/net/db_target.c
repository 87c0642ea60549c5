/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_target.c - the server's address: URL to parameters, names to numbers, then PQconnectStart.
 *
 * libpq resolves "host" on the calling thread, so each name is resolved first and handed over as
 * "hostaddr" beside its "host", which stays for the certificate check.  The result is made anew for
 * each attempt: addresses change.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "db_internal.h"
#include "net/resolve.h"

enum { PARAMS_MAX = 64, LIST_MAX = 4096 };

struct db_target {
	char *name; /* application_name */
	PQconninfoOption *options;
	size_t n_hosts;
	char *hosts[DB_HOSTS_MAX];
	char *ports[DB_HOSTS_MAX];
	bool numeric;  /* hostaddr was given: nothing to resolve */
	char *problem; /* why the URL cannot be used; NULL: it can */
	size_t turn;   /* the address to begin with */
};

struct attempt {
	struct call call;
	uv_loop_t *loop;
	const struct db_target *target;
	struct call *step;
	size_t at; /* host that is being resolved */
	size_t n;
	char *host[DB_ADDRESSES_MAX];
	char *port[DB_ADDRESSES_MAX];
	char addr[DB_ADDRESSES_MAX][RESOLVE_TEXT];
	struct err err; /* of the last name that was not found */
	db_target_fn done;
	void *data;
};

static const char *option(const struct db_target *target, const char *keyword)
{
	for (const PQconninfoOption *o = target->options; o != NULL && o->keyword != NULL; o++) {
		if (str_eq(o->keyword, keyword))
			return str_empty(o->val) ? NULL : o->val;
	}
	return NULL;
}

/* Splits "a,b,c" into at most DB_HOSTS_MAX parts; 0: too many. */
static size_t split(const char *text, char *parts[DB_HOSTS_MAX])
{
	size_t n = 0;

	for (const char *from = text;;) {
		size_t len = strcspn(from, ",");

		if (n == DB_HOSTS_MAX)
			return 0;
		parts[n++] = xstrndup(from, len);
		if (from[len] == '\0')
			return n;
		from += len + 1;
	}
}

static void read_hosts(struct db_target *target)
{
	const char *host = option(target, "host");
	const char *port = option(target, "port");
	size_t ports;

	if (option(target, "hostaddr") != NULL) {
		target->numeric = true;
		return;
	}
	target->n_hosts = split(host != NULL ? host : "/var/run/postgresql", target->hosts);
	ports = split(port != NULL ? port : "5432", target->ports);
	if (ports == 1) {
		for (size_t i = 1; i < target->n_hosts; i++)
			target->ports[i] = xstrdup(target->ports[0]);
	} else if (ports != target->n_hosts) {
		target->problem =
			xstrdup("its lists of hosts and ports differ in length or are too long");
	}
}

struct db_target *db_target_create(const char *url, const char *name)
{
	struct db_target *target = xcalloc(1, sizeof(*target));
	char *problem = NULL;

	target->name = xasprintf("opsd-%s", name);
	target->options = PQconninfoParse(url, &problem);
	if (target->options == NULL) {
		target->problem = xstrdup(problem != NULL ? problem : "out of memory");
		PQfreemem(problem);
		return target;
	}
	if (option(target, "password") != NULL)
		log_mask(option(target, "password"));
	read_hosts(target);
	return target;
}

void db_target_rotate(struct db_target *target)
{
	target->turn++;
}

void db_target_destroy(struct db_target *target)
{
	if (target == NULL)
		return;
	PQconninfoFree(target->options);
	for (size_t i = 0; i < DB_HOSTS_MAX; i++) {
		free(target->hosts[i]);
		free(target->ports[i]);
	}
	free(target->problem);
	free(target->name);
	free(target);
}

static void attempt_free(struct attempt *attempt)
{
	for (size_t i = 0; i < attempt->n; i++) {
		free(attempt->host[i]);
		free(attempt->port[i]);
	}
	free(attempt);
}

static void attempt_cancel(struct call *call)
{
	struct attempt *attempt = (struct attempt *)call;

	call_cancel(&attempt->step);
	attempt_free(attempt);
}

struct params {
	const char *keywords[PARAMS_MAX], *values[PARAMS_MAX];
	size_t n;
};

static void put(struct params *params, const char *keyword, const char *value)
{
	assert(params->n < PARAMS_MAX - 1);
	params->keywords[params->n] = keyword;
	params->values[params->n++] = value;
}

/* All parts, the one at turn first. */
static void join(char *const *parts, size_t n, size_t turn, char ret_list[LIST_MAX])
{
	size_t len = 0;

	ret_list[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		const char *text = parts[(i + turn) % n];
		size_t part = strlen(text);

		if (len + part + 2 > LIST_MAX)
			return; /* refused by libpq: the lists then differ in length */
		if (i > 0)
			ret_list[len++] = ',';
		memcpy(ret_list + len, text, part + 1);
		len += part;
	}
}

/* What the URL says, with what this program insists on. */
static PGconn *start(const struct attempt *attempt)
{
	const struct db_target *target = attempt->target;
	char hosts[LIST_MAX], ports[LIST_MAX], addrs[LIST_MAX];
	char *addr[DB_ADDRESSES_MAX] = { NULL };
	struct params params = { .n = 0 };
	bool own = !target->numeric;

	for (const PQconninfoOption *o = target->options; o->keyword != NULL; o++) {
		bool ours = own && (str_eq(o->keyword, "host") || str_eq(o->keyword, "port"));

		if (!str_empty(o->val) && !ours)
			put(&params, o->keyword, o->val);
	}
	if (own) {
		for (size_t i = 0; i < attempt->n; i++)
			addr[i] = (char *)attempt->addr[i];
		join(attempt->host, attempt->n, target->turn, hosts);
		join(attempt->port, attempt->n, target->turn, ports);
		join(addr, attempt->n, target->turn, addrs);
		put(&params, "host", hosts);
		put(&params, "port", ports);
		if (strspn(addrs, ",") != strlen(addrs))
			put(&params, "hostaddr", addrs);
	}
	put(&params, "application_name", target->name);
	put(&params, "client_encoding", "UTF8");
	put(&params, "gssencmode", "disable");
	if (option(target, "tcp_user_timeout") == NULL)
		put(&params, "tcp_user_timeout", "10000");
	if (option(target, "keepalives_idle") == NULL)
		put(&params, "keepalives_idle", "30");
	if (target->n_hosts > 1 && option(target, "target_session_attrs") == NULL)
		put(&params, "target_session_attrs", "read-write");
	return PQconnectStartParams(params.keywords, params.values, 0);
}

static void finish(struct attempt *attempt, const struct err *err)
{
	PGconn *pg = err == NULL ? start(attempt) : NULL;

	assert(err != NULL || pg != NULL); /* NULL only when memory is out */
	attempt->done(attempt->data, pg, err);
	attempt_free(attempt);
}

static void next(struct attempt *attempt);

static bool add(struct attempt *attempt, const char *addr)
{
	if (attempt->n == DB_ADDRESSES_MAX)
		return false;
	attempt->host[attempt->n] = xstrdup(attempt->target->hosts[attempt->at]);
	attempt->port[attempt->n] = xstrdup(attempt->target->ports[attempt->at]);
	(void)snprintf(attempt->addr[attempt->n], RESOLVE_TEXT, "%s", addr);
	attempt->n++;
	return true;
}

static void on_resolved(void *data, const struct resolved *found, const struct err *err)
{
	struct attempt *attempt = data;

	attempt->step = NULL;
	if (err != NULL)
		attempt->err = *err;
	for (size_t i = 0; err == NULL && i < found->n; i++)
		(void)add(attempt, found->address[i]);
	attempt->at++;
	next(attempt);
}

/* Resolves the next name; after the last one connects. */
static void next(struct attempt *attempt)
{
	const struct db_target *target = attempt->target;

	while (!target->numeric && attempt->at < target->n_hosts) {
		const char *host = target->hosts[attempt->at];

		if (host[0] != '/' && host[0] != '@' && host[0] != '\0') {
			attempt->step = resolve_start(attempt->loop, host, DB_CONNECT_MS,
						      on_resolved, attempt);
			return;
		}
		(void)add(attempt, ""); /* a socket file */
		attempt->at++;
	}
	finish(attempt, target->numeric || attempt->n > 0 ? NULL : &attempt->err);
}

static void on_begin(void *data)
{
	struct attempt *attempt = data;
	struct err err;

	attempt->step = NULL;
	if (attempt->target->problem == NULL) {
		next(attempt);
		return;
	}
	err_set(&err, ERR_INVALID, "the URL cannot be used: %s", attempt->target->problem);
	finish(attempt, &err);
}

struct call *db_target_connect(uv_loop_t *loop, const struct db_target *target, db_target_fn done,
			       void *data)
{
	struct attempt *attempt = xcalloc(1, sizeof(*attempt));

	attempt->call.cancel = attempt_cancel;
	attempt->loop = loop;
	attempt->target = target;
	attempt->done = done;
	attempt->data = data;
	attempt->step = call_defer(loop, on_begin, attempt);
	return &attempt->call;
}
