/* SPDX-License-Identifier: Apache-2.0 */
/* backoff.c - full jitter: a crowd that lost its peer together does not come back together. */
#include "net/backoff.h"

#include <sys/random.h>
#include <sys/types.h>

void backoff_init(struct backoff *backoff, uint32_t base_ms, uint32_t cap_ms)
{
	*backoff = (struct backoff){ .base_ms = base_ms, .cap_ms = cap_ms };
}

void backoff_reset(struct backoff *backoff)
{
	backoff->tries = 0;
}

/* Uniform in [low, high].  Without a random number high: waiting longer harms nobody. */
static uint32_t between(uint32_t low, uint32_t high)
{
	uint64_t span = (uint64_t)high - low + 1, number;
	ssize_t n = getrandom(&number, sizeof(number), GRND_NONBLOCK);

	if (n != (ssize_t)sizeof(number))
		return high;
	return low + (uint32_t)(number % span);
}

uint32_t backoff_next(struct backoff *backoff, uint32_t floor_ms)
{
	uint64_t high = backoff->base_ms;
	uint32_t low = backoff->base_ms / 2, delay;

	for (uint32_t i = 0; i < backoff->tries && high < backoff->cap_ms; i++)
		high *= 2;
	if (high > backoff->cap_ms)
		high = backoff->cap_ms;
	if (low > high)
		low = (uint32_t)high;
	if (backoff->tries < UINT32_MAX)
		backoff->tries++;
	delay = between(low, (uint32_t)high);
	if (delay >= floor_ms)
		return delay;
	/* All who were told the same time would come at the same time. */
	return floor_ms +
	       between(0, backoff->base_ms < UINT32_MAX - floor_ms ? backoff->base_ms : 0);
}
