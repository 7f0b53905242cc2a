"""What `nbhttp.redaction` is made of; nothing here has a state."""
