"""`python -m simulators …` is `vitalwire simulate …`."""

from simulators.cli import app

if __name__ == "__main__":
    app(prog_name="vitalwire simulate")
