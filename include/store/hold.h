/* SPDX-License-Identifier: Apache-2.0 */
/* hold - freezes: set and lifted by requests, or by an operator under a login of their own. */
#ifndef OPSD_STORE_HOLD_H
#define OPSD_STORE_HOLD_H

#include "base/call.h"
#include "base/json.h"
#include "store/audit.h"

struct db;
struct request;
struct store;

/* RUNNING, and a look said that the effect did not happen: may it be tried once more?  Renews the
 * lease.  Out: rq->frozen with the reason in rq->err when a freeze covers it by now; ERR_DENIED
 * when another replica has taken the request over. */
struct call *store_repeat(struct store *store, struct request *rq, call_done_fn done, void *data);

/* What the kinds opsd.* ask for (core/own.h): one function, one commit. */
struct call *store_own(struct store *store, const char *what, const char *request,
		       const json_t *args, store_json_fn done, void *data);

/* what: { "action"?, "cluster"?, "namespace"?, "name"?, a name of the scope? }, each with * for
 * anything; all must fit; {}: everything.  seconds 0: until it is lifted.  Answers with the freeze.
 */
struct call *store_freeze(struct db *db, const json_t *what, const char *reason, int64_t seconds,
			  store_json_fn done, void *data);

/* id NULL: all.  Answers with those that were lifted. */
struct call *store_unfreeze(struct db *db, const char *id, const char *reason, store_json_fn done,
			    void *data);

/* [{ "id", "what", "reason", "by", "since_ms", "until_ms"? }] */
struct call *store_freezes(struct db *db, store_json_fn done, void *data);

#endif
