/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a credential plugin prints: a credential that may be sent and has not expired, or an
 * error that holds nothing of it. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/kube/internal.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[] = { (char *)"/usr/bin/aws", NULL };
	const struct kube_plugin plugin = { .argv = argv,
					    .version = (char *)"client.authentication.k8s.io/v1" };
	const int64_t now_ms = 1764000000000;
	char *text = xstrndup((const char *)data, size);
	struct kube_credential got;
	struct err err = { 0 };

	if (kube_plugin_answer(&plugin, text, strlen(text), now_ms, &got, &err)) {
		assert(got.token != NULL || got.cert_pem != NULL);
		assert((got.cert_pem == NULL) == (got.key_pem == NULL));
		assert(got.expires_ms == 0 || got.expires_ms > now_ms);
		for (const char *c = got.token; c != NULL && *c != '\0'; c++)
			assert(*c > 0x20 && *c < 0x7f);
	} else {
		assert(err.kind == ERR_RETRY && got.token == NULL && got.cert_pem == NULL);
		assert(strstr(err.msg, "hunter2") == NULL);
	}
	kube_credential_finish(&got);
	log_mask_clear();
	free(text);
	return 0;
}
