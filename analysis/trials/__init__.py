"""Read results folders: trials with their records, which of them compare, and which no other beats."""
