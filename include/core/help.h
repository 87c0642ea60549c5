/* SPDX-License-Identifier: Apache-2.0 */
/* help - what help shows: commands that a set of actions allows, from declarations; pure. */
#ifndef OPSD_CORE_HELP_H
#define OPSD_CORE_HELP_H

#include "base/json.h"

struct catalog;

/*
 * topic: NULL (all), a prefix ("workers") or a title ("workers scale").  may: array of action
 * names, or NULL: not known, then all.  A new array of { "title", "about", "usage", "example",
 * "risk", "params": [ { "name", "about", "kind", "optional" } ] } (params only when the topic is a
 * title).
 */
json_t *help_commands(const struct catalog *catalog, const char *topic, const json_t *may);

#endif
