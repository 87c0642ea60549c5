/* SPDX-License-Identifier: Apache-2.0 */
/* make_pem - a key and a certificate that it signed itself, as PEM. */
#ifndef OPSD_TESTS_UNIT_MAKE_PEM_H
#define OPSD_TESTS_UNIT_MAKE_PEM_H

#include <stdio.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

enum { PEM_SIZE = 4096 };

static inline void take_pem(BIO *bio, char ret_text[PEM_SIZE])
{
	int n = BIO_read(bio, ret_text, PEM_SIZE - 1);

	assert_true(n > 0);
	ret_text[n] = '\0';
	BIO_free(bio);
}

static inline void make_pem(char ret_cert[PEM_SIZE], char ret_key[PEM_SIZE])
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	BIO *bio;

	assert_non_null(key);
	assert_non_null(cert);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	(void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	bio = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
	take_pem(bio, ret_cert);
	bio = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	take_pem(bio, ret_key);
	X509_free(cert);
	EVP_PKEY_free(key);
}

#endif
