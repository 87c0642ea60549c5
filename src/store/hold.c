/* SPDX-License-Identifier: Apache-2.0 */
/* hold.c - the functions of sql/migrations/0015_hold.sql about freezes. */
#include "store/hold.h"

#include "store_internal.h"

struct call *store_own(struct store *store, const char *what, const char *request,
		       const json_t *args, store_json_fn done, void *data)
{
	struct params params = { 0 };

	params_text(&params, store->observer);
	params_text(&params, what);
	params_text(&params, request);
	params_json(&params, args);
	return store_read(store->work, "ops_own", "SELECT ops.own($1, $2, $3, $4)", &params, done,
			  data);
}

struct call *store_freeze(struct db *db, const json_t *what, const char *reason, int64_t seconds,
			  store_json_fn done, void *data)
{
	struct params params = { 0 };

	params_json(&params, what);
	params_text(&params, reason);
	if (seconds > 0)
		params_int(&params, seconds);
	else
		params_text(&params, NULL);
	return store_read(db, NULL, "SELECT ops.freeze_by_login($1, $2, $3)", &params, done, data);
}

struct call *store_unfreeze(struct db *db, const char *id, const char *reason, store_json_fn done,
			    void *data)
{
	struct params params = { 0 };

	params_text(&params, id);
	params_text(&params, reason);
	return store_read(db, NULL, "SELECT ops.unfreeze_by_login($1, $2)", &params, done, data);
}

struct call *store_freezes(struct db *db, store_json_fn done, void *data)
{
	struct params params = { 0 };

	return store_read(db, NULL, "SELECT ops.freezes()", &params, done, data);
}
