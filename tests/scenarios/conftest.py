# SPDX-License-Identifier: Apache-2.0
"""What the scenarios share: one thread of stand-ins and one PostgreSQL a run, a fresh world a test.

Worlds are cheap: the database is a copy of one that was migrated and filled once. A test that takes more than its
share of time is ended with the stacks of all threads."""

import faulthandler
import signal
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from directory_desk import Desk  # noqa: E402

from sandbox.postgres import Postgres  # noqa: E402
from sandbox.slack.client import LoopThread  # noqa: E402
from sandbox.world import World, binary  # noqa: E402

TEST_SECONDS = 300


class OutOfTime(Exception):
    pass


@pytest.fixture(autouse=True)
def time_limit(request):
    def over(number, frame):
        faulthandler.dump_traceback(all_threads=True)
        raise OutOfTime(f"{request.node.name} took more than {TEST_SECONDS} s")
    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """The logs of the services beside a failure."""
    report = (yield).get_result()
    if call.when == "call" and report.failed:
        for world in LIVING:
            for opsd in world.ended + world.running:
                report.sections.append((f"log of opsd {opsd.number}", opsd.tail(12)))


LIVING = []


@pytest.fixture(scope="session")
def loop():
    with LoopThread() as thread:
        yield thread


@pytest.fixture(scope="session")
def postgres():
    with Postgres(fsync=False) as server:
        yield server


@pytest.fixture(scope="session")
def migrated(postgres):
    """A database to copy: migrated, empty."""
    desk = Desk(postgres, {"kind": "file", "path": "none.csv", "domains": ["example.com"]})
    desk.opsd("migrate")
    desk.db.close()
    yield desk.database
    postgres.drop(desk.database)


@pytest.fixture(scope="session")
def filled(postgres):
    """Names of databases to copy: made by the first world that asks."""
    made = {}

    def template(world):
        if "name" not in made:
            world.database = name = postgres.create("filled")
            try:
                world.fill_database()
            finally:
                world.database = None
            made["name"] = name
        return made["name"]
    return template


@pytest.fixture(scope="session")
def build_world(loop, postgres, filled):
    """build_world(...) makes a World; whoever asks closes it."""
    if not binary().is_file():
        pytest.skip(f"{binary()} is not built")

    def build(**how):
        world = World(loop, postgres, template=how.pop("template", filled), **how)
        LIVING[:] = [w for w in LIVING if w.database] + [world]
        return world
    return build


@pytest.fixture
def make_world(build_world, postgres):
    """make_world(start=1, …) gives a world that is closed, with its complaints, at the end of the test."""
    worlds = []

    def make(start=1, **how):
        world = build_world(**how)
        worlds.append(world)
        if start:
            world.start(start)
        return world
    yield make
    problems = []
    postgres.start()
    postgres.resume()
    for world in worlds:
        problems += world.close()
    assert not problems, "\n".join(problems)


@pytest.fixture
def world(make_world):
    return make_world()


@pytest.fixture(scope="module")
def town(build_world):
    """One world for all tests of a file that leave it as it was."""
    world = build_world()
    try:
        world.start()
        yield world
    finally:
        problems = world.close()
    assert not problems, "\n".join(problems)
