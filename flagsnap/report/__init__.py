"""Reports: results rendered as text or JSON, and the progress of the use cases drawn."""
