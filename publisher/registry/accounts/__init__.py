"""Authentication and authorization: users, tokens, keys, owners, projects, TReqs."""
