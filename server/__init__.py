"""Ingest, record, billing and pages."""
