"""A plain loop over all pages, with the fastest JSON: no retries, no state, no checks.

Argument: the settings file.
"""

import sys
from itertools import count
from pathlib import Path

import msgspec
import requests


def main() -> None:
    """Read all jobs, one after the other."""
    settings = msgspec.json.decode(Path(sys.argv[1]).read_bytes())
    session = requests.Session()
    session.headers["Authorization"] = f"Basic {settings['api_key']}"
    decoder, encoder = msgspec.json.Decoder(), msgspec.json.Encoder()
    about = {"type": "RECORD", "stream": "imported_events"}
    for job_id in settings["job_ids"]:
        url = f"{settings['api_url']}/v2/events/batch/{job_id}/imports"
        numbers, token = count(), ""
        while token is not None:
            params = {"page_token": token} if token else None
            response = session.get(url, params=params, timeout=60)
            response.raise_for_status()
            page = decoder.decode(response.content)
            messages = []
            for event in page["results"]:
                event |= {"job_id": job_id, "event_index": next(numbers)}
                messages.append({**about, "record": event})
            sys.stdout.buffer.write(encoder.encode_lines(messages))
            token = page.get("next_page_token")


main()
