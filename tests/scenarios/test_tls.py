# SPDX-License-Identifier: Apache-2.0
"""TLS everywhere by a private authority; and what is said when it is the wrong one."""

import pytest

from sandbox.authority import Authority
from sandbox.world import eventually, request_id, words


def test_private_authority_everywhere(make_world):
    world = make_world(tls=True)
    assert world.standin.api_url.startswith("https://") and world.cluster.base_url.startswith("https://")
    preview = world.ask("U0ANA", "workers scale team=ads role=dev count=4 reason=queue")
    world.click("U0ANA", preview, "confirm")
    world.see("U0ANA", ["✅", request_id(preview)])
    assert world.kube.replicas() == 4
    world.wait_audit(request_id(preview))
    since = world.last_ts("U0DIA")
    world.slash("U0DIA", "datasets list owner=ads")
    world.see("U0DIA", ["ads."], since=since)


@pytest.fixture
def stranger(tmp_path):
    return Authority(tmp_path, "Somebody Else")


def names_the_problem(text, *parts):
    assert any(x in text.lower() for x in ("certificate", "issuer")), text
    for part in parts:
        assert str(part) in text, text


def test_slack_of_another_authority(make_world, stranger):
    world = make_world(start=0, tls=True, config={"slack": {"ca_file": str(stranger.file)}})
    opsd = world.start(ready=False)
    line = opsd.wait_log("Slack does not take the bot token yet")
    names_the_problem(line["error"])
    assert opsd.get("/readyz")[0] == 503
    world.slack.wait("sockets", count=0)
    said = world.command("check", "--online", status=1).said
    names_the_problem(said)


def test_authority_file_that_is_not_there(make_world, tmp_path):
    world = make_world(start=0, tls=True, config={"slack": {"ca_file": str(tmp_path / "none.pem")}})
    opsd = world.start(ready=False, ASAN_OPTIONS="detect_leaks=0")     # a start that fails tidies nothing up
    opsd.expected = 3
    assert opsd.wait() == 3
    assert "none.pem" in opsd.tail(), opsd.tail()


def test_authority_file_that_is_no_certificate(make_world, tmp_path):
    file = tmp_path / "rubbish.pem"
    file.write_text("not a certificate\n")
    world = make_world(start=0, tls=True, config={"slack": {"ca_file": str(file)}})
    opsd = world.start(ready=False, ASAN_OPTIONS="detect_leaks=0")     # a start that fails tidies nothing up
    opsd.expected = 3
    assert opsd.wait() == 3
    assert "rubbish.pem" in opsd.tail(), opsd.tail()


def test_cluster_of_another_authority(make_world, stranger):
    world = make_world(start=0, tls=True)
    file = world.folder / "kubeconfig.yaml"
    file.write_text(file.read_text().replace(str(world.authority.file), str(stranger.file)))
    world.start()
    since = world.last_ts()
    world.slash("U0ANA", "workers nudge team=ads count=4 reason=queue")
    answer = world.see("U0ANA", ["❌"], since=since)
    names_the_problem(words(answer), "main")
    rid = request_id(answer)
    assert world.request(rid)["state"] == "failed"
    said = world.command("check", "--online", status=1).said
    names_the_problem(said, "main")


def test_platform_of_another_authority(make_world, stranger):
    world = make_world(tls=True, config={"apis": {"platform": {"ca_file": str(stranger.file)}}})
    since = world.last_ts("U0DIA")
    world.slash("U0DIA", "datasets list owner=ads")
    names_the_problem(words(world.see("U0DIA", ["❌"], since=since)), "platform")


def test_certificate_of_another_host(make_world):
    """The name is checked too: a certificate of the right authority for another machine is refused."""
    world = make_world(start=0, tls=True)
    port = world.standin.port
    world.write_config(slack={"api_url": f"https://127.0.0.2:{port}/api/"})
    said = world.command("check", "--online", status=1).said
    assert "127.0.0.2" in said or "certificate" in said.lower() or "connect" in said.lower(), said


def test_plain_http_to_elsewhere_is_refused(make_world):
    world = make_world(start=0)
    world.write_config(slack={"api_url": "http://slack.example.com/api/"})
    said = world.command("check", status=None).said
    opsd = world.start(ready=False)
    opsd.expected = None
    try:
        line = eventually(lambda: not opsd.alive() or opsd.logs("Slack does not take the bot token yet"),
                          what="a refusal")
        assert line
        assert "http" in (said + opsd.tail())
        assert not world.slack.calls()["counts"]
    finally:
        opsd.stop()
        opsd.expected = opsd.child.returncode
