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
	struct call *ask;
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

/* What may stand in a header. */
static bool usable(const char *text)
{
	size_t len = text == NULL ? 0 : strlen(text);

	for (size_t i = 0; i < len; i++)
		if (text[i] <= 0x20 || text[i] >= 0x7f)
			return false;
	return len > 0 && len <= TOKEN_MAX;
}

static void on_answer(void *data, const struct ask_answer *answer, const struct err *err)
{
	struct asking_token *asking = data;
	const char *text = err == NULL ? jget_str(answer->json, "access_token") : NULL;
	int64_t life = err == NULL ? jget_int(answer->json, "expires_in", LIFE_MIN_S) : 0;
	struct err own;

	asking->ask = NULL;
	if (err == NULL && !usable(text)) {
		err_set(&own, ERR_INVALID, "the token's answer holds no access_token");
		err = &own;
		text = NULL;
	}
	if (life < LIFE_MIN_S)
		life = LIFE_MIN_S;
	if (life > LIFE_MAX_S)
		life = LIFE_MAX_S;
	asking->done(asking->data, text, life, err == NULL ? answer->json : NULL, err);
	free(asking);
}

struct fail_later { /* a form that could not be made, told on the next turn */
	struct call call;
	struct call *turn;
	struct err err;
	token_done_fn done;
	void *data;
};

static void on_fail_cancel(struct call *call)
{
	struct fail_later *later = (struct fail_later *)call;

	call_cancel(&later->turn);
	free(later);
}

static void on_fail(void *data)
{
	struct fail_later *later = data;

	later->done(later->data, NULL, 0, NULL, &later->err);
	free(later);
}

static struct call *fail_later(struct source *source, const struct err *err, token_done_fn done,
			       void *data)
{
	struct fail_later *later = xcalloc(1, sizeof(*later));

	later->call.cancel = on_fail_cancel;
	later->err = *err;
	later->done = done;
	later->data = data;
	later->turn = call_defer(source->loop, on_fail, later);
	return &later->call;
}

struct call *token_start(struct source *source, const char *url, token_form_fn make,
			 token_done_fn done, void *data)
{
	struct asking_token *asking;
	struct err err;
	char *form = make(source, &err);
	const struct ask ask = { .what = "the access token", .url = url, .form = form };

	if (form == NULL)
		return fail_later(source, &err, done, data);
	asking = xcalloc(1, sizeof(*asking));
	asking->call.cancel = on_cancel;
	asking->done = done;
	asking->data = data;
	asking->ask = ask_start(source, &ask, on_answer, asking);
	secret_free(form);
	return &asking->call;
}
