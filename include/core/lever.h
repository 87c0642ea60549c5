/* SPDX-License-Identifier: Apache-2.0 */
/* lever - the command that lasts instead of what was asked for: a kind and its parameters (of a
 * plan's owner, docs/action-contract.md) turned into what a person types; pure. */
#ifndef OPSD_CORE_LEVER_H
#define OPSD_CORE_LEVER_H

#include "base/json.h"

struct catalog;

/*
 * { "command": "workers range", "text": "workers range team=ads …", "values": { name: "text" } } of
 * the first command that does just this; args are those of the present request, whose reason is
 * taken over.  Without "text" when something is left to be filled in.  NULL: no command does it.  A
 * new reference.
 */
json_t *lever_resolve(const struct catalog *catalog, const json_t *lever, const json_t *args);

#endif
