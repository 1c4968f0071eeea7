"""Dated pure functions, one module a family of codes; they know nothing of each other."""
