/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ldapc - searches of an LDAP server, by libldap; blocking: for a thread of its own, never the
 * loop.
 *
 * Always under TLS: ldaps://, or ldap:// with StartTLS; the certificate and its name are checked.
 * Referrals are not followed.  What counts is the result code: entries that came before a failure
 * are no result.
 *
 * libldap's own limits do not hold during a TLS handshake, so every wait is watched from outside:
 * somebody else's thread calls ldapc_watch_look() each second, which ends the connection of a call
 * that takes longer than wait_s.
 */
#ifndef OPSD_NET_LDAPC_H
#define OPSD_NET_LDAPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct err;
struct ldapc;
struct ldapc_entry;

struct ldapc_watch { /* outlives the connection */
	uv_mutex_t lock;
	int fd;           /* -1: no connection */
	int64_t until_ms; /* clock_mono_ms; 0: no call */
};
void ldapc_watch_init(struct ldapc_watch *watch);
void ldapc_watch_finish(struct ldapc_watch *watch);
void ldapc_watch_look(struct ldapc_watch *watch);

struct ldapc_config {         /* all lent until ldapc_open returns */
	const char *url;      /* ldaps://host:port or ldap://host:port, nothing behind it */
	const char *ca_file;  /* NULL: the system's */
	const char *bind_dn;  /* NULL: anonymous */
	const char *password; /* secret */
	unsigned wait_s;      /* the most that one answer may take */
	struct ldapc_watch *watch;
};

bool ldapc_url_ok(const char *url, struct err *err);

/* Connects, secures, binds.  NULL: err. */
struct ldapc *ldapc_open(const struct ldapc_config *config, struct err *err);
void ldapc_close(struct ldapc *ldap);

struct ldapc_search {
	const char *base, *filter;
	const char *const *attributes; /* NULL-ended */
	bool base_only;                /* the base itself; else everything below it too */
	unsigned page;                 /* entries a page; 0: not paged */
	bool first_only;               /* the first page is enough */
	int64_t until_ms;              /* clock_mono_ms: no page is asked for later */
};

/* false ends the search: err is the function's. */
typedef bool (*ldapc_entry_fn)(void *data, const struct ldapc_entry *entry, struct err *err);
bool ldapc_search(struct ldapc *ldap, const struct ldapc_search *search, ldapc_entry_fn each,
		  void *data, struct err *err);

const char *ldapc_dn(const struct ldapc_entry *entry);

struct ldapc_value {
	const char *data; /* with a NUL behind it; may hold others */
	size_t len;
};

/*
 * Values of an attribute.  A server that gives them in ranges ("member;range=0-1499") says where
 * to go on: *ret_next is that number, or -1 when these are the last; ask for
 * "member;range=1500-*" then.  Freed by ldapc_values_free.
 */
struct ldapc_values {
	struct ldapc_value *items;
	size_t n;
	int64_t next;
	void *raw;
};
void ldapc_values(const struct ldapc_entry *entry, const char *attribute,
		  struct ldapc_values *ret_values);
void ldapc_values_free(struct ldapc_values *values);

/* One spelling for all that mean the same entry (RFC 4514, ASCII in lower case); the caller frees.
 */
char *ldapc_dn_key(const char *dn);

#endif
