/* SPDX-License-Identifier: Apache-2.0 */
/* base/pem: which key is that of which certificate. */
#include "test.h"

#include <string.h>

#include "base/err.h"
#include "base/pem.h"
#include "make_pem.h"

static char cert[PEM_SIZE], key[PEM_SIZE], other_cert[PEM_SIZE], other_key[PEM_SIZE];

static void refuse(const char *certs, const char *private, const char *says)
{
	struct err err = { 0 };

	assert_false(pem_pair(certs, private, &err));
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.msg, says));
}

static void test_pair(void **state)
{
	char chain[2 * PEM_SIZE];
	struct err err;

	(void)state;
	make_pem(cert, key);
	make_pem(other_cert, other_key);
	assert_true(pem_pair(cert, key, &err));
	/* The first is the one that counts; the others are who vouches for it. */
	(void)snprintf(chain, sizeof(chain), "%s%s", cert, other_cert);
	assert_true(pem_pair(chain, key, &err));
	refuse(chain, other_key, "not that of the certificate");
	refuse(cert, other_key, "not that of the certificate");
	refuse(cert, cert, "no private key");
	refuse(key, key, "no certificate");
	refuse("", key, "no certificate");
	refuse("garbage", key, "no certificate");
	refuse(cert, "", "no private key");
}

/* Nobody is asked for a password: the test would wait. */
static void test_locked_key(void **state)
{
	EVP_PKEY *made = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	char locked[PEM_SIZE];

	(void)state;
	assert_int_equal(PEM_write_bio_PrivateKey(bio, made, EVP_aes_128_cbc(),
						  (const unsigned char *)"pass", 4, NULL, NULL),
			 1);
	take_pem(bio, locked);
	refuse(cert, locked, "without a password");
	EVP_PKEY_free(made);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_pair),
					    cmocka_unit_test(test_locked_key) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
