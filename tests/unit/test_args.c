/* SPDX-License-Identifier: Apache-2.0 */
/* test_args.c - text, form values and stored JSON to typed arguments, and what is said when not. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/pattern.h"
#include "base/str.h"
#include "core/args.h"
#include "core/command.h"
#include "core/expr.h"

/* workers scale, by hand. */
static const char *const roles[] = { "dev", "prod" };
static struct param params[] = {
	{ .name = "team", .type = PARAM_STRING, .pattern_source = "[a-z][a-z0-9-]{1,30}" },
	{ .name = "role", .type = PARAM_ENUM, .values = roles, .n_values = 2 },
	{ .name = "count", .type = PARAM_INTEGER, .min = 0, .max = 200 },
	{ .name = "for", .type = PARAM_DURATION, .min = 1, .max = 86400, .optional = true },
	{ .name = "reason", .type = PARAM_TEXT, .max = 300 },
};
static const struct command scale = {
	.prefix = "workers",
	.name = "scale",
	.title = "workers scale",
	.params = params,
	.n_params = 5,
};

/* One of each other type. */
static struct param others[] = {
	{ .name = "who", .type = PARAM_PERSON, .optional = true },
	{ .name = "at", .type = PARAM_TIME, .optional = true },
	{ .name = "dry", .type = PARAM_BOOLEAN, .optional = true },
	{ .name = "token", .type = PARAM_STRING, .optional = true, .secret = true },
	{ .name = "n",
	  .type = PARAM_INTEGER,
	  .min = INT64_MIN,
	  .max = INT64_MAX,
	  .optional = true },
};
static const struct command other = {
	.prefix = "x", .name = "y", .title = "x y", .params = others, .n_params = 5
};

static struct pattern *pattern;

static int setup(void **state)
{
	struct err err;

	(void)state;
	pattern = pattern_create(params[0].pattern_source, &err);
	params[0].pattern = pattern;
	return pattern != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	pattern_destroy(pattern);
	expr_forget();
	return 0;
}

static void check_good(const struct command *command, const char *text, const char *expected)
{
	struct args_problems problems;
	json_t *args = args_from_text(command, text, &problems);
	json_t *want = json_loads(expected, 0, NULL);

	assert_non_null(want);
	if (args == NULL)
		fail_msg("%s: %s", text, problems.items[0].text);
	if (!json_equal(args, want))
		fail_msg("%s: got %s", text, json_dumps(args, 0));
	json_decref(args);
	json_decref(want);
}

/* Something is wrong with param (NULL: with the whole), said with these words; n problems in all,
 * if n > 0. */
static void check_bad(const struct command *command, const char *text, const char *param,
		      const char *says, size_t n)
{
	struct args_problems problems;
	json_t *args = args_from_text(command, text, &problems);
	bool said = false;

	if (args != NULL)
		fail_msg("%s: accepted as %s", text, json_dumps(args, 0));
	for (size_t i = 0; i < problems.n; i++) {
		assert_true(str_utf8_valid(problems.items[i].text, strlen(problems.items[i].text)));
		if (str_eq(problems.items[i].param, param) &&
		    strstr(problems.items[i].text, says) != NULL)
			said = true;
	}
	if (!said || (n > 0 && problems.n != n))
		fail_msg("%.80s: %zu problems, the first: %s", text, problems.n,
			 problems.items[0].text);
	assert_false(problems.missing_only && strstr(says, "missing") == NULL);
}

#define WHOLE "{\"team\":\"ads\",\"role\":\"dev\",\"count\":5,\"reason\":\"load\"}"
#define LONG "{\"team\":\"ads\",\"role\":\"dev\",\"count\":5,\"reason\":\"load is high\"}"

static void test_good(void **state)
{
	(void)state;
	check_good(&scale, "team=ads role=dev count=5 reason=load", WHOLE);
	check_good(&scale, "  reason=load\n count=5\trole=dev team=ads ", WHOLE);
	check_good(&scale, "Team=ads ROLE=Dev count=5 reason=load", WHOLE);
	check_good(&scale, "team=\"ads\" role='dev' count=\"5\" reason=\"load\"", WHOLE);
	check_good(&scale, "ads dev 5 load", WHOLE);
	check_good(&scale, "team=ads dev 5 reason=load", WHOLE);
	check_good(&scale, "reason=load count=5 ads dev", WHOLE);
	check_good(&scale, "ads count=5 dev load", WHOLE);
	check_good(&scale, "team=ads role=prod count=20 for=2h reason=\"backlog\"",
		   "{\"team\":\"ads\",\"role\":\"prod\",\"count\":20,\"for\":7200,"
		   "\"reason\":\"backlog\"}");
}

static void test_text_takes_the_rest(void **state)
{
	(void)state;
	check_good(&scale, "team=ads role=dev count=5 reason=load is high", LONG);
	check_good(&scale, "reason=load is high team=ads role=dev count=5", LONG);
	check_good(&scale, "ads dev 5 load is high", LONG);
	check_good(&scale, "ads dev 5 \"load is high\"", LONG);
	check_good(&scale, "team=ads role=dev count=5 reason=it's https://x/?a=b \"now\"",
		   "{\"team\":\"ads\",\"role\":\"dev\",\"count\":5,"
		   "\"reason\":\"it's https://x/?a=b \\\"now\\\"\"}");
	check_good(&scale, "team=ads role=dev count=5 reason=\"a \\\"b\\\" \\\\ c=d\"",
		   "{\"team\":\"ads\",\"role\":\"dev\",\"count\":5,"
		   "\"reason\":\"a \\\"b\\\" \\\\ c=d\"}");
	check_good(&scale, "team=ads role=dev count=5 reason=größer → 日本",
		   "{\"team\":\"ads\",\"role\":\"dev\",\"count\":5,\"reason\":\"größer → 日本\"}");
	/* What looks like a misspelt name is asked about. */
	check_bad(&scale, "team=ads role=dev reason=load conut=5", NULL,
		  "no parameter \"conut\", did you mean \"count\"?", 2);
}

static void test_other_types(void **state)
{
	(void)state;
	check_good(&other, "", "{}");
	check_good(&other, "who=@U0ANA at=18:00 dry=yes",
		   "{\"who\":\"@U0ANA\",\"at\":\"18:00\",\"dry\":true}");
	check_good(&other, "who=ana@example.com at=2028-02-29T23:59 dry=Off",
		   "{\"who\":\"ana@example.com\",\"at\":\"2028-02-29T23:59\",\"dry\":false}");
	check_good(&other, "n=-9223372036854775808", "{\"n\":-9223372036854775808}");
	check_good(&other, "n=9223372036854775807", "{\"n\":9223372036854775807}");
	check_bad(&other, "who=ana", "who", "who must be a person", 1);
	check_bad(&other, "who=@U1", "who", "who must be a person", 1);
	check_bad(&other, "who=a@b@c.d", "who", "who must be a person", 1);
	check_bad(&other, "at=24:00", "at", "at must be a time", 1);
	check_bad(&other, "at=2027-02-29T10:00", "at", "at must be a time", 1);
	check_bad(&other, "at=18:00:00", "at", "at must be a time", 1);
	check_bad(&other, "dry=maybe", "dry", "dry must be yes or no", 1);
	check_bad(&other, "n=9223372036854775808", "n", "n must be a whole number", 1);
	check_bad(&other, "n=-", "n", "n must be a whole number", 1);
	check_bad(&other, "what", NULL, "What is \"what\" for?", 1);
}

static void test_values_refused(void **state)
{
	(void)state;
	check_bad(&scale, "team=ads role=dev count=five reason=load", "count",
		  "count must be a whole number from 0 to 200, like count=5 (you wrote \"five\")",
		  1);
	check_bad(&scale, "team=ads role=dev count=201 reason=load", "count", "from 0 to 200", 1);
	check_bad(&scale, "team=ads role=dev count=-1 reason=load", "count", "from 0 to 200", 1);
	check_bad(&scale, "team=ads role=dev count=1_0 reason=load", "count", "no separators", 1);
	check_bad(&scale, "team=ads role=dev count=1,0 reason=load", "count", "no separators", 1);
	check_bad(&scale, "team=ads role=dev count=5.0 reason=load", "count", "no separators", 1);
	check_bad(&scale, "team=ads role=dev count=007 reason=load", "count", "leading zeros", 1);
	check_bad(&scale, "team=ads role=dev count=+5 reason=load", "count", "not a change", 1);
	check_bad(&scale, "team=ads role=dev count=0x5 reason=load", "count", "count must", 1);
	check_bad(&scale, "team=ads role=dev count=99999999999999999999 reason=load", "count",
		  "count must", 1);
	check_bad(&scale, "team=ads role=dev count=５ reason=load", "count", "you wrote \"５\"", 1);
	check_bad(&scale, "team=ads role=pord count=5 reason=load", "role",
		  "role must be dev or prod, like role=dev (you wrote \"pord\"; did you mean "
		  "\"prod\"?)",
		  1);
	check_bad(&scale, "team=ADS role=dev count=5 reason=load", "team", "do not fit", 1);
	check_bad(&scale, "team=../x role=dev count=5 reason=load", "team", "do not fit", 1);
	check_bad(&scale, "team=ads role=dev count=5 for=30 reason=load", "for",
		  "a unit is missing", 1);
	check_bad(&scale, "team=ads role=dev count=5 for=25h reason=load", "for",
		  "a duration of at most 1d", 1);
	check_bad(&scale, "team=ads role=dev count=5 for=0s reason=load", "for", "for must be", 1);
	check_bad(&scale, "team=ads role=dev count=5 for=1m1h reason=load", "for", "for must be",
		  1);
	check_bad(&scale, "team=ads role=dev count=5 reason=\"\"", "reason", "it is empty", 1);
	check_bad(&scale, "team=ads role=dev count=5 reason=\"a\x01z\"", "reason",
		  "control character", 1);
}

static void test_names_refused(void **state)
{
	(void)state;
	check_bad(&scale, "tema=ads role=dev count=5 reason=load", NULL,
		  "no parameter \"tema\", did you mean \"team\"?", 2);
	check_bad(&scale, "zzz=1 team=ads role=dev count=5 reason=load", NULL,
		  "no parameter \"zzz\"; workers scale takes team, role, count, for, reason", 1);
	check_bad(&scale, "größe=1 team=ads role=dev count=5 reason=load", NULL,
		  "no parameter \"größe\"", 1);
	check_bad(&scale, "team=ads team=web role=dev count=5 reason=load", "team",
		  "team is given more than once", 1);
	check_bad(&scale, "team=ads TEAM=ads role=dev count=5 reason=load", "team",
		  "more than once", 1);
	check_bad(&scale, "team= role=dev count=5 reason=load", "team", "team has no value", 1);
	check_bad(&scale, "team=ads role=dev count=5 reason=load for=", "for", "or leave it out",
		  1);
	check_bad(&scale, "team=ads role=dev count=5 reason=\"load\" extra", NULL,
		  "What is \"extra\" for?", 1);
}

static void test_slips(void **state)
{
	(void)state;
	check_bad(&scale, "team=ads role=dev count = 5 reason=load", "count",
		  "without spaces around \"=\"", 1);
	check_bad(&scale, "team=ads role=dev count =5 reason=load", "count",
		  "without spaces around \"=\"", 1);
	check_bad(&scale, "team=ads role=dev count= 5 reason=load", "count",
		  "without a space after \"=\"", 1);
	check_bad(&scale, "team=ads role=dev --count 5 reason=load", "count",
		  "Write count=5, without dashes", 1);
	check_bad(&scale, "team=ads role=dev --count=5 reason=load", "count", "without dashes", 1);
	check_bad(&scale, "team=ads role=dev -count=5 reason=load", "count", "without dashes", 1);
	check_bad(&scale, "team=ads role=dev count:5 reason=load", "count",
		  "with \"=\" instead of \":\"", 1);
	check_bad(&scale, "team=ads role=dev count: 5 reason=load", "count",
		  "with \"=\" instead of \":\"", 1);
	check_bad(&scale, "team=ads role=dev count=5 reason=\"load", NULL, "is not closed", 0);
	check_bad(&scale, "team=ads role=dev count=5 reason='tis", NULL, "is not closed", 0);
	check_bad(&scale, "team=\"ads\"role=dev count=5 reason=load", NULL,
		  "After the closing quote", 0);
	check_bad(&scale, "= team=ads role=dev count=5 reason=load", NULL, "without spaces", 1);
}

static void test_missing(void **state)
{
	struct args_problems problems;

	(void)state;
	assert_null(args_from_text(&scale, "team=ads role=dev", &problems));
	assert_true(problems.missing_only);
	assert_int_equal(problems.n, 2);
	assert_string_equal(problems.items[0].param, "count");
	assert_string_equal(problems.items[0].text,
			    "count is missing: a whole number from 0 to 200, like count=5.");
	assert_string_equal(problems.items[1].param, "reason");
	assert_null(args_from_text(&scale, "team=ads role=devv", &problems));
	assert_false(problems.missing_only);
	assert_int_equal(problems.n, 3);
	assert_null(args_from_text(&scale, "", &problems));
	assert_true(problems.missing_only);
	assert_int_equal(problems.n, 4);
}

/* Anything at all may arrive. */
static void test_nasty(void **state)
{
	char *text = malloc(40001);
	unsigned seed = 1;

	(void)state;
	memset(text, 'a', 40000);
	text[40000] = '\0';
	check_bad(&scale, text, NULL, "at most 4000 characters, this one has 40000", 1);
	memset(text, '"', 40000);
	text[3999] = '\0';
	check_bad(&scale, text, NULL, "", 0);
	for (size_t i = 0; i < 3998; i += 2)
		memcpy(text + i, "a ", 2);
	text[3998] = '\0';
	check_bad(&scale, text, "team", "team must be", 0);
	check_bad(&scale, "\xff\xfe", NULL, "not UTF-8", 1);
	check_bad(&scale, "team=\xc3", NULL, "not UTF-8", 1);
	check_bad(&scale, "\x01\x02\x7f", "team", "control character", 0);
	for (int round = 0; round < 2000; round++) {
		struct args_problems problems;
		size_t len = (size_t)(round % 200);
		json_t *args, *typed;

		for (size_t i = 0; i < len; i++) {
			static const char bytes[] = "abtemrolcun= =\"'\\:-5 \n\xc3\xa9\x80\x01{}";

			seed = seed * 1103515245u + 12345u;
			text[i] = bytes[(seed >> 16) % (sizeof(bytes) - 1)];
		}
		text[len] = '\0';
		args = args_from_text(&scale, text, &problems);
		assert_true(args != NULL || problems.n > 0);
		typed = args_typed(&scale, text);
		assert_non_null(typed);
		json_decref(args);
		json_decref(typed);
	}
	free(text);
}

static void test_duration(void **state)
{
	static const struct {
		const char *text;
		int64_t s;
	} good[] = { { "90s", 90 },
		     { "15m", 900 },
		     { "2h", 7200 },
		     { "1d", 86400 },
		     { "1h30m", 5400 },
		     { "1d1s", 86401 },
		     { "999999999d", 86399999913600 } };
	static const char *const bad[] = { "",    "h",   "2",   "2x",   "2h2h",       "1m1h",
					   " 2h", "2h ", "-2h", "1.5h", "9999999999s" };
	int64_t s;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(args_duration(good[i].text, &s));
		assert_int_equal(s, good[i].s);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(args_duration(bad[i], &s));
	assert_false(args_duration(NULL, &s));
}

static void test_values(void **state)
{
	struct args_problems problems;
	json_t *values = json_pack("{s:s, s:s, s:s, s:s, s:s}", "team", "ads", "role", "dev",
				   "count", " 5 ", "for", "", "reason", "load");
	json_t *args = args_from_values(&scale, values, &problems), *want;

	(void)state;
	want = json_loads(WHOLE, 0, NULL);
	assert_true(json_equal(args, want));
	json_decref(args);
	json_object_set_new(values, "count", json_string("5x"));
	json_object_set_new(values, "more", json_string("1"));
	json_object_set_new(values, "role", json_null());
	assert_null(args_from_values(&scale, values, &problems));
	assert_int_equal(problems.n, 3);
	assert_null(problems.items[0].param);
	assert_string_equal(problems.items[1].param, "count");
	assert_string_equal(problems.items[2].param, "role");
	assert_false(problems.missing_only);
	json_decref(values);
	json_decref(want);
}

static void test_json(void **state)
{
	struct args_problems problems;
	json_t *typed = json_pack("{s:s, s:s, s:i, s:i, s:s}", "team", "ads", "role", "prod",
				  "count", 5, "for", 5400, "reason", "a\nb \"c\"");
	json_t *args = args_from_json(&scale, typed, &problems), *again;
	char *text;

	(void)state;
	assert_true(json_equal(args, typed));
	text = args_text(&scale, args);
	assert_string_equal(text, "team=ads role=prod count=5 for=1h30m reason=\"a\nb \\\"c\\\"\"");
	again = args_from_text(&scale, text, &problems); /* it reads back */
	assert_true(json_equal(again, typed));
	free(text);
	json_decref(again);
	json_decref(args);
	json_object_set_new(typed, "count", json_string("5"));
	assert_null(args_from_json(&scale, typed, &problems));
	assert_string_equal(problems.items[0].param, "count");
	json_object_set_new(typed, "count", json_integer(201));
	assert_null(args_from_json(&scale, typed, &problems));
	json_decref(typed);
}

static void test_typed(void **state)
{
	json_t *typed = args_typed(&scale, "ads rol=x count=many reason=so it is");
	json_t *want =
		json_pack("{s:s, s:s, s:s}", "team", "ads", "count", "many", "reason", "so it is");

	(void)state;
	assert_true(json_equal(typed, want));
	json_decref(typed);
	json_decref(want);
}

static void test_secrets(void **state)
{
	struct args_problems problems;
	json_t *values = json_pack("{s:s}", "token", "hunter2"), *args, *shown;
	char *text;

	(void)state;
	check_bad(&other, "token=hunter2", "token", "the form asks for it", 1);
	args = args_from_values(&other, values, &problems);
	assert_string_equal(jget_str(args, "token"), "hunter2");
	shown = args_shown(&other, args);
	assert_string_equal(jget_str(shown, "token"), "***");
	assert_string_equal(jget_str(args, "token"), "hunter2");
	text = args_text(&other, args);
	assert_string_equal(text, "token=***");
	free(text);
	json_decref(args);
	json_object_set_new(values, "token", json_string("two words"));
	assert_null(args_from_values(&other, values, &problems));
	assert_null(strstr(problems.items[0].text, "two words"));
	json_decref(values);
	json_decref(shown);
}

static void check_redacted(const char *text, const char *expected)
{
	char *redacted = args_redact(&other, text);

	assert_string_equal(redacted, expected);
	free(redacted);
}

/* What is kept of a line on which somebody typed a secret all the same. */
static void test_redact(void **state)
{
	(void)state;
	check_redacted("who=@U0ANA  at=18:00", "who=@U0ANA  at=18:00");
	check_redacted("token=hunter2 who=@U0ANA", "token=*** who=@U0ANA");
	check_redacted("x TOKEN=\"hunter 2\" y", "x TOKEN=***");
	check_redacted("token = hunter2 who=@U0ANA", "token *** who=@U0ANA");
	check_redacted("token =hunter2", "token ***");
	check_redacted("token= hunter2 y", "token=***");
	check_redacted("token=hunter 2 x=y n=1", "token=*** n=1");
	check_redacted("--token hunter2 n=1", "--token *** n=1");
	check_redacted("--token=hunter2 n=1", "--token=*** n=1");
	check_redacted("token:hunter2", "token ***");
	check_redacted("token: hunter2 n=1", "token *** n=1");
	check_redacted("token hunter2", "token ***");
	check_redacted("token=\"hunter2 n=1", "token=***");
	check_redacted("", "");
}

static void test_guard_and_approvals(void **state)
{
	struct err err;
	struct expr *zero = expr_compile(".count == 0", &err);
	struct expr *bad = expr_compile(".reason.x", &err);
	struct expr *prod = expr_compile(".role == \"prod\" or .plan.step_percent > 100", &err);
	const struct guard guards[] = { { .when = zero, .deny = "Use `workers stop`" },
					{ .when = bad, .deny = "never" } };
	const struct approval_rule rules[] = {
		{ .when = prod, .need = 1, .can_approve = "workers.scale" },
		{ .when = NULL, .need = 2, .group = "sre" }
	};
	struct command command = scale;
	json_t *args = json_pack("{s:i, s:s, s:s}", "count", 0, "role", "dev", "reason", "x");
	json_t *plan = json_pack("{s:i}", "step_percent", 150), *wanted;
	bool failed;

	(void)state;
	command.guards = guards;
	command.n_guards = 1;
	assert_string_equal(args_guard(&command, args, &failed), "Use `workers stop`");
	assert_false(failed);
	json_object_set_new(args, "count", json_integer(1));
	assert_null(args_guard(&command, args, &failed));
	assert_false(failed);
	command.n_guards = 2; /* one that cannot be evaluated is not taken for a yes */
	assert_null(args_guard(&command, args, &failed));
	assert_true(failed);

	command.approvals = rules;
	command.n_approvals = 1;
	wanted = args_approvals(&command, args, NULL, &err);
	assert_int_equal(json_array_size(wanted), 0);
	json_decref(wanted);
	wanted = args_approvals(&command, args, plan, &err);
	assert_int_equal(json_array_size(wanted), 1);
	assert_int_equal(jget_int(json_array_get(wanted, 0), "need", 0), 1);
	assert_string_equal(jget_str(json_array_get(wanted, 0), "can_approve"), "workers.scale");
	json_decref(wanted);
	command.n_approvals = 2;
	wanted = args_approvals(&command, args, plan, &err);
	assert_int_equal(json_array_size(wanted), 2);
	assert_string_equal(jget_str(json_array_get(wanted, 1), "group"), "sre");
	json_decref(wanted);
	json_decref(args);
	json_decref(plan);
	expr_destroy(zero);
	expr_destroy(bad);
	expr_destroy(prod);
}

/* What is given decides as far as it can; what is not, and could change that, is named. */
static void expect_outlook(const struct command *command, const char *text, const char *json)
{
	struct args_problems problems;
	json_t *args = args_given(command, text, &problems), *outlook, *wanted;
	struct err err;

	assert_non_null(args);
	outlook = args_outlook(command, args);
	wanted = json_parse(json, strlen(json), 4000, &err);
	assert_non_null(wanted);
	if (!json_equal(outlook, wanted)) {
		char *got = json_text(outlook);

		fail_msg("%s: %s", text, got);
	}
	json_decref(outlook);
	json_decref(wanted);
	json_decref(args);
}

static void test_outlook(void **state)
{
	struct err err;
	struct expr *zero = expr_compile(".count == 0", &err);
	struct expr *many = expr_compile(".count < 5", &err); /* null is less than any number */
	struct expr *prod = expr_compile(".role == \"prod\" or .plan.count > 100", &err);
	struct guard guards[] = { { .when = zero, .deny = "Use `workers stop`" },
				  { .when = many, .deny = "Too few" } };
	struct approval_rule rules[] = { { .when = prod, .need = 1, .group = "sre" } };
	json_t *scope = json_pack("{s:s, s:s}", "team", "{team}", "where", "x-{role}");
	struct command command = scale;
	struct args_problems problems;

	(void)state;
	command.guards = guards;
	command.n_guards = 2;
	command.approvals = rules;
	command.n_approvals = 1;
	command.scope = scope;
	expect_outlook(
		&command, "",
		"{\"scope\": {\"team\": null, \"where\": \"x-\"}, \"rules\": [], \"plan\": true, "
		"\"open\": {\"team\": [\"who\"], \"role\": [\"who\", \"approval\"], "
		"\"count\": [\"rule\"]}, \"idle\": [\"reason\"]}");
	expect_outlook(&command, "team=ads role=dev count=7",
		       "{\"scope\": {\"team\": \"ads\", \"where\": \"x-dev\"}, \"rules\": [], "
		       "\"plan\": true, \"open\": {}, \"idle\": [\"reason\"]}");
	expect_outlook(&command, "team=ads role=prod count=0 reason=x",
		       "{\"scope\": {\"team\": \"ads\", \"where\": \"x-prod\"}, \"rules\": "
		       "[{\"need\": 1, \"group\": \"sre\"}], \"denied\": \"Use `workers stop`\", "
		       "\"open\": {}, \"idle\": []}");
	/* what is given must be right all the same */
	assert_null(args_given(&command, "count=many", &problems));
	assert_string_equal(problems.items[0].param, "count");
	json_decref(scope);
	expr_destroy(zero);
	expr_destroy(many);
	expr_destroy(prod);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),          cmocka_unit_test(test_text_takes_the_rest),
		cmocka_unit_test(test_other_types),   cmocka_unit_test(test_values_refused),
		cmocka_unit_test(test_names_refused), cmocka_unit_test(test_slips),
		cmocka_unit_test(test_missing),       cmocka_unit_test(test_outlook),
		cmocka_unit_test(test_nasty),         cmocka_unit_test(test_duration),
		cmocka_unit_test(test_values),        cmocka_unit_test(test_json),
		cmocka_unit_test(test_typed),         cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_redact),        cmocka_unit_test(test_guard_and_approvals),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
