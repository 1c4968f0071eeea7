"""PostgreSQL, with or without TimescaleDB: pools, migrations, and SQL beside its function, one module an aggregate."""
