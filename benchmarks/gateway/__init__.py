"""What the gateway costs a request, and what three hosts behind it do that one does not."""
