/* SPDX-License-Identifier: Apache-2.0 */
/*
 * people - what Slack says of a user, as far as identity needs it; cached for 60 s, at most 5000.
 *
 * facts: Slack's user object and users.info.  A verdict other than SLACK_USER_OK means that nobody
 * may act as this user; the address is only a look-up hint.
 */
#ifndef OPSD_SLACK_PEOPLE_H
#define OPSD_SLACK_PEOPLE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/call.h"
#include "base/json.h"

struct slack_people;
struct slack_web;

enum slack_user_verdict {
	SLACK_USER_OK,
	SLACK_USER_FOREIGN, /* another team or enterprise, or a stranger */
	SLACK_USER_DELETED,
	SLACK_USER_BOT,
	SLACK_USER_GUEST,
	SLACK_USER_INVITED,     /* never signed in */
	SLACK_USER_UNCONFIRMED, /* address not confirmed */
	SLACK_USER_NO_EMAIL,
};

struct slack_user {
	char id[32], team[32];
	enum slack_user_verdict verdict;
	char email[256]; /* as Slack has it; "" when none */
	char name[128];  /* display only */
	char tz[64];
	int64_t tz_offset_s;
	int64_t fetched_ms; /* clock_mono_ms */
};

/* team, enterprise: ours (enterprise may be NULL). */
struct slack_people *slack_people_create(uv_loop_t *loop, struct slack_web *web);
void slack_people_set_home(struct slack_people *people, const char *team, const char *enterprise);
void slack_people_destroy(struct slack_people *people);

/* From memory, at most max_age_ms old; NULL otherwise. */
const struct slack_user *slack_people_cached(struct slack_people *people, const char *user,
					     int64_t max_age_ms);

/* Asks users.info (one request per user at a time; later askers join it). */
typedef void (*slack_people_fn)(void *data, const struct slack_user *user, const struct err *err);
struct call *slack_people_fetch(struct slack_people *people, const char *user, slack_people_fn done,
				void *data);

void slack_people_drop(struct slack_people *people, const char *user); /* user_change */

/* Pure: a users.info user object to the verdict. */
void slack_user_read(const json_t *user, const char *team, const char *enterprise,
		     struct slack_user *ret_user);
const char *slack_user_verdict_name(enum slack_user_verdict verdict);

#endif
