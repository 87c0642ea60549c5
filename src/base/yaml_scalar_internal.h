/* SPDX-License-Identifier: Apache-2.0 */
/* yaml_scalar - what a plain YAML scalar means here; the strict rules of conftree.h. */
#ifndef OPSD_BASE_YAML_SCALAR_INTERNAL_H
#define OPSD_BASE_YAML_SCALAR_INTERNAL_H

#include "base/json.h"

struct err;

/* null, a boolean, a number or a string; NULL and err for what YAML's versions read differently. */
json_t *yaml_scalar(const char *text, struct err *err);

/* No tag, or !!str. */
bool yaml_tag_is_str(const char *tag);

#endif
