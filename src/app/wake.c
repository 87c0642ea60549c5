/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wake.c - telling other replicas of work that is due, and being told.
 *
 * A notification is only a hint: who misses it finds the work by the timers, within a second.  One
 * is sent when our sender has no room for what we wrote, and at most each NOTIFY_GAP_MS, since it
 * takes a lock of the whole database; what we hand to our own sender is nobody else's business.
 */
#include "app/service.h"
#include "chat/sender.h"
#include "net/db.h"

enum { NOTIFY_GAP_MS = 200, WAKE_SPREAD_MS = 25 };

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
