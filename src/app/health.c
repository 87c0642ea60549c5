/* SPDX-License-Identifier: Apache-2.0 */
/* health.c - /metrics in Prometheus text, /healthz (the loop turns), /readyz (it can do its work
 * now). */
#include <inttypes.h>
#include <string.h>

#include "action/env.h"
#include "app/follower.h"
#include "app/service.h"
#include "base/buf.h"
#include "chat/sender.h"
#include "core/request.h"
#include "net/db.h"
#include "net/http.h"
#include "net/loop.h"
#include "slack/socket.h"

static void put(struct buf *body, const char *name, const char *labels, uint64_t value)
{
	buf_printf(body, "opsd_%s%s %" PRIu64 "\n", name, labels, value);
}

static void put_loop(struct service *service, struct buf *body)
{
	const struct loop_health *health = loop_meter_read(service->meter);
	uint64_t sum = 0;

	buf_puts(body, "# TYPE opsd_loop_busy_seconds histogram\n");
	for (int i = 0; i < LOOP_BUCKETS; i++) {
		sum += health->bucket[i];
		if (i < LOOP_BUCKETS - 1)
			buf_printf(body, "opsd_loop_busy_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
				   (double)loop_bucket_us[i] / 1e6, sum);
		else
			buf_printf(body, "opsd_loop_busy_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n",
				   sum);
	}
	buf_printf(body, "opsd_loop_busy_seconds_sum %g\n", (double)health->busy_us / 1e6);
	buf_printf(body, "opsd_loop_busy_seconds_count %" PRIu64 "\n", health->iterations);
	buf_printf(body, "# TYPE opsd_loop_worst_seconds gauge\nopsd_loop_worst_seconds %g\n",
		   (double)health->worst_us / 1e6);
}

static void put_sockets(struct service *service, struct buf *body)
{
	const struct slack_socket_stats *stats;

	if (service->socket == NULL)
		return;
	stats = slack_socket_stats(service->socket);
	put(body, "slack_sockets_ready", "", stats->ready);
	put(body, "slack_sockets_of_app", "", (uint64_t)stats->num_connections);
	put(body, "slack_sockets_opened_total", "", stats->opened);
	put(body, "slack_sockets_refreshed_total", "", stats->refreshed);
	put(body, "slack_sockets_lost_total", "", stats->lost);
	put(body, "slack_envelopes_total", "", stats->envelopes);
	put(body, "slack_acks_total", "", stats->acks);
	put(body, "slack_acks_moved_total", "", stats->acks_moved);
	put(body, "slack_acks_lost_total", "", stats->acks_lost);
	put(body, "slack_bad_frames_total", "", stats->bad_frames);
	put(body, "slack_deaf_milliseconds_total", "", (uint64_t)stats->deaf_ms);
}

static void put_db(struct buf *body, const struct db *db, const char *labels)
{
	const struct db_stats *stats = db_stats(db);

	put(body, "db_up", labels, stats->up);
	put(body, "db_jobs_total", labels, stats->jobs);
	put(body, "db_failed_total", labels, stats->failed);
	put(body, "db_timeouts_total", labels, stats->timeouts);
	put(body, "db_reconnects_total", labels, stats->reconnects);
	put(body, "db_notified_total", labels, stats->notified);
	put(body, "db_notices_total", labels, stats->notices);
	put(body, "db_in_flight", labels, stats->in_flight);
	put(body, "db_queued", labels, stats->queued);
}

static void put_work(struct service *service, struct buf *body)
{
	const struct sender_stats *sender = sender_stats(service->sender);
	const struct http_stats *http = http_stats(service->http);
	char labels[64];

	put(body, "runs_under_way", "", op_list_count(service->ops));
	for (int i = 0; i <= REQUEST_CANCELLED; i++) {
		(void)snprintf(labels, sizeof(labels), "{state=\"%s\"}",
			       request_state_name((enum request_state)i));
		put(body, "runs_total", labels, service->outcomes[i]);
	}
	put(body, "owed_queued", "", sender->queued);
	put(body, "owed_posted_total", "", sender->posted);
	put(body, "owed_replied_total", "", sender->replied);
	put(body, "owed_delayed_total", "", sender->failed);
	put(body, "owed_dead_total", "", sender->dead);
	put(body, "owed_mark_commits_total", "", sender->batches);
	put(body, "slack_http_active", "", http->active);
	put(body, "slack_http_queued", "", http->queued);
	put(body, "slack_http_failed_total", "", http->failed);
}

/* A source's name is the operator's own text: without what would end a label. */
static void put_source(struct buf *body, const json_t *source)
{
	const char *name = jget_str_or(source, "name", "");
	char labels[64];

	if (strpbrk(name, "\"\\\n") != NULL)
		return;
	(void)snprintf(labels, sizeof(labels), "{source=\"%.40s\"}", name);
	put(body, "directory_source_age_seconds", labels, (uint64_t)jget_int(source, "age_s", 0));
	put(body, "directory_sync_failing", labels, jget_bool(source, "failing", false));
}

/* As the database said at the last renewal: at most 15 s ago while it answers. */
static void put_health(const json_t *health, struct buf *body)
{
	const char *state;
	json_t *n, *source;
	size_t i;
	char labels[64];

	if (health == NULL)
		return;
	json_object_foreach(json_object_get(health, "requests"), state, n)
	{
		(void)snprintf(labels, sizeof(labels), "{state=\"%s\"}", state);
		put(body, "requests_open", labels, (uint64_t)json_integer_value(n));
	}
	put(body, "requests_overdue", "", (uint64_t)jget_int(health, "overdue", 0));
	put(body, "owed_messages", "", (uint64_t)jget_int(health, "owed", 0));
	put(body, "owed_oldest_seconds", "", (uint64_t)jget_int(health, "owed_oldest_s", 0));
	put(body, "replicas", "", (uint64_t)jget_int(health, "replicas", 0));
	put(body, "freezes", "", (uint64_t)jget_int(health, "freezes", 0));
	put(body, "directory_age_seconds", "", (uint64_t)jget_int(health, "directory.age_s", 0));
	put(body, "directory_generation", "",
	    (uint64_t)jget_int(health, "directory.generation", 0));
	json_array_foreach(json_object_get(health, "sources"), i, source)
	{
		put_source(body, source);
	}
	put(body, "grants_revision", "", (uint64_t)jget_int(health, "grants_revision", 0));
}

static const char *not_ready(const struct service *service)
{
	if (service->state == SERVICE_STOPPING)
		return "stopping";
	if (!db_up(service->intake_db) || !db_up(service->work_db))
		return "the database is out of reach";
	if (service->fatal)
		return "Slack refuses the tokens";
	if (service->ready == 0)
		return "no websocket to Slack is ready";
	return NULL;
}

int service_page(void *data, const char *path, struct buf *body, const char **ret_type)
{
	struct service *service = data;
	const char *why;

	*ret_type = "text/plain; charset=utf-8";
	if (strcmp(path, "/healthz") == 0) {
		buf_puts(body, "ok\n");
		return 200;
	}
	if (strcmp(path, "/readyz") == 0) {
		why = not_ready(service);
		buf_printf(body, "%s\n", why == NULL ? "ready" : why);
		return why == NULL ? 200 : 503;
	}
	if (strcmp(path, "/metrics") == 0) {
		*ret_type = "text/plain; version=0.0.4; charset=utf-8";
		put_loop(service, body);
		put_sockets(service, body);
		put_db(body, service->intake_db, "{pool=\"intake\"}");
		put_db(body, service->work_db, "{pool=\"work\"}");
		put_work(service, body);
		put_health(service->health, body);
		action_env_metrics(service->env, body);
		follower_metrics(service->follower, body);
		return 200;
	}
	buf_puts(body, "There are /metrics, /healthz and /readyz.\n");
	return 404;
}
