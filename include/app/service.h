/* SPDX-License-Identifier: Apache-2.0 */
/* service.h - everything that opsd serve holds. */
#ifndef OPSD_APP_SERVICE_H
#define OPSD_APP_SERVICE_H

#include <uv.h>

#include "base/id.h"
#include "base/json.h"
#include "core/op.h"

struct action_env;
struct app_options;
struct buf;
struct call;
struct catalog;
struct config;
struct db;
struct follower;
struct http;
struct httpd;
struct intake;
struct later_port;
struct loop;
struct openid;
struct signing_key;
struct sender;
struct slack_people;
struct slack_socket;
struct slack_web;
struct store;
struct ws_context;

enum service_state { SERVICE_STARTING, SERVICE_SERVING, SERVICE_STOPPING };

struct service {
	uv_loop_t loop;
	enum service_state state;
	struct config *config;
	char *app_token, *bot_token, *database_url; /* secrets */
	char boot_id[ID_UUID_LEN];
	struct catalog *catalog;
	struct action_env *env;
	struct loop *meter;
	struct http *http;
	struct ws_context *ws;
	struct db *intake_db, *work_db;
	struct store *store;
	struct openid *openid;       /* NULL: no provider is configured */
	struct signing_key *signing; /* of seals; NULL: they are not signed */
	struct slack_web *web;
	struct slack_people *people;
	struct slack_socket *socket;
	struct op_list *ops;
	struct intake *intake;
	struct sender *sender;
	struct follower *follower;
	struct httpd *httpd;
	uv_timer_t renew, sweep, hello, grace, wake;
	uv_signal_t on_term, on_int, on_hup;
	struct call *hello_call, *auth_call, *renew_call, *sweep_call, *health_call, *tick_call;
	struct call *hand_call;
	uint64_t notified_ms; /* when others were last told that there is too much here */
	json_t *health;  /* what the database last said of itself (store_health); NULL: not yet */
	bool known_here; /* ops.replica has us */
	bool home_known; /* auth.test has answered */
	bool replanning; /* a reload is under way */
	bool fatal;      /* Slack refuses our tokens */
	unsigned ready;  /* sockets */
	uint64_t outcomes[16]; /* finished runs by state */
};

/* ports.c: binds core's ports to store, action and chat. */
void service_ports(struct service *service, struct op_ports *ret_ports);

/* Lets the action kinds opsd.* reach the store. */
void service_own(struct service *service);

/* ports_later.c: what people look at, and what is needed to undo it. */
void service_later(struct service *service, struct later_port *ret_port);

/* A request of a row (ops.row_json), with the command as it is declared now. */
struct request *service_request(struct service *service, const json_t *row);

/* Starts a run for a row that was claimed; first by the row's state. */
void service_resume(struct service *service, const json_t *row);

/* wake.c: takes over what is due. */
void service_sweep(struct service *service);

/* For db_config.notice and store_outbox_set_unclaimed. */
void service_notice(void *service, const char *payload);
void service_unclaimed(void *service, bool crowded);

/* ports_prove.c: company sign-ins, when identity.issuer is set.  false: said on stderr. */
bool service_openid(struct service *service);
/* The key of the audit log's seals, when one is configured; likewise. */
bool service_signing(struct service *service);
struct call *port_prove(void *ctx, struct request *rq, call_done_fn done, void *data);

/* health.c: /metrics, /healthz, /readyz. */
int service_page(void *service, const char *path, struct buf *body, const char **ret_type);

#endif
