"""The way back to a recorded state: what it costs, by which route, the proof, and what is owed afterwards."""
