/* SPDX-License-Identifier: Apache-2.0 */
/* once.c - one question to the database from the command line. */
#include "app/once.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/config.h"
#include "app/options.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/secret.h"
#include "net/db.h"
#include "net/loop.h"

struct asking {
	uv_loop_t loop;
	struct db *db;
	json_t *value;
	struct err err;
};

static void on_answer(void *data, const json_t *value, const struct err *err)
{
	struct asking *asking = data;

	if (err != NULL)
		asking->err = *err;
	else
		asking->value = json_incref((json_t *)(uintptr_t)value);
	uv_stop(&asking->loop);
}

static char *read_url(const char *path, const char *setting, struct err *err)
{
	struct diags diags;
	struct config *config;
	char *url = NULL;

	diags_init(&diags);
	config = config_load(path, &diags);
	if (config == NULL)
		err_set(err, ERR_INVALID, "%s",
			diags.n > 0 ? diag_text(&diags.items[0]) : "no configuration");
	else
		url = config_secret(config, config_has(config, setting) ? setting : "database.url",
				    err);
	config_destroy(config);
	diags_finish(&diags);
	return url;
}

int once_run(struct app_options *options, const struct once *once)
{
	struct asking asking = { .err = { .kind = ERR_NONE } };
	char *url = read_url(options->config, once->url_setting, &asking.err);
	struct db_config config = { .name = "cli", .url = url, .connections = 1 };
	int code = APP_COULD_NOT;

	if (url == NULL)
		return app_fail(APP_COULD_NOT, "%s", asking.err.msg);
	loop_init(&asking.loop);
	if (once->ret_loop != NULL)
		*once->ret_loop = &asking.loop;
	asking.db = db_create(&asking.loop, &config);
	(void)once->ask(asking.db, once->data, on_answer, &asking);
	uv_run(&asking.loop, UV_RUN_DEFAULT);
	if (asking.value != NULL)
		code = once->print(asking.value, options->json, once->data);
	else
		(void)app_fail(APP_COULD_NOT, "%s", asking.err.msg);
	json_decref(asking.value);
	db_destroy(asking.db);
	loop_finish(&asking.loop);
	secret_free(url);
	return code;
}
