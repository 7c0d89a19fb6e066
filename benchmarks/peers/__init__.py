"""What this tap is measured against. See benchmarks/README.md."""
