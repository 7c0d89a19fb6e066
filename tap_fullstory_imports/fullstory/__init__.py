"""The results of Fullstory's batch import jobs, without Singer.

To read what one job has imported:

>>> from tap_fullstory_imports import fullstory
>>> client = fullstory.Client(api_key, url)
>>> events = fullstory.Endpoint("events", "imports")
>>> jobs = [fullstory.Job(events, "abc123")]
>>> reader = fullstory.Reader(jobs, client, fullstory.Policy())
>>> for event in reader.events():
...     if isinstance(event, fullstory.PageRead):
...         print(*(row["name"] for row in event.rows))
...     elif isinstance(event, fullstory.JobEnded):
...         print(event.outcome, event.job.rows)

The package imports nothing of Singer but the base class of a paginator.
"""

from __future__ import annotations

from tap_fullstory_imports.fullstory import clock
from tap_fullstory_imports.fullstory.client import API_URL, Client, Endpoint
from tap_fullstory_imports.fullstory.errors import FullstoryError, StopError
from tap_fullstory_imports.fullstory.events import (
    Event,
    JobEnded,
    PageRead,
    Trouble,
    Waiting,
)
from tap_fullstory_imports.fullstory.job import Job, Outcome, Policy, Step
from tap_fullstory_imports.fullstory.reader import Reader
from tap_fullstory_imports.fullstory.verdict import FINAL_STATUSES

__all__ = [
    "API_URL",
    "FINAL_STATUSES",
    "Client",
    "Endpoint",
    "Event",
    "FullstoryError",
    "Job",
    "JobEnded",
    "Outcome",
    "PageRead",
    "Policy",
    "Reader",
    "Step",
    "StopError",
    "Trouble",
    "Waiting",
    "clock",
]
