/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expr_words.c - the words that an expression may use.
 *
 * A list of what is allowed, not of what is forbidden: all that can run without end (def, range,
 * recurse, index of ""), ask the outside (env, input, now), stop the process (halt, implode of a
 * bad code point, an assignment to a huge index) or backtrack without limit (regular expressions)
 * is not on it.  Strings are skipped, but not what "\( )" puts into them.  Where jq's lexer and
 * this one could differ, this one is the stricter.
 */
#include "expr_internal.h"

#include <string.h>

#include "base/err.h"
#include "base/str.h"

enum { DEPTH_MAX = 64, WORD_MAX = 64 };

/* clang-format off */
static const char *const allowed[] = {
	/* the language */
	"if", "then", "elif", "else", "end", "as", "and", "or", "not", "try", "catch", "null",
	"true", "false",
	/* questions */
	"IN", "all", "any", "contains", "empty", "endswith", "has", "in", "inside", "length",
	"startswith", "type", "utf8bytelength", "values", "nulls", "booleans", "numbers", "strings",
	"arrays", "objects", "iterables", "scalars",
	/* shaping */
	"add", "ceil", "del", "fabs", "first", "flatten", "floor", "from_entries", "group_by",
	"join", "keys", "keys_unsorted", "last", "map", "map_values", "max", "max_by", "min",
	"min_by", "reverse", "round", "select", "sort", "sort_by", "to_entries", "transpose",
	"unique", "unique_by", "with_entries",
	/* text */
	"ascii_downcase", "ascii_upcase", "ltrimstr", "rtrimstr", "split", "tojson", "tonumber",
	"tostring",
};
static const char *const formats[] = { "text", "json", "csv", "tsv", "html", "uri" };
/* clang-format on */

enum { N_ALLOWED = sizeof(allowed) / sizeof(allowed[0]) };
enum { N_FORMATS = sizeof(formats) / sizeof(formats[0]) };

struct scan {
	const char *p;
	char open[DEPTH_MAX];  /* ( [ { if: i string: s */
	bool split[DEPTH_MAX]; /* of a "(": it holds split's arguments */
	size_t depth;
	char last;           /* the significant character before */
	char word[WORD_MAX]; /* the word before, "" when something else came since */
	struct err *err;
};

static bool refuse(struct scan *scan, const char *what, const char *why)
{
	err_set(scan->err, ERR_INVALID, "%s may not be used in an expression: %s", what, why);
	return false;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool listed(const char *word, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(word, names[i]) == 0)
			return true;
	return false;
}

static char top(const struct scan *scan)
{
	return scan->depth > 0 ? scan->open[scan->depth - 1] : '\0';
}

static bool push(struct scan *scan, char what)
{
	if (scan->depth == DEPTH_MAX)
		return refuse(scan, "so many brackets within each other", "64 are the limit");
	scan->split[scan->depth] = what == '(' && strcmp(scan->word, "split") == 0;
	scan->open[scan->depth++] = what;
	return true;
}

/* From behind the opening quote, or behind an inserted value, to behind the closing quote or "\(".
 */
static bool skip_string(struct scan *scan)
{
	while (*scan->p != '\0' && *scan->p != '"') {
		if (scan->p[0] == '\\' && scan->p[1] == '(') {
			scan->p += 2;
			scan->last = '(';
			return push(scan, 's');
		}
		scan->p += scan->p[0] == '\\' && scan->p[1] != '\0' ? 2 : 1;
	}
	if (*scan->p == '\0') {
		err_set(scan->err, ERR_INVALID, "a string in the expression is not closed");
		return false;
	}
	scan->p++;
	scan->last = '"';
	return true;
}

static void take_word(struct scan *scan)
{
	size_t n = 0;

	while (is_word(*scan->p)) {
		if (n + 1 < WORD_MAX)
			scan->word[n++] = *scan->p;
		scan->p++;
	}
	scan->word[n] = '\0';
}

static bool check_function(struct scan *scan)
{
	const char *near;

	if (strcmp(scan->word, "if") == 0)
		return push(scan, 'i');
	if (strcmp(scan->word, "end") == 0 && top(scan) == 'i')
		scan->depth--;
	if (listed(scan->word, allowed, N_ALLOWED))
		return true;
	near = str_nearest(scan->word, allowed, N_ALLOWED);
	err_set(scan->err, ERR_INVALID, "\"%s\" may not be used in an expression%s%s%s", scan->word,
		near != NULL ? ", did you mean \"" : ": only conditions and shaping are allowed",
		near != NULL ? near : "", near != NULL ? "\"?" : "");
	return false;
}

/* A word: a key of an object, a variable, or a function and then on the list. */
static bool on_word(struct scan *scan)
{
	char before = scan->last;
	bool key = top(scan) == '{' && (before == '{' || before == ',');

	take_word(scan);
	scan->last = 'w';
	if (scan->p[0] == ':' && scan->p[1] == ':')
		return refuse(scan, "\"::\"", "there are no modules");
	if (before == '$')
		return str_eq(scan->word, "ENV") || str_starts(scan->word, "__")
			       ? refuse(scan, scan->word, "an expression sees no environment")
			       : true;
	return key || check_function(scan);
}

static void skip_digits(struct scan *scan)
{
	while (is_digit(*scan->p))
		scan->p++;
}

static void skip_number(struct scan *scan)
{
	const char *power;

	skip_digits(scan);
	if (*scan->p == '.') {
		scan->p++;
		skip_digits(scan);
	}
	if (*scan->p == 'e' || *scan->p == 'E') {
		power = scan->p + 1;
		if (*power == '+' || *power == '-')
			power++;
		if (is_digit(*power)) {
			scan->p = power;
			skip_digits(scan);
		}
	}
	scan->last = '0';
}

static bool on_dot(struct scan *scan)
{
	if (is_digit(scan->p[1])) {
		skip_number(scan);
		return true;
	}
	scan->p++;
	scan->last = '.';
	if (*scan->p == '.')
		return refuse(scan, "\"..\"", "name the members");
	if (is_word(*scan->p)) {
		take_word(scan);
		scan->word[0] = '\0';
	}
	return true;
}

static bool on_format(struct scan *scan)
{
	scan->p++;
	take_word(scan);
	scan->last = '@';
	if (listed(scan->word, formats, N_FORMATS))
		return true;
	return refuse(
		scan, "that @format",
		"use @text, @json, @csv, @tsv, @html or @uri"); /* others read or quote badly */
}

static bool on_close(struct scan *scan)
{
	static const char pairs[] = "()[]{}s)";
	char open = top(scan);
	const char *pair = open != '\0' ? strchr(pairs, open) : NULL;

	if (pair == NULL || pair[1] != *scan->p) {
		err_set(scan->err, ERR_INVALID, "the expression closes a \"%c\" that is not open",
			*scan->p);
		return false;
	}
	scan->last = *scan->p++;
	scan->depth--;
	return open == 's' ? skip_string(scan) : true;
}

/* "=" alone and "|=" "+=" "-=" "*=" "/=" "%=": but not "==" "!=" "<=" ">=". */
static bool is_assignment(const struct scan *scan)
{
	return scan->p[0] == '=' && scan->p[1] != '=' && scan->last != '=' && scan->last != '!' &&
	       scan->last != '<' && scan->last != '>';
}

static bool on_other(struct scan *scan)
{
	if (is_assignment(scan))
		return refuse(scan, "an assignment (\"=\", \"|=\")",
			      "compare with \"==\", build objects with { }");
	if (*scan->p == ';' && scan->depth > 0 && scan->split[scan->depth - 1])
		return refuse(scan, "split with two arguments",
			      "regular expressions have no limit here");
	scan->last = *scan->p++;
	/* "==" is one token: what follows it is not its second half. */
	if (scan->last == '=' && *scan->p == '=') {
		scan->p++;
		scan->last = 'o';
	}
	return true;
}

static bool on_significant(struct scan *scan)
{
	char c = *scan->p;

	if (c == '"') {
		scan->p++;
		return skip_string(scan);
	}
	if (c == '(' || c == '[' || c == '{') {
		bool pushed = push(scan, c);

		scan->last = *scan->p++;
		scan->word[0] = '\0';
		return pushed;
	}
	if (is_digit(c)) {
		skip_number(scan);
		return true;
	}
	if (is_word(c))
		return on_word(scan);
	scan->word[0] = '\0';
	if (c == ')' || c == ']' || c == '}')
		return on_close(scan);
	if (c == '.')
		return on_dot(scan);
	return c == '@' ? on_format(scan) : on_other(scan);
}

bool expr_words_allowed(const char *source, struct err *err)
{
	struct scan scan = { .p = source, .err = err };

	while (*scan.p != '\0') {
		if (*scan.p == '#') {
			scan.p += strcspn(scan.p, "\n");
		} else if (strchr(" \t\r\n", *scan.p) != NULL) {
			scan.p++;
		} else if (!on_significant(&scan)) {
			return false;
		}
	}
	if (scan.depth == 0)
		return true;
	err_set(err, ERR_INVALID, "the expression does not close its %s",
		top(&scan) == 'i' ? "\"if\" with \"end\"" : "brackets");
	return false;
}
