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

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/call.h"
#include "base/json.h"

struct openid;

struct openid_config { /* texts are borrowed for as long as the struct openid lives */
	const char *issuer, *client_id;
	const char *client_secret;          /* NULL: a public client */
	const char *subject;                /* claim that is the directory's id */
	const char *hosted_domain, *tenant; /* NULL: not asked */
	const json_t *hosts; /* more hosts that the provider's endpoints may be at; NULL: none */
	const char *ca_file, *proxy;
	bool plain_loopback;
};

struct openid *openid_create(uv_loop_t *loop, const struct openid_config *config);
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

#endif
