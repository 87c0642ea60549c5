/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request - one asking: who, which command, typed arguments, from where; and what is known of it so
 * far.
 *
 * The row in PostgreSQL is the truth; this is the copy that one run of the flow works on.  Texts
 * live in the arena; JSON values are owned references.
 */
#ifndef OPSD_CORE_REQUEST_H
#define OPSD_CORE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "base/json.h"

struct arena;
struct catalog;
struct command;

/* Durable states; names never change meaning (ops.request.state). */
enum request_state {
	REQUEST_RECEIVED,   /* recorded; not yet identified and decided */
	REQUEST_ALLOWED,    /* decided: may; not yet planned */
	REQUEST_CONFIRMING, /* plan shown to the requester; waits for the button */
	REQUEST_APPROVING,  /* plan shown to approvers; waits for their buttons */
	REQUEST_SCHEDULED,  /* waits for its time */
	REQUEST_RUNNING,    /* intent committed, or a read under way */
	REQUEST_UNKNOWN,    /* the effect may have happened; waits for a person */
	REQUEST_SUCCEEDED,
	REQUEST_FAILED,
	REQUEST_DENIED,   /* not allowed */
	REQUEST_REJECTED, /* not understood: unknown command, wrong argument, guard */
	REQUEST_EXPIRED,
	REQUEST_CANCELLED,
};

/* How Slack brought it: what makes redelivery harmless. */
struct delivery {
	const char *envelope_id;
	const char *dedup; /* the intent, whatever the envelope */
	const char
		*kind; /* "slash", "action", "submit", "home"; a click: what it says, "confirm" … */
	int64_t retry;
	uint64_t socket; /* opaque: where the acknowledgement goes */
	bool takes_text; /* the acknowledgement may carry a message */
};

struct asker {
	const char *team, *user;  /* Slack ids */
	const char *channel;      /* where; NULL: none */
	const char *response_url; /* a secret; NULL: none */
	bool facts_fresh;      /* verdict, email_key, name, tz were read within the last minute */
	const char *verdict;   /* slack_user_verdict_name: "ok", "guest", … */
	const char *email_key; /* canonical address, NULL: none usable */
	const char *name, *tz;
};

struct request {
	struct arena *arena;
	char id[ID_REQUEST_LEN];
	enum request_state state;

	struct delivery delivery;
	struct asker asker;
	const char *text; /* as typed, for the record */

	struct catalog *catalog;       /* a reference */
	const struct command *command; /* NULL: not understood */
	json_t *args, *scope;          /* typed; NULL when command is NULL */
	const char *cursor;            /* reads: the page asked for; NULL: first */
	const char *rejection;         /* why it was not understood; NULL: it was */

	/* what the store said */
	int64_t person; /* 0: none */
	const char *person_name, *person_email;
	const char
		*code; /* decision: "allowed", "no_matching_grant", "directory_stale", "guest", … */
	json_t *detail; /* the decision's evidence and what would be enough; may be NULL */
	int64_t fence;  /* grows with each claim; every later write carries it */
	bool busy;      /* start: somebody else is changing the target; it is tried again */
	unsigned waits; /* how often that was so */
	bool frozen;    /* repeat: a freeze covers it now; err says which */
	const char *known_id, *known_state; /* duplicate: the request that this intent already is */
	bool unsure; /* not recorded, as far as is known: another replica may have it */

	json_t *plan;
	json_t *offered_plan; /* what the requester was shown; NULL: nothing was */
	bool unheard; /* taken over, and the requester may have been told that nothing was recorded:
			 nothing is done before they press the button of a preview */
	bool confirmed; /* the requester pressed the button on confirmed_digest */
	char confirmed_digest[65];
	bool approved; /* enough people approved approved_digest */
	char approved_digest[65];
	json_t *approved_by; /* their names; NULL: nobody had to */
	json_t *rules;       /* the approval rules that this plan meets (args_approvals) */
	const char *reason;  /* of a vote; NULL: none */
	bool proving;        /* of a vote: its click was acknowledged, it counts after a sign-in */
	bool steering;       /* a click that moves what has not started (store/later.h) */
	json_t *times;       /* when it starts and ends (core/later.h); NULL: not worked out */
	bool not_before;     /* it starts not before a time of its own */
	const char *undoes;  /* the request that this one sets back; NULL: none */
	bool reverts;        /* the end of a temporary change, agreed to with it */
	json_t *undone;      /* of that request: { "plan", "state" } */
	char digest[65];     /* of the plan's meaning */
	json_t *answer;      /* reads */
	json_t *outcome;     /* apply's or look's */
	struct err err;      /* why it failed */
};

struct request *request_create(void);
void request_destroy(struct request *request); /* NULL is fine */

/* Fresh facts of the asker (copied): verdict is "ok" or why not; the address becomes email_key when
 * it is usable. */
void request_set_asker(struct request *rq, const char *verdict, const char *email, const char *name,
		       const char *tz);

/* Whether its delivery is a click on a preview. */
bool request_confirms(const struct request *rq);

/* Whether it is a click below an unknown outcome: "happened", "not_happened" or "again". */
bool request_resolves(const struct request *rq);

const char *request_state_name(enum request_state state);
bool request_state_from_name(const char *name, enum request_state *ret_state);
bool request_state_final(enum request_state state);

/* SHA-256 of what the plan means: target, precondition's identity (uid), changes and times; not
 * warnings, not versions. */
void plan_digest(const json_t *plan, char ret_digest[65]);

/* What nobody else may change at the same time: an object of a cluster, or what a call to an API
 * names.  A POST makes something new: NULL, as without a plan.  The caller frees. */
char *plan_lock(const json_t *plan);

#endif
