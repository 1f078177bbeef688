//! SeaORM entities, migrations and repositories for SQLite and PostgreSQL.
