"""The hosts of one stack together, each asked over SSH; there is no server that knows them all."""
