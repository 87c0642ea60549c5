/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_time - a loop without waiting: where it would sleep until its next timer, the clock jumps.
 *
 * Linked into a test it takes the place of the C library's clock_gettime() and epoll_wait(), for
 * the loop and for base/clock alike.  Only for tests whose other ends are fakes: a descriptor that
 * becomes ready by itself would be asked too seldom.
 */
#ifndef OPSD_TESTS_FAKES_FAKE_TIME_H
#define OPSD_TESTS_FAKES_FAKE_TIME_H

#include <stdint.h>
#include <uv.h>

int64_t fake_time_ms(void);                       /* since the program began */
void fake_time_spend(unsigned ms);                /* as work of the loop's thread does */
void fake_time_run(uv_loop_t *loop, unsigned ms); /* lets the loop run for so long */

#endif
