/* SPDX-License-Identifier: Apache-2.0 */
/* idtoken - what the claims of an ID token must say to prove who signed in; pure. */
#ifndef OPSD_CORE_IDTOKEN_H
#define OPSD_CORE_IDTOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"

struct err;

struct idtoken_rules {
	const char *issuer;        /* exactly; of Google also its old form */
	const char *client_id;     /* the only audience */
	const char *subject;       /* the claim that is the directory's id: "sub", "oid" */
	const char *hosted_domain; /* "hd" must be it; NULL: not asked */
	const char *tenant;        /* "tid" likewise */
	const char *nonce;         /* must be it where the token has one */
	int64_t started_s, now_s;  /* wall clock: the sign-in began, and now */
};

/* The subject, lent by claims; NULL: err says which claim does not fit. */
const char *idtoken_subject(const json_t *claims, const struct idtoken_rules *rules,
			    struct err *err);

#endif
