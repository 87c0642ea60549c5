/* SPDX-License-Identifier: Apache-2.0 */
/* jwt: what others verify with the public key alone; keys that are none. */
#include "test.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/jwt.h"
#include "base/xalloc.h"

/* RFC 4648, section 10, in the alphabet of section 5 and without padding. */
static void test_base64url(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "f", "Zg" },
		{ "fo", "Zm8" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg" },
		{ "fooba", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xfb\xff\xbe", "-_--" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = base64url(cases[i][0], strlen(cases[i][0]));

		assert_string_equal(text, cases[i][1]);
		free(text);
	}
}

static char *pem_of(EVP_PKEY *key, const char *password)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *text;
	long len;

	assert_int_equal(PEM_write_bio_PrivateKey(bio, key,
						  password != NULL ? EVP_aes_128_cbc() : NULL, NULL,
						  0, NULL, (void *)(uintptr_t)password),
			 1);
	len = BIO_get_mem_data(bio, &data);
	text = xstrndup(data, (size_t)len);
	BIO_free(bio);
	return text;
}

static size_t decode(const char *text, size_t len, unsigned char *to)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned long bits = 0;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 6 | (unsigned long)(strchr(digits, text[i]) - digits);
		if (i % 4 != 0)
			to[n++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
	}
	return n;
}

static void test_signature(void **state)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	json_t *claims = json_pack("{s:s, s:i}", "iss", "opsd", "iat", 7);
	unsigned char raw[4096];
	char *pem = pem_of(key, NULL), *token, *dot, *last;
	struct err err;
	size_t n;

	(void)state;
	token = jwt_rs256(pem, "k1", claims, &err);
	assert_non_null(token);
	dot = strchr(token, '.');
	last = strrchr(token, '.');
	n = decode(token, (size_t)(dot - token), raw);
	raw[n] = '\0';
	assert_string_equal((char *)raw, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"k1\"}");
	n = decode(dot + 1, (size_t)(last - dot - 1), raw);
	raw[n] = '\0';
	assert_string_equal((char *)raw, "{\"iss\":\"opsd\",\"iat\":7}");
	n = decode(last + 1, strlen(last + 1), raw);
	assert_int_equal(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(
		EVP_DigestVerify(context, raw, n, (unsigned char *)token, (size_t)(last - token)),
		1);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	json_decref(claims);
	free(token);
	free(pem);
}

static char *certificate_of(EVP_PKEY *key, long ends_s, char **ret_thumbprint)
{
	X509 *certificate = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned char digest[32];
	char *data, *text;
	long len;

	X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
	X509_gmtime_adj(X509_getm_notAfter(certificate), ends_s);
	X509_set_pubkey(certificate, key);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	assert_int_equal(X509_digest(certificate, EVP_sha256(), digest, NULL), 1);
	*ret_thumbprint = base64url(digest, sizeof(digest));
	assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
	len = BIO_get_mem_data(bio, &data);
	text = xstrndup(data, (size_t)len);
	BIO_free(bio);
	X509_free(certificate);
	return text;
}

/* As RFC 7518, section 3.5 has it: MGF1 of the same hash, a salt as long as the hash. */
static void test_pss(void **state)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *how;
	json_t *claims = json_pack("{s:s}", "iss", "opsd");
	char *pem = pem_of(key, NULL), *print, *certificate = certificate_of(key, 3600, &print);
	char *head = xasprintf("{\"alg\":\"PS256\",\"typ\":\"JWT\",\"x5t#S256\":\"%s\"}", print);
	unsigned char raw[4096];
	char *token, *last;
	struct err err;
	size_t n;

	(void)state;
	token = jwt_ps256(pem, certificate, claims, &err);
	assert_non_null(token);
	n = decode(token, strcspn(token, "."), raw);
	raw[n] = '\0';
	assert_string_equal((char *)raw, head);
	last = strrchr(token, '.');
	n = decode(last + 1, strlen(last + 1), raw);
	assert_int_equal(EVP_DigestVerifyInit(context, &how, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(how, 32), 1);
	assert_int_equal(
		EVP_DigestVerify(context, raw, n, (unsigned char *)token, (size_t)(last - token)),
		1);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	json_decref(claims);
	free(token);
	free(head);
	free(print);
	free(certificate);
	free(pem);
}

static void test_certificates(void **state)
{
	EVP_PKEY *key = EVP_RSA_gen(2048), *other = EVP_RSA_gen(2048);
	char *pem = pem_of(key, NULL), *prints[2];
	char *certificates[] = { certificate_of(other, 3600, &prints[0]),
				 certificate_of(key, -60, &prints[1]), xstrdup("none") };
	static const char *const says[] = { "is not that of the certificate", "has expired",
					    "certificate cannot be read" };
	json_t *claims = json_object();
	struct err err;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_null(jwt_ps256(pem, certificates[i], claims, &err));
		assert_non_null(strstr(err.msg, says[i]));
		free(certificates[i]);
	}
	free(prints[0]);
	free(prints[1]);
	free(pem);
	json_decref(claims);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void expect_refused(EVP_PKEY *key, const char *password, const char *sentence)
{
	char *pem = key != NULL ? pem_of(key, password) : xstrdup("no key at all");
	json_t *claims = json_object();
	struct err err;

	assert_null(jwt_rs256(pem, NULL, claims, &err));
	assert_non_null(strstr(err.msg, sentence));
	EVP_PKEY_free(key);
	json_decref(claims);
	free(pem);
}

static void test_keys(void **state)
{
	(void)state;
	expect_refused(NULL, NULL, "cannot be read");
	expect_refused(EVP_RSA_gen(2048), "horse", "cannot be read");
	expect_refused(EVP_RSA_gen(1024), NULL, "no RSA key of 2048 bits");
	expect_refused(EVP_EC_gen("P-256"), NULL, "no RSA key of 2048 bits");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64url), cmocka_unit_test(test_signature),
		cmocka_unit_test(test_pss),       cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
