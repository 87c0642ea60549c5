/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold.pml - two changes of one object, a freeze that comes at any time, replicas that die after the intent.
 *
 * A start is a transaction of several steps here, as in ops.start: it shares the lock that a freeze takes alone, looks
 * whether it is frozen, inserts the step (the unique index of targets is `holder`, taken before the commit) and commits.
 * ops.repeat looks at the freeze again.  What a person says ends an unknown one.
 *
 *   spin -a hold.pml && gcc -O2 -DSAFETY -o pan pan.c && ./pan
 *   -DNOLOCK     a freeze does not wait for starts that did not see it: must be found
 *   -DNOINDEX    two steps may be open for one object: must be found
 */
mtype = { asked, running, unknown, over };

mtype st[2] = asked;
byte holder = 2;        /* whose step is open; 2: nobody's */
byte sharing = 0;       /* starts and repeats under way */
bool alone = false;     /* a freeze is under way */
bool frozen = false;    /* committed */
byte deaths = 0;

#ifdef NOLOCK
#define SHARE skip
#define UNSHARE skip
#define ALONE true
#else
#define SHARE atomic { !alone -> sharing++ }
#define UNSHARE sharing--
#define ALONE (sharing == 0)
#endif

#define OPEN(i) (st[i] == running || st[i] == unknown)

/* Whether an effect may begin is committed: nothing that did not see a freeze commits after it. */
inline permit(i) {
	assert(!frozen);
#ifndef NOINDEX
	assert(holder == i);
#endif
	st[i] = running;
	assert(!(OPEN(0) && OPEN(1)));
}

proctype Request(byte i)
{
	bool seen;
again:
	SHARE;
	seen = frozen;
	if
	:: seen -> UNSHARE; st[i] = over; goto done /* refused */
	:: else
	fi;
	atomic {
		if
#ifdef NOINDEX
		:: true -> holder = i
#else
		:: holder == 2 -> holder = i
		:: holder != 2 -> UNSHARE; goto wait /* busy */
#endif
		fi
	}
	atomic { permit(i); UNSHARE }
act:
	if
	:: atomic { st[i] = over; holder = 2 } /* done, or certainly not done */
	:: atomic { st[i] = unknown }
	:: deaths < 2 -> deaths++; goto look
	fi;
	goto unknown_;
look: /* another replica, or this one after a lost answer: it did not happen */
	SHARE;
	seen = frozen;
	if
	:: seen -> atomic { st[i] = over; holder = 2; UNSHARE }; goto done
	:: else -> atomic { permit(i); UNSHARE }; goto act
	fi;
wait:
	if
	:: holder == 2 -> goto again
	:: st[i] = over; goto done /* it took too long */
	fi;
unknown_:
	if
	:: st[i] == unknown -> atomic { st[i] = over; holder = 2 } /* somebody has said what came of it */
	:: else
	fi;
done:
	assert(st[i] == over)
}

proctype Freeze()
{
	atomic { ALONE -> alone = true };
	frozen = true; /* committed */
	alone = false
}

init { atomic { run Request(0); run Request(1); run Freeze() } }
