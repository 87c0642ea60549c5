/* SPDX-License-Identifier: Apache-2.0 */
/* digest.c - SHA-256 and a compare in constant time, by OpenSSL. */
#include "base/digest.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

enum { SHA256_LEN = 32 };

void digest_hex(const void *data, size_t len, char ret_hex[DIGEST_HEX_LEN])
{
	static const char hex[] = "0123456789abcdef";
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	int ok = EVP_Digest(data, len, sum, &n, EVP_sha256(), NULL);

	assert(ok == 1 && n == SHA256_LEN);
	(void)ok;
	for (size_t i = 0; i < SHA256_LEN; i++) {
		ret_hex[2 * i] = hex[sum[i] >> 4];
		ret_hex[2 * i + 1] = hex[sum[i] & 15];
	}
	ret_hex[DIGEST_HEX_LEN - 1] = '\0';
}

bool digest_equal(const char *a, const char *b)
{
	size_t len;

	if (a == NULL || b == NULL)
		return false;
	len = strlen(a);
	return len == strlen(b) && CRYPTO_memcmp(a, b, len) == 0;
}
