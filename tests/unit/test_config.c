/* SPDX-License-Identifier: Apache-2.0 */
/* test_config.c - opsd.yaml: what is right, every mistake with its place, and secrets that stay
 * secret. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/config.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/secret.h"

static char path[] = "/tmp/opsd-config-XXXXXX";

#define GOOD                                                                                       \
	"slack:\n  app_token: { env: OPSD_TEST_APP }\n  bot_token: { env: OPSD_TEST_BOT }\n"       \
	"  audit_channel: C1\ndatabase: { url: { env: OPSD_TEST_URL } }\n"

static struct config *load(const char *text, struct diags *diags)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	diags_init(diags);
	return config_load(path, diags);
}

/* The text is refused with one mistake that holds part. */
static void refuses(const char *text, const char *part)
{
	struct diags diags;
	struct config *config = load(text, &diags);

	assert_null(config);
	for (size_t i = 0; i < diags.n; i++) {
		if (strstr(diag_text(&diags.items[i]), part) != NULL) {
			diags_finish(&diags);
			return;
		}
	}
	fail_msg("\"%s\" not in: %s", part, diags.n > 0 ? diag_text(&diags.items[0]) : "nothing");
}

static void test_defaults(void **state)
{
	struct diags diags;
	struct config *config = load(GOOD, &diags);

	(void)state;
	assert_non_null(config);
	assert_string_equal(config_str(config, "slack.api_url"), "https://slack.com/api/");
	assert_int_equal(config_int(config, "slack.connections"), 2);
	assert_string_equal(config_str(config, "http.listen"), "127.0.0.1:9464");
	assert_false(config_has(config, "database.sync_url"));
	config_destroy(config);
	diags_finish(&diags);
}

static void test_mistakes(void **state)
{
	(void)state;
	refuses("slack: {}\n", "slack.app_token is missing");
	refuses(GOOD "slakc: {}\n", "did you mean");
	refuses(GOOD "http: { listn: \"127.0.0.1:1\" }\n",
		":6:9: unknown setting \"http.listn\", did you mean \"http.listen\"?");
	refuses("slack:\n  app_token: xapp-1-secret\n", "never the secret itself");
	refuses(GOOD "log: { level: loud }\n", "log.level must be");
	refuses(GOOD "clusters: [main]\n", "clusters must be a mapping");
	refuses("slack: { connections: 9 }\n", "from 1 to 4");
	refuses("slack: { connections: \"2\" }\n", "a whole number");
	refuses("slack: { api_url: \"https://slack.com/api\" }\n" GOOD, "stands here twice");
	refuses("- 1\n", "must be a mapping");
	refuses("a: [\n", path);
}

static void test_secrets(void **state)
{
	struct diags diags;
	struct config *config = load(GOOD, &diags);
	struct err err;
	struct buf buf;
	char *secret;

	(void)state;
	assert_non_null(config);
	assert_int_equal(setenv("OPSD_TEST_APP", "xapp-1-very-secret", 1), 0);
	assert_int_equal(unsetenv("OPSD_TEST_BOT"), 0);
	secret = config_secret(config, "slack.app_token", &err);
	assert_string_equal(secret, "xapp-1-very-secret");
	assert_null(config_secret(config, "slack.bot_token", &err));
	assert_non_null(strstr(err.msg, "slack.bot_token"));
	assert_non_null(strstr(err.msg, "OPSD_TEST_BOT"));
	buf_init(&buf, 65536);
	config_print(config, &buf);
	assert_null(strstr(buf_text(&buf), "very-secret"));
	assert_non_null(strstr(buf_text(&buf), "OPSD_TEST_APP"));
	buf_finish(&buf);
	secret_free(secret);
	config_destroy(config);
	diags_finish(&diags);
}

static void test_files_are_found_beside_it(void **state)
{
	struct diags diags;
	struct config *config = load(GOOD "catalog: here/\n", &diags);
	char *file = config_file(config, "catalog");

	(void)state;
	assert_string_equal(file, "/tmp/here/");
	free(file);
	config_destroy(config);
	diags_finish(&diags);
}

static void test_absent_file(void **state)
{
	struct diags diags;

	(void)state;
	diags_init(&diags);
	assert_null(config_load("/nonexistent/opsd.yaml", &diags));
	assert_non_null(strstr(diag_text(&diags.items[0]), "/nonexistent/opsd.yaml"));
	diags_finish(&diags);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_files_are_found_beside_it),
		cmocka_unit_test(test_absent_file),
	};
	int fd = mkstemp(path), failed;

	if (fd < 0 || close(fd) != 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(path);
	return failed;
}
