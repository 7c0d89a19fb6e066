"""The paginator of every paged endpoint of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_sdk.pagination import BaseAPIPaginator
from typing_extensions import override

from tap_fullstory_imports.fullstory.pages import page_of

if TYPE_CHECKING:
    import requests


class RepeatedTokenError(Exception):
    """The API sent a page token for the second time: the pages would never end."""


class NextPageTokenPaginator(BaseAPIPaginator["str | None"]):
    """Goes from page to page by ``next_page_token``.

    Only a page without a token, or with an empty one, is the last. A page without rows
    is not. Tokens are opaque: they are sent back as they came, and compared with all
    those of the same job, because the SDK sees only a loop of length one.
    """

    def __init__(self) -> None:
        """Start before the first page, which is asked for without a token."""
        super().__init__(None)
        self._seen: set[str] = set()

    @override
    def get_next(self, response: requests.Response) -> str | None:
        """The token in this answer.

        Args:
            response: An answer that holds a page.

        Returns:
            The token for the next page, or None on the last one.

        Raises:
            RepeatedTokenError: If an earlier page had the same token.
        """
        token = page_of(response).next_page_token
        if token in self._seen:
            raise RepeatedTokenError
        if token:
            self._seen.add(token)
        return token
