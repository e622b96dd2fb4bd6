"""Doctor: what is missing before the night it is needed."""
