# SPDX-License-Identifier: Apache-2.0
"""A company sign-in for what is dangerous: whose it is, what it is good for, and every way in which it does not count."""

import re

import pytest

from sandbox.openid import OpenidStandin
from sandbox.world import COMPANY, eventually, request_id, words

CODE = re.compile(r"type the code ([A-Z]{4}-[A-Z]{4}) within (\d+) minutes")
RELINK = "access relink user=@U0BEN reason=test"


@pytest.fixture
def make_provider(loop):
    made = []

    def make(**how):
        async def start():
            return await OpenidStandin(**how).start()
        made.append(loop.run(start()))
        return made[-1]
    yield make
    for provider in made:
        loop.run(provider.stop())
        assert not provider.violations, provider.violations


@pytest.fixture
def make_town(make_world, make_provider):
    """make_town(provider settings…) gives a world with a provider: risk 2 needs a proved link, risk 3 a sign-in."""
    def make(identity=None, **how):
        provider = make_provider(**how)
        world = make_world(config={"identity": {
            "issuer": provider.issuer, "client_id": provider.client_id, "client_secret": {"env": "OPENID_SECRET"},
            "source": "company", "hosts": {"names": []}, **(identity or {})}}, start=0)
        plain = world.env
        world.env = lambda **changes: plain(OPENID_SECRET=provider.client_secret, **changes)
        world.start()
        world.provider = provider
        return world
    return make


@pytest.fixture
def town(make_town):
    return make_town()


def asked(world, user="U0ANA", text="workers scale team=ads role=dev count=4 reason=load"):
    """A command that needs a sign-in: the code that its asker was shown."""
    since = world.last_ts(user)
    world.slash(user, text)
    shown = words(world.see(user, ["This needs a company sign-in"], since=since))
    assert f"{world.provider.issuer}/go" in shown and "do not pass this one on" in shown
    found = CODE.search(shown)
    return found[1], re.search(r"one request \((R\w{15})\)", shown)[1]


def ended(world, rid, *contains, user="U0ANA", code="proof_failed"):
    row = world.wait_state(rid, "denied")
    assert row["code"] == code, row
    says = words(world.see(user, list(contains)))
    assert not world.kube.patches()
    return says


def events(world, rid):
    return [r["event"] for r in world.audit_rows(request=rid)]


def test_sign_in_of_the_very_person(town):
    code, rid = asked(town)
    assert town.request(rid)["state"] == "received" and town.request(rid)["code"] == "step_up"
    others = town.slack.messages(channel="C0OPS", user="U0BEN")["messages"]
    assert not [m for m in others if code in words(m)]          # nobody else sees the code
    town.provider.approve(code, "p-ana")
    preview = town.see("U0ANA", ['"action_id": "confirm"', rid])
    town.click("U0ANA", preview, "confirm")
    assert town.wait_state(rid, "succeeded", "failed", "denied")["state"] == "succeeded"
    assert ["proof.asked", "proof.given"] == [e for e in events(town, rid) if e.startswith("proof")]
    link = town.sql("select how, proved_external_id from ops.link where slack_user = 'U0ANA'")[0]
    assert link == {"how": "idp", "proved_external_id": "p-ana"}
    assert town.sql("select subject, signed_in_at is not null as when_ from ops.proof") == [{"subject": "p-ana", "when_": "t"}]
    for line in town.running[0].lines:                           # neither token nor device code anywhere
        assert town.provider.tokens[0] not in str(line)
    assert town.provider.tokens[0] not in str(town.sql("select body from ops.audit"))
    # the link is proved now: risk 2 needs nothing more
    since = town.last_ts("U0ANA")
    town.slash("U0ANA", "workers scale team=ads role=dev count=5 reason=load")
    assert request_id(town.see("U0ANA", ['"action_id": "confirm"'], since=since)) != rid


@pytest.mark.parametrize("mode", [{"mode": "close"}, {"mode": "http", "status": 500, "body": ""}])
def test_a_code_that_may_not_have_come_is_sent_directly(town, mode):
    town.slash("U0ANA", "whoami")
    town.see("U0ANA", ["You are Ana"])
    town.slack.fault(name="hook", times=1, **mode)
    town.slash("U0ANA", "workers scale team=ads role=dev count=4 reason=load")
    shown = town.slack.wait("message", contains=["This needs a company sign-in"], ephemeral=False)
    town.running[0].wait_log("code of a company sign-in goes to its asker directly")
    assert [c for c in town.slack.state()["channels"].values() if c["id"] == shown["channel"]][0]["im_user"] == "U0ANA"
    town.provider.approve(CODE.search(words(shown))[1], "p-ana")
    town.see("U0ANA", ['"action_id": "confirm"'])


def test_risk_3_needs_one_each_time(make_town):
    town = make_town(identity={"sign_in_from_risk": 2})
    for _ in range(2):
        code, rid = asked(town)
        town.provider.approve(code, "p-ana")
        preview = town.see("U0ANA", ['"action_id": "confirm"', rid])
    assert len(town.sql("select 1 from ops.proof")) == 2
    town.click("U0ANA", preview, "confirm")
    assert town.wait_state(rid, "succeeded", "failed", "denied")["state"] == "succeeded"


def test_somebody_elses_sign_in(town):
    """The classic: the code is sent to a victim, who signs in."""
    code, rid = asked(town)
    town.provider.approve(code, "p-dia")
    ended(town, rid, "somebody else's, not yours")
    alarm = words(town.wait_audit("it looks like phishing"))
    assert "made by Dia Sharma (dia@example.com)" in alarm and "@U0ANA" in alarm
    assert "proof.refused" in events(town, rid) and not town.sql("select 1 from ops.proof")
    assert town.sql("select how from ops.link where slack_user = 'U0ANA'")[0]["how"] == "email"


@pytest.mark.parametrize("subject", ["p-nobody", ""])
def test_a_subject_that_is_nobody(make_town, subject):
    town = make_town()
    code, rid = asked(town)
    town.provider.approve(code, subject)
    ended(town, rid, "so nothing was done")


def test_declined_and_expired(town):
    code, rid = asked(town)
    town.provider.decline(code)
    ended(town, rid, "declined in the browser")
    code, rid = asked(town)
    town.provider.expire(code)
    ended(town, rid, "Nobody signed in with the code in time")


@pytest.mark.parametrize("claims", [
    {"iss": "https://evil.example"}, {"aud": "another-program"}, {"aud": ["opsd-sandbox", "another"]}, {"azp": "another-program"},
    {"exp": 1000}, {"exp": None}, {"iat": 1000}, {"iat": 4102444800}, {"nonce": "of-another"},
    {"email": "x@y", "email_verified": False},
])
def test_claims_that_do_not_fit(make_town, claims):
    town = make_town()
    town.provider.fault("claims", claims=claims)
    code, rid = asked(town)
    town.provider.approve(code, "p-ana")
    ended(town, rid, "did not prove who you are")


@pytest.mark.parametrize("mode, more", [
    ("alg", {"alg": "none"}), ("alg", {"alg": "HS256"}), ("alg", {"alg": "ES256"}), ("wrong_key", {}), ("own_key", {}),
])
def test_signatures_that_do_not_fit(make_town, mode, more):
    town = make_town()
    town.provider.fault(mode, **more)
    code, rid = asked(town)
    town.provider.approve(code, "p-ana")
    ended(town, rid, "did not prove who you are")


def test_es256_google_and_a_new_key(make_town):
    town = make_town(key="EC", google=True)
    code, rid = asked(town)
    town.provider.approve(code, "p-ana")
    town.see("U0ANA", ['"action_id": "confirm"', rid])
    town.sql("update ops.link set how = 'email', proved_at = null")
    town.provider.fault("new_key")
    code, rid = asked(town)
    town.provider.approve(code, "p-ana")
    town.see("U0ANA", ['"action_id": "confirm"', rid])
    assert town.provider.requests.count("keys") == 2


def test_a_provider_that_stumbles(town):
    town.provider.fault("status", code=503, times=1)
    town.provider.fault("slow_down")
    code, rid = asked(town)
    eventually(lambda: town.provider.requests.count("token") >= 2, what="the second poll")
    town.provider.approve(code, "p-ana")
    town.slack.wait("message", channel="C0OPS", user="U0ANA", contains=['"action_id": "confirm"', rid])


@pytest.mark.parametrize("at, mode, more", [
    ("discovery", "status", {"code": 500}), ("discovery", "html", {}), ("discovery", "garbage", {}),
    ("discovery", "elsewhere", {}), ("discovery", "other_issuer", {}), ("device", "status", {"code": 401}), ("device", "html", {}),
    ("token", "error", {"error": "invalid_client", "code": 401}), ("token", "no_token", {}), ("keys", "garbage", {}),
])
def test_a_provider_that_is_set_up_wrongly(make_town, at, mode, more):
    town = make_town()
    town.provider.fault(mode, at=at, **more)
    if at in ("discovery", "device"):
        town.slash("U0ANA", "workers scale team=ads role=dev count=4 reason=load")
        rid = eventually(lambda: town.requests(command="workers scale"), what="the request")[0]["id"]
    else:
        code, rid = asked(town)
        town.provider.approve(code, "p-ana")
    ended(town, rid, "company sign-in does not work at the moment")
    town.running[0].wait_log("company sign-in does not work")


def test_three_an_hour(town):
    for _ in range(3):
        code, rid = asked(town)
        town.provider.decline(code)
        ended(town, rid)
    town.slash("U0ANA", "workers scale team=ads role=dev count=4 reason=load")
    town.see("U0ANA", ["several company sign-ins within the hour"])


def test_crash_during_a_sign_in(town):
    code, rid = asked(town)
    town.running[0].kill()
    town.ended.append(town.running.pop(0))
    town.sql("update ops.request set wake_at = clock_timestamp() where id = $1", rid)
    town.start()
    ended(town, rid, "sign-in was interrupted", code="proof_interrupted")


def test_suspended_link_is_released_by_its_own_person(town):
    town.slash("U0ANA", "whoami")
    town.see("U0ANA", ["You are Ana"])
    town.sql("update ops.link set state = 'suspended'")
    since = town.last_ts("U0ANA")
    town.slash("U0ANA", "workers status team=ads")
    town.see("U0ANA", ["is suspended"], since=since)
    code, rid = asked(town)
    town.provider.approve(code, "p-ana")
    town.see("U0ANA", ['"action_id": "confirm"', rid])
    assert "link.released" in events(town, rid)
    assert town.sql("select state, how from ops.link where slack_user = 'U0ANA'") == [{"state": "live", "how": "idp"}]


APPROVED = "Your sign-in was accepted, and your decision counts"


def waits(world, proved=("U0ANA",)):
    """A request of ANA's that one of others must approve: its id and its card."""
    for user in ("U0ANA", "U0EVE", "U0DIA"):
        world.slash(user, "whoami")
        world.see(user, ["You are"])
    for user in proved:
        world.sql("update ops.link set how = 'idp', proved_at = now() where slack_user = $1", user)
    preview = world.ask("U0ANA", "workers scale team=ads role=prod count=8 reason=load")
    rid = request_id(preview)
    world.click("U0ANA", preview, "confirm")
    return rid, world.slack.wait("message", channel="C0APPROVE", contains=[rid, '"action_id": "approve"'])


def approves(world, card, user="U0EVE", contains="Your approval needs a company sign-in"):
    """Press Approve; what the one who pressed is told."""
    since = world.slack.messages(channel="C0APPROVE", user=user)["messages"][-1]["ts"]
    assert world.click(user, card, "approve")["outcome"] == "acked"
    return words(world.slack.wait("message", channel="C0APPROVE", user=user, contains=[contains], since=since))


def votes(world):
    return world.sql("select slack_user, decision from ops.vote order by voted_at")


def half_a_minute_later(world):
    world.sql("update ops.proof_try set at = at - interval '30 seconds'")


def test_approval_counts_after_the_sign_in_of_the_very_person(town):
    rid, card = waits(town)
    shown = approves(town, card)
    assert rid in shown and "workers scale team=ads role=prod count=8" in shown and "pressed the button" in shown
    code = CODE.search(shown)[1]
    for user in ("U0ANA", "U0DIA"):
        assert code not in str(town.slack.messages(channel="C0APPROVE", user=user)["messages"])
    assert town.request(rid)["state"] == "approving" and not votes(town)
    town.provider.approve(code, "p-eve")
    town.slack.wait("message", channel="C0APPROVE", user="U0EVE", contains=[APPROVED])
    assert town.wait_state(rid, "succeeded", "failed", "denied")["state"] == "succeeded"
    assert votes(town) == [{"slack_user": "U0EVE", "decision": "approve"}]
    said = [e for e in events(town, rid) if e.startswith(("proof", "vote"))]
    assert said == ["proof.asked", "proof.given", "vote.approve"]
    assert town.audit_rows(request=rid, event="vote.approve")[0]["says"]["facts"]["proved"]
    proof = town.sql("select request_id, subject, digest <> '' as of_plan from ops.proof")
    assert proof == [{"request_id": rid, "subject": "p-eve", "of_plan": "t"}]
    assert town.provider.tokens[0] not in str(town.sql("select body from ops.audit"))


def test_each_approval_of_risk_needs_its_own(make_town):
    town = make_town(identity={"sign_in_from_risk": 2, "link_from_risk": 3})
    for n in range(2):
        code, rid = asked(town, text="workers scale team=ads role=prod count=8 reason=load" if n == 0
                          else "workers scale team=ads role=prod count=9 reason=load")
        town.provider.approve(code, "p-ana")
        preview = town.see("U0ANA", ['"action_id": "confirm"', rid])
        town.click("U0ANA", preview, "confirm")
        card = town.slack.wait("message", channel="C0APPROVE", contains=[rid, '"action_id": "approve"'])
        town.provider.approve(CODE.search(approves(town, card))[1], "p-eve")      # proved by the first one already
        assert town.wait_state(rid, "succeeded", "failed", "denied")["state"] == "succeeded"
    assert len(town.sql("select 1 from ops.proof where subject = 'p-eve'")) == 2


def test_somebody_elses_sign_in_approves_nothing(town):
    rid, card = waits(town)
    town.provider.approve(CODE.search(approves(town, card))[1], "p-dia")
    town.slack.wait("message", channel="C0APPROVE", user="U0EVE", contains=["Your approval does not count", "somebody else's, not yours"])
    assert "made by Dia Sharma" in words(town.wait_audit("it looks like phishing"))
    assert not votes(town) and not town.sql("select 1 from ops.proof") and town.request(rid)["state"] == "approving"
    refused = [r["says"]["facts"] for r in town.audit_rows(request=rid, event="vote.refused")]
    assert [f["code"] for f in refused] == ["proof_failed"]


@pytest.mark.parametrize("how, says", [("decline", "declined in the browser"), ("expire", "Nobody signed in with the code in time")])
def test_approver_who_does_not_sign_in_may_try_again(town, how, says):
    rid, card = waits(town)
    getattr(town.provider, how)(CODE.search(approves(town, card))[1])
    town.slack.wait("message", channel="C0APPROVE", user="U0EVE", contains=["Your approval does not count", says])
    assert not votes(town) and town.request(rid)["state"] == "approving"
    half_a_minute_later(town)
    town.provider.approve(CODE.search(approves(town, card))[1], "p-eve")
    assert town.wait_state(rid, "succeeded", "failed", "denied")["state"] == "succeeded"


def test_double_click_is_one_sign_in(town):
    rid, card = waits(town)
    code = CODE.search(approves(town, card))[1]
    approves(town, card, contains="was begun just now")
    town.provider.approve(code, "p-eve")
    town.wait_state(rid, "succeeded")
    assert len(votes(town)) == 1


def test_to_stop_something_takes_no_sign_in(town):
    rid, card = waits(town)
    town.click("U0EVE", card, "deny")
    town.slack.wait("view", user="U0EVE")
    assert town.slack.submit(user="U0EVE", values={"reason": "not tonight"})["outcome"] == "acked"
    assert town.wait_state(rid, "denied")["code"] == "approver_denied"
    assert not town.sql("select 1 from ops.proof_try")


def test_sign_in_that_ends_after_the_round(town):
    rid, card = waits(town)
    code = CODE.search(approves(town, card))[1]
    town.approval_time(rid, 24)
    town.wait_state(rid, "expired")
    town.provider.approve(code, "p-eve")
    town.slack.wait("message", channel="C0APPROVE", user="U0EVE", contains=["expired"])
    assert not votes(town)


def test_crash_during_the_sign_in_of_an_approver(town):
    rid, card = waits(town)
    code = CODE.search(approves(town, card))[1]
    town.kill()
    town.start()
    town.provider.approve(code, "p-eve")            # nobody waits for it any more
    half_a_minute_later(town)
    shown = approves(town, card)
    assert not votes(town) and CODE.search(shown)[1] != code
    town.provider.approve(CODE.search(shown)[1], "p-eve")
    assert town.wait_state(rid, "succeeded", "failed", "denied")["state"] == "succeeded"


def test_crash_between_the_sign_in_and_its_vote(town):
    """What was proved stays so for a quarter of an hour, for this person and this plan alone; the next click counts."""
    rid, card = waits(town)
    for person, digest, age in (("p-eve", "another plan", "1 minute"), ("p-dia", None, "1 minute"), ("p-eve", None, "16 minutes")):
        town.sql("insert into ops.proof (request_id, person_id, digest, issuer, subject, token_sha256, proved_at) "
                 "select $1, person_id, coalesce($3, (select digest from ops.request where id = $1)), 'i', $2, "
                 "encode(sha256(convert_to(gen_random_uuid()::text, 'UTF8')), 'hex'), now() - $4::interval "
                 "from dir.person where external_id = $2", rid, person, digest, age)
    approves(town, card)
    assert not votes(town)
    town.kill()
    town.start()
    town.sql("update ops.proof set proved_at = now() where subject = 'p-eve' and digest <> 'another plan'")
    town.click("U0EVE", card, "approve")
    assert town.wait_state(rid, "succeeded", "failed", "denied")["state"] == "succeeded"
    assert len(votes(town)) == 1


def test_approver_without_a_provider_needs_a_proved_link(town):
    rid, card = waits(town)
    town.sql("update ops.setting set can_step_up = false")
    approves(town, card, contains="needs a link proved by a company sign-in")
    assert town.request(rid)["state"] == "approving"


def test_company_file_is_the_source():
    """The subjects of these tests are ids of the sandbox's directory."""
    assert "id: p-ana" in (COMPANY / "directory.yaml").read_text(encoding="utf-8")
