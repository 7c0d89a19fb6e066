"""What `--help` and `--about` say beside what the SDK does."""

from __future__ import annotations

from textwrap import fill

from singer_sdk.about import AboutFormatter, AboutInfo
from typing_extensions import override

DOCUMENTATION = "https://github.com/fullstory-imports/tap-fullstory-imports#readme"
EXAMPLE = "tap-fullstory-imports --config config.json --state state.json | your-target"
EPILOG = f"Example: {EXAMPLE}\n\nDocumentation: {DOCUMENTATION}"


class SettingsInWords(AboutFormatter, format_name="text"):
    """The text of `--about`, with what each setting means and its default."""

    @override
    def format_about(self, about_info: AboutInfo) -> str:
        lines = [
            f"Name: {about_info.name}",
            f"Description: {about_info.description}",
            f"Version: {about_info.version}",
            f"SDK Version: {about_info.sdk_version}",
            f"Documentation: {DOCUMENTATION}",
            f"Example: {EXAMPLE}",
            f"Capabilities: {', '.join(map(str, about_info.capabilities))}",
            "",
            "Settings, and their variables for `--config=ENV`:",
        ]
        required = about_info.settings.get("required", ())
        for name, schema in about_info.settings["properties"].items():
            default = f"default: {schema['default']}" if "default" in schema else ""
            note = "required" if name in required else default
            text = " ".join(str(schema.get("description", "")).split())
            lines += [
                "",
                f"{name} ({note})" if note else name,
                f"  {about_info.env_var_prefix}{name.upper()}",
                fill(text, 88, initial_indent="  ", subsequent_indent="  "),
            ]
        return "\n".join(lines)
