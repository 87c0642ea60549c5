/* SPDX-License-Identifier: Apache-2.0 */
/* resolve - host name to numeric addresses, off the loop (uv_getaddrinfo). */
#ifndef OPSD_NET_RESOLVE_H
#define OPSD_NET_RESOLVE_H

#include <stddef.h>
#include <uv.h>

#include "base/call.h"

enum { RESOLVE_MAX = 8, RESOLVE_TEXT = 46 };

struct resolved {
	size_t n;
	char address[RESOLVE_MAX]
		    [RESOLVE_TEXT]; /* numeric, in the resolver's order, no duplicates */
};

/* found is NULL when err is set (ERR_RETRY: no such host, no resolver, none in time). */
typedef void (*resolve_done_fn)(void *data, const struct resolved *found, const struct err *err);

/* A numeric host is answered on the next turn without any look-up.  timeout_ms bounds the wait;
 * a resolver that answers later is ignored (the pool thread is left to finish). */
struct call *resolve_start(uv_loop_t *loop, const char *host, unsigned timeout_ms,
			   resolve_done_fn done, void *data);

#endif
