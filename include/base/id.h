/* SPDX-License-Identifier: Apache-2.0 */
/* id - request ids: sortable by time, random, printable, safe to read aloud; and random boot ids.
 */
#ifndef OPSD_BASE_ID_H
#define OPSD_BASE_ID_H

#include <stdbool.h>

/* "R" + 9 digits of Crockford base32 for the millisecond + 6 random digits, e.g. R1KH2M8Q4ZT7WX0A.
 */
enum { ID_REQUEST_LEN = 17 }; /* with the NUL */
void id_request(char ret_id[ID_REQUEST_LEN]);
bool id_is_request(const char *text);

enum { ID_UUID_LEN = 37 };
void id_uuid(char ret_id[ID_UUID_LEN]); /* version 4 */

#endif
