"""What makes the site from the code: reference pages, equations and pictures."""
