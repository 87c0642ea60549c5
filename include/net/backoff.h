/* SPDX-License-Identifier: Apache-2.0 */
/* backoff - delays between tries: full jitter, exponential, with a floor and a ceiling; pure. */
#ifndef OPSD_NET_BACKOFF_H
#define OPSD_NET_BACKOFF_H

#include <stdint.h>

struct backoff {
	uint32_t base_ms, cap_ms;
	uint32_t tries;
};

void backoff_init(struct backoff *backoff, uint32_t base_ms, uint32_t cap_ms);
void backoff_reset(struct backoff *backoff);

/* The next delay: uniform in [base/2, min(cap, base * 2^tries)]; at least floor_ms (a Retry-After).
 */
uint32_t backoff_next(struct backoff *backoff, uint32_t floor_ms);

#endif
