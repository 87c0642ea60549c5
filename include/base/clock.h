/* SPDX-License-Identifier: Apache-2.0 */
/* clock - the time; tests move it.  The database's clock decides deadlines of requests, not this
 * one. */
#ifndef OPSD_BASE_CLOCK_H
#define OPSD_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

int64_t clock_wall_ms(void); /* since 1970, UTC */
int64_t clock_mono_ms(void); /* CLOCK_BOOTTIME: goes on while the machine sleeps */

void clock_fake(int64_t wall_ms); /* both clocks stand still at this until moved */
void clock_fake_advance(int64_t ms);
void clock_real(void);

enum { CLOCK_ISO_LEN = 25 };
void clock_iso(int64_t wall_ms, char ret_text[CLOCK_ISO_LEN]); /* 2026-11-25T03:12:07.123Z */

#endif
