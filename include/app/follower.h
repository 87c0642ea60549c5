/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follower - looks at what was changed until it is complete and has stayed: claims what is due,
 * asks the kind, and writes what came of it.
 *
 * The rows are (store/follow.h).  What a cluster tells of by a watch stays in hand while it is
 * watched: a look is made when something is heard, and only what is news is written.  Whatever else
 * is let go of after each look, and so is all of it at the stop.
 */
#ifndef OPSD_APP_FOLLOWER_H
#define OPSD_APP_FOLLOWER_H

#include "base/call.h"

struct buf;
struct follower;
struct service;

struct follower *follower_create(struct service *service);
/* Lets go of all, so that another replica looks at once; done comes once, however that ends. */
void follower_stop(struct follower *follower, call_done_fn done, void *data);
void follower_destroy(struct follower *follower); /* looks under way are taken up again elsewhere */

void follower_metrics(const struct follower *follower, struct buf *buf);

#endif
