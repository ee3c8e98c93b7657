"""A commit in git becomes the state of a host: it is fetched, its signatures are checked, it is applied."""
