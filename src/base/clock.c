/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c - the time, or the time a test has set. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#include "base/failpoint.h"

static bool faked;
static int64_t fake_wall_ms, fake_mono_ms;

static int64_t read_ms(clockid_t id)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void)
{
	return faked ? fake_wall_ms : read_ms(CLOCK_REALTIME) + FAILPOINT_SKEW_MS;
}

int64_t clock_mono_ms(void)
{
	return faked ? fake_mono_ms : read_ms(CLOCK_BOOTTIME) + FAILPOINT_STOOD_MS;
}

void clock_fake(int64_t wall_ms)
{
	faked = true;
	fake_wall_ms = fake_mono_ms = wall_ms;
}

void clock_fake_advance(int64_t ms)
{
	fake_wall_ms += ms;
	fake_mono_ms += ms;
}

void clock_real(void)
{
	faked = false;
}

void clock_iso(int64_t wall_ms, char ret_text[CLOCK_ISO_LEN])
{
	const int64_t last = 253402300799999; /* the end of the year 9999 */
	int64_t ms = wall_ms < 0 ? 0 : (wall_ms > last ? last : wall_ms);
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm = { 0 };
	char day[32];

	(void)gmtime_r(&seconds, &tm);
	(void)strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(ret_text, CLOCK_ISO_LEN, "%.19s.%03uZ", day, (unsigned)(ms % 1000));
}
