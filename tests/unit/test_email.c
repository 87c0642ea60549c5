/* SPDX-License-Identifier: Apache-2.0 */
/* email: what must not be equal; the same cases are put to the CHECK of dir.person_email in
 * tests/sql. */
#include "test.h"

#include <string.h>

#include "core/email.h"
#include "email_cases.h"

static const char *const domains[] = { "example.com" };

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(email_cases) / sizeof(email_cases[0]); i++) {
		char key[EMAIL_KEY_LEN] = "";
		const char *why = NULL;
		bool good = email_key(email_cases[i].text, NULL, 0, key, &why);

		if (good != (email_cases[i].key != NULL))
			print_error("case %zu: %s\n", i, email_cases[i].text);
		assert_int_equal(good, email_cases[i].key != NULL);
		if (good)
			assert_string_equal(key, email_cases[i].key);
		else
			assert_non_null(why);
	}
}

static void test_domains_are_exact(void **state)
{
	static const char *const others[] = { "ana@evilexample.com",  "ana@sub.example.com",
					      "ana@example.com.evil", "ana@example.co",
					      "ana@xn--example.com",  "ana@example.com@evil.com" };
	char key[EMAIL_KEY_LEN];
	const char *why;

	(void)state;
	assert_true(email_key("Ana@EXAMPLE.com", domains, 1, key, &why));
	assert_string_equal(key, "ana@example.com");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(email_key(others[i], domains, 1, key, &why));
	assert_true(email_key("ana@elsewhere.org", NULL, 0, key, &why));
	assert_false(email_key("ana@example.com", domains, 0, key, &why)); /* none allowed */
}

static void test_lengths(void **state)
{
	char text[400], key[EMAIL_KEY_LEN];
	const char *why;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text + 64, "@example.com", 13);
	assert_true(email_key(text, domains, 1, key, &why));
	memset(text, 'a', sizeof(text));
	memcpy(text + 65, "@example.com", 13);
	assert_false(email_key(text, domains, 1, key, &why));
	memset(text, 'a', sizeof(text));
	memcpy(text, "a@", 2);
	for (size_t i = 2; i < 250; i += 50)
		text[i + 49] = '.';
	memcpy(text + 252, "com", 4); /* 255 bytes */
	assert_false(email_key(text, NULL, 0, key, &why));
	assert_non_null(strstr(why, "254"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_domains_are_exact),
		cmocka_unit_test(test_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
