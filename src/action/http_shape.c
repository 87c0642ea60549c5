/* SPDX-License-Identifier: Apache-2.0 */
/* http_shape.c - an API's answer by an expression of the catalog. */
#include "core/expr.h"
#include "http_ask.h"

json_t *http_shape(const char *source, const json_t *args, const json_t *answer, struct err *err)
{
	struct expr *expr = expr_compile(source, err);
	json_t *input, *value = NULL;

	if (expr == NULL)
		return NULL;
	input = args != NULL ? json_copy((json_t *)(uintptr_t)args) : json_object();
	json_object_set(input, "answer",
			answer != NULL ? (json_t *)(uintptr_t)answer : json_null());
	if (!expr_value(expr, input, &value, err)) {
		err_prefix(err, "the answer has not the shape that \"%.60s\" expects", source);
		value = NULL;
	}
	json_decref(input);
	expr_destroy(expr);
	return value;
}
