/* SPDX-License-Identifier: Apache-2.0 */
/* jwt - tokens that we sign to prove who we are: RS256 and PS256 (RFC 7515, 7518), by OpenSSL. */
#ifndef OPSD_BASE_JWT_H
#define OPSD_BASE_JWT_H

#include <stddef.h>

#include "base/json.h"

struct err;

/* Without padding (RFC 4648, section 5).  The caller frees. */
char *base64url(const void *data, size_t len);

/*
 * header.claims.signature.  key_pem: a private RSA key of at least 2048 bits, in clear; kid: the
 * key's name for the peer, or NULL.  NULL: err says what is wrong with the key.  The caller frees
 * with secret_free.
 */
char *jwt_rs256(const char *key_pem, const char *kid, const json_t *claims, struct err *err);
/* By PS256; the peer knows the key by this certificate (PEM), whose thumbprint is named
 * (x5t#S256). */
char *jwt_ps256(const char *key_pem, const char *certificate_pem, const json_t *claims,
		struct err *err);

#endif
