/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sender.c - posts what is owed.  A message is in one place at a time: it waits in its lane, or is
 * in the hands of a struct post.  What a lease has outlived is dropped here: whoever claims it next
 * sends it.
 */
#include "chat/sender.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/render.h"
#include "posting.h"
#include "slack/web.h"

enum {
	REPLY_POSTS = 16, /* under way at once */
	CARD_POSTS = 4,
	MARKS_MAX = 128, /* marks a commit; at so many no new post is started */
	MARKS_TOTAL = MARKS_MAX + RENDER_AUDIT_LINES + REPLY_POSTS +
		      CARD_POSTS, /* with what posts under way may still add */
	POLL_MS = FAILPOINT_MS(1000),
	FLUSH_MS = 40, /* marks wait so long for company: a commit of its own for each is dear */
	TRUST_MS = 20 * 1000, /* of the 30 s lease: later a message may be somebody else's */
	LATER_MIN_MS = FAILPOINT_MS(2000),
	LATER_MAX_MS = 300 * 1000,
};

/* What waits here, claimed and not yet sent; and posts under way at once. */
static const struct {
	unsigned waiting, posts;
} lane_max[OWED_LANES] = {
	[OWED_AUDIT] = { 2 * RENDER_AUDIT_LINES, 1 }, /* two seconds of the channel's pace */
	[OWED_REPLIES] = { 60, REPLY_POSTS },
	[OWED_CARDS] = { 20, CARD_POSTS },
};

struct lane {
	struct list waiting;
	unsigned posts;
};

struct post { /* one message to Slack: one owed, or several lines of the audit channel */
	struct list_node node;
	struct sender *sender;
	struct call *call;
	json_t *message;
	struct owed *owed[RENDER_AUDIT_LINES];
	size_t n;
	enum {
		POST_FIND,
		POST_CHANNEL,
		POST_UPDATE,
		POST_RESPOND,
		POST_EPHEMERAL,
		POST_OPEN_DM,
		POST_DM
	} step;
	char dm[32];
};

struct sender {
	uv_loop_t *loop;
	struct slack_web *web;
	struct owed_port port;
	uv_timer_t poll, flush, pace;
	unsigned handles;
	struct lane lanes[OWED_LANES];
	struct list posts;
	bool was_full; /* replies were left to a claim */
	struct call *claiming, *marking;
	struct owed_mark marks[MARKS_TOTAL];
	unsigned n_marks, n_marking;
	void (*drained)(void *data);
	void *drained_data;
	bool stopping;
	struct sender_stats stats;
};

static void pump(struct sender *sender);
static void flush(struct sender *sender);
static void on_flush(uv_timer_t *timer);
static void on_poll(uv_timer_t *timer);
static void post_step(struct post *post);

static unsigned queued(const struct sender *sender)
{
	size_t n = 0;

	for (unsigned i = 0; i < OWED_LANES; i++)
		n += sender->lanes[i].waiting.count;
	return (unsigned)n;
}

static unsigned lane_room(const struct sender *sender, enum owed_lane lane)
{
	size_t n = sender->lanes[lane].waiting.count;

	return n < lane_max[lane].waiting ? lane_max[lane].waiting - (unsigned)n : 0;
}

/* Room for replies; 1: for no line of the audit channel beside it. */
static void tell_room(struct sender *sender)
{
	unsigned room = lane_room(sender, OWED_REPLIES);

	if (sender->stopping || sender->n_marks >= MARKS_MAX)
		room = 0;
	else if (room > 1 && lane_room(sender, OWED_AUDIT) == 0)
		room = 1;
	sender->stats.queued = queued(sender);
	sender->port.room(sender->port.ctx, room);
	if (room == 0)
		sender->was_full = true;
	else if (sender->was_full && room > lane_max[OWED_REPLIES].waiting / 2) {
		sender->was_full = false;
		sender_wake(sender); /* people wait for what was left behind */
	}
}

static void check_drained(struct sender *sender)
{
	if (sender->drained == NULL || queued(sender) > 0 || sender->posts.count > 0 ||
	    sender->n_marks > 0 || sender->marking != NULL || sender->claiming != NULL)
		return;
	void (*drained)(void *data) = sender->drained;

	sender->drained = NULL;
	drained(sender->drained_data);
}

/* marks */

/* Our lease had ended before our post got there, and somebody else had posted it: ours goes. */
static void delete_twins(struct sender *sender)
{
	for (unsigned i = 0, n; i < sender->n_marking; i += n) {
		const struct owed_mark *first = &sender->marks[i];
		bool all = first->twin && first->channel[0] != '\0';

		for (n = 1; i + n < sender->n_marking && str_eq(sender->marks[i + n].ts, first->ts);
		     n++)
			all = all && sender->marks[i + n].twin;
		if (!all || first->ts[0] == '\0')
			continue;
		log_warn("posted late, taken back", LOG_INT("message", first->id));
		(void)slack_web_call(
			sender->web, "chat.delete",
			json_pack("{s:s, s:s}", "channel", first->channel, "ts", first->ts), 0,
			NULL, NULL);
	}
}

static void on_marked(void *data, const struct err *err)
{
	struct sender *sender = data;

	sender->marking = NULL;
	if (err != NULL) {
		/* Tried again with the next batch: the rows stay claimed meanwhile, and a repeat is
		 * harmless. */
		log_warn("delivery not recorded yet", LOG_INT("marks", sender->n_marking),
			 LOG_STR("error", err->msg));
		uv_timer_start(&sender->flush, on_flush, POLL_MS, 0);
		sender->n_marking = 0;
		return;
	}
	sender->stats.batches++;
	sender->stats.marks += sender->n_marking;
	delete_twins(sender);
	memmove(sender->marks, sender->marks + sender->n_marking,
		(sender->n_marks - sender->n_marking) * sizeof(sender->marks[0]));
	sender->n_marks -= sender->n_marking;
	sender->n_marking = 0;
	if (sender->n_marks > 0)
		flush(sender);
	pump(sender);
	check_drained(sender);
}

static void flush(struct sender *sender)
{
	if (sender->marking != NULL || sender->n_marks == 0)
		return;
	uv_timer_stop(&sender->flush);
	sender->n_marking = sender->n_marks < MARKS_MAX ? sender->n_marks : MARKS_MAX;
	sender->marking = sender->port.mark(sender->port.ctx, sender->marks, sender->n_marking,
					    on_marked, sender);
}

static void on_flush(uv_timer_t *timer)
{
	flush(timer->data);
}

static void add_mark(struct sender *sender, const struct owed *owed, enum owed_end end,
		     const char *ts, int64_t later_ms, const char *error)
{
	struct owed_mark *mark;

	/* Posts are started only while there is room for all their marks. */
	assert(sender->n_marks < MARKS_TOTAL);
	mark = &sender->marks[sender->n_marks++];
	*mark = (struct owed_mark){ .id = owed->id, .end = end, .later_ms = later_ms };
	(void)snprintf(mark->ts, sizeof(mark->ts), "%s", ts != NULL ? ts : "");
	if (end == OWED_DELIVERED && (str_eq(owed->kind, "audit") || owed_edited(owed)))
		(void)snprintf(mark->channel, sizeof(mark->channel), "%s", owed->channel);
	if (error != NULL)
		(void)snprintf(mark->error, sizeof(mark->error), "%.*s",
			       (int)str_utf8_prefix(error, sizeof(mark->error) - 1), error);
}

/* posts */

static void post_free(struct post *post)
{
	for (size_t i = 0; i < post->n; i++)
		owed_destroy(post->owed[i]);
	json_decref(post->message);
	free(post);
}

static bool is_audit(const struct post *post)
{
	return str_eq(post->owed[0]->kind, "audit");
}

static bool is_progress(const struct post *post)
{
	return str_eq(post->owed[0]->kind, "progress");
}

/* In a channel of ours: it can be repaired (invite the bot, unarchive), so what is owed there
 * waits.
 */
static bool in_channel(const struct post *post)
{
	return owed_lane(post->owed[0]) != OWED_REPLIES && !is_progress(post);
}

static void post_end(struct post *post, enum owed_end end, const char *ts, int64_t later_ms,
		     const char *error)
{
	struct sender *sender = post->sender;

	FAILPOINT("post.over %s", post->owed[0]->kind);
	for (size_t i = 0; i < post->n; i++)
		add_mark(sender, post->owed[i], end, ts, later_ms, error);
	if (end == OWED_DELIVERED)
		sender->stats.posted += is_audit(post), sender->stats.replied += !is_audit(post);
	else if (end == OWED_DEAD)
		sender->stats.dead += post->n;
	else
		sender->stats.failed += post->n;
	if (end != OWED_DELIVERED)
		log_warn(end == OWED_DEAD ? "message given up" : "message delayed",
			 LOG_STR("request", post->owed[0]->request),
			 LOG_STR("kind", post->owed[0]->kind), LOG_STR("error", error));
	sender->lanes[owed_lane(post->owed[0])].posts--;
	list_remove(&sender->posts, &post->node);
	post_free(post);
	if (sender->n_marks >= MARKS_MAX / 2 || (sender->stopping && sender->posts.count == 0))
		flush(sender);
	else if (!uv_is_active((uv_handle_t *)&sender->flush))
		uv_timer_start(&sender->flush, on_flush, FLUSH_MS, 0);
	pump(sender);
	check_drained(sender);
}

static int64_t later_of(const struct post *post, const struct slack_answer *answer)
{
	int64_t tries = post->owed[0]->attempts < 8 ? post->owed[0]->attempts : 8;
	int64_t wait = (int64_t)LATER_MIN_MS << tries;

	if (answer != NULL && answer->retry_ms > wait)
		wait = answer->retry_ms;
	return wait < LATER_MAX_MS ? wait : LATER_MAX_MS;
}

/* The next way to reach a person when one is closed; POST_FIND: there is none. */
static int next_way(const struct post *post)
{
	const struct owed *owed = post->owed[0];

	switch (post->step) {
	case POST_RESPOND:
		if (owed->channel != NULL && owed->user != NULL)
			return POST_EPHEMERAL;
		return owed->user != NULL ? POST_OPEN_DM : POST_FIND;
	case POST_EPHEMERAL:
		return POST_OPEN_DM;
	case POST_FIND:
	case POST_CHANNEL:
	case POST_UPDATE:
	case POST_OPEN_DM:
	case POST_DM:
		break;
	}
	return POST_FIND;
}

/* Somebody deleted the message, or its thread.  A card whose buttons are needed is posted again,
 * once. */
static void post_gone(struct post *post)
{
	if (owed_edited(post->owed[0]) && !posting_again(post->owed[0])) {
		post_end(post, OWED_DELIVERED, NULL, 0, NULL);
		return;
	}
	free(post->owed[0]->ts);
	post->owed[0]->ts = NULL;
	post->step = POST_CHANNEL;
	post_step(post);
}

static bool is_gone(const struct post *post, const struct slack_answer *answer)
{
	return post->owed[0]->ts != NULL && (str_eq(answer->error, "message_not_found") ||
					     str_eq(answer->error, "thread_not_found") ||
					     str_eq(answer->error, "cant_update_message") ||
					     str_eq(answer->error, "edit_window_closed"));
}

static void on_posted(void *data, const struct slack_answer *answer, const struct err *err)
{
	struct post *post = data;
	int way;

	post->call = NULL;
	switch (answer->class) {
	case SLACK_OK:
		if (post->step == POST_OPEN_DM) {
			(void)snprintf(post->dm, sizeof(post->dm), "%s",
				       jget_str_or(answer->json, "channel.id", ""));
			post->step = POST_DM;
			if (is_progress(post)) { /* it is edited there from now on */
				free(post->owed[0]->channel);
				post->owed[0]->channel = xstrdup(post->dm);
				post->step = POST_CHANNEL;
			}
			post_step(post);
			return;
		}
		post_end(post, OWED_DELIVERED, jget_str(answer->json, "ts"), 0, NULL);
		return;
	case SLACK_REFUSED:
		if (is_gone(post, answer)) {
			post_gone(post);
			return;
		}
		way = next_way(post);
		if (way != POST_FIND) {
			post->step = way == POST_EPHEMERAL ? POST_EPHEMERAL : POST_OPEN_DM;
			post_step(post);
			return;
		}
		post_end(post, in_channel(post) ? OWED_LATER : OWED_DEAD, NULL, LATER_MAX_MS,
			 err->msg);
		return;
	case SLACK_FATAL:
	case SLACK_RETRY:
	case SLACK_UNCERTAIN:
		break;
	}
	post_end(post, OWED_LATER, NULL, later_of(post, answer), err->msg);
}

static void on_history(void *data, const struct slack_answer *answer, const struct err *err)
{
	struct post *post = data;
	const char *ts;

	post->call = NULL;
	if (answer->class == SLACK_OK) {
		ts = posting_found(answer->json, post->owed[0]->id);
		if (ts != NULL && owed_edited(post->owed[0])) { /* it may show what was so then */
			post->owed[0]->ts = xstrdup(ts);
			post->step = POST_UPDATE;
			post_step(post);
			return;
		}
		if (ts != NULL) {
			post_end(post, OWED_DELIVERED, ts, 0, NULL);
			return;
		}
	} else if (answer->class != SLACK_REFUSED) {
		post_end(post, OWED_LATER, NULL, later_of(post, answer), err->msg);
		return;
	}
	/* Not there; or history may not be read here, and then twice is better than never. */
	post->step = POST_CHANNEL;
	post_step(post);
}

/* May it be posted now, with what Slack makes us wait, before anybody else may claim it? */
static bool in_time(const struct post *post)
{
	int64_t now =
		clock_mono_ms() + slack_web_channel_wait(post->sender->web, post->owed[0]->channel);

	for (size_t i = 0; i < post->n; i++)
		if (now - post->owed[i]->claimed_ms >= TRUST_MS)
			return false;
	return true;
}

static void post_step(struct post *post)
{
	struct sender *sender = post->sender;
	const struct owed *owed = post->owed[0];
	json_t *args;

	FAILPOINT("post.step %s", owed->kind);
	if ((post->step == POST_CHANNEL || post->step == POST_UPDATE) && !in_time(post)) {
		post_end(post, OWED_LATER, NULL, LATER_MIN_MS, "it took too long to come to it");
		return;
	}
	switch (post->step) {
	case POST_FIND:
		post->call = slack_web_call(sender->web,
					    owed->ts != NULL ? "conversations.replies"
							     : "conversations.history",
					    posting_find_args(owed), 0, on_history, post);
		return;
	case POST_UPDATE:
		args = posting_args(post->message, owed->channel, post->owed, post->n);
		json_object_set_new(args, "ts", json_string(owed->ts));
		json_object_del(args, "unfurl_links");
		json_object_del(args, "unfurl_media");
		post->call = slack_web_call(sender->web, "chat.update", args, 0, on_posted, post);
		return;
	case POST_CHANNEL:
		args = posting_args(post->message, owed->channel, post->owed, post->n);
		if (owed->ts != NULL)
			json_object_set_new(args, "thread_ts", json_string(owed->ts));
		post->call =
			slack_web_call(sender->web, "chat.postMessage", args, 0, on_posted, post);
		return;
	case POST_RESPOND:
		post->call = slack_web_respond(sender->web, owed->response_url,
					       json_incref(post->message), on_posted, post);
		return;
	case POST_EPHEMERAL:
		args = posting_args(post->message, owed->channel, NULL, 0);
		json_object_set_new(args, "user", json_string(owed->user));
		json_object_del(args, "unfurl_links");
		json_object_del(args, "unfurl_media");
		post->call =
			slack_web_call(sender->web, "chat.postEphemeral", args, 0, on_posted, post);
		return;
	case POST_OPEN_DM:
		args = json_pack("{s:s}", "users", owed->user);
		post->call =
			slack_web_call(sender->web, "conversations.open", args, 0, on_posted, post);
		return;
	case POST_DM:
		args = posting_args(post->message, post->dm, NULL, 0);
		post->call =
			slack_web_call(sender->web, "chat.postMessage", args, 0, on_posted, post);
		return;
	}
}

static struct post *post_new(struct sender *sender, struct owed *owed)
{
	struct post *post = xcalloc(1, sizeof(*post));

	post->sender = sender;
	post->owed[post->n++] = owed;
	sender->lanes[owed_lane(owed)].posts++;
	list_push(&sender->posts, &post->node);
	return post;
}

/* The first message whose lease can still be trusted. */
static struct owed *take(struct list *list)
{
	struct list_node *node;

	while ((node = list_pop(list)) != NULL) {
		struct owed *owed = list_entry(node, struct owed, node);

		if (clock_mono_ms() - owed->claimed_ms < TRUST_MS)
			return owed;
		owed_destroy(owed);
	}
	return NULL;
}

static void on_pace(uv_timer_t *timer)
{
	struct sender *sender = timer->data;

	pump(sender);
	check_drained(sender);
}

/* While the channel must wait, what is owed stays here: it may be claimed by somebody else
 * meanwhile, and more lines come together. */
static bool must_wait(struct sender *sender, const struct owed *owed)
{
	int64_t wait = slack_web_channel_wait(sender->web, owed->channel);

	if (wait > 0)
		uv_timer_start(&sender->pace, on_pace, (uint64_t)wait, 0);
	return wait > 0;
}

static void start_audit(struct sender *sender)
{
	const json_t *facts[RENDER_AUDIT_LINES];
	struct list *waiting = &sender->lanes[OWED_AUDIT].waiting;
	struct owed *owed = list_entry(list_first(waiting), struct owed, node);
	struct post *post;

	if (must_wait(sender, owed))
		return;
	owed = take(waiting);
	if (owed == NULL)
		return;
	post = post_new(sender, owed);
	post->step = owed->attempts > 0 ? POST_FIND : POST_CHANNEL;
	/* One that must be looked for goes alone; the others share a message while they wait for
	 * the pace. */
	while (post->step == POST_CHANNEL && post->n < RENDER_AUDIT_LINES && waiting->count > 0) {
		struct owed *next = list_entry(list_first(waiting), struct owed, node);

		if (next->attempts > 0 || !str_eq(next->channel, owed->channel))
			break;
		next = take(waiting);
		if (next == NULL)
			break;
		post->owed[post->n++] = next;
	}
	for (size_t i = 0; i < post->n; i++)
		facts[i] = post->owed[i]->body;
	post->message = render_audit(facts, post->n);
	post_step(post);
}

static void start_one(struct sender *sender, enum owed_lane lane)
{
	struct owed *owed = take(&sender->lanes[lane].waiting);
	struct post *post;

	if (owed == NULL)
		return;
	post = post_new(sender, owed);
	post->message = posting_render(owed);
	if (is_progress(post)) /* not looked for: an app may not read direct messages */
		post->step = owed->ts != NULL ? POST_UPDATE : POST_OPEN_DM;
	else if (in_channel(post))
		post->step = owed_edited(owed) && owed->ts != NULL ? POST_UPDATE
			     : owed->attempts > 0                  ? POST_FIND
								   : POST_CHANNEL;
	else if (owed->response_url != NULL)
		post->step = POST_RESPOND;
	else
		post->step =
			owed->channel != NULL && owed->user != NULL ? POST_EPHEMERAL : POST_OPEN_DM;
	post_step(post);
}

static bool may_start(const struct sender *sender, enum owed_lane lane)
{
	return sender->lanes[lane].posts < lane_max[lane].posts &&
	       sender->lanes[lane].waiting.count > 0 && sender->n_marks < MARKS_MAX;
}

static void pump(struct sender *sender)
{
	if (may_start(sender, OWED_AUDIT))
		start_audit(sender);
	while (may_start(sender, OWED_REPLIES))
		start_one(sender, OWED_REPLIES);
	while (may_start(sender, OWED_CARDS))
		start_one(sender, OWED_CARDS);
	tell_room(sender);
}

void sender_add(void *data, struct owed *owed)
{
	struct sender *sender = data;

	list_push(&sender->lanes[owed_lane(owed)].waiting, &owed->node);
	pump(sender);
}

static void on_claimed(void *data, const struct err *err)
{
	struct sender *sender = data;

	sender->claiming = NULL;
	if (err != NULL)
		log_debug("outbox not read", LOG_STR("error", err->msg));
	check_drained(sender);
}

void sender_wake(struct sender *sender)
{
	if (!sender->stopping)
		uv_timer_start(&sender->poll, on_poll, 0, POLL_MS);
}

static void on_poll(uv_timer_t *timer)
{
	struct sender *sender = timer->data;
	unsigned limits[OWED_LANES], sum = 0;

	pump(sender);
	check_drained(sender);
	for (unsigned i = 0; i < OWED_LANES; i++) {
		limits[i] = lane_room(sender, i);
		sum += limits[i];
	}
	if (sender->stopping || sender->claiming != NULL || sum == 0 ||
	    sender->n_marks >= MARKS_MAX)
		return;
	sender->claiming = sender->port.claim(sender->port.ctx, limits, on_claimed, sender);
}

struct sender *sender_create(uv_loop_t *loop, struct slack_web *web, const struct owed_port *port)
{
	struct sender *sender = xcalloc(1, sizeof(*sender));

	sender->loop = loop;
	sender->web = web;
	sender->port = *port;
	for (unsigned i = 0; i < OWED_LANES; i++)
		list_init(&sender->lanes[i].waiting);
	list_init(&sender->posts);
	uv_timer_init(loop, &sender->poll);
	uv_timer_init(loop, &sender->flush);
	uv_timer_init(loop, &sender->pace);
	sender->poll.data = sender->flush.data = sender->pace.data = sender;
	sender->handles = 3;
	uv_timer_start(&sender->poll, on_poll, POLL_MS / 10, POLL_MS);
	tell_room(sender);
	return sender;
}

const struct sender_stats *sender_stats(const struct sender *sender)
{
	return &sender->stats;
}

void sender_drain(struct sender *sender, void (*drained)(void *data), void *data)
{
	sender->stopping = true;
	tell_room(sender);
	sender->drained = drained;
	sender->drained_data = data;
	flush(sender);
	check_drained(sender);
}

static void on_closed(uv_handle_t *handle)
{
	struct sender *sender = handle->data;

	if (--sender->handles == 0)
		free(sender);
}

static void drop_all(struct list *list)
{
	struct list_node *node;

	while ((node = list_pop(list)) != NULL)
		owed_destroy(list_entry(node, struct owed, node));
}

void sender_destroy(struct sender *sender)
{
	struct list_node *node;

	if (sender == NULL)
		return;
	call_cancel(&sender->claiming);
	call_cancel(&sender->marking);
	while ((node = list_pop(&sender->posts)) != NULL) {
		struct post *post = list_entry(node, struct post, node);

		call_cancel(&post->call);
		post_free(post);
	}
	for (unsigned i = 0; i < OWED_LANES; i++)
		drop_all(&sender->lanes[i].waiting);
	uv_close((uv_handle_t *)&sender->poll, on_closed);
	uv_close((uv_handle_t *)&sender->flush, on_closed);
	uv_close((uv_handle_t *)&sender->pace, on_closed);
}
