/* SPDX-License-Identifier: Apache-2.0 */
/* jwt_verify.c - a key of a JWK set as an EVP key, and the signature of a token by it. */
#include "base/jwt_verify.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"

enum { RSA_MIN = 2048, RSA_MAX = 8192, P256_LEN = 32, KEY_TEXT_MAX = 4096 };

struct parts { /* of a token, borrowed */
	const char *head, *body, *signature;
	size_t head_len, body_len, signature_len;
};

/* ---- base64url ---- */

static int digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

unsigned char *base64url_decode(const char *text, size_t len, size_t *ret_len)
{
	unsigned char *bytes = xmalloc(len / 4 * 3 + 4);
	unsigned long bits = 0;
	unsigned held = 0;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int digit = digit_of(text[i]);

		if (digit < 0) {
			free(bytes);
			return NULL;
		}
		bits = (bits << 6 | (unsigned long)digit) & 0xFFFFFF;
		held += 6;
		if (held >= 8) {
			held -= 8;
			bytes[n++] = (unsigned char)(bits >> held & 0xFF);
		}
	}
	/* a lone digit, or bits left over that say something: not how anybody writes it */
	if (len % 4 == 1 || (bits & ((1UL << held) - 1)) != 0) {
		free(bytes);
		return NULL;
	}
	*ret_len = n;
	return bytes;
}

/* ---- keys ---- */

static BIGNUM *number_of(const json_t *key, const char *member)
{
	const char *text = jget_str(key, member);
	unsigned char *bytes;
	BIGNUM *number;
	size_t len;

	if (str_empty(text) || strlen(text) > KEY_TEXT_MAX)
		return NULL;
	bytes = base64url_decode(text, strlen(text), &len);
	number = bytes != NULL ? BN_bin2bn(bytes, (int)len, NULL) : NULL;
	free(bytes);
	return number;
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *build)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY *key = NULL;

	if (context == NULL || params == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(context);
	return key;
}

static EVP_PKEY *rsa_key(const json_t *jwk)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *n = number_of(jwk, "n"), *e = number_of(jwk, "e");
	EVP_PKEY *key = NULL;

	if (build != NULL && n != NULL && e != NULL && BN_num_bits(n) >= RSA_MIN &&
	    BN_num_bits(n) <= RSA_MAX && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e))
		key = key_from("RSA", build);
	BN_free(n);
	BN_free(e);
	OSSL_PARAM_BLD_free(build);
	return key;
}

static EVP_PKEY *ec_key(const json_t *jwk)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *x = number_of(jwk, "x"), *y = number_of(jwk, "y");
	unsigned char point[1 + 2 * P256_LEN] = { POINT_CONVERSION_UNCOMPRESSED };
	EVP_PKEY *key = NULL;

	if (build != NULL && x != NULL && y != NULL && str_eq(jget_str(jwk, "crv"), "P-256") &&
	    BN_bn2binpad(x, point + 1, P256_LEN) == P256_LEN &&
	    BN_bn2binpad(y, point + 1 + P256_LEN, P256_LEN) == P256_LEN &&
	    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)))
		key = key_from("EC", build);
	BN_free(x);
	BN_free(y);
	OSSL_PARAM_BLD_free(build);
	return key;
}

/* The key of the set that kid names, if it is of the right type and made for signatures. */
static EVP_PKEY *find_key(const json_t *keys, const char *kid, bool rsa, bool *ret_named)
{
	const json_t *list = json_object_get(keys, "keys");
	EVP_PKEY *key = NULL;
	size_t i;
	json_t *jwk;

	*ret_named = false;
	json_array_foreach(list, i, jwk)
	{
		const char *use = jget_str(jwk, "use");

		if (kid != NULL ? !str_eq(jget_str(jwk, "kid"), kid) : json_array_size(list) != 1)
			continue;
		*ret_named = true;
		if (str_eq(jget_str(jwk, "kty"), rsa ? "RSA" : "EC") &&
		    (use == NULL || str_eq(use, "sig")))
			key = rsa ? rsa_key(jwk) : ec_key(jwk);
		break;
	}
	return key;
}

/* ---- signatures ---- */

/* r and s, each of 32 bytes, as OpenSSL wants them. */
static unsigned char *der_of(const unsigned char *raw, size_t len, size_t *ret_len)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r, *s;
	unsigned char *der = NULL;
	int n;

	if (sig == NULL || len != (size_t)2 * P256_LEN) {
		ECDSA_SIG_free(sig);
		return NULL;
	}
	r = BN_bin2bn(raw, P256_LEN, NULL);
	s = BN_bin2bn(raw + P256_LEN, P256_LEN, NULL);
	if (r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		ECDSA_SIG_free(sig);
		return NULL;
	}
	n = i2d_ECDSA_SIG(sig, &der);
	ECDSA_SIG_free(sig);
	*ret_len = n > 0 ? (size_t)n : 0;
	return n > 0 ? der : NULL;
}

static bool signed_by(EVP_PKEY *key, bool rsa, const char *text, size_t text_len,
		      const unsigned char *signature, size_t len)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char *der = rsa ? NULL : der_of(signature, len, &len);
	bool good = context != NULL && (rsa || der != NULL) &&
		    EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
		    EVP_DigestVerify(context, rsa ? signature : der, len,
				     (const unsigned char *)text, text_len) == 1;

	OPENSSL_free(der);
	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return good;
}

/* ---- the token ---- */

static bool split(const char *token, struct parts *parts)
{
	const char *first = strchr(token, '.');
	const char *second = first != NULL ? strchr(first + 1, '.') : NULL;

	if (second == NULL || strchr(second + 1, '.') != NULL || strlen(token) > JWT_MAX)
		return false;
	*parts = (struct parts){ .head = token,
				 .head_len = (size_t)(first - token),
				 .body = first + 1,
				 .body_len = (size_t)(second - first - 1),
				 .signature = second + 1,
				 .signature_len = strlen(second + 1) };
	return true;
}

static json_t *part_json(const char *text, size_t len)
{
	size_t n;
	unsigned char *bytes = base64url_decode(text, len, &n);
	struct err err;
	json_t *value = bytes != NULL ? json_parse((const char *)bytes, n, JWT_MAX, &err) : NULL;

	free(bytes);
	if (value != NULL && !json_is_object(value)) {
		json_decref(value);
		return NULL;
	}
	return value;
}

static enum jwt_verdict bad(struct err *err, const char *why)
{
	err_set(err, ERR_DENIED, "the token is not to be trusted: %s", why);
	return JWT_BAD;
}

static const char *head_fault(const json_t *head)
{
	static const char *const refused[] = { "crit", "jwk", "jku", "x5u", "x5c" };
	const char *alg = jget_str(head, "alg");

	if (!str_eq(alg, "RS256") && !str_eq(alg, "ES256"))
		return "it is signed in a way that is not RS256 or ES256";
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (json_object_get(head, refused[i]) != NULL)
			return "its header brings its own key or conditions";
	return NULL;
}

static enum jwt_verdict check_signature(const struct parts *parts, const json_t *head,
					const json_t *keys, struct err *err)
{
	bool rsa = str_eq(jget_str(head, "alg"), "RS256"), named, good;
	const char *kid = jget_str(head, "kid");
	EVP_PKEY *key = find_key(keys, kid, rsa, &named);
	unsigned char *signature;
	size_t len;

	if (!named) {
		err_set(err, ERR_DENIED, "the provider has no key \"%.60s\"",
			kid != NULL ? kid : "(none named)");
		return JWT_UNKNOWN_KEY;
	}
	if (key == NULL)
		return bad(err, "its key is of another type than its signature");
	signature = base64url_decode(parts->signature, parts->signature_len, &len);
	good = signature != NULL &&
	       signed_by(key, rsa, parts->head, parts->head_len + 1 + parts->body_len, signature,
			 len);
	free(signature);
	EVP_PKEY_free(key);
	return good ? JWT_GOOD : bad(err, "its signature does not fit");
}

enum jwt_verdict jwt_verify(const char *token, const json_t *keys, json_t **ret_claims,
			    struct err *err)
{
	struct parts parts;
	enum jwt_verdict verdict;
	const char *fault;
	json_t *head, *claims;

	if (!split(token, &parts))
		return bad(err, "it is not three parts of at most 8 KB");
	head = part_json(parts.head, parts.head_len);
	if (head == NULL)
		return bad(err, "its header is not readable");
	fault = head_fault(head);
	verdict = fault != NULL ? bad(err, fault) : check_signature(&parts, head, keys, err);
	json_decref(head);
	if (verdict != JWT_GOOD)
		return verdict;
	claims = part_json(parts.body, parts.body_len);
	if (claims == NULL)
		return bad(err, "what it says is not readable");
	*ret_claims = claims;
	return JWT_GOOD;
}
