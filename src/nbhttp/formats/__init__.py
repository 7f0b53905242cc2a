"""Requests and answers as other tools write them: curl, and more to come."""
