/* SPDX-License-Identifier: Apache-2.0 */
/* audit - reading the audit log, and why a person may or may not; for the CLI and the pages. */
#ifndef OPSD_STORE_AUDIT_H
#define OPSD_STORE_AUDIT_H

#include "base/call.h"
#include "base/json.h"

struct db;
struct signing_key;
struct store;

/* Answers with a JSON array of entries, newest first.  filter: { "request", "person", "action",
 * "since", "outcome" } members optional. */
typedef void (*store_json_fn)(void *data, const json_t *value, const struct err *err);
struct call *store_audit_list(struct db *db, const json_t *filter, unsigned limit,
			      store_json_fn done, void *data);

/*
 * Computes every seal of the log again from the entries: { "good", "seals", "signed", "entries",
 * "unsealed", "hash": of the newest seal, "problem": sentence or null }.
 */
struct store_verify { /* lent until done */
	/* A seal that was noted outside the database and must be in the chain (0, NULL: none): only
	 * such a copy shows that the newest seals were cut off. */
	int64_t expect_no;
	const char *expect_hash;
	const char *expect_key; /* id of the key that signed it, looked at with keys; NULL: any */
	const struct signing_key *keys; /* whose signatures must be there; NULL: not looked at */
};
struct call *store_audit_verify(struct db *db, const struct store_verify *what, store_json_fn done,
				void *data);

/* { "allowed", "code", "grants": [ … explain rows … ], "directory": { "generation", "age_s" } } */
struct call *store_explain(struct db *db, const char *person, const char *action,
			   const json_t *scope, store_json_fn done, void *data);

/* Uses that nobody could get approved: [{ "command", "scope", "need", "have", "example",
 * "requesters" }].  rules: [{ "command", "action", "risk", "need", "can_approve" | "group" }]. */
struct call *store_deadlocks(struct db *db, const json_t *rules, store_json_fn done, void *data);

/* Answers a question of a person about their own rights (ops.tell, sql/migrations/0016). */
struct call *store_tell(struct store *store, const json_t *question, store_json_fn done,
			void *data);

/* Puts ends of rights on record and brings up what must be reviewed: how much there was. */
struct call *store_access_tick(struct store *store, store_json_fn done, void *data);

/* As whom a cluster takes what the person asks for: { "name", "uid", "groups", "extra" }; null:
 * they may not act. */
struct call *store_acting(struct db *db, int64_t person, const char *slack_user, store_json_fn done,
			  void *data);

/* The actions a Slack user may use at all (any scope): array of names; for help and App Home. */
struct call *store_may(struct db *db, const char *team, const char *user, store_json_fn done,
		       void *data);

/* Counts for /metrics and /readyz: open requests by state, owed messages, oldest owed, directory
 * age. */
struct call *store_health(struct db *db, store_json_fn done, void *data);

#endif
