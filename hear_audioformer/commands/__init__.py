"""Commands on tables and recordings: ``search``, ``classify``, ``cluster``, ``plot``; a thin module each."""
