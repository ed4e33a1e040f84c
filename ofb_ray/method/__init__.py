"""The paper, one formula one function. Imports torch and numpy only."""
