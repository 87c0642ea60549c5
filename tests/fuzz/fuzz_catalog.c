/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_catalog.c - any text as a file of commands: a tree or mistakes, a catalog or mistakes, never
 * both, never neither. */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conftree.h"
#include "base/diag.h"
#include "core/catalog.h"
#include "core/command.h"
#include "fake_kinds.h"

enum { SIZE_MAX_YAML = 64 * 1024 };

static char dir[] = "/tmp/opsd-fuzz-XXXXXX";
static char path[64];

static void leave(void)
{
	(void)unlink(path);
	(void)rmdir(dir);
}

static void enter(void)
{
	if (mkdtemp(dir) == NULL)
		abort();
	(void)snprintf(path, sizeof(path), "%s/w.yaml", dir);
	(void)atexit(leave);
}

static void write_file(const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	(void)close(fd);
}

/* Whatever loaded can be shown. */
static void show(const struct catalog *catalog)
{
	char *docs = catalog_docs(catalog);

	assert(docs != NULL);
	free(docs);
	json_decref(catalog_actions(catalog));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diags diags;
	struct conftree *tree;
	struct catalog *catalog;

	if (size > SIZE_MAX_YAML)
		return 0;
	if (*path == '\0')
		enter();
	diags_init(&diags);
	tree = conftree_parse("w.yaml", (const char *)data, size, &diags);
	assert((tree == NULL) == (diags.total > 0));
	diags_finish(&diags);
	if (tree == NULL)
		return 0;
	conftree_destroy(tree);
	write_file(data, size);
	diags_init(&diags);
	catalog = catalog_load(dir, fake_kinds, NULL, &diags);
	assert((catalog == NULL) == (diags.total > 0));
	if (catalog != NULL)
		show(catalog);
	catalog_unref(catalog);
	diags_finish(&diags);
	return 0;
}
