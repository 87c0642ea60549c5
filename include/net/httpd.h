/* SPDX-License-Identifier: Apache-2.0 */
/*
 * httpd - the few pages that opsd serves: GET and HEAD only, answered from memory (libmicrohttpd
 * polled by the loop; at most 32 connections, 5 s each).
 */
#ifndef OPSD_NET_HTTPD_H
#define OPSD_NET_HTTPD_H

#include <stdint.h>
#include <uv.h>

struct buf;
struct err;
struct httpd;

/* Fills body (ceiling 1 MiB) and returns the status; *ret_type is a static content type. */
typedef int (*httpd_page_fn)(void *data, const char *path, struct buf *body, const char **ret_type);

/* listen is "127.0.0.1:9464", "[::1]:0", …; NULL: err. */
struct httpd *httpd_create(uv_loop_t *loop, const char *listen, httpd_page_fn page, void *data,
			   struct err *err);
uint16_t httpd_port(const struct httpd *httpd); /* the bound one */
void httpd_destroy(struct httpd *httpd);

#endif
