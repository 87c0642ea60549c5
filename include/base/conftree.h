/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conftree - strict YAML text to a JSON tree that remembers file, line and column.
 *
 * The strict subset: no anchors, aliases, merge keys or tags (but !!str), no duplicate or
 * non-scalar keys, one document, depth <= 64, <= 100,000 nodes, <= 1 MiB, no NUL.  Plain scalars:
 * null/~/empty, true/false, decimal integers within int64, decimal reals with a dot; refused with
 * a helpful text: yes no on off y n, leading zeros, 0x, 0o, base-60, 1e3, integers out of range.
 * JSON text is YAML and loads too.
 *
 * Files that other programs write (kubeconfig) may be loaded loosely: an alias stands for what its
 * anchor marks, and a plain scalar that would be refused is text.
 */
#ifndef OPSD_BASE_CONFTREE_H
#define OPSD_BASE_CONFTREE_H

#include <stddef.h>

#include "base/json.h"

struct conftree;
struct diags;

/* NULL when anything is wrong: diags then has at least one entry.  file is only a name for
 * messages. */
struct conftree *conftree_parse(const char *file, const char *text, size_t len,
				struct diags *diags);
struct conftree *conftree_load(const char *path,
			       struct diags *diags); /* reads the file (blocking) */
struct conftree *conftree_load_loose(const char *path, struct diags *diags);
void conftree_destroy(struct conftree *tree);

json_t *conftree_root(const struct conftree *tree); /* borrowed */
const char *conftree_file(const struct conftree *tree);

/* Where a node stands; a JSON pointer ("/commands/scale/risk", escapes ~0 ~1).  false: unknown
 * path. */
bool conftree_place(const struct conftree *tree, const char *pointer, int *ret_line,
		    int *ret_column);
bool conftree_key_place(const struct conftree *tree, const char *pointer, int *ret_line,
			int *ret_column);

/* diag_add at the place of a node (of its nearest known parent when it is missing). */
void conftree_diag(const struct conftree *tree, struct diags *diags, const char *pointer,
		   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
