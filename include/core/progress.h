/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress - what one look at a followed change means: when to look again, what to tell, whether it
 * is over; pure.
 */
#ifndef OPSD_CORE_PROGRESS_H
#define OPSD_CORE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"

struct err;

struct progress_look {
	const char *id;
	int64_t fence;
	const json_t *since; /* what the look was given */
	int64_t age_ms;      /* since it was followed first */
	int64_t done_ms;     /* since it was complete; < 0: it was not yet */
	int64_t stays_s;     /* how long it must stay */
	bool watched;        /* a change of it is heard of: the next look is only for safety */
};

/*
 * The mark (store/follow.h) of a look that answered, or failed with err.  "tell" in it is only the
 * progress: { "state", "says", "why"?, "cause"?, "have"?, "of"?, "text"?, "over": bool, "stays_s"?
 * }; "silent" is the state when nothing was seen.  A new reference.
 */
json_t *progress_mark(const struct progress_look *look, const json_t *answer,
		      const struct err *err);

#endif
