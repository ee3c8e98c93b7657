"""The client library: alone, against stand-ins, and against a real server with faults in between."""
