/* SPDX-License-Identifier: Apache-2.0 */
/* owed.c - the end of a message that was owed. */
#include "core/owed.h"

#include <stdlib.h>

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
