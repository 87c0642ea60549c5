/* SPDX-License-Identifier: Apache-2.0 */
/* text: escaping outwards, tokens and odd characters inwards. */
#include "test.h"

#include <stdlib.h>

#include "slack/text.h"

static void decodes(const char *in, const char *out)
{
	char *text = slack_text_decode(in);

	assert_string_equal(text, out);
	free(text);
}

static void test_escape(void **state)
{
	char *text = slack_text_escape("a & b < c > d &amp; *x*");

	(void)state;
	assert_string_equal(text, "a &amp; b &lt; c &gt; d &amp;amp; *x*");
	free(text);
}

static void test_cut(void **state)
{
	char *text;

	(void)state;
	text = slack_text_cut("abc", 3);
	assert_string_equal(text, "abc");
	free(text);
	text = slack_text_cut("abcd", 3);
	assert_string_equal(text, "ab\xe2\x80\xa6");
	free(text);
	text = slack_text_cut("a\xf0\x9f\x98\x80zz", 3); /* a face is two units */
	assert_string_equal(text, "a\xe2\x80\xa6");
	free(text);
	text = slack_text_cut("abc", 0);
	assert_string_equal(text, "");
	free(text);
}

static void test_tokens(void **state)
{
	(void)state;
	decodes("ask <@U012AB> and <@W9|ann> now", "ask @U012AB and @W9 now");
	decodes("in <#C1|general> or <#C2|>", "in #C1 or #C2");
	decodes("<!subteam^S1|@ops> <!subteam^S2>", "@S1 @S2");
	decodes("<!here> <!channel|x> <!everyone>", "@here @channel @everyone");
	decodes("<mailto:a@b.org|a@b.org>", "a@b.org");
	decodes("host=<http://xyz.example.org|xyz.example.org>", "host=xyz.example.org");
	decodes("<http://xyz.example.org/|xyz.example.org>", "xyz.example.org");
	decodes("<https://evil.example|good.example>", "https://evil.example");
	decodes("<https://a.example/?x=1&amp;y=2>", "https://a.example/?x=1&y=2");
	decodes("<!date^1^{date}|Nov 25>", "Nov 25");
	decodes("<tel:123|123>", "123");
}

/* What a person typed to look like a token stays text. */
static void test_forged(void **state)
{
	(void)state;
	decodes("&lt;@U1&gt;", "<@U1>");
	decodes("&amp;lt;@U1&amp;gt;", "&lt;@U1&gt;");
	decodes("a < b", "a < b");
	decodes("<", "<");
	decodes("<@U1", "<@U1");
	decodes("<@u1>", "<@u1>");
	decodes("<@>", "<@>");
	decodes("<<@U1>>", "<@U1>");
	decodes("<nonsense>", "<nonsense>");
	decodes("<javascript:x|y>", "<javascript:x|y>");
	decodes("&amp; &lt; &gt; &quot; &", "& < > &quot; &");
}

static void test_characters(void **state)
{
	(void)state;
	decodes("a\xc2\xa0"
		"b\xe2\x80\x83"
		"c\xe3\x80\x80"
		"d",
		"a b c d");
	decodes("a\xe2\x80\x8b"
		"b\xef\xbb\xbf"
		"c\xe2\x80\xae"
		"d",
		"abcd");
	decodes("reason=\xe2\x80\x9cno space\xe2\x80\x9d it\xe2\x80\x99s",
		"reason=\"no space\" it's");
	decodes("\xe2\x80\x94"
		"for 2h \xe2\x80\x93x a\xe2\x80\x93z \xe2\x88\x92"
		"5",
		"--for 2h -x a\xe2\x80\x93z -5");
	decodes("a\tb\x01"
		"c\nd\x7f",
		"a b c\nd ");
	decodes("\xc3\xa9\xf0\x9f\x98\x80", "\xc3\xa9\xf0\x9f\x98\x80");
	decodes("", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),     cmocka_unit_test(test_cut),
		cmocka_unit_test(test_tokens),     cmocka_unit_test(test_forged),
		cmocka_unit_test(test_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
