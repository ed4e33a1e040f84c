"""What a sweep prints: live display, status, dry run, summary."""
