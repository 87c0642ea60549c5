/* SPDX-License-Identifier: Apache-2.0 */
/* jwt_verify - tokens that others signed: RS256 and ES256 (RFC 7515, 7518), by OpenSSL; pure. */
#ifndef OPSD_BASE_JWT_VERIFY_H
#define OPSD_BASE_JWT_VERIFY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"

struct err;

enum { JWT_MAX = 8 * 1024 };

enum jwt_verdict {
	JWT_GOOD,
	JWT_UNKNOWN_KEY, /* no key of the set has the token's kid: the set may be old */
	JWT_BAD,
};

/*
 * Three parts of base64url, at most JWT_MAX bytes; alg RS256 with an RSA key of 2048 to 8192 bits,
 * or ES256 with one of P-256; no crit, jwk, jku or x5u.  keys: a JWK set (RFC 7517), by the token's
 * kid; a token without one fits a set of one key.  JWT_GOOD: ret_claims is the object that was
 * signed, owned by the caller; else err.
 */
enum jwt_verdict jwt_verify(const char *token, const json_t *keys, json_t **ret_claims,
			    struct err *err);

/* Strictly without padding (RFC 4648, section 5); NULL: not that.  The caller frees. */
unsigned char *base64url_decode(const char *text, size_t len, size_t *ret_len);

#endif
