"""The HTTP side: OpenAI's routes over an `Engine`."""
