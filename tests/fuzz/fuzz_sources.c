/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_sources.c - any bytes as the pages of a directory source: whole and consistent, or refused.
 *
 * The first byte chooses the kind, and whether it is only tried (0x40); what follows are answers,
 * each up to a line feed.  ask_start()
 * here takes the place of the real one: it hands out one page after the other, as JSON.
 */
#include <assert.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "core/directory.h"
#include "internal.h"
#include "net/loop.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *at, *end; /* the pages that are left */
static size_t asked;

struct asking {
	struct call call;
	struct call *turn;
	ask_done_fn done;
	void *data;
};

static void on_cancel(struct call *call)
{
	struct asking *asking = (struct asking *)call;

	call_cancel(&asking->turn);
	free(asking);
}

static void on_turn(void *data)
{
	struct asking *asking = data;
	size_t len = at < end ? strcspn(at, "\n") : 0;
	struct http_response response = { .status = 200 };
	struct ask_answer answer = { .status = 200, .response = &response };
	struct buf head;
	struct err err;
	json_t *json = at < end ? json_parse(at, len, len, &err) : NULL;

	buf_init(&head, 4096);
	response.headers = &head;
	/* A page that names its successor as Okta does. */
	if (jget_str(json_array_get(json, 0), "next") != NULL) {
		(void)buf_printf(&head, "Link: <http://127.0.0.1:1/%zu>; rel=\"next\"", asked);
		(void)buf_append(&head, "", 1);
	}
	answer.json = json;
	at += len + (at + len < end);
	if (json == NULL)
		err_set(&err, ERR_INVALID, "no page");
	asking->done(asking->data, json != NULL ? &answer : NULL, json != NULL ? NULL : &err);
	json_decref(json);
	buf_finish(&head);
	free(asking);
}

struct call *ask_start(struct source *source, const struct ask *ask, ask_done_fn done, void *data)
{
	struct asking *asking = xcalloc(1, sizeof(*asking));

	(void)ask;
	asked++;
	asking->call.cancel = on_cancel;
	asking->done = done;
	asking->data = data;
	asking->turn = call_defer(source->loop, on_turn, asking);
	return &asking->call;
}

static bool has_person(const struct directory *directory, const char *id)
{
	for (size_t i = 0; i < directory->n_people; i++)
		if (str_eq(directory->people[i].id, id))
			return true;
	return false;
}

static void on_done(void *data, const struct source_answer *answer, const struct err *err)
{
	struct source *source = data;

	assert(answer != NULL || err != NULL);
	if (err != NULL) { /* with notes about the group that failed, or without */
		assert(answer == NULL || answer->directory == NULL);
		assert(err->msg[0] != '\0');
	} else if (answer->directory == NULL) { /* it was only tried */
		assert(jget_int(answer->notes, "people", -1) >= 0);
	} else {
		const struct directory *d = answer->directory;

		for (size_t i = 0; i < d->members.n; i++)
			assert(has_person(d, d->members.items[i].b));
		for (size_t i = 0; i < d->n_people; i++)
			assert(!str_empty(d->people[i].id));
		for (size_t i = 0; i < d->n_groups; i++)
			assert(!str_empty(d->groups[i].name) && d->groups[i].name[0] != '~');
		directory_destroy(answer->directory);
	}
	source_close(source);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem, *service;
	json_t *json;

	(void)argc;
	(void)argv;
	log_set_level(LOG_ERROR);
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	BIO_write(bio, "", 1);
	BIO_get_mem_data(bio, &pem);
	json = json_pack("{s:s, s:s}", "client_email", "a@example.com", "private_key", pem);
	service = json_text(json);
	setenv("PEM", pem, 1);
	setenv("SERVICE", service, 1);
	setenv("SECRET", "secret", 1);
	json_decref(json);
	free(service);
	BIO_free(bio);
	EVP_PKEY_free(key);
	http_library_init();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
#define SECRET "{\"env\":\"SECRET\"},"
	static const char *const settings[] = {
		"{\"kind\":\"google\",\"members\":\"all\",\"admin\":\"a@example.com\",\"key\":{"
		"\"env\":\"SERVICE\"},",
		"{\"kind\":\"graph\",\"members\":\"all\",\"tenant\":\"t\",\"client_id\":\"c\","
		"\"client_"
		"secret\":" SECRET,
		"{\"kind\":\"okta\",\"members\":\"all\",\"client_id\":\"c\",\"key\":{\"env\":"
		"\"PEM\"},",
		"{\"kind\":\"scim\",\"bearer\":{\"env\":\"SECRET\"},",
		"{\"kind\":\"scim\",\"paging\":\"cursor\",\"bearer\":{\"env\":\"SECRET\"},",
		"{\"kind\":\"slack\",\"token\":{\"env\":\"SECRET\"},",
		"{\"kind\":\"google\",\"admin\":\"a@example.com\",\"service_account\":\"s@example."
		"com\",",
		"{\"kind\":\"google\",\"admin\":\"a@example.com\",\"service_account\":\"s@example."
		"com\","
		"\"audience\":\"a\",\"federated_token\":" SECRET,
	};
	struct source_config config = { .name = "fuzz" };
	struct source *source;
	char *text, *node;
	uv_loop_t loop;
	struct err err;

	if (size == 0)
		return 0;
	text = xstrndup((const char *)data + 1, size - 1);
	at = text;
	end = text + strlen(text);
	asked = 0;
	node = xasprintf("%s\"url\":\"http://127.0.0.1:1\",\"domains\":[\"example.com\"]}",
			 settings[(size_t)data[0] % (sizeof(settings) / sizeof(settings[0]))]);
	config.node = json_parse(node, strlen(node), strlen(node), &err);
	loop_init(&loop);
	config.loop = &loop;
	source = source_open(&config, &err);
	assert(source != NULL);
	if ((data[0] & 0x40) != 0)
		(void)source_probe(source, on_done, source);
	else
		(void)source_fetch(source, NULL, on_done, source);
	uv_run(&loop, UV_RUN_DEFAULT);
	loop_finish(&loop);
	json_decref((json_t *)(uintptr_t)config.node);
	free(node);
	free(text);
	return 0;
}
