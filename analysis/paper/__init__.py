"""Make the paper's tables: published numbers with their sources beside one's own."""
