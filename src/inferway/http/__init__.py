"""The HTTP face: the inference endpoint, admin routes and middleware."""
