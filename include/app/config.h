/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config - opsd.yaml: one table of settings (name, type, default, reloadable, help), checked as a
 * whole.
 *
 * Free sections (clusters, apis, directory, slack.commands) are JSON; the rest are typed.  A secret
 * is { env: NAME } or { file: PATH } and is read when asked for, never kept.
 */
#ifndef OPSD_APP_CONFIG_H
#define OPSD_APP_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/json.h"

struct buf;
struct config;
struct diags;
struct err;

/* path NULL: opsd.yaml here, then /etc/opsd/opsd.yaml.  NULL: diags. */
struct config *config_load(const char *path, struct diags *diags);
void config_destroy(struct config *config);

const char *config_path(const struct config *config); /* of the file */
const char *config_dir(const struct config *config);  /* its folder: relative paths start there */
const char *config_str(const struct config *config, const char *name); /* NULL: null */
int64_t config_int(const struct config *config, const char *name);
bool config_bool(const struct config *config, const char *name);
const json_t *config_node(const struct config *config,
			  const char *name); /* free sections; NULL: absent */
bool config_has(const struct config *config,
		const char *name); /* set or has a default that is not null */

/* The secret's text (secret_free it); NULL: err names the setting, the variable or file, and the
 * reason. */
char *config_secret(const struct config *config, const char *name, struct err *err);

/* A path of the file relative to the folder of opsd.yaml, made absolute.  The caller frees. */
char *config_file(const struct config *config, const char *name);

/* Effective settings as YAML with where each comes from, secrets masked. */
void config_print(const struct config *config, struct buf *buf);

#endif
