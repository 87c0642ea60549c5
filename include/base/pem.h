/* SPDX-License-Identifier: Apache-2.0 */
/* pem - certificates and keys as PEM text, by OpenSSL; pure. */
#ifndef OPSD_BASE_PEM_H
#define OPSD_BASE_PEM_H

#include <stdbool.h>

struct err;

/* Is it the private key (in clear) of the first of the certificates?  false: err. */
bool pem_pair(const char *certs, const char *key, struct err *err);

/* For OpenSSL's readers: a key under a password is refused, never asked about on a terminal. */
int pem_no_password(char *buf, int size, int writing, void *data);

#endif
