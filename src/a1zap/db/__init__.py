"""One PostgreSQL: the pool, the tenant's transaction, migrations, and a private server from a wheel."""
