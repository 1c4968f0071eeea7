"""One module per kind of simulated device."""
