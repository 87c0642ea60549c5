/* SPDX-License-Identifier: Apache-2.0 */
/* intake_open.c - modals that are being opened. */
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "chat/render.h"
#include "intake_internal.h"
#include "slack/envelope.h"
#include "slack/web.h"

enum { FORM_MS = 2500 };

/* A form that is being opened: when Slack does not open it, the person is told what is missing. */
struct opening {
	struct list_node node;
	struct intake *intake;
	struct call *call;
	char *response_url, *text;
};

static void opening_free(struct opening *opening)
{
	list_remove(&opening->intake->openings, &opening->node);
	free(opening->response_url);
	free(opening->text);
	free(opening);
}

static void on_opened(void *data, const struct slack_answer *answer, const struct err *err)
{
	struct opening *opening = data;
	json_t *message;

	(void)answer;
	if (err != NULL) {
		log_warn("form not opened", LOG_STR("error", err->msg));
		message = render_note(opening->text);
		if (opening->response_url != NULL)
			(void)slack_web_respond(opening->intake->config.web, opening->response_url,
						message, NULL, NULL);
		else
			json_decref(message);
	}
	opening_free(opening);
}

void intake_open(struct intake *intake, const struct envelope *env, json_t *view,
		 const char *instead)
{
	json_t *args = json_pack("{s:s, s:o}", "trigger_id", env->trigger_id, "view", view);
	struct opening *opening = xcalloc(1, sizeof(*opening));

	opening->intake = intake;
	opening->response_url = xstrdup_null(env->response_url);
	opening->text = xstrdup(instead);
	list_push(&intake->openings, &opening->node);
	opening->call =
		slack_web_call(intake->config.web, "views.open", args, FORM_MS, on_opened, opening);
}

void intake_openings_cancel(struct intake *intake)
{
	struct list_node *node;

	while ((node = list_first(&intake->openings)) != NULL) {
		struct opening *opening = list_entry(node, struct opening, node);

		call_cancel(&opening->call);
		opening_free(opening);
	}
}
