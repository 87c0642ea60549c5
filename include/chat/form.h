/* SPDX-License-Identifier: Apache-2.0 */
/* form - a command's modal, made of its declaration.  Pure: JSON in, JSON out. */
#ifndef OPSD_CHAT_FORM_H
#define OPSD_CHAT_FORM_H

#include "base/json.h"

struct args_problems;
struct command;

enum { FORM_META_MAX = 3000 };

/* values: what is known already, { name: "text" }; channel: where the answer goes (may be NULL). */
json_t *form_view(const struct command *command, const json_t *values, const char *channel);

/* private_metadata back to its parts; NULL: not ours.  { "c": title, "ch": channel } */
json_t *form_meta(const char *private_metadata);

/* {"response_action":"errors","errors":{…}}: JSON text.  The caller frees. */
char *form_errors(const struct command *command, const struct args_problems *problems);

#endif
