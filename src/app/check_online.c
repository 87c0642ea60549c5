/* SPDX-License-Identifier: Apache-2.0 */
/* check_online.c - opsd check --online: one probe after the other on a loop of its own. */
#include <stdlib.h>
#include <string.h>

#include "action/env.h"
#include "app/check.h"
#include "app/config.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "net/db.h"
#include "net/http.h"
#include "net/loop.h"
#include "slack/web.h"

enum { PROBE_MS = 8000 };

/* The scopes that the service cannot work without. */
static const char *const needed_scopes[] = { "commands", "chat:write", "users:read",
					     "users:read.email", "im:write" };

struct probe {
	struct check *check;
	const struct config *config;
	uv_loop_t loop;
	uv_async_t next; /* the next probe, never from inside the last one's answer */
	size_t step;
	const char *channel; /* which one is asked about */
	char *bot_token, *app_token, *url;
	struct http *http;
	struct slack_web *web;
	struct db *db;
	struct action_env *env;
};

static void on_auth(void *data, const struct slack_answer *answer, const struct err *err)
{
	struct probe *probe = data;

	if (err != NULL) {
		check_line(probe->check, false, "Slack bot token", "%s", err->msg);
	} else {
		check_line(probe->check, true, "Slack bot token", "%s in %s",
			   jget_str_or(answer->json, "user", "?"),
			   jget_str_or(answer->json, "team", "?"));
		for (size_t i = 0;
		     answer->scopes != NULL && i < sizeof(needed_scopes) / sizeof(needed_scopes[0]);
		     i++)
			if (strstr(answer->scopes, needed_scopes[i]) == NULL)
				check_line(probe->check, false, "Slack scopes",
					   "The bot token lacks %s: add it to the app and install "
					   "it again.",
					   needed_scopes[i]);
	}
	uv_async_send(&probe->next);
}

static void probe_auth(struct probe *probe)
{
	(void)slack_web_call(probe->web, "auth.test", json_object(), PROBE_MS, on_auth, probe);
}

static void on_open(void *data, const struct http_response *response, const struct err *err)
{
	struct probe *probe = data;
	struct err ignored;
	json_t *json = response != NULL ? json_parse(response->body, response->len, 65536, &ignored)
					: NULL;

	if (err != NULL)
		check_line(probe->check, false, "Slack app token", "%s", err->msg);
	else if (!jget_bool(json, "ok", false))
		check_line(probe->check, false, "Slack app token",
			   "apps.connections.open says %s: check that Socket Mode is on and the "
			   "token has connections:write.",
			   jget_str_or(json, "error", "nothing readable"));
	else
		check_line(probe->check, true, "Slack app token", "a websocket can be opened");
	json_decref(json);
	uv_async_send(&probe->next);
}

static void probe_open(struct probe *probe)
{
	char *url =
		xasprintf("%sapps.connections.open", config_str(probe->config, "slack.api_url"));
	const struct http_request request = {
		.method = "POST", .url = url, .bearer = probe->app_token, .timeout_ms = PROBE_MS
	};

	(void)http_start(probe->http, &request, on_open, probe);
	free(url);
}

static void on_channel(void *data, const struct slack_answer *answer, const struct err *err)
{
	struct probe *probe = data;
	const json_t *channel = json_object_get(answer->json, "channel");
	const char *what = probe->channel;
	const char *name = jget_str_or(channel, "name", "?");

	if (err != NULL)
		check_line(probe->check, false, what, "%s", err->msg);
	else if (jget_bool(channel, "is_archived", false))
		check_line(probe->check, false, what,
			   "#%s is archived: unarchive it or choose another.", name);
	else if (jget_bool(channel, "is_ext_shared", false) ||
		 jget_bool(channel, "is_pending_ext_shared", false))
		check_line(probe->check, false, what,
			   "#%s is shared with another company: choose one that is not.", name);
	else if (!jget_bool(channel, "is_member", false))
		check_line(probe->check, false, what, "The bot is not in #%s: /invite it there.",
			   name);
	else
		check_line(probe->check, true, what, "#%s", name);
	uv_async_send(&probe->next);
}

static void probe_channel(struct probe *probe, const char *what, const char *setting)
{
	json_t *args = json_pack("{s:s}", "channel", config_str(probe->config, setting));

	probe->channel = what;
	(void)slack_web_call(probe->web, "conversations.info", args, PROBE_MS, on_channel, probe);
}

static void probe_audit(struct probe *probe)
{
	probe_channel(probe, "audit channel", "slack.audit_channel");
}

static void probe_approval(struct probe *probe)
{
	if (config_str(probe->config, "slack.approval_channel") == NULL)
		uv_async_send(&probe->next);
	else
		probe_channel(probe, "approval channel", "slack.approval_channel");
}

static void probe_role(struct check *check, const struct db_result *row)
{
	bool superuser = db_bool(row, 0, 3), may = db_bool(row, 0, 4);
	const char *says = "may do what the service does, and is no superuser";

	if (superuser)
		says = "The service's role is a superuser: give it one that is only in "
		       "opsd_service.";
	else if (!may)
		says = "The service's role has no permission to record requests: make it a member "
		       "of opsd_service.";
	check_line(check, !superuser && may, "database role", "%s", says);
}

static void on_database(void *data, const struct db_answer *answer, const struct err *err)
{
	struct probe *probe = data;
	const struct db_result *row = err == NULL ? answer->results[0] : NULL;

	if (err != NULL) {
		check_line(probe->check, false, "database", "%s",
			   db_up(probe->db) || db_last_error(probe->db)[0] == '\0'
				   ? err->msg
				   : db_last_error(probe->db));
	} else {
		check_line(probe->check, db_int(row, 0, 0) >= 150000, "database",
			   "PostgreSQL %s (15 or newer is needed)", db_text(row, 0, 1));
		check_line(probe->check, db_bool(row, 0, 2), "database schema", "%s",
			   db_bool(row, 0, 2) ? "there" : "opsd migrate has not been run");
		probe_role(probe->check, row);
	}
	uv_async_send(&probe->next);
}

static void probe_database(struct probe *probe)
{
	static const struct db_statement statement = {
		.sql = "select current_setting('server_version_num'), "
		       "current_setting('server_version'), "
		       "exists (select from pg_proc p join pg_namespace n on n.oid = "
		       "p.pronamespace "
		       "where n.nspname = 'ops' and p.proname = 'receive'), "
		       "(select rolsuper from pg_roles where rolname = current_user), "
		       "coalesce((select bool_and(has_function_privilege(p.oid, 'execute')) "
		       "from pg_proc p join pg_namespace n on n.oid = p.pronamespace "
		       "where n.nspname = 'ops' and p.proname in ('receive', 'start', 'settle')), "
		       "true)",
	};

	(void)db_start(probe->db, &statement, 1, PROBE_MS, on_database, probe);
}

static void on_line(void *data, bool good, const char *what, const char *says)
{
	struct probe *probe = data;

	check_line(probe->check, good, what, "%s", says);
}

static void on_env(void *data, const struct err *err)
{
	struct probe *probe = data;

	if (err != NULL)
		check_line(probe->check, false, "clusters and apis", "%s", err->msg);
	uv_async_send(&probe->next);
}

static void probe_env(struct probe *probe)
{
	(void)action_env_probe(probe->env, on_line, on_env, probe);
}

static void (*const probes[])(struct probe *probe) = { probe_auth,     probe_open,     probe_audit,
						       probe_approval, probe_database, probe_env };

static void close_all(struct probe *probe)
{
	slack_web_destroy(probe->web);
	http_destroy(probe->http);
	db_destroy(probe->db);
	action_env_destroy(probe->env);
	uv_close((uv_handle_t *)&probe->next, NULL);
}

static void on_next(uv_async_t *async)
{
	struct probe *probe = async->data;

	if (probe->step < sizeof(probes) / sizeof(probes[0]))
		probes[probe->step++](probe);
	else
		close_all(probe);
}

static bool open_clients(struct probe *probe)
{
	const struct config *config = probe->config;
	bool plain = str_starts(config_str(config, "slack.api_url"), "http://");
	char *ca_file = config_file(config, "slack.ca_file");
	struct http_config http = { .name = "slack",
				    .plain_loopback = plain,
				    .proxy = config_str(config, "slack.proxy"),
				    .tls = { .ca_file = ca_file } };
	struct slack_web_config web = { .api_url = config_str(config, "slack.api_url"),
					.bot_token = probe->bot_token,
					.hooks_prefix = config_str(config, "slack.hooks_prefix"),
					.plain_loopback = plain };
	struct db_config db = { .name = "opsd check", .url = probe->url, .connections = 1 };
	struct diags diags;

	diags_init(&diags);
	probe->env = action_env_create(&probe->loop, config_node(config, "clusters"),
				       config_node(config, "apis"), config_dir(config), &diags);
	diags_finish(&diags);
	if (probe->env != NULL) {
		probe->http = http_create(&probe->loop, &http);
		probe->web = slack_web_create(&probe->loop, probe->http, &web);
		probe->db = db_create(&probe->loop, &db);
	}
	free(ca_file);
	return probe->env != NULL;
}

void check_online(struct check *check, const struct config *config)
{
	struct probe probe = { .check = check, .config = config };
	struct err err;

	probe.bot_token = config_secret(config, "slack.bot_token", &err);
	probe.app_token = config_secret(config, "slack.app_token", &err);
	probe.url = config_secret(config, "database.url", &err);
	if (probe.bot_token != NULL && probe.app_token != NULL && probe.url != NULL) {
		loop_init(&probe.loop);
		if (open_clients(&probe)) {
			uv_async_init(&probe.loop, &probe.next, on_next);
			probe.next.data = &probe;
			uv_async_send(&probe.next);
		}
		uv_run(&probe.loop, UV_RUN_DEFAULT);
		loop_finish(&probe.loop);
	}
	secret_free(probe.bot_token);
	secret_free(probe.app_token);
	secret_free(probe.url);
}
