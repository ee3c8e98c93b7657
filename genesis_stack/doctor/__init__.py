"""What ails a host: symptoms that are read, the cause behind them, and the command or edit that heals it."""
