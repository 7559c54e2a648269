"""Who may call: organizations, namespaces, users, keys and permissions."""
