"""The report while a sweep runs: a server on this machine alone, and a page that renews itself from it."""
