/* SPDX-License-Identifier: Apache-2.0 */
/* libraries - process-wide start and end of the foreign libraries, before any thread and after the
 * loop. */
#ifndef OPSD_APP_LIBRARIES_H
#define OPSD_APP_LIBRARIES_H

void libraries_init(void);
void libraries_finish(void);

#endif
