/* SPDX-License-Identifier: Apache-2.0 */
/* posting.c - the sender's messages and arguments. */
#include "posting.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"
#include "chat/card.h"
#include "chat/render.h"

enum { HISTORY_LIMIT = 100 };

/* Did an earlier try get there?  Looks for our id in the metadata of the channel's newest messages.
 */
const char *posting_found(const json_t *history, int64_t id)
{
	size_t i, j;
	json_t *message, *item;

	json_array_foreach(json_object_get(history, "messages"), i, message) json_array_foreach(
		jget(message, "metadata.event_payload.messages"), j,
		item) if (json_integer_value(item) == id) return jget_str(message, "ts");
	return NULL;
}

json_t *posting_args(const json_t *message, const char *channel, struct owed *const *owed, size_t n)
{
	json_t *args = json_copy((json_t *)(uintptr_t)message), *ids = json_array();

	json_object_del(args, "replace_original");
	json_object_set_new(args, "channel", json_string(channel));
	json_object_set_new(args, "unfurl_links", json_false());
	json_object_set_new(args, "unfurl_media", json_false());
	for (size_t i = 0; i < n; i++)
		json_array_append_new(ids, json_integer(owed[i]->id));
	if (n > 0)
		json_object_set_new(args, "metadata",
				    json_pack("{s:s, s:{s:O}}", "event_type", "opsd_outcome",
					      "event_payload", "messages", ids));
	json_decref(ids);
	return args;
}

json_t *posting_find_args(const struct owed *owed)
{
	int64_t from_ms = owed->created_ms - 5000;
	char oldest[40];

	(void)snprintf(oldest, sizeof(oldest), "%" PRId64 ".000000", from_ms / 1000);
	return json_pack("{s:s, s:s*, s:s, s:i, s:b}", "channel", owed->channel, "ts", owed->ts,
			 "oldest", oldest, "limit", HISTORY_LIMIT, "include_all_metadata", 1);
}

bool posting_again(const struct owed *owed)
{
	const json_t *facts = owed->body;

	if (str_eq(owed->kind, "card"))
		return str_eq(jget_str(facts, "state"), "approving") &&
		       !jget_bool(facts, "approval.outdated", false) &&
		       !jget_bool(facts, "approval.reposted", false);
	return str_eq(owed->kind, "doubt") && str_eq(jget_str(facts, "state"), "unknown") &&
	       !jget_bool(facts, "reposted", false);
}

json_t *posting_render(const struct owed *owed)
{
	if (str_eq(owed->kind, "doubt"))
		return render_doubt(owed->body);
	if (str_eq(owed->kind, "progress"))
		return render_progress(owed->body);
	if (str_eq(owed->kind, "card"))
		return render_card(owed->body);
	if (str_eq(owed->kind, "ask"))
		return render_ask(owed->body);
	if (str_eq(owed->kind, "review"))
		return render_review(owed->body);
	if (str_eq(owed->kind, "link"))
		return render_linked(owed->body);
	return str_eq(owed->kind, "preview") ? render_preview(owed->body)
					     : render_reply(owed->body);
}
