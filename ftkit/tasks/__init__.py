"""Data: what arrives. Tasks, their splits, and how a file becomes one."""
