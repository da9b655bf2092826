"""Alembic runs this module for each upgrade, on our connection and in our transaction."""

from alembic import context

from paceline_adapters.sql.versions import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    # SQLite also rolls back changes of the schema, unless there is a commit in between.
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
