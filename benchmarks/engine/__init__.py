"""What the engine itself costs, apart from llama.cpp."""
