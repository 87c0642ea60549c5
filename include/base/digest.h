/* SPDX-License-Identifier: Apache-2.0 */
/* digest - SHA-256 as lower-case hex, and a compare that takes constant time (OpenSSL). */
#ifndef OPSD_BASE_DIGEST_H
#define OPSD_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

enum { DIGEST_HEX_LEN = 65 }; /* with the NUL */
void digest_hex(const void *data, size_t len, char ret_hex[DIGEST_HEX_LEN]);
bool digest_equal(const char *a, const char *b);

#endif
