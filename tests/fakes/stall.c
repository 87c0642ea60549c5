/* SPDX-License-Identifier: Apache-2.0 */
/* stall.c - see stall.h. */
#include "stall.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <uv.h>

enum { SLEEP_MS = 5 };

static atomic_uint_fast64_t late_ns;
static atomic_uint_fast64_t due_ns; /* when it wakes */

static void on_thread(void *unused)
{
	(void)unused;
	for (;;) {
		uint64_t now;

		uv_sleep(SLEEP_MS);
		now = uv_hrtime();
		if (now > due_ns)
			late_ns += now - due_ns;
		due_ns = now + SLEEP_MS * 1000000ull;
	}
}

uint64_t stall_ms(void)
{
	static bool runs;
	static uv_thread_t thread;
	uint64_t now = uv_hrtime(), due;

	if (!runs) {
		due_ns = now + SLEEP_MS * 1000000ull;
		if (uv_thread_create(&thread, on_thread, NULL) != 0)
			abort();
		runs = true;
	}
	due = due_ns; /* it may not have had its turn yet after what delayed us both */
	return (late_ns + (now > due ? now - due : 0)) / 1000000;
}
