"""How large the project is, and how long it takes to install, import and test."""
