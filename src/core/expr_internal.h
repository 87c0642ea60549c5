/* SPDX-License-Identifier: Apache-2.0 */
/* expr_internal - what an expression may say, decided by its words before jq sees it; pure. */
#ifndef OPSD_CORE_EXPR_INTERNAL_H
#define OPSD_CORE_EXPR_INTERNAL_H

#include <stdbool.h>

struct err;

/* false: err names the word and, where there is one, the nearest that is allowed. */
bool expr_words_allowed(const char *source, struct err *err);

#endif
