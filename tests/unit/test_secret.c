/* SPDX-License-Identifier: Apache-2.0 */
/* secret: by name only, masked once read; files with a ceiling. */
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/secret.h"

static char path[64];

static int setup(void **state)
{
	int fd;

	(void)state;
	(void)snprintf(path, sizeof(path), "/tmp/opsd-test-secret-XXXXXX");
	fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	(void)state;
	log_mask_clear();
	return unlink(path);
}

static void put(const char *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(close(fd), 0);
}

static char *read_node(const char *key, const char *value, struct err *err)
{
	json_t *node = json_pack("{s:s}", key, value);
	char *text = secret_read(node, err);

	json_decref(node);
	return text;
}

static void test_env(void **state)
{
	char shown[] = "it is hunter2hunter2.", *text;
	struct err err;

	(void)state;
	assert_int_equal(setenv("OPSD_TEST_SECRET", "hunter2hunter2\r\n", 1), 0);
	text = read_node("env", "OPSD_TEST_SECRET", &err);
	assert_non_null(text);
	assert_string_equal(text, "hunter2hunter2");
	log_redact(shown);
	assert_string_equal(shown, "it is ***.");
	secret_free(text);
	assert_int_equal(unsetenv("OPSD_TEST_SECRET"), 0);
	assert_null(read_node("env", "OPSD_TEST_SECRET", &err));
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.msg, "OPSD_TEST_SECRET"));
}

static void test_file(void **state)
{
	char shown[] = "postgres://ops:*@db/x, pass-word-1";
	struct err err;
	char *text;

	(void)state;
	put("postgres://ops:pass-word-1@db/x\n", 32);
	text = read_node("file", path, &err);
	assert_non_null(text);
	assert_string_equal(text, "postgres://ops:pass-word-1@db/x");
	secret_free(text);
	log_redact(shown); /* the password alone is secret too */
	assert_string_equal(shown, "postgres://ops:*@db/x, ***");
}

static void test_lines(void **state)
{
	char shown[] = "got MIIEvQIBADANBgkqhkiG9w0BAQEFAASC here";
	const char *key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n"
			  "-----END PRIVATE KEY-----\n";
	struct err err;
	char *text;

	(void)state;
	put(key, strlen(key));
	text = read_node("file", path, &err);
	assert_non_null(text);
	secret_free(text);
	log_redact(shown);
	assert_string_equal(shown, "got *** here");
}

static void test_refuses(void **state)
{
	json_t *both = json_pack("{s:s,s:s}", "env", "A", "file", "B"), *text = json_string("tok");
	struct err err;

	(void)state;
	assert_null(secret_read(both, &err));
	assert_non_null(strstr(err.msg, "{ env: NAME }"));
	assert_null(secret_read(text, &err));
	assert_null(secret_read(NULL, &err));
	json_decref(both);
	json_decref(text);
	put("\n\n", 2);
	assert_null(read_node("file", path, &err));
	assert_non_null(strstr(err.msg, "empty"));
	put("a\0b", 3);
	assert_null(read_node("file", path, &err));
	assert_non_null(strstr(err.msg, "NUL"));
	assert_null(read_node("file", "/nonexistent/x", &err));
	assert_non_null(strstr(err.msg, "/nonexistent/x"));
	assert_null(read_node("file", "/", &err));
	secret_free(NULL);
}

static void test_file_read(void **state)
{
	struct err err;
	size_t len = 9;
	char *text;

	(void)state;
	put("12345", 5);
	assert_null(file_read(path, 4, &len, &err));
	assert_int_equal(len, 9);
	assert_non_null(strstr(err.msg, "longer"));
	text = file_read(path, 5, &len, &err);
	assert_non_null(text);
	assert_int_equal(len, 5);
	assert_string_equal(text, "12345");
	free(text);
}

#define SECRET_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SECRET_TEST(test_env),     SECRET_TEST(test_file),      SECRET_TEST(test_lines),
		SECRET_TEST(test_refuses), SECRET_TEST(test_file_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
