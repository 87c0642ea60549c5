/* SPDX-License-Identifier: Apache-2.0 */
/* log: the line is JSON whatever goes in, and secrets never come out. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"

static int fd = -1;

static int setup(void **state)
{
	(void)state;
	fd = memfd_create("log", MFD_CLOEXEC);
	log_set_fd(fd);
	log_set_level(LOG_DEBUG);
	clock_fake(1795576327123);
	return fd < 0;
}

static int teardown(void **state)
{
	(void)state;
	log_set_fd(2);
	log_mask_clear();
	clock_real();
	return close(fd);
}

/* What was logged since setup; the caller frees it. */
static char *logged(void)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text = calloc(1, (size_t)size + 1);

	assert_non_null(text);
	assert_int_equal(pread(fd, text, (size_t)size, 0), size);
	return text;
}

static json_t *logged_json(void)
{
	char *text = logged();
	struct err err;
	json_t *line = json_parse(text, strlen(text), 1 << 20, &err);

	assert_non_null(line);
	assert_int_equal(text[strlen(text) - 1], '\n');
	assert_null(memchr(text, '\n', strlen(text) - 1));
	free(text);
	return line;
}

static void test_line(void **state)
{
	char *text;

	(void)state;
	log_info("settled", LOG_STR("request", "R1"), LOG_INT("took_ms", -5),
		 LOG_STR("none", NULL));
	text = logged();
	assert_string_equal(text, "{\"ts\":\"2026-11-25T03:12:07.123Z\",\"level\":\"info\","
				  "\"msg\":\"settled\",\"request\":\"R1\",\"took_ms\":-5,"
				  "\"none\":\"\"}\n");
	free(text);
}

static void test_level(void **state)
{
	enum log_level level;
	char *text;

	(void)state;
	log_set_level(LOG_WARN);
	log_info("no");
	log_debug("no");
	text = logged();
	assert_string_equal(text, "");
	free(text);
	assert_true(log_enabled(LOG_ERROR) && !log_enabled(LOG_INFO));
	assert_true(log_level_from_name("debug", &level) && level == LOG_DEBUG);
	assert_false(log_level_from_name("loud", &level));
}

/* Line breaks, quotes, control characters and broken UTF-8 cannot forge or break a line. */
static void test_escapes(void **state)
{
	json_t *line;

	(void)state;
	log_info("a\"b\\c\nd\x01\x7f", LOG_STR("k", "x\xff\xc3(\xf0\x9f\x98\x80"));
	line = logged_json();
	assert_string_equal(jget_str(line, "msg"), "a\"b\\c\nd\x01\x7f");
	assert_string_equal(jget_str(line, "k"), "x\xef\xbf\xbd\xef\xbf\xbd(\xf0\x9f\x98\x80");
	json_decref(line);
}

static void test_long(void **state)
{
	char *huge = malloc(100001), *text;
	json_t *line;

	(void)state;
	assert_non_null(huge);
	memset(huge, '"', 100000);
	huge[100000] = '\0';
	log_info(huge, LOG_STR("a", huge), LOG_STR("b", huge), LOG_STR("c", huge));
	text = logged();
	assert_true(strlen(text) <= 8192);
	free(text);
	line = logged_json();
	assert_true(jget_bool(line, "cut", false) || jget_str(line, "c") != NULL);
	json_decref(line);
	free(huge);
}

static void test_masks(void **state)
{
	json_t *line;

	(void)state;
	log_mask("s3cret\"quote");
	log_mask("s3cret");
	log_mask("abc"); /* too short to hide: it would hide half the log */
	log_info("s3cret\"quote and s3cret, abc", LOG_STR("k", "xs3cretx"));
	line = logged_json();
	assert_string_equal(jget_str(line, "msg"), "*** and ***, abc");
	assert_string_equal(jget_str(line, "k"), "x***x");
	json_decref(line);
}

/* A secret that lies across the place where a value is cut is still not shown in part. */
static void test_mask_at_cut(void **state)
{
	char *text, *huge;

	(void)state;
	log_mask("SECRETSECRETSECRETSECRET");
	for (size_t lead = 6100; lead < 6200; lead++) {
		huge = malloc(lead + 100);
		assert_non_null(huge);
		memset(huge, 'x', lead);
		memcpy(huge + lead, "SECRETSECRETSECRETSECRET", 25);
		log_info(huge);
		free(huge);
	}
	text = logged();
	assert_null(strstr(text, "S"));
	free(text);
}

static void test_tokens(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "token xoxb-123-456-abcDEF.", "token ***" },
		{ "xapp-1-A0-99-deadbeef!", "***!" },
		{ "xoxp-1111111 xoxe.xoxp-1-Mi0yLTE", "*** ***" },
		{ "must begin with xoxb-", "must begin with xoxb-" },
		{ "POST https://hooks.slack.com/services/T0/B0/zzz failed",
		  "POST https://*** failed" },
		{ "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.sig-_x", "Bearer ***" },
		{ "eyJ", "eyJ" },
		{ "", "" },
	};
	char text[200];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(text, sizeof(text), "%s", cases[i].in);
		log_redact(text);
		assert_string_equal(text, cases[i].out);
	}
}

/* More masks than there is room for: the newest stay. */
static void test_many_masks(void **state)
{
	char text[64];

	(void)state;
	for (int i = 0; i < 2000; i++) {
		(void)snprintf(text, sizeof(text), "token-%06d-end", i);
		log_mask(text);
	}
	log_redact(text);
	assert_string_equal(text, "***");
}

#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(test_line),   LOG_TEST(test_level),      LOG_TEST(test_escapes),
		LOG_TEST(test_long),   LOG_TEST(test_masks),      LOG_TEST(test_mask_at_cut),
		LOG_TEST(test_tokens), LOG_TEST(test_many_masks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
