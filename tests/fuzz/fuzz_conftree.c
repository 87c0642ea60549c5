/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a configuration file: a tree or at least one mistake, and every node has a place. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>

#include "base/conftree.h"
#include "base/diag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conftree *tree;
	struct diags diags;
	int line, column;

	diags_init(&diags);
	tree = conftree_parse("f", (const char *)data, size, &diags);
	assert((tree == NULL) == (diags.total > 0));
	for (size_t i = 0; i < diags.n; i++)
		assert(diag_text(&diags.items[i])[0] != '\0');
	if (tree != NULL) {
		assert(conftree_root(tree) != NULL);
		assert(conftree_place(tree, "", &line, &column) && line > 0 && column > 0);
		(void)conftree_place(tree, "/a/0/~1", &line, &column);
	}
	conftree_destroy(tree);
	diags_finish(&diags);
	return 0;
}
