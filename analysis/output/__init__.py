"""Hand over what a command made: files, one screen of text, an exit code."""
