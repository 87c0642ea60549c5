/* SPDX-License-Identifier: Apache-2.0 */
/* failpoint.c - counts the points that are reached and does at the armed one what is asked for.
 * Compiled only with -Dfailpoints=true. */
#include "base/failpoint.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

enum { NAME_LEN = 120, NAMES_MAX = 1024, DEEDS_MAX = 2, STAND_MS = 60 * 1000 };

enum deed { DEED_NONE, DEED_KILL, DEED_STOP, DEED_ERROR };

struct point {
	char name[NAME_LEN];
	int64_t times;
};

struct armed {
	enum deed deed;
	char name[NAME_LEN]; /* empty: any */
	int64_t at;          /* 0: each time */
};

static struct {
	char text[2 * (NAME_LEN + 32)]; /* as armed: kill:NAME:2 */
	struct armed armed[DEEDS_MAX];
	int64_t reached; /* since it was armed */
	struct point points[NAMES_MAX];
	size_t n_points;
	int64_t stood_ms;
	int log;
	bool ready;
} fp = { .log = -1 };

static enum deed deed_of(const char *text, size_t len)
{
	static const char *const names[] = { "", "kill", "stop", "error" };

	for (size_t i = 1; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == len && memcmp(names[i], text, len) == 0)
			return (enum deed)i;
	return DEED_NONE;
}

static void arm_one(struct armed *armed, const char *text)
{
	const char *colon = strchr(text, ':'), *last = strrchr(text, ':');
	int64_t n = 0;

	armed->deed = colon != NULL ? deed_of(text, (size_t)(colon - text)) : DEED_NONE;
	if (armed->deed == DEED_NONE)
		return;
	armed->at = armed->deed == DEED_ERROR ? 0 : 1;
	if (str_to_i64(last + 1, &n) && n > 0)
		armed->at = n;
	else
		last = text + strlen(text);
	armed->name[0] = '\0';
	if (last > colon)
		(void)snprintf(armed->name, sizeof(armed->name), "%.*s", (int)(last - colon - 1),
			       colon + 1);
}

static void arm(const char *text)
{
	const char *at = text;

	(void)snprintf(fp.text, sizeof(fp.text), "%s", text);
	fp.reached = 0;
	fp.n_points = 0;
	for (size_t i = 0; i < DEEDS_MAX; i++) {
		char one[sizeof(fp.text)];
		size_t len = strcspn(at, ";");

		(void)snprintf(one, sizeof(one), "%.*s", (int)len, at);
		arm_one(&fp.armed[i], one);
		at += len + (at[len] == ';');
	}
}

static void arm_from(const char *path)
{
	char text[sizeof(fp.text)] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

	if (fd >= 0)
		(void)close(fd);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (!str_eq(text, fp.text))
		arm(text);
}

static void look_at_environment(void)
{
	const char *how = getenv("OPSD_FP"), *log = getenv("OPSD_FP_LOG");

	if (how != NULL && how[0] == '@')
		arm_from(how + 1);
	if (fp.ready)
		return;
	fp.ready = true;
	if (how != NULL && how[0] != '@')
		arm(how);
	if (log != NULL)
		fp.log = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* How often this one was reached. */
static int64_t count(const char *name)
{
	for (size_t i = 0; i < fp.n_points; i++)
		if (str_eq(fp.points[i].name, name))
			return ++fp.points[i].times;
	assert(fp.n_points < NAMES_MAX);
	(void)snprintf(fp.points[fp.n_points].name, NAME_LEN, "%s", name);
	fp.points[fp.n_points].times = 1;
	fp.n_points++;
	return 1;
}

static void tell(const char *what, const char *name, int64_t times)
{
	char line[NAME_LEN + 64];
	int len = snprintf(line, sizeof(line), "%s%s:%lld\n", what, name, (long long)times);

	if (fp.log >= 0 && write(fp.log, line, (size_t)len) != len)
		abort();
}

/* Does what is armed here; true: the point fails. */
static bool strike(const struct armed *armed, const char *name, int64_t times)
{
	bool named = armed->name[0] != '\0';

	if (armed->deed == DEED_NONE || (named && !str_eq(armed->name, name)))
		return false;
	if (armed->at != 0 && armed->at != (named ? times : fp.reached))
		return false;
	tell("! ", name, times);
	if (armed->deed == DEED_KILL) /* not abort(): nothing may tidy up */
		(void)kill(getpid(), SIGKILL);
	if (armed->deed == DEED_STOP) {
		(void)kill(getpid(), SIGSTOP);
		fp.stood_ms += STAND_MS;
	}
	return armed->deed == DEED_ERROR;
}

bool failpoint_reached(const char *fmt, ...)
{
	bool failed = false;
	char name[NAME_LEN];
	int64_t times;
	va_list ap;

	look_at_environment();
	va_start(ap, fmt);
	(void)vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	for (char *c = name; *c != '\0'; c++) /* a colon divides what is armed */
		if (*c == ':' || *c == '\n')
			*c = '_';
	times = count(name);
	fp.reached++;
	tell("", name, times);
	for (size_t i = 0; i < DEEDS_MAX; i++)
		failed = strike(&fp.armed[i], name, times) || failed;
	return failed;
}

const char *failpoint_place(const char *url)
{
	const char *slash = strrchr(url, '/');

	return strstr(url, "/api/") != NULL && strstr(url, "/apis/") == NULL ? slash + 1 : "";
}

int64_t failpoint_stood_ms(void)
{
	return fp.stood_ms;
}

int64_t failpoint_skew_ms(void)
{
	static int64_t skew_ms;
	static bool read;
	const char *text = read ? NULL : getenv("OPSD_FP_SKEW");

	read = true;
	if (text != NULL && !str_to_i64(text, &skew_ms))
		abort();
	return skew_ms;
}
