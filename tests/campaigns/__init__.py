"""Long searches for failures, behind `make campaign`. Each prints a row of `docs/reliability.md`."""
