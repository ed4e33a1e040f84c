"""`report.html`: everything that a sweep says on one page that needs no network, for a browser or a phone."""
