"""The plain loop as most people write it: requests, json, one line for each event.

No retries and no state.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import requests


def main() -> None:
    """Read all jobs of the settings, one after the other."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    session = requests.Session()
    session.headers["Authorization"] = f"Basic {settings['api_key']}"
    for job_id in settings["job_ids"]:
        url = f"{settings['api_url']}/v2/events/batch/{job_id}/imports"
        index = 0
        token: str | None = None
        while True:
            params = {"page_token": token} if token else None
            response = session.get(url, params=params, timeout=60)
            response.raise_for_status()
            page = response.json()
            for event in page["results"]:
                event["job_id"] = job_id
                event["event_index"] = index
                index += 1
                message = {
                    "type": "RECORD",
                    "stream": "imported_events",
                    "record": event,
                }
                sys.stdout.write(json.dumps(message) + "\n")
            token = page.get("next_page_token")
            if not token:
                break


main()
