/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as Slack might send it: decoded, escaped and cut, it stays UTF-8 within its limits. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "slack/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xstrndup((const char *)data, size);
	char *decoded = slack_text_decode(text), *escaped = slack_text_escape(text);
	char *cut = slack_text_cut(text, 20);

	assert(str_utf8_valid(decoded, strlen(decoded)));
	assert(str_utf16_len(cut) <= 20);
	assert(strpbrk(escaped, "<>") == NULL);
	log_redact(text);
	assert(strlen(text) <= size);
	free(cut);
	free(escaped);
	free(decoded);
	free(text);
	return 0;
}
