/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.c - one look: its mark.
 *
 * A change that is complete at once is not worth a message; one that takes its time, gets stuck or
 * does not stay is.  What was told last is remembered in since, so that nothing is told twice.
 */
#include "core/progress.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "base/xalloc.h"

enum {
	QUICK_MS = 3000, /* complete by then: nothing is told */
	AGAIN_MS = 2000,
	AGAIN_MAX_MS = 30 * 1000,
	WATCHED_MS = 3000,        /* of what is watched: the first look after the last news */
	STUCK_MS = 2 * 60 * 1000, /* without a step, where a reason is seen */
	SLOWER = 30,              /* a look takes at most this part of the time that passed */
	FOLLOW_MAX_MS = 6 * 3600 * 1000, /* then somebody else must look */
	SILENT = 3,                      /* looks without an answer before that is told */
};

/* When it is looked whether it stays, after it was complete; the last look is at the end. */
static const int64_t stays_at_s[] = { 5, 30, 300 };

static int64_t next_stay_ms(const struct progress_look *look)
{
	int64_t since = look->done_ms < 0 ? 0 : look->done_ms, end = look->stays_s * 1000;

	for (size_t i = 0; i < sizeof(stays_at_s) / sizeof(stays_at_s[0]); i++)
		if (stays_at_s[i] * 1000 > since + 500 && stays_at_s[i] * 1000 < end)
			return stays_at_s[i] * 1000 - since;
	return end > since ? end - since : 0;
}

/* How long nothing has moved. */
static int64_t quiet_ms(const struct progress_look *look, const json_t *since)
{
	return look->age_ms - jget_int(since, "at", look->age_ms);
}

static bool was_told(const struct progress_look *look)
{
	return jget_str(look->since, "told") != NULL;
}

/* Only what no watch tells is left to be found: events of pods, and a watch that is dead. */
static int64_t watched_ms(const struct progress_look *look, const json_t *since)
{
	int64_t ms = quiet_ms(look, since);

	if (!was_told(look) && look->age_ms < QUICK_MS)
		return QUICK_MS - look->age_ms;
	if (ms < WATCHED_MS)
		ms = WATCHED_MS;
	return ms > AGAIN_MAX_MS ? AGAIN_MAX_MS : ms;
}

static int64_t again_ms(const struct progress_look *look, const json_t *answer)
{
	int64_t ms = jget_int(answer, "again_ms", AGAIN_MS);

	if (ms < look->age_ms / SLOWER)
		ms = look->age_ms / SLOWER;
	return ms > AGAIN_MAX_MS ? AGAIN_MAX_MS : ms;
}

static json_t *mark_new(const struct progress_look *look, json_t *since)
{
	return json_pack("{s:s, s:I, s:o, s:b}", "id", look->id, "fence", (json_int_t)look->fence,
			 "since", since, "done", 0);
}

static void end_as(json_t *mark, const char *ended, const char *says)
{
	json_object_set_new(mark, "ended", json_string(ended));
	json_object_set_new(mark, "says", json_string(says));
}

/* Takes progress; tells it unless the same was told last. */
static void tell(json_t *mark, const struct progress_look *look, json_t *progress, bool over)
{
	json_t *since = json_object_get(mark, "since");
	char *key;

	json_object_set_new(progress, "over", json_boolean(over));
	key = json_canonical(progress);
	if (!str_eq(key, jget_str(look->since, "told")))
		json_object_set(mark, "tell", progress);
	json_object_set_new(since, "told", json_string(key));
	json_decref(progress);
	free(key);
}

/* Remembers when it came as far as it is. */
static void note_step(json_t *since, const struct progress_look *look, const json_t *answer)
{
	json_t *step = json_object();
	char *key;

	for (const char *const *name = (const char *const[]){ "state", "says", "have", "of", NULL };
	     *name != NULL; name++)
		json_object_set(step, *name, json_object_get(answer, *name));
	key = json_canonical(step);
	json_object_set_new(since, "at",
			    json_integer(str_eq(key, jget_str(look->since, "step"))
						 ? jget_int(look->since, "at", look->age_ms)
						 : look->age_ms));
	json_object_set_new(since, "step", json_string(key));
	json_decref(step);
	free(key);
}

static json_t *shown(const struct progress_look *look, const json_t *answer)
{
	static const char *const members[] = {
		"state", "says", "why", "cause", "have", "of", "text"
	};
	json_t *progress = json_object();

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		json_t *value = json_object_get(answer, members[i]);

		if (value != NULL)
			json_object_set(progress, members[i], value);
	}
	if (str_eq(jget_str(answer, "state"), "done") && !jget_bool(answer, "final", false))
		json_object_set_new(progress, "stays_s", json_integer(look->stays_s));
	return progress;
}

/* Nothing was seen: that says nothing of the change. */
static json_t *mark_silent(const struct progress_look *look, const struct err *err)
{
	json_t *since = json_deep_copy(look->since), *mark;
	int64_t fails = jget_int(since, "fails", 0) + 1;
	int64_t wait = 1000LL << (fails < 5 ? fails : 5);

	json_object_set_new(since, "fails", json_integer(fails));
	mark = mark_new(look, since);
	json_object_set_new(mark, "again_ms",
			    json_integer(wait < AGAIN_MAX_MS ? wait : AGAIN_MAX_MS));
	if (fails >= SILENT)
		tell(mark, look, json_pack("{s:s, s:s}", "state", "silent", "says", err->msg),
		     false);
	return mark;
}

static void mark_going(json_t *mark, const struct progress_look *look, const json_t *answer)
{
	const json_t *since = json_object_get(mark, "since");
	bool stuck = str_eq(jget_str(answer, "state"), "stuck") ||
		     (jget_str(answer, "cause") != NULL && quiet_ms(look, since) >= STUCK_MS);
	json_t *progress;

	json_object_set_new(
		mark, "again_ms",
		json_integer(look->watched ? watched_ms(look, since) : again_ms(look, answer)));
	if (!stuck && !was_told(look) && look->age_ms < QUICK_MS)
		return;
	progress = shown(look, answer);
	if (stuck)
		json_object_set_new(progress, "state", json_string("stuck"));
	tell(mark, look, progress, false);
}

static void mark_done(json_t *mark, const struct progress_look *look, const json_t *answer)
{
	int64_t left = next_stay_ms(look);
	bool final = jget_bool(answer, "final", false);

	json_object_set_new(mark, "done", json_true());
	if (final || left == 0)
		end_as(mark, "done", jget_str_or(answer, "says", ""));
	else
		json_object_set_new(mark, "again_ms", json_integer(left));
	if (final || was_told(look))
		tell(mark, look, shown(look, answer), final || left == 0);
}

json_t *progress_mark(const struct progress_look *look, const json_t *answer, const struct err *err)
{
	const char *state = jget_str_or(answer, "state", "");
	json_t *since, *mark, *evidence = json_object_get(look->since, "evidence");
	json_t *told = json_object_get(look->since, "told");

	if (err != NULL && look->age_ms < FOLLOW_MAX_MS)
		return mark_silent(look, err);
	since = answer != NULL ? json_deep_copy(answer) : json_object();
	if (evidence != NULL)
		json_object_set(since, "evidence", evidence);
	if (told != NULL)
		json_object_set(since, "told", told);
	(void)json_object_del(since, "watch");
	note_step(since, look, answer);
	mark = mark_new(look, since);
	if (str_eq(state, "done")) {
		mark_done(mark, look, answer);
	} else if (str_eq(state, "failed") || str_eq(state, "undone") ||
		   str_eq(state, "superseded")) {
		end_as(mark, state, jget_str_or(answer, "says", ""));
		/* A change on top of one that nobody was told of is no news. */
		if (was_told(look) || !str_eq(state, "superseded"))
			tell(mark, look, shown(look, answer), true);
	} else if (look->age_ms >= FOLLOW_MAX_MS) {
		end_as(mark, "left", err != NULL ? err->msg : jget_str_or(answer, "says", ""));
		tell(mark, look,
		     json_pack("{s:s, s:s}", "state", "left", "says",
			       err != NULL ? err->msg : jget_str_or(answer, "says", "")),
		     true);
	} else {
		mark_going(mark, look, answer);
	}
	return mark;
}
