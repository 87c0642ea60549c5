/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_serve.c - the service: builds everything, runs the loop, and leaves nothing open.
 *
 * The stop, in this order: sockets (no new envelopes), runs under way, announcements, then every
 * client; libwebsockets last, since its destruction closes a descriptor twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "action/env.h"
#include "app/config.h"
#include "app/follower.h"
#include "app/libraries.h"
#include "app/openid.h"
#include "app/options.h"
#include "app/service.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/signing.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "chat/intake.h"
#include "chat/sender.h"
#include "core/catalog.h"
#include "core/owed.h"
#include "net/db.h"
#include "net/http.h"
#include "net/httpd.h"
#include "net/loop.h"
#include "net/ws.h"
#include "slack/people.h"
#include "slack/socket.h"
#include "slack/web.h"
#include "store/audit.h"
#include "store/later.h"
#include "store/outbox.h"
#include "store/requests.h"

enum {
	RENEW_MS = FAILPOINT_MS(15 * 1000),
	SWEEP_MS = FAILPOINT_MS(1000),
	RETRY_MS = FAILPOINT_MS(1000),
	AUTH_RETRY_MS = 2000,
	HAND_MS = 1500,       /* for handing over what has not begun */
	GRACE_MS = 10 * 1000, /* for runs and announcements under way at the stop */
	SLACK_ACTIVE = 32,
};

static void stop(struct service *service);

/* start: what needs no loop */

static void print_diags(const struct diags *diags)
{
	for (size_t i = 0; i < diags->n; i++)
		(void)fprintf(stderr, "opsd: %s\n", diag_text(&diags->items[i]));
	if (diags->total > diags->n)
		(void)fprintf(stderr, "opsd: … and %zu more\n", diags->total - diags->n);
}

static bool read_secrets(struct service *service)
{
	static const char *const names[] = { "slack.app_token", "slack.bot_token", "database.url" };
	char **const slots[] = { &service->app_token, &service->bot_token, &service->database_url };
	struct err err;

	for (size_t i = 0; i < 3; i++) {
		*slots[i] = config_secret(service->config, names[i], &err);
		if (*slots[i] == NULL) {
			(void)fprintf(stderr, "opsd: %s\n", err.msg);
			return false;
		}
	}
	return true;
}

static bool load(struct service *service, const char *path)
{
	struct diags diags;
	char *dir = NULL;
	enum log_level level;
	bool good;

	diags_init(&diags);
	service->config = config_load(path, &diags);
	if (service->config != NULL) {
		if (log_level_from_name(config_str(service->config, "log.level"), &level))
			log_set_level(level);
		service->env = action_env_create(
			&service->loop, config_node(service->config, "clusters"),
			config_node(service->config, "apis"), config_dir(service->config), &diags);
		dir = config_file(service->config, "catalog");
		service->catalog = catalog_load(dir, action_kinds, service->env, &diags);
		free(dir);
	}
	print_diags(&diags);
	good = service->config != NULL && service->env != NULL && service->catalog != NULL &&
	       read_secrets(service);
	diags_finish(&diags);
	return good;
}

/* start: the parts on the loop */

static bool plain(const struct service *service)
{
	return str_starts(config_str(service->config, "slack.api_url"), "http://");
}

static bool make_clients(struct service *service)
{
	char *ca_file = config_file(service->config, "slack.ca_file");
	struct http_config http = { .name = "slack",
				    .max_active = SLACK_ACTIVE,
				    .plain_loopback = plain(service),
				    .proxy = config_str(service->config, "slack.proxy"),
				    .tls = { .ca_file = ca_file } };
	struct ws_context_config ws = { .ca_file = ca_file,
					.proxy = config_str(service->config, "slack.proxy"),
					.plain_loopback = plain(service) };
	struct slack_web_config web = { .api_url = config_str(service->config, "slack.api_url"),
					.bot_token = service->bot_token,
					.hooks_prefix =
						config_str(service->config, "slack.hooks_prefix"),
					.plain_loopback = plain(service) };
	struct err err;

	service->http = http_create(&service->loop, &http);
	service->ws = ws_context_create(&service->loop, &ws, &err);
	free(ca_file);
	if (service->ws == NULL) {
		(void)fprintf(stderr, "opsd: %s\n", err.msg);
		return false;
	}
	service->web = slack_web_create(&service->loop, service->http, &web);
	service->people = slack_people_create(&service->loop, service->web);
	return true;
}

/* The first person on a connection does not wait for plans; without the function, hello says what
 * is missing. */
#define WARM "DO $$ BEGIN PERFORM ops.warm(); EXCEPTION WHEN OTHERS THEN NULL; END $$"

static void make_store(struct service *service)
{
	/* Every statement runs in one function whose plans are kept; none is worth a JIT.  The
	 * intake's limits are below what the store waits for; that of locks also below the second
	 * after which the server looks for deadlocks: jobs that share a transaction can make one,
	 * and are then sent again, each alone. */
	static const char *const intake_sets[] = { "SET statement_timeout = '1200ms'",
						   "SET lock_timeout = '700ms'",
						   "SET plan_cache_mode = force_generic_plan",
						   "SET jit = off",
						   WARM,
						   NULL };
	static const char *const work_sets[] = { "SET statement_timeout = '10s'",
						 "SET lock_timeout = '2s'",
						 "SET idle_in_transaction_session_timeout = '5s'",
						 "SET plan_cache_mode = force_generic_plan",
						 "SET jit = off",
						 NULL };
	/* Two: what comes while one commits gathers for the other. */
	struct db_config intake = { .name = "intake",
				    .url = service->database_url,
				    .connections = 2,
				    .on_connect = intake_sets };
	struct db_config work = { .name = "work",
				  .url = service->database_url,
				  .connections = (unsigned)config_int(service->config,
								      "database.connections"),
				  .on_connect = work_sets,
				  .listen = "opsd_wake",
				  .notice = service_notice,
				  .data = service };
	struct store_config config = {
		.boot_id = service->boot_id,
		.version = OPSD_VERSION,
		.audit_channel = config_str(service->config, "slack.audit_channel"),
		.approval_channel = config_str(service->config, "slack.approval_channel"),
		.approval_s = config_int(service->config, "slack.approval_minutes") * 60,
		.signing = service->signing,
		.checkpoint_s = config_int(service->config, "audit.checkpoint_minutes") * 60,
		.proof = { .possible = service->openid != NULL,
			   .link_from_risk = config_int(service->config, "identity.link_from_risk"),
			   .each_from_risk =
				   config_int(service->config, "identity.sign_in_from_risk") },
		.deployment = config_str(service->config, "deployment"),
		.read_only = config_bool(service->config, "read_only"),
	};

	service->intake_db = db_create(&service->loop, &intake);
	service->work_db = db_create(&service->loop, &work);
	config.intake = service->intake_db;
	config.work = service->work_db;
	service->store = store_create(&service->loop, &config);
}

static struct call *may(void *ctx, const char *team, const char *user,
			void (*done)(void *data, const json_t *actions, const struct err *err),
			void *data)
{
	struct service *service = ctx;

	return store_may(service->work_db, team, user, done, data);
}

static struct call *tell(void *ctx, const json_t *question,
			 void (*done)(void *data, const json_t *value, const struct err *err),
			 void *data)
{
	struct service *service = ctx;

	return store_tell(service->store, question, done, data);
}

static void owed_room(void *ctx, unsigned room)
{
	struct service *service = ctx;

	store_outbox_room(service->store, room);
}

static struct call *owed_claim(void *ctx, const unsigned limits[OWED_LANES], call_done_fn done,
			       void *data)
{
	struct service *service = ctx;

	return store_outbox_claim(service->store, limits, done, data);
}

static struct call *owed_mark(void *ctx, struct owed_mark *marks, unsigned n, call_done_fn done,
			      void *data)
{
	struct service *service = ctx;

	return store_outbox_mark(service->store, marks, n, done, data);
}

static void make_chat(struct service *service)
{
	struct op_ports ports;
	struct owed_port owed = {
		.ctx = service, .room = owed_room, .claim = owed_claim, .mark = owed_mark
	};
	struct intake_config intake = {
		.web = service->web,
		.people = service->people,
		.prefixes = config_node(service->config, "slack.commands"),
		.tell = { .tell = tell, .ctx = service },
		.may = { .loop = &service->loop, .may = may, .ctx = service }
	};

	service_own(service);
	service_later(service, &intake.later);
	service_ports(service, &ports);
	service->ops = op_list_create(&service->loop, &ports);
	intake.ops = service->ops;
	service->intake = intake_create(&service->loop, &intake);
	intake_set_catalog(service->intake, service->catalog);
	service->sender = sender_create(&service->loop, service->web, &owed);
	store_outbox_set_ready(service->store, sender_add, service->sender);
	store_outbox_set_unclaimed(service->store, service_unclaimed, service);
	service->follower = follower_create(service);
}

static bool make_pages(struct service *service)
{
	const char *listen = config_str(service->config, "http.listen");
	struct err err;

	if (listen == NULL)
		return true;
	service->httpd = httpd_create(&service->loop, listen, service_page, service, &err);
	if (service->httpd == NULL) {
		(void)fprintf(stderr, "opsd: http.listen: %s\n", err.msg);
		return false;
	}
	log_info("http listening", LOG_INT("port", httpd_port(service->httpd)));
	return true;
}

/* the first words with the database and with Slack */

static void on_hello(void *data, const struct err *err)
{
	struct service *service = data;

	service->hello_call = NULL;
	if (err == NULL) {
		service->known_here = true;
		return;
	}
	log_warn("database not ready", LOG_STR("error", err->msg));
}

static void on_socket_state(void *data, unsigned ready, const struct err *err, bool fatal)
{
	struct service *service = data;

	if (ready != service->ready || fatal != service->fatal)
		log_info("sockets", LOG_INT("ready", ready),
			 LOG_STR("error", err != NULL ? err->msg : ""));
	if (ready > service->ready &&
	    ready == (unsigned)config_int(service->config, "slack.connections"))
		libraries_rest();
	service->ready = ready;
	service->fatal = fatal;
}

static void on_envelope(void *data, const struct envelope *envelope, struct slack_via via)
{
	struct service *service = data;

	intake_envelope(service->intake, envelope, via);
}

static void open_sockets(struct service *service)
{
	struct slack_socket_config config = {
		.api_url = config_str(service->config, "slack.api_url"),
		.app_token = service->app_token,
		.connections = (unsigned)config_int(service->config, "slack.connections"),
		.plain_loopback = plain(service),
		.envelope = on_envelope,
		.state = on_socket_state,
		.data = service
	};

	service->socket = slack_socket_create(&service->loop, service->http, service->ws, &config);
	intake_set_socket(service->intake, service->socket);
}

static void on_auth(void *data, const struct slack_answer *answer, const struct err *err)
{
	struct service *service = data;

	service->auth_call = NULL;
	if (answer->class != SLACK_OK) {
		log_error("Slack does not take the bot token yet", LOG_STR("error", err->msg));
		service->fatal = answer->class == SLACK_FATAL;
		return;
	}
	service->fatal = false;
	service->home_known = true;
	slack_people_set_home(service->people, jget_str(answer->json, "team_id"),
			      config_str(service->config, "slack.enterprise"));
	log_info("Slack knows us", LOG_STR("team", jget_str(answer->json, "team_id")),
		 LOG_STR("bot", jget_str(answer->json, "user_id")));
	intake_set_workspace(service->intake, jget_str(answer->json, "url"));
	open_sockets(service);
}

/* Until both have answered: what they hold back is told to people by the acknowledgements and by
 * /readyz. */
static void on_hello_timer(uv_timer_t *timer)
{
	struct service *service = timer->data;

	if (service->state != SERVICE_STARTING)
		return;
	if (!service->known_here && service->hello_call == NULL)
		service->hello_call = store_hello(service->store, on_hello, service);
	if (!service->home_known && service->auth_call == NULL)
		service->auth_call = slack_web_call(service->web, "auth.test", json_object(), 0,
						    on_auth, service);
	if (service->known_here && service->home_known) {
		service->state = SERVICE_SERVING;
		uv_timer_stop(timer);
	} else if (uv_timer_get_repeat(timer) == 0) {
		uv_timer_start(timer, on_hello_timer, RETRY_MS, RETRY_MS);
	}
}

/* duties */

static void on_renewed(void *data, const struct err *err)
{
	struct service *service = data;

	service->renew_call = NULL;
	if (err != NULL)
		log_warn("leases not renewed", LOG_STR("error", err->msg));
}

static void on_health(void *data, const json_t *value, const struct err *err)
{
	struct service *service = data;

	service->health_call = NULL;
	if (err != NULL)
		return;
	json_decref(service->health);
	service->health = json_incref((json_t *)(uintptr_t)value);
}

static void on_ticked(void *data, const json_t *value, const struct err *err)
{
	struct service *service = data;

	service->tick_call = NULL;
	if (err != NULL)
		log_warn("rights for a time not looked after", LOG_STR("error", err->msg));
	else if (json_integer_value(value) > 0)
		sender_wake(service->sender);
}

static void on_renew(uv_timer_t *timer)
{
	struct service *service = timer->data;

	if (!service->known_here)
		return;
	if (service->renew_call == NULL)
		service->renew_call = store_renew(service->store, on_renewed, service);
	if (service->tick_call == NULL)
		service->tick_call = store_access_tick(service->store, on_ticked, service);
	if (service->health_call == NULL)
		service->health_call = store_health(service->work_db, on_health, service);
}

static void on_sweep(uv_timer_t *timer)
{
	service_sweep(timer->data);
}

/* reload */

struct reload {
	uv_work_t work;
	struct service *service;
	char *dir;
	struct diags diags;
	struct catalog *catalog;
};

static void reload_work(uv_work_t *work)
{
	struct reload *reload = work->data;

	reload->catalog =
		catalog_load(reload->dir, action_kinds, reload->service->env, &reload->diags);
}

static void reload_done(uv_work_t *work, int status)
{
	struct reload *reload = work->data;
	struct service *service = reload->service;

	(void)status;
	service->replanning = false;
	for (size_t i = 0; i < reload->diags.n; i++)
		log_error("catalog refused, the running one stays",
			  LOG_STR("at", diag_text(&reload->diags.items[i])));
	if (reload->catalog != NULL) {
		catalog_unref(service->catalog);
		service->catalog = reload->catalog;
		intake_set_catalog(service->intake, service->catalog);
		log_info("catalog reloaded", LOG_STR("digest", catalog_digest(service->catalog)));
	}
	diags_finish(&reload->diags);
	free(reload->dir);
	free(reload);
}

static void on_hup(uv_signal_t *signal, int number)
{
	struct service *service = signal->data;
	struct reload *reload;

	(void)number;
	if (service->replanning || service->state == SERVICE_STOPPING)
		return;
	service->replanning = true;
	reload = xcalloc(1, sizeof(*reload));
	reload->work.data = reload;
	reload->service = service;
	reload->dir = config_file(service->config, "catalog");
	diags_init(&reload->diags);
	uv_queue_work(&service->loop, &reload->work, reload_work, reload_done);
}

/* stop */

static void on_ws_gone(void *data)
{
	(void)data;
}

static void close_all(struct service *service)
{
	call_cancel(&service->hand_call);
	call_cancel(&service->hello_call);
	call_cancel(&service->auth_call);
	call_cancel(&service->renew_call);
	call_cancel(&service->sweep_call);
	call_cancel(&service->health_call);
	call_cancel(&service->tick_call);
	intake_destroy(service->intake);
	op_list_destroy(service->ops);
	follower_destroy(service->follower);
	sender_destroy(service->sender);
	slack_socket_destroy(service->socket);
	slack_people_destroy(service->people);
	slack_web_destroy(service->web);
	store_destroy(service->store);
	openid_destroy(service->openid);
	action_env_destroy(service->env);
	http_destroy(service->http);
	db_destroy(service->intake_db);
	db_destroy(service->work_db);
	httpd_destroy(service->httpd);
	loop_meter_stop(service->meter);
	uv_close((uv_handle_t *)&service->renew, NULL);
	uv_close((uv_handle_t *)&service->sweep, NULL);
	uv_close((uv_handle_t *)&service->hello, NULL);
	uv_close((uv_handle_t *)&service->grace, NULL);
	uv_close((uv_handle_t *)&service->wake, NULL);
	uv_close((uv_handle_t *)&service->on_term, NULL);
	uv_close((uv_handle_t *)&service->on_int, NULL);
	uv_close((uv_handle_t *)&service->on_hup, NULL);
	ws_context_destroy(service->ws, on_ws_gone, service);
}

/* Never from inside a callback of what is closed. */
static void on_close_timer(uv_timer_t *timer)
{
	close_all(timer->data);
}

static void close_soon(void *data)
{
	struct service *service = data;

	uv_timer_start(&service->grace, on_close_timer, 0, 0);
}

static void on_let_go(void *data, const struct err *err)
{
	struct service *service = data;

	if (err != NULL)
		log_warn("what is followed is taken up when its claims end",
			 LOG_STR("error", err->msg));
	sender_drain(service->sender, close_soon, service);
}

static void on_runs_over(void *data)
{
	struct service *service = data;

	follower_stop(service->follower, on_let_go, service);
}

static void on_sockets_closed(void *data)
{
	struct service *service = data;

	op_list_drained(service->ops, on_runs_over, service);
}

static void on_handed(void *data, const struct err *err)
{
	struct service *service = data;

	service->hand_call = NULL;
	if (err != NULL)
		log_warn("not handed over: leases end first", LOG_STR("error", err->msg));
	close_soon(service);
}

static void on_grace_over(uv_timer_t *timer)
{
	struct service *service = timer->data;

	log_warn("stopping with work under way: another start takes it up",
		 LOG_INT("runs", op_list_count(service->ops)));
	uv_timer_start(&service->grace, on_close_timer, HAND_MS, 0);
	service->hand_call = store_hand_over(service->store, on_handed, service);
}

static void stop(struct service *service)
{
	if (service->state == SERVICE_STOPPING)
		return;
	service->state = SERVICE_STOPPING;
	log_info("stopping");
	uv_timer_start(&service->grace, on_grace_over, GRACE_MS, 0);
	if (service->socket != NULL)
		slack_socket_stop(service->socket, on_sockets_closed, service);
	else
		on_sockets_closed(service);
}

static void on_stop_signal(uv_signal_t *signal, int number)
{
	(void)number;
	stop(signal->data);
}

static void start_timer(struct service *service, uv_timer_t *timer, uv_timer_cb fire, uint64_t ms,
			uint64_t repeat)
{
	uv_timer_init(&service->loop, timer);
	timer->data = service;
	if (fire != NULL)
		uv_timer_start(timer, fire, ms, repeat);
}

static void start_signal(struct service *service, uv_signal_t *signal, uv_signal_cb fire,
			 int number)
{
	uv_signal_init(&service->loop, signal);
	signal->data = service;
	uv_signal_start(signal, fire, number);
}

static void start_duties(struct service *service)
{
	start_timer(service, &service->renew, on_renew, RENEW_MS, RENEW_MS);
	start_timer(service, &service->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
	start_timer(service, &service->hello, on_hello_timer, 0, 0);
	start_timer(service, &service->grace, NULL, 0, 0);
	start_timer(service, &service->wake, NULL, 0, 0);
	start_signal(service, &service->on_term, on_stop_signal, SIGTERM);
	start_signal(service, &service->on_int, on_stop_signal, SIGINT);
	start_signal(service, &service->on_hup, on_hup, SIGHUP);
}

static void forget(struct service *service)
{
	catalog_unref(service->catalog);
	config_destroy(service->config);
	json_decref(service->health);
	secret_free(service->app_token);
	secret_free(service->bot_token);
	secret_free(service->database_url);
	signing_free(service->signing);
	free(service);
}

int cmd_serve(struct app_options *options)
{
	struct service *service;

	if (options->argc > 0)
		return app_fail(APP_USAGE, "serve takes no argument (got \"%s\")",
				options->argv[0]);
	service = xcalloc(1, sizeof(*service));
	id_uuid(service->boot_id);
	loop_init(&service->loop);
	/* Nothing of a start that fails is tidied up: the process ends with its sentence. */
	if (!load(service, options->config) || !make_clients(service))
		return APP_COULD_NOT;
	service->meter = loop_meter_start(&service->loop);
	if (!service_signing(service) || !service_openid(service))
		return APP_COULD_NOT;
	make_store(service);
	make_chat(service);
	if (!make_pages(service))
		return APP_COULD_NOT;
	start_duties(service);
	log_info("serving", LOG_STR("version", OPSD_VERSION), LOG_STR("boot", service->boot_id),
		 LOG_INT("commands", catalog_commands(service->catalog)));
	uv_run(&service->loop, UV_RUN_DEFAULT);
	loop_finish(&service->loop);
	forget(service);
	log_info("stopped");
	return APP_GOOD;
}
