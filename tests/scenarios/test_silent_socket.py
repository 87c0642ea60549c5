# SPDX-License-Identifier: Apache-2.0
"""A socket that stays open and says nothing more is noticed by the missing answers to our pings."""


def test_dead_silent_socket_is_left(make_world):
    world = make_world(config={"slack": {"connections": 2}})
    number = min(s["number"] for s in world.slack.state()["sockets"] if s["open"])
    seen = world.slack.stats()["envelopes"]["hello"]
    world.slack.socket(mode="mute", socket=number)
    world.slack.socket(mode="no_ping", socket=number)
    world.slack.wait("sockets", count=2, hello=seen + 1)
    world.slash("U0ANA", "workers status team=ads")
