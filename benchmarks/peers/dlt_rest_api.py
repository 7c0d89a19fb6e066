"""dlt's source `rest_api`, as its documentation shows it.

With a database it loads and merges the events. Without one it only extracts them into
files in the folder.
"""

import argparse
import json
from itertools import count
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.rest_api import rest_api_source


def main() -> None:
    """Read the events of all jobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path)
    parser.add_argument("folder")
    parser.add_argument("--database")
    parser.add_argument("--parallel", action="store_true", help="jobs side by side")
    args = parser.parse_args()
    settings, numbers = json.loads(args.settings.read_bytes()), count()

    def number(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "event_index": next(numbers)}

    path = "v2/events/batch/{resources.jobs.job_id}/imports"
    events = {
        "name": "imported_events",
        "endpoint": {"path": path, "data_selector": "results"},
        "include_from_parent": ["job_id"],
        "parallelized": args.parallel,
        "processing_steps": [{"map": number}],
        "primary_key": ["_jobs_job_id", "event_index"],
        "write_disposition": "merge",
    }
    client = {
        "base_url": settings["api_url"],
        "headers": {"Authorization": f"Basic {settings['api_key']}"},
        "paginator": {
            "type": "cursor",
            "cursor_path": "next_page_token",
            "cursor_param": "page_token",
        },
    }
    ids = [{"job_id": job_id} for job_id in settings["job_ids"]]
    resources = [dlt.resource([ids], name="jobs"), events]
    config = {"client": client, "resources": resources}
    source = rest_api_source(config, max_table_nesting=0)
    pipeline = dlt.pipeline(
        "benchmark", pipelines_dir=args.folder, dataset_name="fullstory"
    )
    if args.database:
        database = dlt.destinations.postgres(args.database)
        pipeline.run(source.with_resources("imported_events"), destination=database)
    else:
        pipeline.extract(source)


if __name__ == "__main__":  # dlt's workers import this file
    main()
