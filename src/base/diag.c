/* SPDX-License-Identifier: Apache-2.0 */
/* diag.c - the list of mistakes found in a file. */
#include "base/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/xalloc.h"

void diags_init(struct diags *diags)
{
	*diags = (struct diags){ 0 };
}

void diags_finish(struct diags *diags)
{
	for (size_t i = 0; i < diags->n; i++) {
		free(diags->items[i].file);
		free(diags->items[i].text);
	}
	free(diags->items);
	*diags = (struct diags){ 0 };
}

void diag_add(struct diags *diags, const char *file, int line, int column, const char *fmt, ...)
{
	struct diag *diag;
	va_list ap;

	diags->total++;
	if (diags->n == DIAG_MAX)
		return;
	diags->items = xrealloc(diags->items, (diags->n + 1) * sizeof(*diags->items));
	diag = &diags->items[diags->n++];
	*diag = (struct diag){ .file = xstrdup_null(file), .line = line, .column = column };
	va_start(ap, fmt);
	if (vasprintf(&diag->text, fmt, ap) < 0)
		diag->text = xstrdup(fmt);
	va_end(ap);
}

const char *diag_text(const struct diag *diag)
{
	static _Thread_local char text[2048];
	const char *file = diag->file != NULL ? diag->file : "";
	const char *colon = diag->file != NULL ? ": " : "";

	if (diag->line > 0 && diag->column > 0)
		(void)snprintf(text, sizeof(text), "%s%s%d:%d: %s", file,
			       diag->file != NULL ? ":" : "", diag->line, diag->column, diag->text);
	else if (diag->line > 0)
		(void)snprintf(text, sizeof(text), "%s%s%d: %s", file,
			       diag->file != NULL ? ":" : "", diag->line, diag->text);
	else
		(void)snprintf(text, sizeof(text), "%s%s%s", file, colon, diag->text);
	return text;
}
