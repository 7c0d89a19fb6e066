"""The tap's streams as the tests know them, each with a job that has rows for it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.stand_in import MAKERS, Job

SETTINGS = {"events": "job_ids", "users": "user_job_ids"}


@dataclass(frozen=True)
class Stream:
    name: str
    kind: str  # what its jobs import
    endpoint: str  # where its rows come from, as the stand-in names it
    place: str = ""  # the field with a row's place in its job, if a job has many rows

    @property
    def setting(self):
        """The setting that lists its jobs."""
        return SETTINGS[self.kind]

    @property
    def keys(self):
        return ["job_id", self.place] if self.place else ["job_id"]

    @property
    def path(self):
        end = f"/{self.endpoint}" if self.place else ""
        return f"/v2/{self.kind}/batch/{{job_id}}{end}"

    def job(self, job_id, count=5, **fields):
        return job_of(self.kind, job_id, count, **fields)

    def rows(self, job):
        rows = {"imports": job.rows, "errors": job.failures}
        return rows.get(self.endpoint, [{"status": job.status}])


def job_of(kind, job_id, count=5, **fields):
    """A job of a kind with so many rows at each of its lists, two on a page."""
    rows, failures = (make(count) for make in MAKERS[kind])
    fields = {"rows": rows, "failures": failures, "page_size": 2, **fields}
    return Job(job_id, kind=kind, **fields)


EVERY = (
    Stream("imported_events", "events", "imports", "event_index"),
    Stream("import_errors", "events", "errors", "error_index"),
    Stream("import_jobs", "events", "status"),
    Stream("imported_users", "users", "imports", "user_index"),
    Stream("user_import_errors", "users", "errors", "error_index"),
    Stream("user_import_jobs", "users", "status"),
)
LISTS = tuple(stream for stream in EVERY if stream.place)
STATUSES = tuple(stream for stream in EVERY if not stream.place)
NAMES = tuple(stream.name for stream in EVERY)
