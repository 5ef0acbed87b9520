"""What the notebooks use to teach, and how they are stored."""
