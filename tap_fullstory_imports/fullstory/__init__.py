"""Fullstory's API: what one request needs, and what its answer means.

`Api` sends many requests side by side by the hooks of their streams, and retries after
temporary failures. A response becomes a `Page` or a `Status`, or an error with a
sentence for the user.
"""
