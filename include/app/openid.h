/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openid - a company sign-in without a browser of ours: the device authorization grant (RFC 8628)
 * against an OpenID provider.
 *
 * Nothing of a flow is stored: the device code lives in memory, so a restart ends the flows under
 * way.  The access token is thrown away; no refresh token is asked for.
 */
#ifndef OPSD_APP_OPENID_H
#define OPSD_APP_OPENID_H

#include <stdint.h>
#include <uv.h>

#include "base/call.h"

struct config;
struct err;
struct openid;

/* From the settings identity.*, issuer among them; config is lent for as long.  NULL: err. */
struct openid *openid_create(uv_loop_t *loop, const struct config *config, struct err *err);
void openid_destroy(struct openid *openid); /* every sign-in must be done or cancelled before */

/* Shown to nobody but the one who signs in.  The link without the code: it must be typed. */
struct openid_code {
	const char *code, *url;
	int64_t lives_s;
};

struct openid_proof { /* lent during done */
	const char *issuer, *subject;
	char token_sha256[65];
	int64_t signed_in_s; /* auth_time; 0: not said */
};

typedef void (*openid_code_fn)(void *data, const struct openid_code *code);
typedef void (*openid_done_fn)(void *data, const struct openid_proof *proof, const struct err *err);

/* code is called once, unless the provider refuses at once; then done.  err is a sentence for the
 * person. */
struct call *openid_sign_in(struct openid *openid, openid_code_fn code, openid_done_fn done,
			    void *data);

/* Reads what the provider says of itself, and its keys.  err is a sentence for the operator; there
 * is no proof. */
struct call *openid_probe(struct openid *openid, openid_done_fn done, void *data);

#endif
