/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expr - a jq expression of the catalog, compiled once, run on a JSON value; libjq behind it.
 *
 * Refused when compiled: modules, environment, input, files, debug and everything that can run
 * without end or ask the outside (env $ENV input inputs include import debug stderr input_filename
 * now localtime mktime gmtime strftime range while until repeat recurse limit first(f) last(f) nth
 * def foreach reduce label getpath/paths over depth, …): an expression is a condition or a shaping,
 * not a program.  Source at most 1000 bytes; an answer is at most 1 MiB.
 */
#ifndef OPSD_CORE_EXPR_H
#define OPSD_CORE_EXPR_H

#include <stdbool.h>

#include "base/json.h"

struct err;
struct expr;

struct expr *expr_compile(const char *source, struct err *err); /* NULL: err has jq's reason */
void expr_destroy(struct expr *expr);
const char *expr_source(const struct expr *expr);

/* The first result.  false: err (the expression failed on this input, or gave nothing). */
bool expr_value(struct expr *expr, const json_t *input, json_t **ret_value,
		struct err *err); /* a new reference */

/* true/false as jq takes truth (false and null are false).  Failing is an error, not false. */
bool expr_truth(struct expr *expr, const json_t *input, bool *ret_truth, struct err *err);

#endif
