/* SPDX-License-Identifier: Apache-2.0 */
/* test_jwt_verify.c - the examples of RFC 7515, appendix A.2 and A.3, and what an ID token must
 * say. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/jwt_verify.h"
#include "base/xalloc.h"
#include "core/idtoken.h"

#define BODY                                                                                       \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0" \
	"cnVlfQ"
#define RS256                                                                                      \
	"eyJhbGciOiJSUzI1NiJ9." BODY                                                               \
	".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"   \
	"O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARN"  \
	"PvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1p" \
	"hCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define ES256                                                                                      \
	"eyJhbGciOiJFUzI1NiJ9." BODY                                                               \
	".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

static const char rsa_key[] =
	"{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-"
	"Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGz"
	"jb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4u"
	"DZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW"
	"9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"}";
static const char ec_key[] =
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8"
	"Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";

static json_t *parsed(const char *text)
{
	struct err err;
	json_t *value = json_parse(text, strlen(text), 10000, &err);

	assert_non_null(value);
	return value;
}

static enum jwt_verdict verdict(const char *token, const char *key)
{
	json_t *keys = json_pack("{s:[o]}", "keys", parsed(key)), *claims = NULL;
	struct err err = { .kind = ERR_NONE };
	enum jwt_verdict found = jwt_verify(token, keys, &claims, &err);

	assert_true((found == JWT_GOOD) == (claims != NULL));
	assert_true((found == JWT_GOOD) == (err.kind == ERR_NONE));
	if (claims != NULL)
		assert_string_equal(jget_str(claims, "iss"), "joe");
	json_decref(claims);
	json_decref(keys);
	return found;
}

static void test_examples(void **state)
{
	(void)state;
	assert_int_equal(verdict(RS256, rsa_key), JWT_GOOD);
	assert_int_equal(verdict(ES256, ec_key), JWT_GOOD);
	assert_int_equal(verdict(RS256, ec_key), JWT_BAD);
	assert_int_equal(verdict(ES256, rsa_key), JWT_BAD);
}

/* No byte of a token may be another one. */
static void test_every_byte_counts(void **state)
{
	static const char *const tokens[] = { RS256, ES256 };

	(void)state;
	for (size_t t = 0; t < 2; t++) {
		char *token = xstrdup(tokens[t]);

		for (size_t i = 0; i < strlen(tokens[t]); i += 7) {
			char was = token[i];

			token[i] = was == 'A' ? 'B' : was == '.' ? 'A' : 'A';
			if (verdict(token, t == 0 ? rsa_key : ec_key) == JWT_GOOD)
				fail_msg("byte %zu of token %zu", i, t);
			token[i] = was;
		}
		free(token);
	}
	assert_int_equal(verdict(RS256 "A", rsa_key), JWT_BAD);
	assert_int_equal(verdict(RS256 "=", rsa_key), JWT_BAD);
	assert_int_equal(verdict(RS256 ".", rsa_key), JWT_BAD);
	assert_int_equal(verdict("eyJhbGciOiJub25lIn0." BODY ".", rsa_key), JWT_BAD); /* none */
	assert_int_equal(verdict("", rsa_key), JWT_BAD);
	assert_int_equal(verdict("..", rsa_key), JWT_BAD);
}

static void test_keys(void **state)
{
	char *two = xasprintf("{\"keys\":[%s,%s]}", rsa_key, ec_key);
	json_t *keys = parsed(two), *claims = NULL;
	struct err err;

	(void)state;
	/* without a name, which of two keys it is cannot be told */
	assert_int_equal(jwt_verify(RS256, keys, &claims, &err), JWT_UNKNOWN_KEY);
	json_object_set_new(json_array_get(json_object_get(keys, "keys"), 0), "kid",
			    json_string("k"));
	assert_int_equal(jwt_verify(RS256, keys, &claims, &err), JWT_UNKNOWN_KEY);
	assert_int_equal(jwt_verify(RS256, NULL, &claims, &err), JWT_UNKNOWN_KEY);
	json_decref(keys);
	free(two);
	/* encryption keys sign nothing, and a short key is none */
	assert_int_equal(
		verdict(ES256,
			"{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"enc\",\"x\":\"AA\",\"y\":"
			"\"AA\"}"),
		JWT_BAD);
	assert_int_equal(verdict(RS256, "{\"kty\":\"RSA\",\"n\":\"ofgW\",\"e\":\"AQAB\"}"),
			 JWT_BAD);
}

static void expect_subject(const char *claims, const char *subject)
{
	const struct idtoken_rules rules = { .issuer = "https://accounts.google.com",
					     .client_id = "us",
					     .subject = "sub",
					     .hosted_domain = "example.com",
					     .nonce = "n1",
					     .started_s = 1000,
					     .now_s = 1300 };
	json_t *given = parsed(claims);
	struct err err;
	const char *found = idtoken_subject(given, &rules, &err);

	if (subject == NULL)
		assert_null(found);
	else
		assert_string_equal(found, subject);
	json_decref(given);
}

#define GOOD "\"sub\":\"117\",\"hd\":\"example.com\",\"exp\":2000,\"iat\":1200"

static void test_claims(void **state)
{
	(void)state;
	expect_subject("{" GOOD ",\"iss\":\"https://accounts.google.com\",\"aud\":\"us\"}", "117");
	expect_subject("{" GOOD
		       ",\"iss\":\"accounts.google.com\",\"aud\":[\"us\"],\"nonce\":\"n1\"}",
		       "117");
	expect_subject("{" GOOD ",\"iss\":\"https://accounts.google.com/\",\"aud\":\"us\"}", NULL);
	expect_subject("{" GOOD ",\"iss\":\"accounts.google.com\",\"aud\":[\"us\",\"us\"]}", NULL);
	expect_subject("{" GOOD ",\"iss\":\"accounts.google.com\",\"aud\":\"us\",\"azp\":\"them\"}",
		       NULL);
	/* consumer accounts have no hd */
	expect_subject("{\"sub\":\"117\",\"exp\":2000,\"iat\":1200,\"iss\":\"accounts.google.com\","
		       "\"aud\":"
		       "\"us\"}",
		       NULL);
	expect_subject(
		"{\"sub\":117,\"hd\":\"example.com\",\"exp\":2000,\"iat\":1200,\"iss\":\"accounts."
		"google.com\",\"aud\":\"us\"}",
		NULL);
	/* a minute of other clocks is allowed, and no more */
	expect_subject("{\"sub\":\"1\",\"hd\":\"example.com\",\"exp\":1241,\"iat\":940,\"iss\":"
		       "\"accounts.google."
		       "com\",\"aud\":\"us\"}",
		       "1");
	expect_subject("{\"sub\":\"1\",\"hd\":\"example.com\",\"exp\":1240,\"iat\":940,\"iss\":"
		       "\"accounts.google."
		       "com\",\"aud\":\"us\"}",
		       NULL);
	expect_subject("{\"sub\":\"1\",\"hd\":\"example.com\",\"exp\":1241,\"iat\":939,\"iss\":"
		       "\"accounts.google."
		       "com\",\"aud\":\"us\"}",
		       NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_every_byte_counts),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_claims),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
