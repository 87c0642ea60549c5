/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a Socket Mode frame: refused with a reason, or an envelope that can be answered. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "slack/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ack(const struct envelope *envelope)
{
	char *text = envelope_ack(envelope->id, "{\"text\":\"x\"}");
	struct err err;
	json_t *json = json_parse(text, strlen(text), strlen(text), &err);

	assert(strcmp(jget_str(json, "envelope_id"), envelope->id) == 0);
	assert(jget_str(json, "payload.text") != NULL);
	json_decref(json);
	free(text);
}

static void check_envelope(const struct envelope *envelope)
{
	assert(envelope->id[0] != '\0');
	assert(strchr(envelope->dedup, ':') != NULL);
	assert(strlen(envelope->dedup) < sizeof(envelope->dedup));
	assert(envelope->user == NULL || envelope->user[0] != '\0');
	if (envelope->kind == ENVELOPE_SLASH && envelope->trigger_id != NULL)
		assert(strncmp(envelope->dedup, "slash:", 6) == 0);
	check_ack(envelope);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { .kind = ERR_NONE };
	struct envelope envelope;

	if (!envelope_parse((const char *)data, size, &envelope, &err)) {
		assert(err.kind == ERR_INVALID && err.msg[0] != '\0');
		return 0;
	}
	assert(json_is_object(envelope.json));
	if (envelope.kind == ENVELOPE_HELLO || envelope.kind == ENVELOPE_DISCONNECT)
		assert(envelope.id == NULL);
	else
		check_envelope(&envelope);
	envelope_finish(&envelope);
	return 0;
}
