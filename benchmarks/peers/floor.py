"""The floor: as little work as possible. requests, msgspec, one write for each page.

No retries, no state, no settings: it only shows what the bytes themselves cost.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import requests


def main() -> None:
    """Read all jobs of the settings, one after the other."""
    settings = msgspec.json.decode(Path(sys.argv[1]).read_bytes())
    session = requests.Session()
    session.headers["Authorization"] = f"Basic {settings['api_key']}"
    decoder, encoder = msgspec.json.Decoder(), msgspec.json.Encoder()
    for job_id in settings["job_ids"]:
        url = f"{settings['api_url']}/v2/events/batch/{job_id}/imports"
        index = 0
        token: str | None = None
        while True:
            params = {"page_token": token} if token else None
            response = session.get(url, params=params, timeout=60)
            response.raise_for_status()
            page = decoder.decode(response.content)
            messages = []
            for event in page["results"]:
                event["job_id"] = job_id
                event["event_index"] = index
                index += 1
                messages.append(
                    {"type": "RECORD", "stream": "imported_events", "record": event}
                )
            sys.stdout.buffer.write(encoder.encode_lines(messages))
            token = page.get("next_page_token")
            if not token:
                break


main()
