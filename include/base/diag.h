/* SPDX-License-Identifier: Apache-2.0 */
/* diag - a list of mistakes found in a file, each as "file:line:column: what"; all are reported,
 * not the first. */
#ifndef OPSD_BASE_DIAG_H
#define OPSD_BASE_DIAG_H

#include <stddef.h>

enum { DIAG_MAX = 100 }; /* later ones are only counted */

struct diag {
	char *file;
	int line, column; /* from 1; 0: not known */
	char *text;
};

struct diags {
	struct diag *items;
	size_t n;     /* stored */
	size_t total; /* found */
};

void diags_init(struct diags *diags);
void diags_finish(struct diags *diags);
void diag_add(struct diags *diags, const char *file, int line, int column, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* "file:line:column: text" (parts that are not known left out); valid until the next call. */
const char *diag_text(const struct diag *diag);

#endif
