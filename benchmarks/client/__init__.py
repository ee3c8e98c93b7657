"""What the client library costs, and how it bears a server that keeps dying."""
