/* SPDX-License-Identifier: Apache-2.0 */
/* owed.c - kinds of messages that are owed, and the end of one. */
#include "core/owed.h"

#include <stdlib.h>

#include "base/str.h"

bool owed_edited(const struct owed *owed)
{
	return str_eq(owed->kind, "card") || str_eq(owed->kind, "doubt") ||
	       str_eq(owed->kind, "progress");
}

enum owed_lane owed_lane(const struct owed *owed)
{
	if (str_eq(owed->kind, "audit"))
		return OWED_AUDIT;
	if (owed_edited(owed) || str_eq(owed->kind, "ask") || str_eq(owed->kind, "review"))
		return OWED_CARDS;
	return OWED_REPLIES;
}

void owed_destroy(struct owed *owed)
{
	if (owed == NULL)
		return;
	free(owed->kind);
	free(owed->request);
	free(owed->channel);
	free(owed->user);
	free(owed->response_url);
	free(owed->ts);
	json_decref(owed->body);
	free(owed);
}
