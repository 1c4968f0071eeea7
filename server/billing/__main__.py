"""`python -m server.billing …`: the billing commands without the rest of the product."""

from __future__ import annotations

from server.billing.cli import app

if __name__ == "__main__":
    app()
