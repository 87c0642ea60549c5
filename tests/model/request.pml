/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.pml - one change of the class "once", two replicas, a requester who clicks twice, leases that may lapse at
 * any time, replicas that may die at any point (each comes back, up to CRASHES deaths) and answers of the database that
 * may be lost.  With or without a preview; with RULE two people must approve what would be done.
 *
 * What the database does in one function is atomic here; the effect and whatever a replica remembers are not in the
 * database.  MOVE(from, to) is each move of tests/model/states.yaml; test_model.py compares them.
 *
 *   spin -a request.pml && gcc -O2 -DSAFETY -o pan pan.c && ./pan -m200000
 *   -DRULE          an approval rule holds
 * Left out, each must be found:
 *   -DNOINTENT      the intent is recorded before the effect
 *   -DNOFENCE       writes are guarded by the fence
 *   -DTRUSTING      who takes over an unheard row asks its requester first
 *   -DHASTY         disown leaves alone what was taken over since
 *   -DRULE -DTWICE  a second click of the same approver does not count
 *   -DRULE -DSTALE  approvals are of one plan
 *   -DRULE -DENTITLED  approvers must be entitled when it starts, too
 */
#ifndef CRASHES
#ifdef RULE
#define CRASHES 1
#else
#define CRASHES 2
#endif
#endif
#ifndef TRIES
#ifdef RULE
#define TRIES 1 /* take-overs before a request is given up */
#else
#define TRIES 2
#endif
#endif
#ifdef RULE /* what -DRULE leaves to the other one */
#define CLICKS 1
#define LOSES 0
#else
#define CLICKS 2
#define LOSES 1
#endif

mtype = { none, received, allowed, confirming, approving, scheduled, running, unknown, succeeded, failed, denied, rejected, expired, cancelled };

/* the row */
mtype st = none;
byte by = 0;             /* whose it is; 0: nobody's */
byte fence = 0;
bool lease = false;      /* not lapsed */
bool unheard = false;    /* who took it in may have told the person that nothing was recorded */
bool taken_over = false; /* since a person was last heard */
bool intent = false;     /* a step in the state intent */
bool confirmed = false;  /* by a click on the plan `shown` */
byte shown = 0;
byte last_click = 0;     /* the fence of it */
byte tries = 0;
bool waited = false;     /* for its time */
/* the round of approval; 9: none */
byte digest = 9;
bool vote_a = false, vote_b = false;
byte extra = 0;          /* votes that should not be there */
bool late = false;       /* its time is over */

/* the world */
bool preview;            /* whether the command has one */
byte plan = 0;           /* what would be done now */
bool a_gone = false;     /* the first approver may not approve any more */
byte effects = 0;
byte crashes = 0;
byte clicks = CLICKS;
byte presses = 3;        /* of approvers */

/* what people know */
byte told = 0;           /* that nothing was recorded, of the intent (1) or of the click (2) */
byte said_a = 0, said_b = 0; /* plans that each approver approved */

#define MOVE(from, to) assert(st == from); st = to
#define OURS (fence == mine && by == me)
#ifdef NOFENCE
#define MINE true
#else
#define MINE OURS
#endif
#ifdef ENTITLED
#define HAVE (vote_a + vote_b + extra)
#else
#define HAVE ((vote_a && !a_gone) + vote_b + extra)
#endif
#ifdef STALE
#define OF_THIS(x) true
#else
#define OF_THIS(x) ((x) == seen)
#endif
#ifdef HASTY
#define STILL_HIS(me) true
#else
#define STILL_HIS(me) (by == me && !taken_over)
#endif

/* Between two writes: nothing, death, or the renewal that says that the answer to the first write was heard. */
inline pause() {
	if
	:: crashes < CRASHES -> crashes++; goto dead
	:: atomic { OURS && unheard && !taken_over -> unheard = false }
	:: skip
	fi
}

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

inline ours_now() { fence++; mine = fence; by = me; lease = true; taken = false; asks = false; lost = false }

/* An approver presses Approve of a card that shows the plan `card`. */
inline press(vote, said) {
	said = said | (1 << card);
	if
	:: !vote && !late && card == digest -> vote = true
#ifdef TWICE
	:: vote && !late && card == digest -> extra++
#endif
	:: else
	fi
}

#define CONFIRMED ((st == confirming || waited) && confirmed && !asks && shown == seen)

proctype Replica(byte me)
{
	byte mine = 0;   /* the fence under which it works */
	bool taken;      /* by the timer: it is not known what the one before did */
	bool asks;       /* the person first */
	bool lost;       /* the answer of the last write: not carried on */
	bool approved;
	byte seen = 0;   /* the plan that was made */
	byte card;
	byte disown = 0; /* what has still to be disowned: intent (1), click (2), last vote (3) */
	byte disown_click = 0;
again:
	atomic { lost = false; taken = false; asks = false; approved = false; seen = 0; card = 0; mine = 0 }
	end: atomic {
		if
		:: disown != 0 && crashes < CRASHES -> crashes++; disown = 0; disown_click = 0
		:: st == none -> /* receive */
			ours_now();
			unheard = true;
			if
			:: MOVE(none, received)
			:: MOVE(none, allowed)
			:: MOVE(none, denied); by = 0
			:: MOVE(none, rejected); by = 0
			fi;
			if
			:: LOSES && (st == received || st == allowed) -> told = 1; disown = 1; lost = true
			:: skip
			fi
		:: st == confirming && by == 0 && clicks > 0 -> /* confirm */
			clicks--;
			if
			:: MOVE(confirming, confirming); ours_now(); unheard = true; taken_over = false;
				confirmed = true; last_click = fence; told = 0;
				if
				:: LOSES && disown == 0 -> told = 2; disown = 2; disown_click = fence; lost = true
				:: skip
				fi
			:: MOVE(confirming, cancelled)
			:: MOVE(confirming, denied)
			:: MOVE(confirming, expired)
			fi
#ifdef RULE
		:: st == approving && presses > 0 -> /* vote */
			presses--;
			if :: card = digest :: card = 1 - digest fi;
			if
			:: press(vote_a, said_a)
			:: press(vote_b, said_b)
			:: !late -> MOVE(approving, denied)
			:: !late -> MOVE(approving, cancelled)
			fi;
			if
			:: st == approving && !late && HAVE >= 2 -> MOVE(approving, allowed); ours_now();
				taken_over = false;
				if
				:: disown == 0 -> disown = 3; lost = true
				:: skip
				fi
			:: else
			fi
		:: st == approving && late -> MOVE(approving, expired) /* claim_due */
#endif
		:: by != 0 && !lease && (st == received || st == allowed || st == confirming || st == running) -> /* claim_due */
			ours_now(); tries++; taken = true; taken_over = true;
#ifndef TRUSTING
			asks = unheard;
#endif
			if
			:: tries > TRIES ->
				by = 0;
				if
				:: st == received -> MOVE(received, failed)
				:: st == allowed -> MOVE(allowed, failed)
				:: st == confirming -> MOVE(confirming, failed)
				:: st == running -> MOVE(running, unknown); intent = false
				fi
			:: else
			fi
		:: by == 0 && st == confirming -> MOVE(confirming, expired) /* claim_due: the offer has ended */
		:: by == 0 && st == scheduled -> /* claim_due, or steer */
			if
			:: MOVE(scheduled, allowed); ours_now()
			:: MOVE(scheduled, expired)
			:: MOVE(scheduled, cancelled)
			fi
		:: by == 0 && st == unknown -> /* resolve: a person has looked */
			if
			:: MOVE(unknown, succeeded)
			:: MOVE(unknown, failed)
			fi
		:: disown == 1 -> /* disown */
			disown = 0;
			if
			:: st == received && STILL_HIS(me) -> MOVE(received, cancelled); by = 0; fence++
			:: st == allowed && digest == 9 && STILL_HIS(me) -> MOVE(allowed, cancelled); by = 0; fence++
#ifdef HASTY
			:: st == confirming && STILL_HIS(me) ->
				assert(told != 0); /* else the person has asked for it since */
				MOVE(confirming, cancelled); by = 0; fence++
#endif
			:: else
			fi
		:: disown == 2 ->
			disown = 0;
			if
			:: st == confirming && STILL_HIS(me) && by != 0 && last_click == disown_click ->
				by = 0; fence++; confirmed = false
			:: else
			fi
		:: disown == 3 ->
			disown = 0;
			if
			:: st == allowed && by == me -> MOVE(allowed, approving); by = 0; fence++; vote_b = false
			:: else
			fi
		fi
	}
	if
	:: by != me || fence != mine || lost -> goto again
	:: else
	fi;
	pause();
work:
	if
	:: st == received -> /* decide_request */
		atomic {
			if
			:: MINE && st == received ->
				unheard = (unheard && taken_over);
				if
				:: MOVE(received, allowed)
				:: MOVE(received, denied); by = 0
				fi
			:: else -> goto again
			fi
		}
		pause();
		goto work
	:: st == allowed || st == confirming -> skip
	:: st == running && taken -> /* look: of a once effect nobody can say */
		settle(unknown);
		goto again
	:: else -> goto again
	fi;
	seen = plan; /* the plan */
	approved = (st == allowed && digest != 9);
	if
	:: true -> settle(succeeded); goto again /* nothing to do */
	:: true -> settle(failed); goto again
	:: approved && OF_THIS(digest) -> skip
#ifdef RULE
	:: (approved && !OF_THIS(digest)) ||
	   (!approved && !((preview || asks) && !CONFIRMED)) ->
		atomic { /* ask */
			if
			:: MINE && lease && (st == allowed || st == confirming) ->
				if
				:: st == allowed -> MOVE(allowed, approving)
				:: st == confirming -> MOVE(confirming, approving)
				:: st == allowed -> MOVE(allowed, denied)
				:: st == confirming -> MOVE(confirming, denied)
				fi;
				by = 0; unheard = false; digest = seen; late = false; vote_a = false; vote_b = false
			:: else
			fi
		}
		goto again
#else
	:: !((preview || asks) && !CONFIRMED) -> skip
#endif
	:: !approved && (preview || asks) && !CONFIRMED ->
		atomic { /* offer: the first, since the plan has changed, or since nobody knows what the person was told */
			if
			:: MINE && st == allowed -> MOVE(allowed, confirming); by = 0; confirmed = false; shown = seen; unheard = false
			:: MINE && st == confirming -> MOVE(confirming, confirming); by = 0; confirmed = false; shown = seen; unheard = false
			:: else
			fi
		}
		goto again
#ifndef RULE
	:: !waited && !asks && (!preview || CONFIRMED) -> /* schedule */
		atomic {
			if
			:: MINE && lease && !(unheard && taken_over) && st == allowed -> MOVE(allowed, scheduled); by = 0; unheard = false; waited = true
			:: MINE && lease && !(unheard && taken_over) && st == confirming -> MOVE(confirming, scheduled); by = 0; unheard = false; waited = true
			:: else
			fi
		}
		goto again
#endif
	fi;
	pause();
#ifdef NOINTENT
	if :: MINE && lease -> skip :: else -> goto again fi;
#else
	atomic { /* start */
		if
#ifdef TRUSTING
		:: MINE && lease && (st == allowed || st == confirming) ->
#else
		:: MINE && lease && (st == allowed || st == confirming) && !(unheard && taken_over) ->
#endif
#ifdef RULE
			if
			:: st == allowed && !late && HAVE >= 2 && OF_THIS(digest) ->
				assert((said_a >> seen) & 1 && (said_b >> seen) & 1 && !late && !a_gone)
			:: st == allowed && OF_THIS(digest) && (late || HAVE < 2) ->
				MOVE(allowed, approving); by = 0; fence++; goto again
			:: else -> goto again
			fi;
#endif
			if
			:: st == allowed -> MOVE(allowed, running); intent = true; unheard = false
			:: st == confirming -> MOVE(confirming, running); intent = true; unheard = false
			:: st == allowed -> MOVE(allowed, denied); by = 0; goto again
			:: st == confirming -> MOVE(confirming, denied); by = 0; goto again
			fi
		:: else -> goto again
		fi
	}
	pause();
#endif
	effects++; /* cannot be taken back */
	assert(effects <= 1);
	assert(told == 0);
#ifndef NOINTENT
	assert(intent || st != running || !OURS);
	assert(confirmed || !preview);
#endif
	pause();
	if
	:: true -> settle(succeeded)
	:: true -> settle(unknown) /* its answer was lost */
	fi;
	goto again;
dead:
	atomic { disown = 0; disown_click = 0 }
	goto again
}

proctype Lapse()
{
end:	do
	:: atomic { lease -> lease = false }
	od
}

/* The target is changed by somebody else, an approver leaves the group, the time of a round ends. */
proctype World()
{
	bool changed = false;
end:	do
	:: atomic { !changed -> changed = true; plan = 1 - plan }
#ifdef RULE
	:: atomic { !a_gone -> a_gone = true }
	:: atomic { digest != 9 && !late -> late = true }
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

init {
	atomic {
		if :: preview = true :: preview = false fi;
		run Replica(1); run Replica(2); run Lapse(); run World(); run Watch()
	}
}
