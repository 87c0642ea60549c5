/* SPDX-License-Identifier: Apache-2.0 */
/* email_cases - addresses and their keys: for email_key() and for the CHECK in the database. */
#ifndef OPSD_TESTS_UNIT_EMAIL_CASES_H
#define OPSD_TESTS_UNIT_EMAIL_CASES_H

#include <stddef.h>

static const struct {
	const char *text;
	const char *key; /* NULL: no address */
} email_cases[] = {
	{ "ana@example.com", "ana@example.com" },
	{ "Ana.Ruiz@Example.COM", "ana.ruiz@example.com" },
	{ "ana+ops@example.com", "ana+ops@example.com" }, /* another claim, not the same address */
	{ "a.n.a@example.com", "a.n.a@example.com" },
	{ "o'brien@example.com", "o'brien@example.com" },
	{ "a@xn--bcher-kva.example", "a@xn--bcher-kva.example" },
	{ "a@sub-domain.example.com", "a@sub-domain.example.com" },
	/* letters that only look the same, or fold to it */
	{ "quac\xe2\x84\xaa@example.com", NULL }, /* KELVIN SIGN */
	{ "\xc4\xb0van@example.com", NULL },      /* I with a dot */
	{ "g\xc4\xb1thub@example.com", NULL },    /* i without a dot */
	{ "\xef\xbd\x81lice@example.com", NULL }, /* full-width a */
	{ "ali\xe2\x80\x8d"
	  "ce@example.com",
	  NULL }, /* zero-width joiner */
	{ "ali\xc2\xad"
	  "ce@example.com",
	  NULL }, /* soft hyphen */
	{ "\xe2\x80\x8f"
	  "alice@example.com",
	  NULL },                           /* right-to-left mark */
	{ "\xc3\xa1na@example.com", NULL }, /* a with an acute accent */
	{ "\xd0\xb0na@example.com", NULL }, /* Cyrillic a */
	{ "ana@ex\xc3\xa4mple.com", NULL },
	/* what is no plain address */
	{ "", NULL },
	{ "ana", NULL },
	{ "ana@", NULL },
	{ "@example.com", NULL },
	{ "ana@@example.com", NULL },
	{ "ana@example.com@example.com", NULL },
	{ " ana@example.com", NULL },
	{ "ana@example.com ", NULL },
	{ "ana@example.com\n", NULL },
	{ "an a@example.com", NULL },
	{ "ana\t@example.com", NULL },
	{ ".ana@example.com", NULL },
	{ "ana.@example.com", NULL },
	{ "a..na@example.com", NULL },
	{ "\"ana\"@example.com", NULL },
	{ "ana@example", NULL },
	{ "ana@example.", NULL },
	{ "ana@.example.com", NULL },
	{ "ana@example..com", NULL },
	{ "ana@-example.com", NULL },
	{ "ana@example-.com", NULL },
	{ "ana@exam_ple.com", NULL },
	{ "ana@[127.0.0.1]", NULL },
	{ "ana@example.c", NULL },
	{ "Ana <ana@example.com>", NULL },
	{ "ana,ben@example.com", NULL },
};

#endif
