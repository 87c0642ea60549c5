/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openid.c - one sign-in: find the provider's endpoints, begin, show the code, ask again and again,
 * verify.  enter() is the only place where the step changes; endings go through finish().
 */
#include "app/openid.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "app/config.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/id.h"
#include "base/jwt_verify.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/idtoken.h"
#include "net/http.h"

enum {
	ANSWER_MAX = 256 * 1024,
	ASK_MS = 10 * 1000,
	LIFE_MAX_S = 600, /* of a code, whatever the provider allows */
	INTERVAL_S = 5,
	INTERVAL_MAX_S = 60,
	DISCOVERY_KEEP_MS = 60 * 60 * 1000,
	KEYS_MIN_S = 5 * 60,
	KEYS_MAX_S = 24 * 60 * 60,
};

struct settings {
	const char *issuer, *client_id;
	char *client_secret;                /* NULL: a public client */
	const char *subject;                /* claim that is the directory's id */
	const char *hosted_domain, *tenant; /* NULL: not asked */
	const json_t *hosts; /* more hosts that the provider's endpoints may be at; NULL: none */
	bool plain_loopback;
};

struct openid {
	uv_loop_t *loop;
	struct settings config;
	struct http *http;
	json_t *discovery, *keys; /* as they were last read; NULL: not yet */
	int64_t discovery_ms, keys_until_ms, keys_asked_ms;
};

enum step {
	STEP_DISCOVER,
	STEP_BEGIN,
	STEP_POLL,
	STEP_KEYS,   /* the provider's keys, when ours are old or lack the one that is named */
	STEP_VERIFY, /* no call: the token and the keys are there */
};

struct sign_in {
	struct call call;
	struct openid *openid;
	uv_timer_t timer; /* until the next poll; its closing frees */
	struct call *inner;
	enum step step;
	char *device_code, *token; /* secrets */
	char nonce[ID_UUID_LEN];
	int64_t interval_s, started_s, ends_ms;
	bool keys_again;     /* they were fetched for this token already */
	openid_code_fn code; /* NULL: only to see whether the provider is to be had */
	openid_done_fn done;
	void *data;
};

static void enter(struct sign_in *in, enum step step);

/* endings */

static void on_closed(uv_handle_t *timer)
{
	struct sign_in *in = timer->data;

	secret_free(in->device_code);
	secret_free(in->token);
	free(in);
}

static void on_cancel(struct call *call)
{
	struct sign_in *in = (struct sign_in *)call;

	call_cancel(&in->inner);
	uv_close((uv_handle_t *)&in->timer, on_closed);
}

static void finish(struct sign_in *in, const struct openid_proof *proof, const struct err *err)
{
	in->inner = NULL;
	uv_close((uv_handle_t *)&in->timer, on_closed);
	in->done(in->data, proof, err);
}

static void fail(struct sign_in *in, enum err_kind kind, const char *sentence)
{
	struct err err;

	err_set(&err, kind, "%s", sentence);
	finish(in, NULL, &err);
}

/* Something is set up wrongly: the log says what, the person whom to tell. */
static void fail_setup(struct sign_in *in, const char *what, const char *says)
{
	struct err err;

	if (in->code == NULL) {
		err_set(&err, ERR_INVALID, "%s: %s", what, says);
		finish(in, NULL, &err);
		return;
	}
	log_error("company sign-in does not work", LOG_STR("at", what), LOG_STR("error", says));
	fail(in, ERR_INTERNAL,
	     "The company sign-in does not work at the moment. Nothing was done; tell the data "
	     "platform team.");
}

/* the provider's own account of itself */

static bool host_allowed(const struct openid *openid, const char *url)
{
	const char *from = strstr(url, "://"), *own = strstr(openid->config.issuer, "://");
	size_t len, i;
	json_t *host;

	if (from == NULL || own == NULL ||
	    !http_url_ok(url, openid->config.plain_loopback, &(struct err){ 0 }))
		return false;
	from += 3;
	own += 3;
	len = strcspn(from, "/?");
	if (len == strcspn(own, "/?") && strncmp(from, own, len) == 0)
		return true;
	json_array_foreach(openid->config.hosts, i, host)
	{
		const char *name = json_string_value(host);

		if (name != NULL && strlen(name) == len && strncmp(from, name, len) == 0)
			return true;
	}
	return false;
}

static const char *discovery_fault(const struct openid *openid, const json_t *discovery)
{
	static const char *const members[] = { "device_authorization_endpoint", "token_endpoint",
					       "jwks_uri" };

	if (!str_eq(jget_str(discovery, "issuer"), openid->config.issuer))
		return "the provider calls itself by another name than identity.issuer";
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		const char *url = jget_str(discovery, members[i]);

		if (url == NULL)
			return "the provider offers no device sign-in";
		if (!host_allowed(openid, url))
			return "an endpoint is at a host that is not named in identity.hosts";
	}
	return NULL;
}

static json_t *answer_json(const struct http_response *response)
{
	struct err err;
	json_t *value = response != NULL
				? json_parse(response->body, response->len, ANSWER_MAX, &err)
				: NULL;

	if (value != NULL && !json_is_object(value)) {
		json_decref(value);
		value = NULL;
	}
	return value;
}

static void on_discovered(void *data, const struct http_response *response, const struct err *err)
{
	struct sign_in *in = data;
	struct openid *openid = in->openid;
	json_t *discovery = answer_json(response);
	const char *fault;

	in->inner = NULL;
	if (err != NULL || response->status != 200 || discovery == NULL) {
		json_decref(discovery);
		fail_setup(in, "discovery",
			   err != NULL ? err->msg : "the answer is not what a provider says");
		return;
	}
	fault = discovery_fault(openid, discovery);
	if (fault != NULL) {
		json_decref(discovery);
		fail_setup(in, "discovery", fault);
		return;
	}
	json_decref(openid->discovery);
	openid->discovery = discovery;
	openid->discovery_ms = clock_mono_ms();
	enter(in, in->code != NULL ? STEP_BEGIN : STEP_KEYS);
}

/* beginning */

static void on_begun(void *data, const struct http_response *response, const struct err *err)
{
	struct sign_in *in = data;
	json_t *answer = answer_json(response);
	const char *url =
		jget_str_or(answer, "verification_uri", jget_str(answer, "verification_url"));
	struct openid_code code = { .code = jget_str(answer, "user_code"), .url = url };

	in->inner = NULL;
	if (err != NULL || response->status != 200 || jget_str(answer, "device_code") == NULL ||
	    str_empty(code.code) || strlen(code.code) > 40 || url == NULL || strlen(url) > 500 ||
	    !http_url_ok(url, in->openid->config.plain_loopback, &(struct err){ 0 })) {
		fail_setup(in, "device authorization",
			   err != NULL ? err->msg
				       : jget_str_or(answer, "error", "no usable answer"));
		json_decref(answer);
		return;
	}
	in->device_code = xstrdup(jget_str(answer, "device_code"));
	in->interval_s = jget_int(answer, "interval", INTERVAL_S);
	if (in->interval_s < 1 || in->interval_s > INTERVAL_MAX_S)
		in->interval_s = INTERVAL_S;
	code.lives_s = jget_int(answer, "expires_in", 0);
	if (code.lives_s < 1 || code.lives_s > LIFE_MAX_S)
		code.lives_s = LIFE_MAX_S;
	in->ends_ms = clock_mono_ms() + code.lives_s * 1000;
	in->code(in->data, &code);
	json_decref(answer);
	enter(in, STEP_POLL);
}

/* polling */

static void on_timer(uv_timer_t *timer);

static void wait_turn(struct sign_in *in)
{
	int64_t left = in->ends_ms - clock_mono_ms();
	int64_t wait = in->interval_s * 1000 < left ? in->interval_s * 1000 : left;

	uv_timer_start(&in->timer, on_timer, (uint64_t)(wait > 0 ? wait : 0), 0);
}

static void too_late(struct sign_in *in)
{
	fail(in, ERR_TIMEOUT,
	     "Nobody signed in with the code in time, so nothing was done. Ask again with the "
	     "command.");
}

/* What the answer says, whatever its status: providers differ there. */
static void on_refused(struct sign_in *in, const char *error)
{
	if (str_eq(error, "authorization_pending")) {
		wait_turn(in);
	} else if (str_eq(error, "slow_down")) {
		in->interval_s += INTERVAL_S; /* from now on */
		wait_turn(in);
	} else if (str_eq(error, "access_denied") || str_eq(error, "authorization_declined")) {
		fail(in, ERR_DENIED,
		     "The sign-in was declined in the browser, so nothing was done.");
	} else if (str_eq(error, "expired_token") || str_eq(error, "bad_verification_code")) {
		too_late(in);
	} else {
		fail_setup(in, "token", error);
	}
}

static void on_polled(void *data, const struct http_response *response, const struct err *err)
{
	struct sign_in *in = data;
	json_t *answer = answer_json(response);
	const char *token = jget_str(answer, "id_token");

	in->inner = NULL;
	if (err != NULL || response->status >= 500 || response->status == 429) {
		in->interval_s =
			in->interval_s * 2 < INTERVAL_MAX_S ? in->interval_s * 2 : INTERVAL_MAX_S;
		wait_turn(in);
	} else if (response->status == 200 && token != NULL && strlen(token) <= JWT_MAX) {
		in->token = xstrdup(token);
		enter(in, STEP_VERIFY);
	} else {
		on_refused(in, jget_str_or(answer, "error", "no usable answer"));
	}
	json_decref(answer);
}

static void on_timer(uv_timer_t *timer)
{
	enter(timer->data, STEP_POLL);
}

/* keys */

static int64_t keep_s(const struct http_response *response)
{
	const char *control = http_header(response, "Cache-Control");
	const char *age = control != NULL ? strstr(control, "max-age=") : NULL;
	long seconds = age != NULL ? strtol(age + strlen("max-age="), NULL, 10) : 0;

	return seconds < KEYS_MIN_S ? KEYS_MIN_S : seconds > KEYS_MAX_S ? KEYS_MAX_S : seconds;
}

static void on_keys(void *data, const struct http_response *response, const struct err *err)
{
	struct sign_in *in = data;
	struct openid *openid = in->openid;
	json_t *keys = answer_json(response);

	in->inner = NULL;
	if (err != NULL || response->status != 200 ||
	    !json_is_array(json_object_get(keys, "keys"))) {
		json_decref(keys);
		fail_setup(in, "keys", err != NULL ? err->msg : "the answer is no set of keys");
		return;
	}
	json_decref(openid->keys);
	openid->keys = keys;
	openid->keys_until_ms = clock_mono_ms() + keep_s(response) * 1000;
	if (in->code != NULL)
		enter(in, STEP_VERIFY);
	else
		finish(in, NULL, NULL);
}

/* Keys of a rotation may be new; but not asked for more than once in five minutes. */
static bool keys_may_be_newer(struct sign_in *in)
{
	struct openid *openid = in->openid;
	int64_t now = clock_mono_ms();

	if (in->keys_again ||
	    (openid->keys_asked_ms != 0 && now - openid->keys_asked_ms < KEYS_MIN_S * 1000))
		return false;
	in->keys_again = true;
	openid->keys_asked_ms = now;
	return true;
}

static void verify(struct sign_in *in)
{
	const struct settings *config = &in->openid->config;
	struct idtoken_rules rules = { .issuer = config->issuer,
				       .client_id = config->client_id,
				       .subject = config->subject,
				       .hosted_domain = config->hosted_domain,
				       .tenant = config->tenant,
				       .nonce = in->nonce,
				       .started_s = in->started_s,
				       .now_s = clock_wall_ms() / 1000 };
	struct openid_proof proof = { .issuer = config->issuer };
	enum jwt_verdict verdict;
	json_t *claims = NULL;
	struct err err;

	if (in->openid->keys == NULL || clock_mono_ms() > in->openid->keys_until_ms) {
		enter(in, STEP_KEYS);
		return;
	}
	verdict = jwt_verify(in->token, in->openid->keys, &claims, &err);
	if (verdict == JWT_UNKNOWN_KEY && keys_may_be_newer(in)) {
		enter(in, STEP_KEYS);
		return;
	}
	if (verdict == JWT_GOOD)
		proof.subject = idtoken_subject(claims, &rules, &err);
	if (proof.subject == NULL) {
		log_error("company sign-in refused", LOG_STR("error", err.msg));
		fail(in, ERR_DENIED,
		     "The sign-in did not prove who you are, so nothing was done. Ask again with "
		     "the "
		     "command; if it stays so, tell the data platform team.");
	} else {
		proof.signed_in_s = jget_int(claims, "auth_time", 0);
		digest_hex(in->token, strlen(in->token), proof.token_sha256);
		finish(in, &proof, NULL);
	}
	json_decref(claims);
}

/* steps */

static struct call *get(struct sign_in *in, const char *url, http_done_fn done)
{
	const struct http_request request = {
		.method = "GET", .url = url, .timeout_ms = ASK_MS, .max_body = ANSWER_MAX
	};

	return http_start(in->openid->http, &request, done, in);
}

/* form: "name=value&…", already escaped; is freed. */
static struct call *post(struct sign_in *in, const char *member, char *form, http_done_fn done)
{
	static const char *const headers[] = { "Content-Type: application/x-www-form-urlencoded",
					       "Accept: application/json", NULL };
	const struct http_request request = { .method = "POST",
					      .url = jget_str(in->openid->discovery, member),
					      .headers = headers,
					      .body = form,
					      .body_len = strlen(form),
					      .timeout_ms = ASK_MS,
					      .max_body = ANSWER_MAX };
	struct call *call = http_start(in->openid->http, &request, done, in);

	secret_free(form);
	return call;
}

static char *form_of(const struct sign_in *in, const char *rest)
{
	const struct settings *config = &in->openid->config;
	char *client = http_escape(config->client_id);
	char *secret = config->client_secret != NULL ? http_escape(config->client_secret) : NULL;
	char *form =
		xasprintf("client_id=%s%s%s&%s", client, secret != NULL ? "&client_secret=" : "",
			  secret != NULL ? secret : "", rest);

	free(client);
	secret_free(secret);
	return form;
}

static void begin(struct sign_in *in)
{
	char *rest = xasprintf("scope=openid%%20email&nonce=%s", in->nonce);

	in->inner = post(in, "device_authorization_endpoint", form_of(in, rest), on_begun);
	free(rest);
}

static void poll(struct sign_in *in)
{
	char *code, *rest;

	if (clock_mono_ms() >= in->ends_ms) {
		too_late(in);
		return;
	}
	code = http_escape(in->device_code);
	rest = xasprintf("grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type%%3Adevice_code"
			 "&device_code=%s",
			 code);
	in->inner = post(in, "token_endpoint", form_of(in, rest), on_polled);
	secret_free(code);
	secret_free(rest);
}

static void enter(struct sign_in *in, enum step step)
{
	bool shown = in->step == STEP_BEGIN && step == STEP_POLL;

	in->step = step;
	switch (step) {
	case STEP_DISCOVER: {
		char *url =
			xasprintf("%s/.well-known/openid-configuration", in->openid->config.issuer);

		in->inner = get(in, url, on_discovered);
		free(url);
		return;
	}
	case STEP_BEGIN:
		begin(in);
		return;
	case STEP_POLL:
		if (shown)
			wait_turn(in); /* nobody types that fast */
		else
			poll(in);
		return;
	case STEP_KEYS:
		in->inner = get(in, jget_str(in->openid->discovery, "jwks_uri"), on_keys);
		return;
	case STEP_VERIFY:
		verify(in);
		return;
	}
}

static struct call *start(struct openid *openid, openid_code_fn code, openid_done_fn done,
			  void *data)
{
	struct sign_in *in = xcalloc(1, sizeof(*in));
	bool known = code != NULL && openid->discovery != NULL &&
		     clock_mono_ms() - openid->discovery_ms < DISCOVERY_KEEP_MS;

	in->call.cancel = on_cancel;
	in->openid = openid;
	in->started_s = clock_wall_ms() / 1000;
	in->code = code;
	in->done = done;
	in->data = data;
	id_uuid(in->nonce);
	uv_timer_init(openid->loop, &in->timer);
	in->timer.data = in;
	enter(in, known ? STEP_BEGIN : STEP_DISCOVER);
	return &in->call;
}

struct call *openid_sign_in(struct openid *openid, openid_code_fn code, openid_done_fn done,
			    void *data)
{
	return start(openid, code, done, data);
}

struct call *openid_probe(struct openid *openid, openid_done_fn done, void *data)
{
	return start(openid, NULL, done, data);
}

/* false: err. */
static bool read_settings(struct settings *settings, const struct config *config, struct err *err)
{
	const json_t *secret = config_node(config, "identity.client_secret");

	*settings = (struct settings){
		.issuer = config_str(config, "identity.issuer"),
		.client_id = config_str(config, "identity.client_id"),
		.subject = config_str(config, "identity.subject"),
		.hosted_domain = config_str(config, "identity.hosted_domain"),
		.tenant = config_str(config, "identity.tenant"),
		.hosts = json_object_get(config_node(config, "identity.hosts"), "names"),
	};
	settings->plain_loopback = str_starts(settings->issuer, "http://");
	if (settings->client_id == NULL || config_str(config, "identity.source") == NULL) {
		err_set(err, ERR_INVALID,
			"identity.issuer needs identity.client_id and identity.source");
		return false;
	}
	if (!json_is_object(secret))
		return true;
	settings->client_secret = secret_read(secret, err);
	if (settings->client_secret == NULL)
		err_prefix(err, "identity.client_secret");
	return settings->client_secret != NULL;
}

struct openid *openid_create(uv_loop_t *loop, const struct config *config, struct err *err)
{
	struct settings settings;
	struct openid *openid;
	char *ca_file;

	if (!read_settings(&settings, config, err))
		return NULL;
	openid = xcalloc(1, sizeof(*openid));
	openid->loop = loop;
	openid->config = settings;
	ca_file = config_file(config, "identity.ca_file");
	openid->http =
		http_create(loop, &(struct http_config){ .name = "company sign-in",
							 .max_active = 4,
							 .plain_loopback = settings.plain_loopback,
							 .proxy = config_str(config, "slack.proxy"),
							 .tls = { .ca_file = ca_file } });
	free(ca_file);
	return openid;
}

void openid_destroy(struct openid *openid)
{
	if (openid == NULL)
		return;
	http_destroy(openid->http);
	json_decref(openid->discovery);
	json_decref(openid->keys);
	secret_free(openid->config.client_secret);
	free(openid);
}
