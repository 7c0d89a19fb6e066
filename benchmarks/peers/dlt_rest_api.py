"""dlt's `rest_api` source, as its documentation shows it: its extract step.

Arguments: the file of settings; the folder that dlt may use; and, to read several jobs
at once, ``parallelized``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dlt
from dlt.sources.rest_api import RESTAPIConfig, rest_api_source


def main() -> None:
    """Extract the events of all jobs into files."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    is_parallelized = sys.argv[3:] == ["parallelized"]
    ids = [{"job_id": job_id} for job_id in settings["job_ids"]]
    jobs = dlt.resource([ids], name="jobs")
    config: RESTAPIConfig = {
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
                "parallelized": is_parallelized,
            },
        ],
    }
    pipeline = dlt.pipeline("benchmark", pipelines_dir=sys.argv[2])
    source = rest_api_source(config)
    if is_parallelized:
        pipeline.extract(source, workers=settings["concurrency"])
    else:
        pipeline.extract(source)


main()
