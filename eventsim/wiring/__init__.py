"""A network -> a `Program`, the flat arrays that every engine walks."""
