/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret - a value that is named in the configuration, never written there: { env: NAME } or {
 * file: PATH }.
 *
 * The text is registered with log_mask() when read; trailing newlines are dropped; at most 64 KiB.
 */
#ifndef OPSD_BASE_SECRET_H
#define OPSD_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"

struct err;

/* node is { "env": … } or { "file": … }.  NULL: err names the variable or file and the reason.
 * Blocking read. */
char *secret_read(const json_t *node, struct err *err);

/* Was one read from this variable of the environment? Then no child needs it. */
bool secret_in_env(const char *name);

/* Zeroes and frees. */
void secret_free(char *text);

/* A whole small file (blocking); NULL: err.  For configuration at start and reload only. */
char *file_read(const char *path, size_t max, size_t *ret_len, struct err *err);

#endif
