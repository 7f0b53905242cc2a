"""Views: pure functions from an answer, or a part of it, to blocks."""
