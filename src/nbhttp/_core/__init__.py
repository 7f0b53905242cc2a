"""What happens to a request between the verb and the result."""
