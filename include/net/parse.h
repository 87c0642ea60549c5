/* SPDX-License-Identifier: Apache-2.0 */
/* parse - JSON of some hundred kilobytes takes tens of milliseconds: parsed by a pool thread, so
 * that the loop goes on. */
#ifndef OPSD_NET_PARSE_H
#define OPSD_NET_PARSE_H

#include <stddef.h>
#include <uv.h>

#include "base/call.h"
#include "base/json.h"

enum { PARSE_HERE_MAX = 64 * 1024 }; /* what may as well be parsed on the spot */

/* value is lent; NULL: err (ERR_INVALID). */
typedef void (*parse_done_fn)(void *data, json_t *value, const struct err *err);

/* text is copied. */
struct call *parse_start(uv_loop_t *loop, const char *text, size_t len, parse_done_fn done,
			 void *data);

#endif
