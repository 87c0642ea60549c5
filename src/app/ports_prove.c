/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ports_prove.c - the step "prove": a company sign-in whose subject must be the person who asks.
 * begin (may they?) → sign in, with the code shown to them alone → record.
 */
#include <stdio.h>
#include <stdlib.h>

#include "app/config.h"
#include "app/openid.h"
#include "app/service.h"
#include "base/err.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/signing.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/render.h"
#include "chat/words.h"
#include "core/args.h"
#include "core/catalog.h"
#include "core/command.h"
#include "core/request.h"
#include "slack/web.h"
#include "store/prove.h"

struct proving {
	struct call call;
	struct call *inner; /* begin, the sign-in, or its record */
	struct call *shown; /* the code, or the direct channel that it goes to */
	struct service *service;
	struct request *rq;
	json_t *message;
	call_done_fn done;
	void *data;
};

static void proving_free(struct proving *proving)
{
	call_cancel(&proving->shown);
	json_decref(proving->message);
	free(proving);
}

static void on_cancel(struct call *call)
{
	struct proving *proving = (struct proving *)call;

	call_cancel(&proving->inner);
	proving_free(proving);
}

static void finish(struct proving *proving, const struct err *err)
{
	call_done_fn done = proving->done;
	void *data = proving->data;

	proving->inner = NULL;
	proving_free(proving);
	done(data, err);
}

/* true: go on. */
static bool code_is_ok(struct proving *proving, const json_t *value, const struct err *err)
{
	const char *code = json_string_value(value);
	struct err own;
	char *text;

	proving->inner = NULL;
	if (err == NULL && str_eq(code, "ok"))
		return true;
	if (err != NULL) {
		finish(proving, err);
		return false;
	}
	text = words_proof(code);
	err_set(&own, ERR_DENIED, "%s", text);
	free(text);
	finish(proving, &own);
	return false;
}

/* showing the code */

static void on_opened(void *data, const struct slack_answer *answer, const struct err *err)
{
	struct proving *proving = data;
	const char *channel = jget_str(answer->json, "channel.id");

	proving->shown = NULL;
	if (answer->class != SLACK_OK || channel == NULL) {
		log_warn("code of a company sign-in not shown", LOG_STR("request", proving->rq->id),
			 LOG_STR("error", err != NULL ? err->msg : "no channel"));
		return;
	}
	json_object_set_new(proving->message, "channel", json_string(channel));
	(void)slack_web_call(proving->service->web, "chat.postMessage",
			     json_incref(proving->message), 0, NULL, NULL);
}

static void show_directly(struct proving *proving)
{
	proving->shown = slack_web_call(proving->service->web, "conversations.open",
					json_pack("{s:s}", "users", proving->rq->asker.user), 0,
					on_opened, proving);
}

static void on_shown(void *data, const struct slack_answer *answer, const struct err *err)
{
	struct proving *proving = data;

	proving->shown = NULL;
	if (answer->class == SLACK_OK)
		return;
	log_warn("code of a company sign-in goes to its asker directly",
		 LOG_STR("request", proving->rq->id), LOG_STR("error", err->msg));
	json_object_del(proving->message, "replace_original");
	show_directly(proving);
}

/* Only to the one who asked: an ephemeral answer to what they typed; a direct message when there is
 * none or it may not have come, for nobody would ask them again. */
static void show(struct proving *proving, const char *text)
{
	const struct asker *asker = &proving->rq->asker;

	proving->message = render_note(text);
	if (asker->response_url == NULL) {
		show_directly(proving);
		return;
	}
	json_object_set_new(proving->message, "replace_original", json_false());
	proving->shown = slack_web_respond(proving->service->web, asker->response_url,
					   json_incref(proving->message), on_shown, proving);
}

/* What is asked for, or approved.  The caller frees. */
static char *what_for(const struct request *rq)
{
	const char *title =
		rq->proving ? jget_str_or(rq->detail, "command", "?") : rq->command->title;
	const struct command *command =
		rq->proving ? catalog_find_title(rq->catalog, title) : rq->command;
	char *args = command != NULL
			     ? args_text(command, rq->proving ? jget(rq->detail, "args") : rq->args)
			     : xstrdup("");
	char *what = xasprintf("%s %s", title, args);

	free(args);
	return what;
}

static void on_code(void *data, const struct openid_code *code)
{
	struct proving *proving = data;
	const struct request *rq = proving->rq;
	const struct sign_in_code shown = { .code = code->code,
					    .url = code->url,
					    .lives_s = code->lives_s };
	char *what = what_for(rq), *text = words_sign_in(what, rq, &shown);

	show(proving, text);
	free(text);
	free(what);
}

/* the three calls */

static void on_recorded(void *data, const json_t *value, const struct err *err)
{
	struct proving *proving = data;

	if (code_is_ok(proving, value, err))
		finish(proving, NULL);
}

static void on_signed_in(void *data, const struct openid_proof *proof, const struct err *err)
{
	struct proving *proving = data;
	struct service *service = proving->service;
	struct store_token token = { .source = config_str(service->config, "identity.source") };

	proving->inner = NULL;
	if (err != NULL) {
		finish(proving, err);
		return;
	}
	token.issuer = proof->issuer;
	token.subject = proof->subject;
	token.sha256 = proof->token_sha256;
	token.signed_in_s = proof->signed_in_s;
	proving->inner = store_prove(service->store, proving->rq, &token, on_recorded, proving);
}

static void on_begun(void *data, const json_t *value, const struct err *err)
{
	struct proving *proving = data;

	if (code_is_ok(proving, value, err))
		proving->inner =
			openid_sign_in(proving->service->openid, on_code, on_signed_in, proving);
}

struct call *port_prove(void *ctx, struct request *rq, call_done_fn done, void *data)
{
	struct proving *proving = xcalloc(1, sizeof(*proving));
	struct service *service = ctx;
	struct err err;

	proving->call.cancel = on_cancel;
	proving->service = service;
	proving->rq = rq;
	proving->done = done;
	proving->data = data;
	if (service->openid == NULL) { /* another replica has a provider */
		err_set(&err, ERR_DENIED,
			"This needs a company sign-in, and none is configured here.");
		free(proving);
		return call_later(&service->loop, &err, done, data);
	}
	proving->inner = store_prove_begin(service->store, rq, on_begun, proving);
	return &proving->call;
}

bool service_openid(struct service *service)
{
	struct err err;

	if (config_str(service->config, "identity.issuer") == NULL)
		return true;
	service->openid = openid_create(&service->loop, service->config, &err);
	if (service->openid == NULL)
		(void)fprintf(stderr, "opsd: %s\n", err.msg);
	return service->openid != NULL;
}

bool service_signing(struct service *service)
{
	const json_t *node = config_node(service->config, "audit.signing_key");
	struct err err;
	char *pem;

	if (!json_is_object(node))
		return true;
	pem = secret_read(node, &err);
	if (pem != NULL)
		service->signing = signing_private(pem, &err);
	secret_free(pem);
	if (service->signing == NULL)
		(void)fprintf(stderr, "opsd: audit.signing_key: %s\n", err.msg);
	return service->signing != NULL;
}
