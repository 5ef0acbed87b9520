"""How the shipped bases were made; `make bases` makes them again."""
