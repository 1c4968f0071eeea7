"""`python -m alerts …`: the alert commands without the `vitalwire` script."""

from __future__ import annotations

from alerts.cli import app

if __name__ == "__main__":
    app()
