"""What all tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.harness import Folder
from tests.stand_in import StandIn

# How long an example takes says nothing on a machine that does other things too.
settings.register_profile("untimed", deadline=None)
settings.register_profile("long", deadline=None, max_examples=2_000)  # make fuzz
settings.load_profile("untimed")


def pytest_collection_modifyitems(items):
    for item in items:
        if "postgres" in getattr(item, "fixturenames", ()):
            item.add_marker("e2e")
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


@pytest.fixture(scope="module")
def postgres():
    from tests.postgres_server import Postgres  # noqa: PLC0415 - not every test needs it

    with Postgres() as server:
        yield server


@pytest.fixture
def api():
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def tap(tmp_path, api):
    return Folder(tmp_path, api)
