/* SPDX-License-Identifier: Apache-2.0 */
/* test - cmocka with what its header needs before it; include this first in every test. */
#ifndef OPSD_TESTS_UNIT_TEST_H
#define OPSD_TESTS_UNIT_TEST_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#endif
