"""The client library that replaces the cloud call; nothing is here yet."""
