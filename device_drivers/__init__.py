"""Bytes to measurement: pure decoders and transport-free driver sessions. Standard library only."""
