"""What this tap is measured beside. See docs/speed.md."""
