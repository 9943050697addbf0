"""Examples: one file, one idea, each run by a command in the README."""
