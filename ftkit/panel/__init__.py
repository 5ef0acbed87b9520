"""What a panel is made of: the live plot, and controls that work by mouse and by keyboard."""
