"""Driver sessions: how to get the packets out of each kind of device. They transport and never interpret."""
