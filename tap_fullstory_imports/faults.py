"""How the tap says that its settings can't be used."""

from __future__ import annotations

from singer_sdk.exceptions import ConfigValidationError


def fault(sentence: str) -> ConfigValidationError:
    """An error that tells the user which setting to change, and how."""
    return ConfigValidationError("Unusable settings", errors=[sentence])
