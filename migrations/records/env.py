"""What Alembic runs for this tree: it migrates the connection that `migrations.run` hands over, in its transaction."""

from pathlib import Path

from alembic import context

from migrations.run import models

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=models(Path(__file__).parent.name),
    render_as_batch=True,  # SQLite alters a table by copying it
)
context.run_migrations()
