"""One file a technique. Nothing registers them: import the class you need from its file."""
