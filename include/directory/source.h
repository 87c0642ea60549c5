/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source - where a copy of the company directory comes from: one kind a file in src/directory.
 *
 * A fetch ends with the whole directory or with a sentence that says what is wrong and what to do:
 * never with a part of it.  Credentials are read at each fetch and forgotten at its end.
 */
#ifndef OPSD_DIRECTORY_SOURCE_H
#define OPSD_DIRECTORY_SOURCE_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/call.h"
#include "base/json.h"

struct directory;
struct err;
struct source;

struct source_config {      /* all lent */
	uv_loop_t *loop;    /* NULL: only to check the settings */
	const char *name;   /* its name under directory.sources */
	const json_t *node; /* its settings */
	const char *dir;    /* where relative paths start */
};

/* NULL: err names the setting, the reason and the next step. */
struct source *source_open(const struct source_config *config, struct err *err);
void source_close(struct source *source); /* every fetch is over; handles close on the loop */

const char *source_kind(const struct source *source); /* "google", "file", … */
const char *const *source_domains(const struct source *source, size_t *ret_n);

struct source_answer {
	struct directory *directory; /* the receiver's; NULL: still what validator stands for */
	const char *validator;       /* lent: for the next fetch; NULL: none */
	const json_t *notes; /* lent: { "calls", "pages", "read_again", "outside_members", … } */
};
/* With err, answer is NULL or only has notes: { "group": id } of the one that failed. */
typedef void (*source_done_fn)(void *data, const struct source_answer *answer,
			       const struct err *err);

/*
 * The groups whose members are read, by id, besides those that they contain: ids is an array, or
 * NULL for none.  A kind that has everything in one document reads all of them.
 */
void source_scope(struct source *source, const json_t *ids);

/* validator: of the last answer that was applied whole, when the document may be skipped if it is
 * still that one; NULL: read it in any case. */
struct call *source_fetch(struct source *source, const char *validator, source_done_fn done,
			  void *data);

/* Is it to be had?  Signs in and reads the first page of each list, with one try; a document is
 * read whole.  The answer has no directory, and its notes say how much came: { "people",
 * "groups" }. */
struct call *source_probe(struct source *source, source_done_fn done, void *data);

#endif
