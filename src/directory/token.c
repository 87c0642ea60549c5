/* SPDX-License-Identifier: Apache-2.0 */
/* token.c - a bearer token for a form (RFC 6749, section 4.4; RFC 7523), asked like anything else.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { FORM_MAX = 64 << 10, TOKEN_MAX = 16 << 10, LIFE_MIN_S = 60, LIFE_MAX_S = 86400 };

struct asking_token {
	struct call call;
	struct call *ask; /* the question under way, or the turn before the first one */
	struct source *source;
	token_ask_fn next;
	unsigned step;
	bool more; /* after this question comes another one */
	token_done_fn done;
	void *data;
};

char *token_form(const char *const *pairs)
{
	struct buf buf;

	buf_init(&buf, FORM_MAX);
	for (size_t i = 0; pairs[i] != NULL; i += 2) {
		char *value = http_escape(pairs[i + 1]);

		buf_printf(&buf, "%s%s=%s", i > 0 ? "&" : "", pairs[i], value);
		secret_free(value);
	}
	return buf_take(&buf);
}

static void on_cancel(struct call *call)
{
	struct asking_token *asking = (struct asking_token *)call;

	call_cancel(&asking->ask);
	free(asking);
}

bool token_usable(const char *text)
{
	size_t len = text == NULL ? 0 : strlen(text);

	for (size_t i = 0; i < len; i++)
		if (text[i] <= 0x20 || text[i] >= 0x7f)
			return false;
	return len > 0 && len <= TOKEN_MAX;
}

static void finish(struct asking_token *asking, const json_t *body, const struct err *err)
{
	const char *text = err == NULL ? jget_str(body, "access_token") : NULL;
	int64_t life = err == NULL ? jget_int(body, "expires_in", LIFE_MIN_S) : 0;
	struct err own;

	if (err == NULL && !token_usable(text)) {
		err_set(&own, ERR_INVALID, "the token's answer holds no access_token");
		err = &own;
		text = NULL;
	}
	if (life < LIFE_MIN_S)
		life = LIFE_MIN_S;
	if (life > LIFE_MAX_S)
		life = LIFE_MAX_S;
	asking->done(asking->data, text, life, err == NULL ? body : NULL, err);
	free(asking);
}

static void on_answer(void *data, const struct ask_answer *answer, const struct err *err);

static void ask_next(struct asking_token *asking, const json_t *before)
{
	struct token_ask next = { .step = asking->step++, .what = "the access token" };
	struct err err;
	struct ask ask;

	if (!asking->next(asking->source, before, &next, &err)) {
		finish(asking, NULL, &err);
	} else {
		asking->more = next.more;
		if (next.bearer != NULL)
			log_mask(next.bearer);
		ask = (struct ask){ .what = next.what,
				    .url = next.url,
				    .bearer = next.bearer,
				    .form = next.form,
				    .json = next.json,
				    .headers = next.headers,
				    .advice = next.advice };
		asking->ask = ask_start(asking->source, &ask, on_answer, asking);
	}
	free(next.url);
	secret_free(next.form);
	secret_free(next.json);
	secret_free(next.bearer);
}

static void on_answer(void *data, const struct ask_answer *answer, const struct err *err)
{
	struct asking_token *asking = data;

	asking->ask = NULL;
	if (err == NULL && asking->more)
		ask_next(asking, answer->json);
	else
		finish(asking, err == NULL ? answer->json : NULL, err);
}

static void on_turn(void *data)
{
	struct asking_token *asking = data;

	asking->ask = NULL;
	ask_next(asking, NULL);
}

struct call *token_start(struct source *source, token_ask_fn next, token_done_fn done, void *data)
{
	struct asking_token *asking = xcalloc(1, sizeof(*asking));

	asking->call.cancel = on_cancel;
	asking->source = source;
	asking->next = next;
	asking->done = done;
	asking->data = data;
	asking->ask = call_defer(source->loop, on_turn, asking);
	return &asking->call;
}
