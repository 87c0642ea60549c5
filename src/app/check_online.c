/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_online.c - opsd check --online: everything that is asked at night is asked now, one probe
 * after the other on a loop of its own.  None takes longer than its limit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "action/env.h"
#include "app/check.h"
#include "app/config.h"
#include "app/openid.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "directory/source.h"
#include "net/db.h"
#include "net/http.h"
#include "net/loop.h"
#include "slack/web.h"

enum { PROBE_MS = 8000, LIMIT_MS = 20000 };

/* The scopes that the service cannot work without. */
static const char *const needed_scopes[] = { "commands", "chat:write", "users:read",
					     "users:read.email", "im:write" };

struct probe {
	struct check *check;
	const struct config *config;
	uv_loop_t loop;
	uv_async_t next;  /* the next probe, never from inside the last one's answer */
	uv_timer_t limit; /* of the probe under way, where it has no other */
	struct call *call;
	size_t step, role;
	void *source_at;  /* which of the directory's sources comes next: json_object_iter */
	const char *what; /* the probe under way, as its line calls it */
	char name[80];
	char *bot_token, *app_token, *url;
	char *scopes; /* of the bot token, as Slack says; NULL: not known */
	struct http *http;
	struct slack_web *web;
	struct db *db;
	struct source *source;
	struct openid *openid;
	struct action_env *env;
};

/* setting: where it is said whom to ask. */
static void say_failed(struct probe *probe, const struct err *err, const char *setting)
{
	bool unreached =
		err->kind == ERR_RETRY || err->kind == ERR_TIMEOUT || err->kind == ERR_UNCERTAIN;

	check_line(probe->check, false, probe->what, "%s%s%s%s", err->msg,
		   unreached ? "; check " : "", unreached ? setting : "",
		   unreached ? " and the way there" : "");
}

/* ---- Slack ---- */

/* scopes: "chat:write,users:read.email"; users:read is none of these. */
static bool has_scope(const char *scopes, const char *name)
{
	size_t len = strlen(name), n;

	for (; *scopes != '\0'; scopes += n) {
		scopes += strspn(scopes, ", ");
		n = strcspn(scopes, ", ");
		if (n == len && strncmp(scopes, name, n) == 0)
			return true;
	}
	return false;
}

static void need_scope(struct probe *probe, const char *name)
{
	if (probe->scopes != NULL && !has_scope(probe->scopes, name))
		check_line(probe->check, false, "Slack scopes",
			   "The bot token lacks %s: add it to the app and install it again.", name);
}

static void on_auth(void *data, const struct slack_answer *answer, const struct err *err)
{
	struct probe *probe = data;

	probe->call = NULL;
	if (err != NULL) {
		say_failed(probe, err, "slack.api_url");
	} else {
		check_line(probe->check, true, probe->what, "%s in %s",
			   jget_str_or(answer->json, "user", "?"),
			   jget_str_or(answer->json, "team", "?"));
		probe->scopes = xstrdup_null(answer->scopes);
		for (size_t i = 0; i < sizeof(needed_scopes) / sizeof(needed_scopes[0]); i++)
			need_scope(probe, needed_scopes[i]);
	}
	uv_async_send(&probe->next);
}

static void probe_auth(struct probe *probe)
{
	probe->what = "Slack bot token";
	probe->call =
		slack_web_call(probe->web, "auth.test", json_object(), PROBE_MS, on_auth, probe);
}

static void on_open(void *data, const struct http_response *response, const struct err *err)
{
	struct probe *probe = data;
	struct err ignored;
	json_t *json = response != NULL ? json_parse(response->body, response->len, 65536, &ignored)
					: NULL;

	probe->call = NULL;
	if (err != NULL)
		say_failed(probe, err, "slack.api_url");
	else if (!jget_bool(json, "ok", false))
		check_line(probe->check, false, probe->what,
			   "apps.connections.open says %s: check that Socket Mode is on and the "
			   "token has connections:write.",
			   jget_str_or(json, "error", "nothing readable"));
	else
		check_line(probe->check, true, probe->what, "a websocket can be opened");
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

	probe->what = "Slack app token";
	probe->call = http_start(probe->http, &request, on_open, probe);
	free(url);
}

static void on_channel(void *data, const struct slack_answer *answer, const struct err *err)
{
	struct probe *probe = data;
	const json_t *channel = json_object_get(answer->json, "channel");
	const char *what = probe->what;
	const char *name = jget_str_or(channel, "name", "?");

	probe->call = NULL;
	if (err != NULL)
		say_failed(probe, err, "slack.api_url");
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
	/* After a lost answer it looks whether the message is there. */
	if (err == NULL)
		need_scope(probe, jget_bool(channel, "is_private", false) ? "groups:history"
									  : "channels:history");
	uv_async_send(&probe->next);
}

static void probe_channel(struct probe *probe, const char *what, const char *setting)
{
	json_t *args = json_pack("{s:s}", "channel", config_str(probe->config, setting));

	probe->what = what;
	probe->call =
		slack_web_call(probe->web, "conversations.info", args, PROBE_MS, on_channel, probe);
}

static void probe_audit(struct probe *probe)
{
	probe_channel(probe, "audit channel", "slack.audit_channel");
}

static void probe_approval(struct probe *probe)
{
	if (config_str(probe->config, "slack.approval_channel") != NULL)
		probe_channel(probe, "approval channel", "slack.approval_channel");
}

/* ---- PostgreSQL ---- */

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

static void say_database(struct probe *probe, const struct err *err)
{
	struct err last = *err;

	if (!db_up(probe->db) && db_last_error(probe->db)[0] != '\0')
		err_set(&last, ERR_RETRY, "%s", db_last_error(probe->db));
	say_failed(probe, &last, str_eq(probe->what, "database") ? "database.url" : probe->what);
}

static void open_database(struct probe *probe, const char *url)
{
	const struct db_config db = { .name = "check", .url = url, .connections = 1 };

	db_destroy(probe->db);
	probe->db = db_create(&probe->loop, &db);
}

static void on_database(void *data, const struct db_answer *answer, const struct err *err)
{
	struct probe *probe = data;
	const struct db_result *row = err == NULL ? answer->results[0] : NULL;

	probe->call = NULL;
	if (err != NULL) {
		say_database(probe, err);
	} else {
		check_line(probe->check, db_int(row, 0, 0) >= 150000, probe->what,
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

	probe->what = "database";
	open_database(probe, probe->url);
	probe->call = db_start(probe->db, &statement, 1, PROBE_MS, on_database, probe);
}

/* ---- the logins of the other jobs ---- */

static const struct {
	const char *setting, *role;
} roles[] = {
	{ "database.sync_url", "opsd_sync" },
	{ "database.grants_url", "opsd_grants" },
};

enum { ROLES = sizeof(roles) / sizeof(roles[0]) };

static void on_role(void *data, const struct db_answer *answer, const struct err *err)
{
	struct probe *probe = data;
	bool may = err == NULL && db_bool(answer->results[0], 0, 0);

	probe->call = NULL;
	if (err != NULL)
		say_database(probe, err);
	else
		check_line(probe->check, may, probe->what, "%s%s%s", may ? "is in " : "Not in ",
			   roles[probe->role - 1].role,
			   may ? "" : ", so its command may not: make it a member.");
	uv_async_send(&probe->next);
}

static void probe_roles(struct probe *probe)
{
	static const char sql[] = "select exists (select from pg_roles where rolname = $1 and "
				  "pg_has_role(oid, 'usage'))";
	struct db_statement statement = { .sql = sql, .n = 1 };
	struct err err;
	char *url;

	if (probe->role == ROLES)
		return;
	statement.params = &roles[probe->role].role;
	probe->what = roles[probe->role++].setting;
	probe->step--; /* another one may follow */
	url = config_has(probe->config, probe->what)
		      ? config_secret(probe->config, probe->what, &err)
		      : NULL;
	if (url == NULL) /* if it is set, that was said */
		return;
	open_database(probe, url);
	probe->call = db_start(probe->db, &statement, 1, PROBE_MS, on_role, probe);
	secret_free(url);
}

/* ---- the directory ---- */

static void on_source(void *data, const struct source_answer *answer, const struct err *err)
{
	struct probe *probe = data;
	long long people = err == NULL ? jget_int(answer->notes, "people", 0) : 0;
	long long groups = err == NULL ? jget_int(answer->notes, "groups", 0) : 0;
	const char *kind = source_kind(probe->source);

	probe->call = NULL;
	if (err != NULL)
		check_line(probe->check, false, probe->what, "%s", err->msg);
	else if (people == 0)
		check_line(probe->check, false, probe->what,
			   "%s answers, and lists no people: check what it is asked for, and what "
			   "it may read.",
			   kind);
	else
		check_line(probe->check, true, probe->what,
			   "%s can be read: %lld people and %lld groups at first sight", kind,
			   people, groups);
	uv_async_send(&probe->next);
}

static void probe_sources(struct probe *probe)
{
	json_t *sources = jget(config_node(probe->config, "directory"), "sources");
	struct source_config own = { .loop = &probe->loop, .dir = config_dir(probe->config) };
	struct err err;

	source_close(probe->source);
	probe->source = NULL;
	probe->source_at = probe->source_at == NULL
				   ? json_object_iter(sources)
				   : json_object_iter_next(sources, probe->source_at);
	if (probe->source_at == NULL)
		return;
	probe->step--; /* another one may follow */
	own.name = json_object_iter_key(probe->source_at);
	own.node = json_object_iter_value(probe->source_at);
	(void)snprintf(probe->name, sizeof(probe->name), "directory %s", own.name);
	probe->what = probe->name;
	probe->source = source_open(&own, &err);
	if (probe->source != NULL) /* else that was said */
		probe->call = source_probe(probe->source, on_source, probe);
}

/* ---- company sign-ins ---- */

static void on_openid(void *data, const struct openid_proof *proof, const struct err *err)
{
	struct probe *probe = data;

	(void)proof;
	probe->call = NULL;
	check_line(probe->check, err == NULL, probe->what, "%s%s",
		   err == NULL ? config_str(probe->config, "identity.issuer") : err->msg,
		   err == NULL ? " offers device sign-ins" : "; see identity.* in opsd.yaml");
	uv_async_send(&probe->next);
}

static void probe_openid(struct probe *probe)
{
	struct err err;

	if (config_str(probe->config, "identity.issuer") == NULL)
		return;
	probe->what = "company sign-in";
	probe->openid = openid_create(&probe->loop, probe->config, &err);
	if (probe->openid != NULL)
		probe->call = openid_probe(probe->openid, on_openid, probe);
	else
		check_line(probe->check, false, probe->what, "%s", err.msg);
}

/* ---- clusters and APIs ---- */

static void on_line(void *data, bool good, const char *what, const char *says)
{
	struct probe *probe = data;

	check_line(probe->check, good, what, "%s", says);
}

static void on_env(void *data, const struct err *err)
{
	struct probe *probe = data;

	probe->call = NULL;
	if (err != NULL)
		check_line(probe->check, false, "clusters and apis", "%s", err->msg);
	uv_async_send(&probe->next);
}

static void probe_env(struct probe *probe)
{
	if (probe->env != NULL)
		probe->call = action_env_probe(probe->env, on_line, on_env, probe);
}

/* ---- one after the other ---- */

static void on_limit(uv_timer_t *limit)
{
	struct probe *probe = limit->data;

	call_cancel(&probe->call);
	check_line(probe->check, false, probe->what,
		   "No answer within %d seconds: check the address and the way there.",
		   LIMIT_MS / 1000);
	uv_async_send(&probe->next);
}

static const struct {
	void (*ask)(struct probe *probe); /* starts a call, or is over */
	bool slack, database;             /* needs the tokens, the URL */
	bool own_limits;                  /* as long as it has much to ask */
} steps[] = {
	{ .ask = probe_auth, .slack = true },
	{ .ask = probe_open, .slack = true },
	{ .ask = probe_audit, .slack = true },
	{ .ask = probe_approval, .slack = true },
	{ .ask = probe_database, .database = true },
	{ .ask = probe_roles },
	{ .ask = probe_sources },
	{ .ask = probe_openid },
	{ .ask = probe_env, .own_limits = true },
};

static void close_all(struct probe *probe)
{
	slack_web_destroy(probe->web);
	http_destroy(probe->http);
	db_destroy(probe->db);
	openid_destroy(probe->openid);
	action_env_destroy(probe->env);
	uv_close((uv_handle_t *)&probe->limit, NULL);
	uv_close((uv_handle_t *)&probe->next, NULL);
}

static void on_next(uv_async_t *async)
{
	struct probe *probe = async->data;

	uv_timer_stop(&probe->limit);
	while (probe->call == NULL && probe->step < sizeof(steps) / sizeof(steps[0])) {
		size_t step = probe->step++;

		if ((steps[step].slack && probe->web == NULL) ||
		    (steps[step].database && probe->url == NULL))
			continue;
		steps[step].ask(probe);
		if (probe->call != NULL && !steps[step].own_limits)
			uv_timer_start(&probe->limit, on_limit, LIMIT_MS, 0);
	}
	if (probe->call == NULL)
		close_all(probe);
}

static void open_clients(struct probe *probe)
{
	const struct config *config = probe->config;
	bool plain = str_starts(config_str(config, "slack.api_url"), "http://");
	char *ca_file = config_file(config, "slack.ca_file");
	const struct http_config http = { .name = "slack",
					  .plain_loopback = plain,
					  .proxy = config_str(config, "slack.proxy"),
					  .tls = { .ca_file = ca_file } };
	const struct slack_web_config web = { .api_url = config_str(config, "slack.api_url"),
					      .bot_token = probe->bot_token,
					      .hooks_prefix =
						      config_str(config, "slack.hooks_prefix"),
					      .plain_loopback = plain };
	struct diags diags;

	diags_init(&diags);
	probe->env = action_env_create(&probe->loop, config_node(config, "clusters"),
				       config_node(config, "apis"), config_dir(config), &diags);
	diags_finish(&diags); /* they were said */
	if (probe->bot_token != NULL && probe->app_token != NULL) {
		probe->http = http_create(&probe->loop, &http);
		probe->web = slack_web_create(&probe->loop, probe->http, &web);
	}
	free(ca_file);
}

void check_online(struct check *check, const struct config *config)
{
	struct probe probe = { .check = check, .config = config };
	struct err err;

	/* What cannot be read was said. */
	probe.bot_token = config_secret(config, "slack.bot_token", &err);
	probe.app_token = config_secret(config, "slack.app_token", &err);
	probe.url = config_secret(config, "database.url", &err);
	loop_init(&probe.loop);
	uv_async_init(&probe.loop, &probe.next, on_next);
	uv_timer_init(&probe.loop, &probe.limit);
	probe.next.data = probe.limit.data = &probe;
	open_clients(&probe);
	uv_async_send(&probe.next);
	uv_run(&probe.loop, UV_RUN_DEFAULT);
	loop_finish(&probe.loop);
	secret_free(probe.bot_token);
	secret_free(probe.app_token);
	secret_free(probe.url);
	free(probe.scopes);
}
