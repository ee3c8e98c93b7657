"""A commit in git becomes the state of a host; nothing is here yet."""
