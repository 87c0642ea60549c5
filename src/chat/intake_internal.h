/* SPDX-License-Identifier: Apache-2.0 */
/* intake_internal - what intake.c and intake_card.c share. */
#ifndef OPSD_CHAT_INTAKE_INTERNAL_H
#define OPSD_CHAT_INTAKE_INTERNAL_H

#include <stdbool.h>

#include "base/list.h"
#include "chat/intake.h"

struct line;

struct intake {
	uv_loop_t *loop;
	struct intake_config config;
	struct slack_socket *socket;
	struct catalog *catalog;
	char *workspace; /* "https://….slack.com/"; NULL: not known */
	struct list shows, guesses, openings, tellings, laters;
	struct taking *takings; /* by key of dedup: what is with the database now */
};

void intake_ack(struct intake *intake, struct slack_via via, const char *id, const char *payload);
void intake_ack_note(struct intake *intake, const struct envelope *env, struct slack_via via,
		     const char *text);
bool intake_too_busy(struct intake *intake, const struct envelope *env, struct slack_via via);
struct request *intake_request(struct intake *intake, const struct envelope *env,
			       struct slack_via via, const char *kind); /* kind: lives on */

/* Opens a modal; instead: what is said when Slack does not, since its ticket lives 3 s. */
void intake_open(struct intake *intake, const struct envelope *env, json_t *view,
		 const char *instead);
void intake_openings_cancel(struct intake *intake);

/* "R… digest" of a button into rq; false: not one of ours. */
bool intake_button(const char *value, struct request *rq);

/* Takes message over; told to nobody when the click brought no response_url. */
void intake_respond(struct intake *intake, const struct request *rq, json_t *message);

/*
 * intake_twin.c: starts the run of what arrived (takes rq over), unless the same intent is with the
 * database already: then this delivery is answered with that one.  intake_ack_all answers both.
 */
void intake_begin(struct intake *intake, struct request *rq, enum op_step first);
void intake_ack_all(struct intake *intake, const struct request *rq, const char *payload);
void intake_takings_drop(struct intake *intake);

/* intake_card.c: true when the click, form or answer belonged to an approval card. */
bool intake_card_click(struct intake *intake, const struct envelope *env, struct slack_via via);
bool intake_card_submit(struct intake *intake, const struct envelope *env, struct slack_via via);
bool intake_card_answered(struct intake *intake, const struct request *rq, const struct err *err);

/* intake_show.c: help; the home tab, with note (NULL: none) above all else. */
void intake_show_help(struct intake *intake, const struct envelope *env, const char *topic);
void intake_show_home(struct intake *intake, const char *team, const char *user, const char *note);
void intake_shows_cancel(struct intake *intake);

/* intake_form.c: true when the button opens a form. */
bool intake_form_click(struct intake *intake, const struct envelope *env, struct slack_via via);

/* intake_rights.c: what people ask about their own rights. */
bool intake_rights_slash(struct intake *intake, const struct envelope *env, struct slack_via via,
			 const char *text);
bool intake_rights_click(struct intake *intake, const struct envelope *env, struct slack_via via);
void intake_tells_cancel(struct intake *intake);

/* intake_later.c: what is temporary or waits, cancel and undo; by words and by buttons. */
void intake_later_word(struct intake *intake, const struct envelope *env, struct slack_via via,
		       const struct line *line);
bool intake_later_click(struct intake *intake, const struct envelope *env, struct slack_via via);
bool intake_later_answered(struct intake *intake, const struct request *rq, const struct err *err);
void intake_laters_cancel(struct intake *intake);

#endif
