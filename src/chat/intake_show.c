/* SPDX-License-Identifier: Apache-2.0 */
/* intake_show.c - what is shown once something else is known: help, and the home tab. */
#include <stdlib.h>

#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "chat/home.h"
#include "chat/render.h"
#include "chat/words.h"
#include "core/help.h"
#include "intake_internal.h"
#include "slack/envelope.h"
#include "slack/web.h"

enum { MAX_SHOWS = 64 };

struct show {
	struct list_node node;
	struct intake *intake;
	struct call *call;
	char *team, *user;
	char *response_url; /* help; NULL: the home tab */
	char *topic;        /* a prefix or title of help; NULL: all */
	char *note;         /* home: what came of a button there; NULL: nothing */
	json_t *may;        /* home: what the person may use; NULL: not known */
};

static void show_free(struct show *show)
{
	list_remove(&show->intake->shows, &show->node);
	json_decref(show->may);
	free(show->team);
	free(show->user);
	free(show->response_url);
	free(show->topic);
	free(show->note);
	free(show);
}

void intake_shows_cancel(struct intake *intake)
{
	struct list_node *node;

	while ((node = list_first(&intake->shows)) != NULL) {
		struct show *show = list_entry(node, struct show, node);

		call_cancel(&show->call);
		show_free(show);
	}
}

static void on_shown(void *data, const struct slack_answer *answer, const struct err *err)
{
	struct show *show = data;

	(void)answer;
	show->call = NULL;
	if (err != NULL)
		log_warn("could not be shown", LOG_STR("user", show->user),
			 LOG_STR("error", err->msg));
	show_free(show);
}

static void on_home(void *data, const json_t *home, const struct err *err)
{
	struct show *show = data;
	struct intake *intake = show->intake;
	struct home_view view = { .catalog = intake->catalog,
				  .may = show->may,
				  .home = err == NULL ? home : NULL,
				  .unknown = err != NULL,
				  .note = show->note,
				  .workspace = intake->workspace };

	if (err != NULL)
		log_warn("not listed", LOG_STR("user", show->user), LOG_STR("error", err->msg));
	show->call = slack_web_call(
		intake->config.web, "views.publish",
		json_pack("{s:s, s:o}", "user_id", show->user, "view", home_view(&view)), 0,
		on_shown, show);
}

static void on_may(void *data, const json_t *actions, const struct err *err)
{
	struct show *show = data;
	struct intake *intake = show->intake;
	const struct later_port *later = &intake->config.later;
	json_t *commands, *message;

	show->call = NULL;
	if (err != NULL)
		actions = NULL;
	if (show->response_url == NULL) {
		show->may = json_incref((json_t *)(uintptr_t)actions);
		show->call = later->home(later->ctx, show->team, show->user, on_home, show);
		return;
	}
	commands = help_commands(intake->catalog, show->topic, actions);
	message = render_help(commands, json_is_array(actions) ? NULL : words_may_unknown());
	json_decref(commands);
	show->call =
		slack_web_respond(intake->config.web, show->response_url, message, on_shown, show);
}

static struct show *show_new(struct intake *intake, const char *team, const char *user)
{
	struct show *show;

	if (intake->shows.count >= MAX_SHOWS)
		return NULL;
	show = xcalloc(1, sizeof(*show));
	show->intake = intake;
	show->team = xstrdup_null(team);
	show->user = xstrdup(user);
	list_push(&intake->shows, &show->node);
	return show;
}

static void show_start(struct show *show)
{
	const struct guess_port *may = &show->intake->config.may;

	show->call = may->may(may->ctx, show->team, show->user, on_may, show);
}

void intake_show_help(struct intake *intake, const struct envelope *env, const char *topic)
{
	struct show *show =
		env->response_url != NULL ? show_new(intake, env->team, env->user) : NULL;

	if (show == NULL)
		return;
	show->response_url = xstrdup(env->response_url);
	show->topic = xstrdup_null(topic);
	show_start(show);
}

void intake_show_home(struct intake *intake, const char *team, const char *user, const char *note)
{
	struct show *show = show_new(intake, team, user);

	if (show == NULL)
		return;
	show->note = xstrdup_null(note);
	show_start(show);
}
