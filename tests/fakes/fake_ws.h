/* SPDX-License-Identifier: Apache-2.0 */
/* fake_ws - net/ws.h for tests: nothing is sent; the test opens, speaks and closes. */
#ifndef OPSD_TESTS_FAKES_FAKE_WS_H
#define OPSD_TESTS_FAKES_FAKE_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FAKE_WS_MAX = 256, FAKE_WS_SENT = 64 };

enum fake_ws_life {
	FAKE_WS_DIALLING,
	FAKE_WS_OPEN,
	FAKE_WS_CLOSING, /* ws_close was called */
	FAKE_WS_CLOSED,
	FAKE_WS_ABANDONED
};

struct fake_ws {
	char *url;
	enum fake_ws_life life;
	int close_code;
	bool full; /* takes no more frames */
	size_t n_sent;
	char *sent[FAKE_WS_SENT];
};

void fake_ws_reset(void); /* frees all; at the end of a test */
size_t fake_ws_count(void);
struct fake_ws *fake_ws_at(size_t i);
size_t fake_ws_living(void); /* dialling, open or closing */

/* Each calls the user's event from here, as the loop would. */
void fake_ws_open(size_t i);
void fake_ws_say(size_t i, const char *text);
void fake_ws_close(size_t i, int status, int code, int64_t retry_after_ms, const char *why);

#endif
