"""What security and observability cost a request and a token."""
