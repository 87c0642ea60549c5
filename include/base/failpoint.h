/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failpoint - points before and after everything that is visible outside, at which a test can make
 * the process die, stop or fail.  Only with -Dfailpoints=true; otherwise a point is nothing at all.
 *
 *   OPSD_FP=kill:17          dies at the 17th point reached
 *   OPSD_FP=kill:NAME[:k]    dies at the k-th time that NAME is reached (1)
 *   OPSD_FP=stop:NAME[:k]    SIGSTOP there; it goes on after SIGCONT
 *   OPSD_FP=error:NAME[:k]   FAILPOINT_ERROR(NAME) is true at the k-th time, without k each time
 *   OPSD_FP=A;B              both: what the first one brings about can be met by the second
 *   OPSD_FP=@FILE            one of these is read from FILE at each point; a new text counts afresh
 *   OPSD_FP_LOG=FILE         the names of the points, as they are reached
 */
#ifndef OPSD_BASE_FAILPOINT_H
#define OPSD_BASE_FAILPOINT_H

#include <stdbool.h>
#include <stdint.h>

/* Waits are a tenth in a build with failpoints, so that a harness has time for every point. */
#define FAILPOINT_MS(ms) (OPSD_FAILPOINTS ? (ms) / 10 : (ms))

#if OPSD_FAILPOINTS
/* The name is a format, so that a point in a general place says for whom it is reached. */
#define FAILPOINT(...) ((void)failpoint_reached(__VA_ARGS__))
#define FAILPOINT_ERROR(...) failpoint_reached(__VA_ARGS__)

__attribute__((format(printf, 1, 2))) bool failpoint_reached(const char *fmt, ...);

/* How long it stood at points, each taken for a minute: long enough to lose a lease. */
int64_t failpoint_stood_ms(void);
#define FAILPOINT_STOOD_MS failpoint_stood_ms()

/* OPSD_FP_SKEW=ms: by how much the wall clock of this process is wrong. */
int64_t failpoint_skew_ms(void);
#define FAILPOINT_SKEW_MS failpoint_skew_ms()

/* What of a URL is the same in every run: the last part of a path under /api/, or nothing. */
const char *failpoint_place(const char *url);
#else
#define FAILPOINT(...) ((void)0)
#define FAILPOINT_ERROR(...) false
#define FAILPOINT_STOOD_MS 0
#define FAILPOINT_SKEW_MS 0
#endif

#endif
