"""What the operator sees of running models: figures, a page that plots them, and what they save."""
