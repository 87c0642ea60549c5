/* SPDX-License-Identifier: Apache-2.0 */
/*
 * later - the arguments that every change takes beside its own: "for" and "until" make it temporary
 * (where it can be set back), "at" lets it wait; pure.
 *
 * What they come to is worked out once, in the database, by its clock and the asker's time zone:
 * { "starts_ms", "starts": "Mon 30 Nov 22:00 (Europe/Amsterdam)", "ends_ms", "ends", "for_s",
 * "max_s", "tz", "rolled": "at until": which of them mean the next day }.  It stands in a plan as
 * "when".
 */
#ifndef OPSD_CORE_LATER_H
#define OPSD_CORE_LATER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"

struct command;

/* How long a temporary change may last, unless its command says so. */
enum { LATER_MIN_S = 60, LATER_MAX_S = 7 * 86400 };

bool later_is_word(const char *name, size_t len); /* for, until, at */
const char *later_about(const char *name);

bool later_asked(const json_t *args);               /* any of them */
json_t *later_without(const json_t *args);          /* a copy that has none of them */
int64_t later_max_s(const struct command *command); /* how long its change may last */

/* The sentence about times that cannot be: { "problem", "which", "tz", "max_s" }.  The caller
 * frees. */
char *later_problem(const json_t *answer, const json_t *args);

#endif
