"""Overview: the deploys so far, and where the database is now."""
