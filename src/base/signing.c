/* SPDX-License-Identifier: Apache-2.0 */
/* signing.c - a list of Ed25519 keys; of a private one it has one. */
#include "base/signing.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/pem.h"
#include "base/str.h"
#include "base/xalloc.h"

enum { KEYS_MAX = 16, RAW_LEN = 32, SIGNATURE_LEN = 64 };

struct signing_key {
	EVP_PKEY *keys[KEYS_MAX];
	char ids[KEYS_MAX][SIGNING_ID_LEN];
	size_t n;
};

static bool name_key(EVP_PKEY *key, char ret_id[SIGNING_ID_LEN])
{
	char hex[DIGEST_HEX_LEN];
	unsigned char raw[RAW_LEN];
	size_t len = sizeof(raw);

	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519 ||
	    EVP_PKEY_get_raw_public_key(key, raw, &len) != 1)
		return false;
	digest_hex(raw, len, hex);
	(void)snprintf(ret_id, SIGNING_ID_LEN, "%.16s", hex);
	return true;
}

static struct signing_key *read_keys(const char *pem, bool private, struct err *err)
{
	struct signing_key *key = xcalloc(1, sizeof(*key));
	BIO *bio = BIO_new_mem_buf(pem, -1);
	bool good = true;
	EVP_PKEY *read;

	assert(bio != NULL);
	while (good && key->n < KEYS_MAX) {
		read = private ? PEM_read_bio_PrivateKey(bio, NULL, pem_no_password, NULL)
			       : PEM_read_bio_PUBKEY(bio, NULL, pem_no_password, NULL);
		if (read == NULL)
			break;
		good = name_key(read, key->ids[key->n]);
		key->keys[key->n++] = read;
	}
	BIO_free(bio);
	ERR_clear_error();
	if (key->n == 0 || !good) {
		err_set(err, ERR_INVALID, "this is no %s Ed25519 key in PEM%s",
			private ? "private" : "public", private ? ", without a password" : "");
		signing_free(key);
		return NULL;
	}
	return key;
}

struct signing_key *signing_private(const char *pem, struct err *err)
{
	return read_keys(pem, true, err);
}

struct signing_key *signing_public(const char *pem, struct err *err)
{
	return read_keys(pem, false, err);
}

void signing_free(struct signing_key *key)
{
	if (key == NULL)
		return;
	for (size_t i = 0; i < key->n; i++)
		EVP_PKEY_free(key->keys[i]);
	free(key);
}

const char *signing_id(const struct signing_key *key)
{
	return key->ids[0];
}

void signing_sign(const struct signing_key *key, const char *text, char ret_hex[SIGNATURE_HEX_LEN])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char raw[SIGNATURE_LEN];
	size_t len = sizeof(raw);
	int ok;

	assert(context != NULL);
	ok = EVP_DigestSignInit(context, NULL, NULL, NULL, key->keys[0]) == 1 &&
	     EVP_DigestSign(context, raw, &len, (const unsigned char *)text, strlen(text)) == 1;
	assert(ok && len == SIGNATURE_LEN);
	(void)ok;
	EVP_MD_CTX_free(context);
	for (size_t i = 0; i < SIGNATURE_LEN; i++)
		(void)snprintf(ret_hex + 2 * i, 3, "%02x", raw[i]);
}

static bool from_hex(const char *hex, unsigned char raw[SIGNATURE_LEN])
{
	unsigned byte;

	if (hex == NULL || strlen(hex) != 2 * SIGNATURE_LEN ||
	    strspn(hex, "0123456789abcdef") != 2 * SIGNATURE_LEN)
		return false;
	for (size_t i = 0; i < SIGNATURE_LEN; i++) {
		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return false;
		raw[i] = (unsigned char)byte;
	}
	return true;
}

bool signing_fits(const struct signing_key *key, const char *id, const char *text, const char *hex)
{
	unsigned char raw[SIGNATURE_LEN];
	bool fits = false;

	if (!from_hex(hex, raw))
		return false;
	for (size_t i = 0; i < key->n && !fits; i++) {
		EVP_MD_CTX *context;

		if (id != NULL && !str_eq(id, key->ids[i]))
			continue;
		context = EVP_MD_CTX_new();
		fits = context != NULL &&
		       EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->keys[i]) == 1 &&
		       EVP_DigestVerify(context, raw, sizeof(raw), (const unsigned char *)text,
					strlen(text)) == 1;
		EVP_MD_CTX_free(context);
	}
	ERR_clear_error();
	return fits;
}
