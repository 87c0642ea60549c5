/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wake.c - taking over what is due, telling other replicas of it, and being told.
 *
 * A notification is only a hint: who misses it finds the work by the timers, within a second.  One
 * is sent when our sender has no room for what we wrote, and at most each NOTIFY_GAP_MS, since it
 * takes a lock of the whole database; what we hand to our own sender is nobody else's business.
 */
#include "app/service.h"
#include "base/err.h"
#include "base/log.h"
#include "chat/sender.h"
#include "net/db.h"
#include "store/requests.h"

enum { NOTIFY_GAP_MS = 200, WAKE_SPREAD_MS = 25, SWEEP_MAX = 20 };

/* --- what is due --- */

static void on_row(void *data, const json_t *row)
{
	service_resume(data, row);
}

static void on_swept(void *data, const struct err *err)
{
	struct service *service = data;

	service->sweep_call = NULL;
	if (err != NULL)
		log_debug("due rows not read", LOG_STR("error", err->msg));
}

void service_sweep(struct service *service)
{
	if (service->state == SERVICE_SERVING && service->sweep_call == NULL)
		service->sweep_call =
			store_claim_due(service->store, SWEEP_MAX, on_row, on_swept, service);
}

/* --- telling and being told --- */

static void on_wake(uv_timer_t *timer)
{
	struct service *service = timer->data;

	sender_wake(service->sender);
	service_sweep(service);
}

/* Also told when listening began.  Not all replicas ask at once: whoever is first takes it. */
void service_notice(void *data, const char *payload)
{
	struct service *service = data;

	(void)payload;
	if (service->state == SERVICE_SERVING && !uv_is_active((uv_handle_t *)&service->wake))
		uv_timer_start(&service->wake, on_wake, uv_hrtime() / 1000 % WAKE_SPREAD_MS, 0);
}

void service_unclaimed(void *data, bool crowded)
{
	struct service *service = data;
	uint64_t now = uv_now(&service->loop);

	if (!crowded) {
		sender_wake(service->sender);
	} else if (now - service->notified_ms >= NOTIFY_GAP_MS) {
		service->notified_ms = now;
		db_notify(service->work_db);
	}
}
