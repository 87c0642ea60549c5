/* SPDX-License-Identifier: Apache-2.0 */
/* libraries - process-wide start and end of the foreign libraries, before any thread and after the
 * loop. */
#ifndef OPSD_APP_LIBRARIES_H
#define OPSD_APP_LIBRARIES_H

void libraries_init(void);
void libraries_finish(void);
/* Gives the pages of code back that only the start needed: linking, the catalog's expressions, the
 * first handshakes.  One that is needed again comes back from the page cache. */
void libraries_rest(void);

#endif
