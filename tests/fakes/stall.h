/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stall - how long the machine has kept us waiting, for tests of what is promised about time.
 *
 * A thread that only sleeps measures by how much it wakes too late: a machine that stands still, or
 * has no processor for us, is late for both.  What the tested code wastes itself is not in it.
 */
#ifndef OPSD_TESTS_FAKES_STALL_H
#define OPSD_TESTS_FAKES_STALL_H

#include <stdint.h>

/* In all, since the first call, which starts the thread. */
uint64_t stall_ms(void);

#endif
