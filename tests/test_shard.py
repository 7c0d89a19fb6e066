"""Shards: parts of the jobs that are disjoint and together complete."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tap_fullstory_imports.settings.settings import Settings
from tests.stand_in import Job, make_events
from tests.streams import NAMES, job_of

JOB_IDS = st.lists(
    st.text(st.characters(categories=["L", "N", "P"]), min_size=1).filter(
        lambda text: text not in {".", ".."}
    ),
    min_size=1,
    unique=True,
)


def jobs_of(job_ids, shard):
    config = {"api_key": "x", "job_ids": job_ids, "shard": shard}
    return Settings.from_config(config).job_ids


@given(job_ids=JOB_IDS, parts=st.integers(1, 40))
def test_parts_are_disjoint_and_together_complete(job_ids, parts):
    shards = [jobs_of(job_ids, f"{part}/{parts}") for part in range(1, parts + 1)]
    assert sorted(job for shard in shards for job in shard) == sorted(job_ids)
    for shard in shards:
        assert [*shard] == [job for job in job_ids if job in shard]


def test_parts_never_change():
    job_ids = ["abc123", "abd123=", "ü 1", *(f"job-{number}" for number in range(5))]
    assert [jobs_of(job_ids, f"{part}/3") for part in (1, 2, 3)] == [
        ("job-2", "job-3"),
        ("job-0",),
        ("abc123", "abd123=", "ü 1", "job-1", "job-4"),
    ]


def test_run_of_a_part_says_which_part_and_how_many_jobs(tap, api):
    tap.streams = NAMES
    names, users = ([f"{kind}-{number}" for number in range(6)] for kind in "ab")
    api.add(*(job_of("events", name) for name in names))
    api.add(*(job_of("users", name) for name in users))
    sizes = []
    for part in (1, 2, 3):
        run = tap.run(job_ids=names, user_job_ids=users, shard=f"{part}/3")
        sizes.append(len(run.completed()) + len(run.completed("imported_users")))
        shown = [line for line in run.lines if line.startswith(f"Shard {part}/3: ")]
        assert shown == run.lines[-len(shown) :]
        assert shown[0] == f"Shard {part}/3: {sizes[-1]} of 12 jobs."
        assert len(shown) > 5
    assert sum(sizes) == 12
    assert "Shard" not in tap.run(job_ids=names).stderr


def test_part_without_jobs_is_a_good_run(tap, api):
    api.add(Job("a", rows=make_events(2)))
    runs = [tap.run(job_ids=["a"], shard=f"{part}/5") for part in range(1, 6)]
    assert [run.status for run in runs] == [0] * 5
    assert sorted(len(run.records()) for run in runs) == [0, 0, 0, 0, 2]
    assert all(run.states for run in runs)
