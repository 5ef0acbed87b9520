"""The network and its change: the base, `Change`, `Adapted`, `Delta`.

README.md explains the core.
"""
