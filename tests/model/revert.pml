/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revert.pml - the end of a temporary change: its revert, two replicas that may die and whose leases may lapse, a
 * stranger who writes the value meanwhile, and an owner who is asked when the value is not ours any more.
 *
 * value: 0 as before the change, 1 what the change wrote, 2 somebody else's.  The patch goes through only when the value
 * still is as planned and the object does not carry the mark of this revert (src/action/change.c).
 *
 *   spin -a revert.pml && gcc -O2 -DSAFETY -o pan pan.c && ./pan
 *   -DNOFOREIGN   what is not ours is set back unasked: must be found
 *   -DNOMARK      a second sending is not known by the mark: must be found
 *   -DNOFENCE     writes are not guarded by the fence: must be found
 */
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef TRIES
#define TRIES 2
#endif

mtype = { scheduled, allowed, confirming, running, succeeded, failed, unknown, cancelled };

mtype st = scheduled;
byte by = 0;
byte fence = 0;
bool lease = false;
byte plan = 9;          /* on record with the intent: the value that is to be set back */
bool agreed = false;    /* the owner pressed "Set back anyway" … */
byte agreed_to = 9;     /* … on a plan with this value */
byte value = 1;
bool mark = false;      /* the object carries this revert's mark */
byte effects = 0;
byte crashes = 0;
byte tries = 0;         /* take-overs: after some it is given up, and said so */

#ifdef NOFENCE
#define MINE true
#else
#define MINE (fence == mine && by == me)
#endif

inline may_die() { if :: crashes < CRASHES -> crashes++; goto again :: skip fi }
inline finish(to) { atomic { if :: MINE && (st == allowed || st == confirming || st == running) -> st = to; by = 0 :: else fi } }

proctype Replica(byte me)
{
	byte mine = 0;
	byte seen;
	bool looks;
again:
	end: atomic {
		if
		:: st == scheduled -> st = allowed; fence++; mine = fence; by = me; lease = true; looks = false
		:: by != 0 && !lease && (st == allowed || st == confirming || st == running) -> /* taken over */
			fence++; tries++; looks = (st == running);
			if
			:: tries > TRIES -> st = (looks -> unknown : failed); by = 0
			:: else -> mine = fence; by = me; lease = true
			fi
		:: st == confirming && by == 0 && !agreed -> /* the owner */
			if
			:: st = cancelled /* Keep */
			:: agreed = true; agreed_to = plan; fence++; mine = fence; by = me; lease = true; looks = false
			fi
		fi
	}
	if
	:: by != me || fence != mine -> goto again
	:: looks -> goto look
	:: else
	fi;
	/* the plan: what is there now */
	seen = value;
	may_die();
	if
	:: seen == 0 -> finish(succeeded); goto again /* it is so already */
	:: seen == 2 && !(agreed && agreed_to == 2) ->
#ifndef NOFOREIGN
		atomic { /* offer */
			if
			:: MINE && (st == allowed || st == confirming) -> st = confirming; by = 0; plan = seen; agreed = false
			:: else
			fi
		}
		may_die();
		goto again
#else
		skip
#endif
	:: else
	fi;
	atomic { /* start */
		if
		:: MINE && lease && (st == allowed || st == confirming) -> st = running; plan = seen
		:: else -> goto again
		fi
	}
act:
	may_die();
	atomic { /* the patch; what it insists on is judged by the cluster */
		if
		:: mark -> skip /* an earlier sending got there */
#ifdef NOMARK
		:: mark && value == seen -> value = 0; effects++
#endif
		:: !mark && value == seen ->
			assert(seen == 1 || (agreed && agreed_to == seen));
			value = 0; mark = true; effects++
		:: !mark && value != seen -> finish(failed); goto again /* changed meanwhile; said so */
		fi
	}
	assert(effects <= 1);
	may_die();
	finish(succeeded);
	may_die();
	goto again;
look:
	may_die();
	atomic {
		if
		:: mark -> finish(succeeded); goto again
		:: !mark -> seen = plan /* as recorded */
		fi
	}
	goto act
}

proctype Lapse() { end: do :: atomic { lease -> lease = false } od }

/* Writes twice at most; the second may be the very value of the change. */
proctype Stranger()
{
	byte n = 0;
end:	do
	:: n < 2 -> n++; if :: value = 2 :: value = 1 fi
	:: n == 2 -> break
	od
}

init { atomic { run Replica(1); run Replica(2); run Lapse(); run Stranger() } }
