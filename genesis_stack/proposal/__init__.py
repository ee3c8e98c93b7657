"""A stack that fits this machine: what it gives, what it could serve, how that is set up, and the file."""
