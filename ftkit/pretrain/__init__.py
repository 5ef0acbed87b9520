"""How the shipped bases were made: `make bases` runs what is here."""
