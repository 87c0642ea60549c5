/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_http - net/http.h for tests: nothing is sent; the test answers.
 *
 * Requests are kept in order.  A test answers one by its number, with a status and a body or with
 * an error; the answer comes on the loop's next turn.
 */
#ifndef OPSD_TESTS_FAKES_FAKE_HTTP_H
#define OPSD_TESTS_FAKES_FAKE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "net/http.h"

struct http;

enum { FAKE_HTTP_MAX = 8192 };

struct fake_request {
	char *url, *body, *bearer, *type; /* type: the Content-Type header's value */
	unsigned timeout_ms;
	enum http_connection connection;
	bool open; /* neither answered nor cancelled */
};

struct http *fake_http_create(uv_loop_t *loop);
void fake_http_destroy(struct http *http); /* asserts that nothing is open */

size_t fake_http_count(const struct http *http);
const struct fake_request *fake_http_request(const struct http *http, size_t i);

/* retry_after_ms: -1 for none. */
void fake_http_answer(struct http *http, size_t i, int status, const char *body,
		      int64_t retry_after_ms);
void fake_http_fail(struct http *http, size_t i, enum err_kind kind, const char *why);

#endif
