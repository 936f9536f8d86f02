"""The lab: replay, verify, compare."""
