/* SPDX-License-Identifier: Apache-2.0 */
/* xalloc, arena, buf and list: who owns what, alignment, ceilings. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/xalloc.h"

static void test_xalloc(void **state)
{
	char *text = xasprintf("%s-%d", "a", 7), *copy = xstrndup("abcdef", 3);
	unsigned char *zeroed = xcalloc(4, 4), *none = xcalloc(0, 8);

	(void)state;
	assert_string_equal(text, "a-7");
	assert_string_equal(copy, "abc");
	assert_null(xstrdup_null(NULL));
	for (int i = 0; i < 16; i++)
		assert_int_equal(zeroed[i], 0);
	assert_non_null(none);
	text = xrealloc(text, 100);
	assert_string_equal(text, "a-7");
	free(text);
	free(copy);
	free(zeroed);
	free(none);
}

static void test_arena(void **state)
{
	struct arena *arena = arena_create();
	char *first = arena_strdup(arena, "first");
	unsigned char *big;

	(void)state;
	for (size_t size = 0; size < 200; size++) {
		unsigned char *p = arena_alloc(arena, size);

		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, size);
	}
	big = arena_alloc(arena, 100000);
	memset(big, 1, 100000);
	assert_string_equal(first, "first");
	assert_string_equal(arena_printf(arena, "%d/%s", 3, "x"), "3/x");
	assert_string_equal(arena_strndup(arena, "abcdef", 2), "ab");
	assert_string_equal(arena_strndup(arena, "ab", 9), "ab");
	assert_null(arena_strdup(arena, NULL));
	arena_destroy(arena);
	arena_destroy(NULL);
}

static void test_buf_grows(void **state)
{
	struct buf buf;
	char *text;

	(void)state;
	buf_init(&buf, 1000);
	assert_string_equal(buf_text(&buf), "");
	text = buf_take(&buf);
	assert_string_equal(text, "");
	free(text);
	for (int i = 0; i < 100; i++)
		assert_true(buf_printf(&buf, "%03d,", i));
	assert_int_equal(buf.len, 400);
	assert_int_equal(strlen(buf_text(&buf)), 400);
	buf_consume(&buf, 396);
	assert_string_equal(buf_text(&buf), "099,");
	buf_reset(&buf);
	assert_string_equal(buf_text(&buf), "");
	assert_true(buf_append(&buf, "a\0b", 3));
	assert_int_equal(buf.len, 3);
	text = buf_take(&buf);
	assert_memory_equal(text, "a\0b", 4);
	free(text);
	assert_int_equal(buf.len, 0);
	buf_finish(&buf);
}

static void test_buf_ceiling(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 8);
	assert_true(buf_puts(&buf, "12345678"));
	assert_false(buf.overflow);
	assert_false(buf_puts(&buf, "9"));
	assert_true(buf.overflow);
	assert_string_equal(buf_text(&buf), "12345678");
	assert_false(buf_puts(&buf, "")); /* stays refused until reset */
	buf_reset(&buf);
	assert_false(buf_printf(&buf, "%s", "123456789"));
	assert_string_equal(buf_text(&buf), "");
	buf_reset(&buf);
	assert_true(buf_puts(&buf, "ok"));
	buf_finish(&buf);
}

struct item {
	int value;
	struct list_node node;
};

static void test_list(void **state)
{
	struct item items[3] = { { .value = 0 }, { .value = 1 }, { .value = 2 } };
	struct list list;
	int expect = 0;

	(void)state;
	list_init(&list);
	assert_null(list_first(&list));
	for (int i = 0; i < 3; i++)
		list_push(&list, &items[i].node);
	assert_int_equal(list.count, 3);
	for (struct list_node *n = list_first(&list); n != NULL; n = list_next(&list, n))
		assert_int_equal(list_entry(n, struct item, node)->value, expect++);
	list_remove(&list, &items[1].node);
	assert_false(list_linked(&items[1].node));
	assert_ptr_equal(list_pop(&list), &items[0].node);
	assert_ptr_equal(list_pop(&list), &items[2].node);
	assert_null(list_pop(&list));
	assert_int_equal(list.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_xalloc),    cmocka_unit_test(test_arena),
		cmocka_unit_test(test_buf_grows), cmocka_unit_test(test_buf_ceiling),
		cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
