"""Fullstory's API: what one request needs, and what its answer means.

`Api` sends many requests side by side by the hooks of their streams, and retries after
temporary failures. A response becomes a `Page` or a `Status`, or an error with a
sentence for the user.
"""

from tap_fullstory_imports.fullstory.answers import (
    FullstoryError,
    JobError,
    MissingJobError,
    NotReadyError,
    RetriableError,
    StopError,
)
from tap_fullstory_imports.fullstory.api import Api
from tap_fullstory_imports.fullstory.pages import (
    Page,
    Row,
    Status,
    count,
    decode,
    page_of,
    status_of,
)
from tap_fullstory_imports.fullstory.session import Sessions, Thread
from tap_fullstory_imports.fullstory.stream import JobStream
