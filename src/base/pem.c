/* SPDX-License-Identifier: Apache-2.0 */
/* pem.c - certificates and keys as PEM text. */
#include "base/pem.h"

#include <limits.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/err.h"

int pem_no_password(char *buf, int size, int writing, void *data)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)data;
	return -1;
}

static BIO *reader(const char *text)
{
	size_t len = strlen(text);

	return len > INT_MAX ? NULL : BIO_new_mem_buf(text, (int)len);
}

bool pem_pair(const char *certs, const char *key, struct err *err)
{
	BIO *cert_bio = reader(certs), *key_bio = reader(key);
	X509 *cert =
		cert_bio == NULL ? NULL : PEM_read_bio_X509(cert_bio, NULL, pem_no_password, NULL);
	EVP_PKEY *private = key_bio == NULL
				    ? NULL
				    : PEM_read_bio_PrivateKey(key_bio, NULL, pem_no_password, NULL);
	bool good = false;

	if (cert == NULL)
		err_set(err, ERR_INVALID, "it holds no certificate in PEM");
	else if (private == NULL)
		err_set(err, ERR_INVALID, "it holds no private key in PEM, without a password");
	else if (X509_check_private_key(cert, private) != 1)
		err_set(err, ERR_INVALID, "the key is not that of the certificate");
	else
		good = true;
	X509_free(cert);
	EVP_PKEY_free(private);
	BIO_free(cert_bio);
	BIO_free(key_bio);
	ERR_clear_error();
	return good;
}
