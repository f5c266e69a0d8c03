"""A run in virtual time, which ``--dry-run`` shows: the plan, a model of the server, and what cannot be known."""
