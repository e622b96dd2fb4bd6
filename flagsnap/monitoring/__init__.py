"""Monitoring: what a scheduler and a metrics collector are told of a run."""
