/* SPDX-License-Identifier: Apache-2.0 */
/* Any answer of a cluster that is no success: an error with a sentence that is clean UTF-8; a
 * Secret's never holds what the message held. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/kube/internal.h"
#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "kube/kind.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = { 400, 401, 403, 404, 409, 410, 422, 429, 500, 504 };
	static const char *const methods[] = { "GET", "PATCH", "POST", "DELETE" };
	static const struct kube_kind secret = { "Secret", "secrets", NULL, "v1", true, false };
	struct kube_asked asked = { .cluster = "main", .space = "ads", .name = "web" };
	struct kube_said said = { 0 };
	struct err err = { 0 };
	char *text;

	if (size < 2)
		return 0;
	text = xstrndup((const char *)data + 2, size - 2);
	said.status = statuses[data[0] % 10];
	said.text = text;
	said.len = strlen(text);
	asked.method = methods[data[1] % 4];
	asked.kind = kube_kind_find("Deployment");
	(void)kube_status_error(&asked, &said, &err);
	assert(err.kind != ERR_NONE && err.msg[0] != '\0');
	assert(str_utf8_valid(err.msg, strlen(err.msg)));
	for (const char *c = err.msg; *c != '\0'; c++)
		assert((unsigned char)*c >= 0x20 && *c != 0x7f);
	if (str_eq(asked.method, "GET"))
		assert(err.kind != ERR_UNCERTAIN);
	asked.kind = &secret;
	(void)kube_status_error(&asked, &said, &err);
	if (strstr(text, "hunter2") != NULL && strstr(text, "strict decoding") == NULL &&
	    strstr(text, "field") == NULL && strstr(text, "is forbidden: ") == NULL)
		assert(strstr(err.msg, "hunter2") == NULL);
	free(text);
	return 0;
}
