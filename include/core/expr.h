/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expr - a jq expression of the catalog, compiled once, run on a JSON value; libjq behind it.
 *
 * An expression is a condition or a shaping, not a program: only the functions listed in
 * expr_words.c may be used, none of which runs without end, asks the outside, stops the process or
 * matches regular expressions; no def, reduce, foreach, assignments, $ENV, "..".  Source at most
 * 1000 bytes; an answer is at most 1 MiB.
 *
 * Compiling costs some 30 ms once per source: programs are shared and kept, so compiling the same
 * source again is a look-up.  Compile on any thread; run on one thread at a time only.
 */
#ifndef OPSD_CORE_EXPR_H
#define OPSD_CORE_EXPR_H

#include <stdbool.h>

#include "base/json.h"

struct err;
struct expr;

struct expr *expr_compile(const char *source, struct err *err); /* NULL: err has jq's reason */
void expr_destroy(struct expr *expr); /* NULL is fine; the program is kept for the next compile */
void expr_forget(void);               /* frees all that nobody holds */
const char *expr_source(const struct expr *expr);

/* The first result.  false: err (the expression failed on this input, or gave nothing). */
bool expr_value(struct expr *expr, const json_t *input, json_t **ret_value,
		struct err *err); /* a new reference */

/* true/false as jq takes truth (false and null are false).  Failing is an error, not false. */
bool expr_truth(struct expr *expr, const json_t *input, bool *ret_truth, struct err *err);

#endif
