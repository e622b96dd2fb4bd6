"""What a rehearsal finds out: what was recorded on the way back, the script that replays it, the file of the result."""
