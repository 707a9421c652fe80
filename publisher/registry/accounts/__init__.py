"""Who a caller is and where they may publish: users, tokens, keys, owners, projects, TReqs."""
