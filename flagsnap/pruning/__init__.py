"""Prune: what a policy no longer keeps goes, and what dead runs left."""
