"""Verify: are the snapshots whole and restorable, and is the live database what the record says?"""
