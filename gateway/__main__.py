"""`python -m gateway …`: the same as `vitalwire gateway …`."""

from __future__ import annotations

from gateway.cli import app

if __name__ == "__main__":
    app(prog_name="vitalwire gateway")
