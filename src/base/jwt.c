/* SPDX-License-Identifier: Apache-2.0 */
/* jwt.c - base64url, RS256 and PS256 by OpenSSL's EVP. */
#include "base/jwt.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/pem.h"
#include "base/xalloc.h"

enum { RSA_BITS_MIN = 2048 };

char *base64url(const void *data, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const unsigned char *bytes = data;
	char *text = xmalloc(4 * (len / 3) + 5), *to = text;

	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3; /* bytes make n + 1 digits */
		unsigned long bits = (unsigned long)bytes[i] << 16;

		if (n > 1)
			bits |= (unsigned long)bytes[i + 1] << 8;
		if (n > 2)
			bits |= bytes[i + 2];
		for (size_t k = 0; k <= n; k++)
			*to++ = digits[bits >> (18 - 6 * k) & 63];
	}
	*to = '\0';
	return text;
}

static EVP_PKEY *read_key(const char *pem, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key;

	assert(bio != NULL);
	key = PEM_read_bio_PrivateKey(bio, NULL, pem_no_password, NULL);
	BIO_free(bio);
	ERR_clear_error();
	if (key == NULL) {
		err_set(err, ERR_INVALID,
			"the private key cannot be read: it is a PEM block without a password");
		return NULL;
	}
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= RSA_BITS_MIN)
		return key;
	err_set(err, ERR_INVALID, "the private key is no RSA key of %d bits or more", RSA_BITS_MIN);
	EVP_PKEY_free(key);
	return NULL;
}

/* What was signed, a dot, and the signature. */
static char *sign(EVP_PKEY *key, bool pss, const char *text)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *how;
	size_t len = (size_t)EVP_PKEY_get_size(key);
	unsigned char *signature = xmalloc(len);
	char *encoded, *signed_;
	int ok;

	assert(context != NULL);
	ok = EVP_DigestSignInit(context, &how, EVP_sha256(), NULL, key) == 1 &&
	     (!pss || (EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 &&
		       EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) == 1)) &&
	     EVP_DigestSign(context, signature, &len, (const unsigned char *)text, strlen(text)) ==
		     1;
	assert(ok);
	(void)ok;
	EVP_MD_CTX_free(context);
	encoded = base64url(signature, len);
	signed_ = xasprintf("%s.%s", text, encoded);
	free(encoded);
	free(signature);
	return signed_;
}

/* header is given away. */
static char *put_together(EVP_PKEY *key, bool pss, json_t *header, const json_t *claims)
{
	char *head = json_text(header), *body = json_text(claims);
	char *head64 = base64url(head, strlen(head)), *body64 = base64url(body, strlen(body));
	char *text = xasprintf("%s.%s", head64, body64), *token = sign(key, pss, text);

	json_decref(header);
	free(head);
	free(body);
	free(head64);
	free(body64);
	free(text);
	return token;
}

char *jwt_rs256(const char *key_pem, const char *kid, const json_t *claims, struct err *err)
{
	EVP_PKEY *key = read_key(key_pem, err);
	char *token;

	if (key == NULL)
		return NULL;
	token = put_together(
		key, false, json_pack("{s:s, s:s, s:s*}", "alg", "RS256", "typ", "JWT", "kid", kid),
		claims);
	EVP_PKEY_free(key);
	return token;
}

/* The SHA-256 of the certificate in DER, in base64url; NULL: err. */
static char *thumbprint(EVP_PKEY *key, const char *certificate_pem, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(certificate_pem, -1);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = sizeof(digest);
	const char *wrong = NULL;
	X509 *certificate;

	assert(bio != NULL);
	certificate = PEM_read_bio_X509(bio, NULL, pem_no_password, NULL);
	BIO_free(bio);
	if (certificate == NULL)
		wrong = "the certificate cannot be read: it is a PEM block";
	else if (X509_check_private_key(certificate, key) != 1)
		wrong = "the private key is not that of the certificate";
	else if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0)
		wrong = "the certificate has expired: make a new one and register it";
	else if (X509_digest(certificate, EVP_sha256(), digest, &len) != 1)
		wrong = "the certificate has no thumbprint";
	X509_free(certificate);
	ERR_clear_error();
	if (wrong == NULL)
		return base64url(digest, len);
	err_set(err, ERR_INVALID, "%s", wrong);
	return NULL;
}

char *jwt_ps256(const char *key_pem, const char *certificate_pem, const json_t *claims,
		struct err *err)
{
	EVP_PKEY *key = read_key(key_pem, err);
	char *token = NULL, *print;

	if (key == NULL)
		return NULL;
	print = thumbprint(key, certificate_pem, err);
	if (print != NULL)
		token = put_together(key, true,
				     json_pack("{s:s, s:s, s:s}", "alg", "PS256", "typ", "JWT",
					       "x5t#S256", print),
				     claims);
	free(print);
	EVP_PKEY_free(key);
	return token;
}
