/* SPDX-License-Identifier: Apache-2.0 */
/* id, clock and digest. */
#include "test.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/id.h"

static void test_request_id(void **state)
{
	char a[ID_REQUEST_LEN], b[ID_REQUEST_LEN];

	(void)state;
	clock_fake(1795576327123);
	id_request(a);
	/* 1795576327123 in base 32, nine digits: 1 20 8 10 24 9 14 24 19 -> no I, L, O, U */
	assert_int_equal(strlen(a), 16);
	assert_int_equal(a[0], 'R');
	assert_true(id_is_request(a));
	id_request(b);
	assert_memory_equal(a, b, 10);
	assert_string_not_equal(a, b);
	clock_fake_advance(1);
	id_request(b);
	assert_true(strncmp(a, b, 10) < 0);
	clock_fake_advance(1000LL * 3600 * 24 * 365 * 100);
	id_request(a);
	assert_true(strncmp(b, a, 10) < 0);
	clock_real();
}

static void test_is_request(void **state)
{
	(void)state;
	assert_true(id_is_request("R1KH2M8Q4ZT7WX0A"));
	assert_false(id_is_request("R1KH2M8Q4ZT7WX0"));
	assert_false(id_is_request("R1KH2M8Q4ZT7WX0AA"));
	assert_false(id_is_request("R1KH2M8Q4ZT7WX0I"));
	assert_false(id_is_request("X1KH2M8Q4ZT7WX0A"));
	assert_false(id_is_request("r1kh2m8q4zt7wx0a"));
	assert_false(id_is_request(NULL));
}

static void test_uuid(void **state)
{
	char a[ID_UUID_LEN], b[ID_UUID_LEN];

	(void)state;
	id_uuid(a);
	id_uuid(b);
	assert_int_equal(strlen(a), 36);
	assert_int_equal(a[14], '4');
	assert_non_null(strchr("89ab", a[19]));
	assert_string_not_equal(a, b);
}

static void test_clock(void **state)
{
	char text[CLOCK_ISO_LEN];
	int64_t mono, wall = (int64_t)time(NULL) * 1000;

	(void)state;
	mono = clock_mono_ms();
	assert_true(clock_mono_ms() >= mono);
	assert_true(clock_wall_ms() >= wall && clock_wall_ms() < wall + 60000);
	clock_fake(1000);
	clock_fake_advance(500);
	assert_int_equal(clock_wall_ms(), 1500);
	assert_int_equal(clock_mono_ms(), 1500);
	clock_real();
	clock_iso(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	clock_iso(951782400999, text);
	assert_string_equal(text, "2000-02-29T00:00:00.999Z");
	clock_iso(-5, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	clock_iso(INT64_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

/* FIPS 180-2's own examples. */
static void test_digest(void **state)
{
	char hex[DIGEST_HEX_LEN];

	(void)state;
	digest_hex("abc", 3, hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest_hex("", 0, hex);
	assert_string_equal(hex,
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_true(digest_equal("abc", "abc"));
	assert_false(digest_equal("abc", "abd"));
	assert_false(digest_equal("abc", "ab"));
	assert_false(digest_equal(NULL, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_id), cmocka_unit_test(test_is_request),
		cmocka_unit_test(test_uuid),       cmocka_unit_test(test_clock),
		cmocka_unit_test(test_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
