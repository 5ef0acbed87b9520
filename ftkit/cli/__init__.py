"""The `ftkit` command: `ftkit run`, `ftkit lab`."""
