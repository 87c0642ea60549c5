/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.pml - one change of the class "once" with a preview, two replicas, a requester who clicks twice, leases
 * that may lapse at any time, replicas that may die at any point (each comes back, up to CRASHES deaths).
 *
 * What the database does in one function is atomic here; the effect and whatever a replica remembers are not in the
 * database.  MOVE(from, to) is each move of tests/model/states.yaml; test_model.py compares them.
 *
 *   spin -a request.pml && gcc -O2 -DSAFETY -o pan pan.c && ./pan -m200000
 *   -DNOINTENT      the intent is not recorded before the effect: must be found
 *   -DNOFENCE       writes are not guarded by the fence: must be found
 *   -DFORGETFUL     a replica may die between "nothing was recorded" and the end of disown: must be found
 */
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef TRIES
#define TRIES 2 /* take-overs before a request is given up */
#endif

mtype = { none, received, allowed, confirming, approving, running, unknown, succeeded, failed, denied, rejected, expired, cancelled };

mtype st = none;
byte by = 0;            /* whose it is; 0: nobody's */
byte fence = 0;
bool lease = false;     /* not lapsed */
bool intent = false;    /* a step in the state intent */
bool confirmed = false; /* an entry of the audit log */
byte tries = 0;
byte effects = 0;
byte crashes = 0;
byte clicks = 2;
byte told = 0;          /* the person was told that nothing was recorded: the intent (1), the click (2) */
byte disowning = 0;     /* what has still to be disowned; in the memory of one replica */

#define MOVE(from, to) assert(st == from); st = to
#define OURS (fence == mine && by == me)
#ifdef NOFENCE
#define MINE true
#else
#define MINE OURS
#endif

inline may_die() { if :: crashes < CRASHES -> crashes++; goto dead :: skip fi }

/* The end of a run; a settle that is fenced off writes nothing. */
inline settle(to_state) {
	atomic {
		if
		:: MINE && st == received && to_state != unknown -> MOVE(received, to_state); by = 0; intent = false
		:: MINE && st == allowed && to_state != unknown -> MOVE(allowed, to_state); by = 0; intent = false
		:: MINE && st == confirming && to_state != unknown -> MOVE(confirming, to_state); by = 0; intent = false
		:: MINE && st == running -> MOVE(running, to_state); by = 0; intent = false
		:: else
		fi
	}
}

proctype Replica(byte me)
{
	byte mine = 0; /* the fence under which it works */
	bool taken;    /* by the timer: it is not known what the one before did */
again:
	taken = false;
	end: atomic {
		if
		:: st == none -> /* receive */
			fence = 1; mine = 1; by = me; lease = true;
			if
			:: MOVE(none, received)
			:: MOVE(none, allowed)
			:: MOVE(none, denied); by = 0
			:: MOVE(none, rejected); by = 0
			fi;
			if
			:: st == received || st == allowed -> told = 1; disowning = 1 /* the answer was lost */
			:: skip
			fi
		:: st == confirming && by == 0 && clicks > 0 -> /* confirm */
			clicks--;
			if
			:: MOVE(confirming, confirming); fence++; mine = fence; by = me; lease = true; confirmed = true;
				told = 0;
				if
				:: told = 2; disowning = 2 /* the answer was lost */
				:: skip
				fi
			:: MOVE(confirming, cancelled)
			:: MOVE(confirming, denied)
			:: MOVE(confirming, expired)
			fi
		:: by != 0 && !lease && (st == received || st == allowed || st == confirming || st == running) -> /* claim_due */
			fence++; tries++;
			if
			:: tries > TRIES ->
				by = 0;
				if
				:: st == received -> MOVE(received, failed)
				:: st == allowed -> MOVE(allowed, failed)
				:: st == confirming -> MOVE(confirming, failed)
				:: st == running -> MOVE(running, unknown); intent = false
				fi
			:: else -> mine = fence; by = me; lease = true; taken = true
			fi
		:: by == 0 && st == confirming -> MOVE(confirming, expired) /* claim_due: the offer has ended */
		:: by == 0 && st == unknown -> /* resolve: a person has looked */
			if
			:: MOVE(unknown, succeeded)
			:: MOVE(unknown, failed)
			fi
		:: disowning == 1 -> /* disown */
			disowning = 0;
			if
			:: st == received -> MOVE(received, cancelled); by = 0; fence++
			:: st == allowed -> MOVE(allowed, cancelled); by = 0; fence++
			:: st == confirming -> MOVE(confirming, cancelled); by = 0; fence++
			:: else
			fi
		:: disowning == 2 ->
			disowning = 0;
			if
			:: st == confirming && by != 0 -> by = 0; fence++; confirmed = false
			:: else -> told = 0 /* too late: an answer of the audit log says so */
			fi
		fi
	}
	if
	:: by != me || fence != mine || (told != 0 && disowning != 0) -> goto again /* what was lost is not carried on */
	:: else
	fi;
	may_die();
work:
	if
	:: st == received -> /* decide_request */
		atomic {
			if
			:: MINE && st == received ->
				if
				:: MOVE(received, allowed)
				:: MOVE(received, denied); by = 0
				fi
			:: else -> goto again
			fi
		}
		may_die();
		goto work
	:: st == allowed || (st == confirming && !taken) -> skip
	:: st == confirming && taken -> skip
	:: st == running && taken -> /* look: of a once effect nobody can say */
		settle(unknown);
		may_die();
		goto again
	:: else -> goto again
	fi;
	/* the plan */
	if
	:: true -> settle(succeeded); goto again /* nothing to do */
	:: true -> settle(failed); goto again
	:: (!confirmed || clicks > 0) -> /* offer: the first, or since the plan has changed */
		atomic {
			if
			:: MINE && st == allowed -> MOVE(allowed, confirming); by = 0; confirmed = false
			:: MINE && st == confirming -> MOVE(confirming, confirming); by = 0; confirmed = false
			:: else
			fi
		}
		may_die();
		goto again
	:: confirmed -> skip
	fi;
	may_die();
#ifdef NOINTENT
	if :: MINE && lease -> skip :: else -> goto again fi;
#else
	atomic { /* start */
		if
		:: MINE && lease && st == confirming && confirmed ->
			if
			:: MOVE(confirming, running); intent = true
			:: MOVE(confirming, denied); by = 0; goto again
			fi
		:: else -> goto again
		fi
	}
	may_die();
#endif
	effects++; /* cannot be taken back */
	assert(effects <= 1);
	assert(told != 1 && told != 2);
#ifndef NOINTENT
	assert(intent || st != running || !OURS);
	assert(confirmed);
#endif
	may_die();
	if
	:: true -> settle(succeeded)
	:: true -> settle(unknown) /* its answer was lost */
	fi;
	may_die();
	goto again;
dead:
#ifdef FORGETFUL
	disowning = 0;
#endif
	mine = 0;
	goto again
}

proctype Lapse()
{
end:	do
#ifdef FORGETFUL
	:: atomic { lease -> lease = false }
#else /* assumed: disown, tried each second, is through within the minute of a lease */
	:: atomic { (lease && disowning == 0) -> lease = false }
#endif
	od
}

/* What is over stays so; what was refused has had no effect. */
proctype Watch()
{
end:	atomic {
		(((st == denied || st == rejected || st == expired || st == cancelled) && effects > 0) ||
		 (st == succeeded && effects > 1) || (st == running && !intent)) -> assert(false)
	}
}

init { atomic { run Replica(1); run Replica(2); run Lapse(); run Watch() } }
