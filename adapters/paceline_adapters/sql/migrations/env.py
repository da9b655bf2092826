"""Alembic runs this module for each upgrade, on our connection and in our transaction."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # SQLite also rolls back changes of the schema, unless there is a commit in between.
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
