/* SPDX-License-Identifier: Apache-2.0 */
/* signing - Ed25519 signatures of texts (RFC 8032), by OpenSSL. */
#ifndef OPSD_BASE_SIGNING_H
#define OPSD_BASE_SIGNING_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct signing_key;

enum { SIGNATURE_HEX_LEN = 129, SIGNING_ID_LEN = 17 }; /* with the NUL */

/* A private Ed25519 key in clear PEM (openssl genpkey -algorithm ed25519); NULL: err. */
struct signing_key *signing_private(const char *pem, struct err *err);
/* Public ones, at least one, one after the other; NULL: err. */
struct signing_key *signing_public(const char *pem, struct err *err);
void signing_free(struct signing_key *key); /* NULL is fine */

const char *signing_id(const struct signing_key *key); /* names the public half, in hex */
void signing_sign(const struct signing_key *key, const char *text, char ret_hex[SIGNATURE_HEX_LEN]);
/* By the key with this id (NULL: by any of them). */
bool signing_fits(const struct signing_key *key, const char *id, const char *text, const char *hex);

#endif
