/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync - one run of the directory sync: a snapshot becomes the copy in the database, or is refused.
 *
 * All or nothing in one transaction, under a lock; a snapshot older than the applied one is
 * refused; a brake stops what looks like an accident and lets only plain departures through.  A run
 * that did not go well is owed to the audit channel by the same transaction.
 */
#ifndef OPSD_STORE_SYNC_H
#define OPSD_STORE_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/call.h"
#include "base/json.h"

struct db;
struct directory;

struct store_sync {
	const char *source;         /* its name in the configuration */
	const char *kind;           /* "file", "google", … */
	const char *settings;       /* digest of its settings */
	const char *channel;        /* the audit channel; NULL: nobody is told */
	const char *const *domains; /* whose addresses count: exact, lower case */
	size_t n_domains;
	const struct directory *directory; /* NULL: the fetch failed, or nothing has changed */
	const char *failure;               /* why it failed; NULL: it is still the applied one */
	const char *validator;             /* of the document; NULL: none */
	const json_t *notes;               /* what the fetch says of itself; may be NULL */
	int64_t fetch_ms;                  /* how long ago the fetch began */
	bool plan_only;
	const char *accept;    /* digest of a plan that brakes had stopped; NULL: none */
	const char *const *by; /* the two who accept it */
	size_t n_by;
};

/*
 * { "outcome": "applied" | "unchanged" | "planned" | "refused" | "failed" | "busy" | "stale",
 *   "plan": { "generation", "sha256", "changes", "lines", "counts", "brakes": [{ "name", "detail",
 * "hold" }] }, "result": { … of dir.sync_apply or dir.sync_refuse }, "error" } err only when the
 * database failed.  sync is lent until done.
 */
typedef void (*store_sync_fn)(void *data, const json_t *value, const struct err *err);

/* What the fetch needs: { "validator": of what may be skipped, or null, "groups": [id in use] }. */
struct call *store_sync_before(struct db *db, const char *source, const char *settings,
			       store_sync_fn done, void *data);

/* Addresses in quarantine, and releasing one; as the owner of the database.  The values are those
 * of dir.held_addresses and dir.release_address. */
struct call *store_held(struct db *db, store_sync_fn done, void *data);
struct call *store_release_address(struct db *db, const char *address, const char *reason,
				   store_sync_fn done, void *data);

struct call *store_sync_start(struct db *db, const struct store_sync *sync, store_sync_fn done,
			      void *data);

#endif
