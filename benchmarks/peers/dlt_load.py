"""dlt from the API into a database: its `rest_api` source, merged by key.

Arguments: the file of settings; the folder that dlt may use; the database; and, for
dlt's own parallel loading, ``parallel``.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import count
from pathlib import Path
from typing import Any

_PARALLEL = {
    "EXTRACT__WORKERS": "4",
    "NORMALIZE__WORKERS": "2",
    "LOAD__WORKERS": "20",
    # Only several files can be normalized and loaded side by side.
    "DATA_WRITER__FILE_MAX_ITEMS": "10000",
}


def main() -> None:
    """Load the events of all jobs."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    is_parallel = sys.argv[4:] == ["parallel"]
    if is_parallel:
        os.environ.update(_PARALLEL)
    import dlt  # noqa: PLC0415 - it reads the environment
    from dlt.sources.rest_api import rest_api_source  # noqa: PLC0415

    numbers = count()

    def number(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "event_index": next(numbers)}

    jobs = dlt.resource(
        [[{"job_id": job_id} for job_id in settings["job_ids"]]], name="jobs"
    )
    source = rest_api_source(
        {
            "client": {
                "base_url": settings["api_url"],
                "headers": {"Authorization": f"Basic {settings['api_key']}"},
                "paginator": {
                    "type": "cursor",
                    "cursor_path": "next_page_token",
                    "cursor_param": "page_token",
                },
            },
            "resources": [
                jobs,
                {
                    "name": "imported_events",
                    "endpoint": {
                        "path": "v2/events/batch/{resources.jobs.job_id}/imports",
                        "data_selector": "results",
                    },
                    "include_from_parent": ["job_id"],
                    "processing_steps": [{"map": number}],
                    "primary_key": ["_jobs_job_id", "event_index"],
                    "write_disposition": "merge",
                    "parallelized": is_parallel,
                },
            ],
        },
        max_table_nesting=0,
    )
    pipeline = dlt.pipeline(
        "benchmark",
        pipelines_dir=sys.argv[2],
        destination=dlt.destinations.postgres(sys.argv[3]),
        dataset_name="fullstory",
    )
    pipeline.run(source.with_resources("imported_events"))


if __name__ == "__main__":  # its workers import this file
    main()
