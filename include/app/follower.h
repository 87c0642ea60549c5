/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follower - looks at what was changed until it is complete and has stayed: claims what is due,
 * asks the kind, and writes what came of it.
 *
 * Nothing is kept between two looks: the rows are (store/follow.h).  Looks of one second share a
 * claim and a mark.
 */
#ifndef OPSD_APP_FOLLOWER_H
#define OPSD_APP_FOLLOWER_H

struct follower;
struct service;

struct follower *follower_create(struct service *service);
void follower_destroy(struct follower *follower); /* looks under way are taken up again elsewhere */

#endif
