/* SPDX-License-Identifier: Apache-2.0 */
/*
 * email - the one form in which addresses are compared: ASCII, lower case, exact domain.
 *
 * No Unicode folding, no dots or plus tags taken away: what is not plainly an address of an allowed
 * domain is no address at all.
 */
#ifndef OPSD_CORE_EMAIL_H
#define OPSD_CORE_EMAIL_H

#include <stdbool.h>
#include <stddef.h>

enum { EMAIL_KEY_LEN = 255 }; /* with the NUL */

/* domains NULL: any.  false: *ret_why is a static half-sentence ("has a byte outside ASCII"). */
bool email_key(const char *text, const char *const *domains, size_t n, char ret_key[EMAIL_KEY_LEN],
	       const char **ret_why);

#endif
