/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requests - the durable life of a request: each function is one SQL function call, one commit.
 *
 * Every transition is guarded (UPDATE … WHERE state … AND fence …) inside the SQL function, with
 * its audit entry and the announcements it owes in the same transaction.  "announce" bodies are the
 * facts of an outcome as JSON; SQL adds what only it knows (decision code, person, detail).
 */
#ifndef OPSD_STORE_REQUESTS_H
#define OPSD_STORE_REQUESTS_H

#include <uv.h>

#include "base/call.h"
#include "core/request.h"

struct db;
struct signing_key;
struct store;

struct store_proof {            /* company sign-ins */
	bool possible;          /* a provider is configured */
	int64_t link_from_risk; /* from here on a link made by address alone is not enough */
	int64_t each_from_risk; /* from here on each request needs a sign-in of its own; 4: none */
};

struct store_config {
	struct db *intake; /* receive, confirm, disown only: never behind other work */
	struct db *work;
	const char *boot_id; /* random per process start */
	const char *version;
	const char *audit_channel;
	const char *approval_channel; /* of cards; NULL: what needs approval is refused */
	int64_t approval_s;           /* how long approvers have, unless a rule says less */
	struct store_proof proof;
	const struct signing_key *signing; /* of seals, lent; NULL: they are not signed */
	int64_t checkpoint_s;   /* a seal goes to the audit channel so often; 0: none does */
	const char *deployment; /* mark in audit entries; "" none */
	bool read_only; /* a freeze of everything, for as long as one of such replicas lives */
};

struct store *store_create(uv_loop_t *loop, const struct store_config *config);
void store_destroy(struct store *store);

/* Registers this start in ops.replica; the other functions need it. */
struct call *store_hello(struct store *store, call_done_fn done, void *data);

/*
 * receive: one row per intent.  In: delivery, asker, text, command/args/scope or rejection, cursor.
 * With asker.facts_fresh it also identifies and decides in the same commit.
 * Out: state RECEIVED | ALLOWED (fence set; risk 0 goes to RUNNING at once) | DENIED | REJECTED,
 * id, person, code, detail; or known_id/known_state when the intent is known already.  1.5 s at
 * most: ERR_RETRY, ERR_TIMEOUT, ERR_UNCERTAIN mean "not recorded"; the store has made sure of it,
 * or (rq->unsure) keeps asking until the database answers: a row which did get in is cancelled
 * before anybody acts on it; what another replica has of the same delivery is known.  Should this
 * replica be gone before that, whoever takes the row over finds it "unheard": nothing is started
 * before its requester was asked. The statement of a refusal also writes what is owed to the audit
 * channel.
 */
struct call *store_receive(struct store *store, struct request *rq, call_done_fn done, void *data);

/* RECEIVED -> ALLOWED | RUNNING (risk 0) | DENIED, with the asker's fresh facts. */
struct call *store_decide(struct store *store, struct request *rq, call_done_fn done, void *data);

/* ALLOWED|CONFIRMING -> CONFIRMING: plan and digest are recorded, the preview is owed to the
 * requester. preview: JSON of what chat renders; valid for 10 minutes by the database's clock. */
struct call *store_offer(struct store *store, struct request *rq, const json_t *preview,
			 call_done_fn done, void *data);

/*
 * A click on Confirm or Cancel: delivery and asker of the click; id and digest of rq from the
 * button.
 * Only the requester (as a person) may; decided afresh.  Out: the row's command title, args, scope,
 * text, plan, … as json in ret_row, state CONFIRMING with a new fence (go on: plan again, then
 * start), CANCELLED, EXPIRED, DENIED, or known_state when it was already settled or taken by an
 * earlier click.  Same 1.5 s and disown rule as receive.
 */
struct call *store_confirm(struct store *store, struct request *rq, bool yes, json_t **ret_row,
			   call_done_fn done, void *data);

/*
 * ALLOWED|CONFIRMING -> RUNNING: decides again, counts the approvals for rq->rules (NULL: none are
 * needed) again, records plan, digest and the step's intent (the command's kind, effect class,
 * filled parameters), renews the lease.  The effect may start only after this.  Out: state RUNNING,
 * APPROVING when approvers are not entitled any more, or DENIED when the right is gone, a freeze
 * covers it or its target stays busy (announcement owed), or rq->busy with the state as it was: to
 * be planned and tried again, rq->waits counted; or err ERR_DENIED "fenced off" when another
 * replica has taken the request over: stop, touch nothing.
 */
struct call *store_start(struct store *store, struct request *rq, const char *effect,
			 const json_t *with, call_done_fn done, void *data);

/*
 * RECEIVED|ALLOWED|CONFIRMING|RUNNING (with our fence) -> SUCCEEDED | FAILED | UNKNOWN: outcome,
 * evidence, audit entry, and the two announcements (audit channel; requester), all in one commit.
 * rq->state is the state to enter; announce: facts for the audit channel; reply: facts for the
 * requester.  claimed announcements come back through store_outbox_set_ready.
 */
struct call *store_settle(struct store *store, struct request *rq, const json_t *announce,
			  const json_t *reply, call_done_fn done, void *data);

/* Rows whose timer has come: leases of dead replicas, expired confirmations (expired here,
 * announced). found is called for each row to carry on (lent JSON: everything of the row), then
 * done. */
typedef void (*store_found_fn)(void *data, const json_t *row);
struct call *store_claim_due(struct store *store, unsigned limit, store_found_fn found,
			     call_done_fn done, void *data);

/* At a stop: what was not started yet is due now, and the other replicas are told.  An effect under
 * way keeps its lease. */
struct call *store_hand_over(struct store *store, call_done_fn done, void *data);

/* Renews this replica's leases and its seen_at; every 15 s. */
struct call *store_renew(struct store *store, call_done_fn done, void *data);

#endif
