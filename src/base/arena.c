/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c - a chain of blocks; what is larger than a block gets one of its own behind the first. */
#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

enum { BLOCK_SIZE = 2048 };

struct block {
	struct block *next;
	size_t used, size; /* of data */
	_Alignas(max_align_t) unsigned char data[];
};

struct arena {
	struct block *first; /* the one that is filled */
};

static struct block *block_create(size_t size)
{
	struct block *block = xcalloc(1, sizeof(*block) + size);

	block->size = size;
	return block;
}

struct arena *arena_create(void)
{
	struct arena *arena = xcalloc(1, sizeof(*arena));

	arena->first = block_create(BLOCK_SIZE);
	return arena;
}

void arena_destroy(struct arena *arena)
{
	struct block *block, *next;

	if (arena == NULL)
		return;
	for (block = arena->first; block != NULL; block = next) {
		next = block->next;
		free(block);
	}
	free(arena);
}

void *arena_alloc(struct arena *arena, size_t size)
{
	const size_t align = _Alignof(max_align_t);
	struct block *block = arena->first;
	void *p;

	assert(size < SIZE_MAX / 2);
	size = size == 0 ? align : (size + align - 1) / align * align;
	if (size > BLOCK_SIZE / 2) {
		block = block_create(size);
		block->used = size;
		block->next = arena->first->next;
		arena->first->next = block;
		return block->data;
	}
	if (block->size - block->used < size) {
		block = block_create(BLOCK_SIZE);
		block->next = arena->first;
		arena->first = block;
	}
	p = block->data + block->used;
	block->used += size;
	return p;
}

char *arena_strdup(struct arena *arena, const char *s)
{
	return s == NULL ? NULL : arena_strndup(arena, s, strlen(s));
}

char *arena_strndup(struct arena *arena, const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *copy = arena_alloc(arena, len + 1);

	memcpy(copy, s, len);
	return copy;
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	text = arena_alloc(arena, (size_t)n + 1);
	va_start(ap, fmt);
	(void)vsnprintf(text, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return text;
}
