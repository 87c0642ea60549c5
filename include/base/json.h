/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json - jansson, and typed reads that survive anything a peer sends.
 *
 * The only place that includes <jansson.h>.  Absent, null and wrong type all read as the given
 * default; where that matters, ask json_object_get.  Paths are dotted member names, no arrays.
 */
#ifndef OPSD_BASE_JSON_H
#define OPSD_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct err;

const char *jget_str(const json_t *obj, const char *path); /* NULL when absent */
const char *jget_str_or(const json_t *obj, const char *path, const char *fallback);
int64_t jget_int(const json_t *obj, const char *path, int64_t fallback);
bool jget_bool(const json_t *obj, const char *path, bool fallback); /* also "true"/"false" */
json_t *jget(const json_t *obj, const char *path);                  /* borrowed; NULL when absent */

/* Parses UTF-8 text of at most max bytes; duplicates rejected, depth limited.  err: ERR_INVALID. */
json_t *json_parse(const char *text, size_t len, size_t max, struct err *err);

/* Compact, sorted keys: the form that is hashed.  The caller frees it with free(). */
char *json_canonical(const json_t *value);

/* Compact, insertion order.  The caller frees it with free(). */
char *json_text(const json_t *value);

#endif
