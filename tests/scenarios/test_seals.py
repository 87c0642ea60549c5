# SPDX-License-Identifier: Apache-2.0
"""Seals of the audit log that are signed: by whose key, and what nobody without it can do unseen."""

import re
import subprocess

import pytest

from sandbox.world import eventually, words


def key_pair(folder, name):
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return private, public


@pytest.fixture(scope="module")
def once(build_world):
    """A world that has ended with two signed seals: a seal takes its ten seconds, so they are made once and copied."""
    world = build_world()
    try:
        world.private, world.public = key_pair(world.folder, "seal")
        world.write_config(audit={"signing_key": {"file": str(world.private)}})
        world.start()
        for n in range(2):
            world.slash("U0ANA", "workers status team=ads")
            world.running[0].wait_log("audit log sealed", count=n + 1)
            world.see("U0ANA", ["workers-dev"])
            world.wait_told()
        newest = "select (select max(seal_no) from ops.audit_seal) = (select max(seal_no) from ops.audit_signature) as same"
        eventually(lambda: world.sql(newest)[0]["same"] == "t", what="signatures")
        world.stop()
        world.db.close()        # a database that is copied has no session
        yield world
    finally:
        problems = world.close()
    assert not problems, "\n".join(problems)


@pytest.fixture
def sealed(once, make_world):
    world = make_world(start=0, template=lambda _: once.database)
    world.private, world.public = once.private, once.public
    world.write_config(audit={"signing_key": {"file": str(once.private)}})
    return world


def verify(world, *more, status=0, key=None):
    return world.command("audit", "verify", *more, "--public-key", key or world.public, status=status).said


def as_owner(world, sql):
    """Somebody who can do everything in the database, and has no key."""
    world.tampered = True
    world.db.run(f"set session_replication_role = replica; {sql}; set session_replication_role = origin")


def test_signed_and_verified(sealed):
    said = verify(sealed)
    assert "Good" in said and "seals are signed by the given key" in said
    assert " 0 seals" not in said
    assert sealed.sql("select distinct length(signature) as n from ops.audit_signature") == [{"n": "128"}]
    _, other = key_pair(sealed.folder, "other")
    assert "signature is not by the given key" in verify(sealed, key=other, status=1)
    both = sealed.folder / "both.pub"       # after a change of the key
    both.write_bytes(other.read_bytes() + sealed.public.read_bytes())
    assert "Good" in verify(sealed, key=both)


def test_openssl_agrees(sealed):
    """The signature is over the header of the seal, as docs/operators.md says."""
    row = sealed.sql("select ops.seal_header(s) as header, signature from ops.audit_seal s"
                     " join ops.audit_signature using (seal_no) where seal_no = 1")[0]
    (sealed.folder / "header").write_text(row["header"], encoding="utf-8")
    (sealed.folder / "sig").write_bytes(bytes.fromhex(row["signature"]))
    subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", sealed.public, "-rawin", "-in", sealed.folder / "header",
                    "-sigfile", sealed.folder / "sig"], check=True, capture_output=True)


@pytest.mark.parametrize("sql, says", [
    ("update ops.audit_signature set signature = repeat('00', 64) where seal_no = 1", "signature is not by the given key"),
    ("update ops.audit_signature set signature = (select signature from ops.audit_signature where seal_no = 2) where seal_no = 1",
     "signature is not by the given key"),
    ("delete from ops.audit_signature", "No seal is signed"),
    ("delete from ops.audit_signature where seal_no = 2; update ops.audit_seal set sealed_at = now() - interval '6 minutes'",
     "Seal 2: it is not signed"),
    # made anew without the key: chain and entries fit, the signature does not
    ("""update ops.audit set body = body || ' ' where id = (select min(id) from ops.audit);
        do $$ declare s ops.audit_seal; prev text; begin
          for s in select * from ops.audit_seal order by seal_no loop
            s.prev_hash := prev;
            s.root := encode(ops.merkle_root(array(select sha256('\\x00'::bytea || convert_to(ops.leaf_text(a.id, a.at, a.xid,
              a.request_id, a.person_id, a.slack_user, a.event, a.action, a.outcome, a.body), 'UTF8')) from ops.audit a
              where a.xid >= s.xid_from and a.xid < s.xid_to order by a.xid, a.id)), 'hex');
            s.hash := encode(sha256(convert_to(ops.seal_header(s), 'UTF8')), 'hex');
            update ops.audit_seal set root = s.root, prev_hash = s.prev_hash, hash = s.hash where seal_no = s.seal_no;
            prev := s.hash;
          end loop; end $$""", "signature is not by the given key"),
])
def test_what_an_owner_without_the_key_cannot_do(sealed, sql, says):
    assert "Good" in verify(sealed)
    as_owner(sealed, sql)
    assert says in verify(sealed, status=1)


def test_a_changed_log_is_not_signed(sealed):
    """The key signs only what its process has computed from the entries itself."""
    as_owner(sealed, "delete from ops.audit_signature; update ops.audit set body = body || ' '"
                     " where id = (select min(id) from ops.audit)")
    sealed.start()
    sealed.slash("U0ANA", "workers status team=ads")
    sealed.running[0].wait_log("AUDIT LOG CHANGED: a seal does not fit its entries and is not signed")
    assert not sealed.sql("select 1 from ops.audit_signature")


def checkpoints(world):
    """Seals that the audit channel was told, as they are pasted."""
    return [re.search(r"sealed by (\S+)\.", words(p)).group(1) for p in world.audit_posts("🔏")]


def with_checkpoints(world, count=1):
    world.write_config(audit={"checkpoint_minutes": 60, "signing_key": {"file": str(world.private)}})
    world.start(count)


def test_audit_channel_is_told_a_seal(sealed):
    """What it says is what the log has, and proves it."""
    with_checkpoints(sealed)
    eventually(lambda: checkpoints(sealed), timeout=120, what="a seal in the audit channel")
    first, = checkpoints(sealed)
    number, digest, key = first.split(":")
    row = sealed.sql("select hash, key_id from ops.audit_seal join ops.audit_signature using (seal_no) where seal_no = $1", number)
    assert row == [{"hash": digest, "key_id": key}]
    said = verify(sealed, first)
    assert "Good" in said and f"Seal {number} is in the chain, and signed by the key that was noted" in said
    said = sealed.command("audit", "verify", first).said
    assert f"Seal {number} is in the chain; --public-key FILE shows" in said
    _, other = key_pair(sealed.folder, "other")
    both = sealed.folder / "both.pub"
    both.write_bytes(other.read_bytes() + sealed.public.read_bytes())
    assert "Good" in verify(sealed, first, key=both)
    noted = f"{number}:{digest}:{'0' * 16}"
    assert "its signature is not by the key that was noted" in verify(sealed, noted, key=both, status=1)


def test_end_that_was_cut_off(sealed):
    """An hour after the last one, when something was added, and once whatever the number of replicas."""
    sealed.db.run("insert into ops.audit_checkpoint values (2, now() - interval '1 hour')")
    with_checkpoints(sealed, 2)
    sealed.slash("U0ANA", "workers status team=ads")
    eventually(lambda: checkpoints(sealed), timeout=120, what="a seal in the audit channel")
    for opsd in list(sealed.running):
        sealed.stop(opsd)
    noted, = checkpoints(sealed)
    assert int(noted.split(":")[0]) > 2 and "Good" in verify(sealed, noted)
    as_owner(sealed, """delete from ops.audit where xid >= (select xid_from from ops.audit_seal where seal_no = 3);
        delete from ops.audit_signature where seal_no > 2; delete from ops.audit_checkpoint where seal_no > 2;
        delete from ops.audit_seal where seal_no > 2""")
    assert "Good" in verify(sealed), "it is not seen from inside"
    assert "is not in the chain: it was cut off or made anew" in verify(sealed, noted, status=1)


@pytest.mark.parametrize("pasted", ["7", "7:abc", f"x:{'0' * 64}", f"7:{'0' * 64}:12", f"0:{'0' * 64}", f"7:{'Z' * 64}"])
def test_what_is_no_seal(sealed, pasted):
    """A copy that was cut is no sign of tampering."""
    assert "a whole seal as the audit channel shows it" in sealed.command("audit", "verify", pasted, status=2).said


def test_unreadable_keys(make_world):
    world = make_world(start=0)
    (world.folder / "bad.pem").write_text("no key", encoding="utf-8")
    done = world.command("audit", "verify", "--public-key", world.folder / "bad.pem", status=3)
    assert "no public Ed25519 key" in done.said
    config = world.write_config(name="bad.yaml", audit={"signing_key": {"file": str(world.folder / "bad.pem")}})
    assert "audit.signing_key: this is no private Ed25519 key" in world.command("serve", config=config, status=3).said
    assert "this is no private Ed25519 key" in world.command("check", config=config, status=1).said
    private, _ = key_pair(world.folder, "good")
    config = world.write_config(name="good.yaml", audit={"signing_key": {"file": str(private)}})
    assert re.search("ok +audit.signing_key +signs the audit log as [0-9a-f]{16}\n", world.command("check", config=config).said)
