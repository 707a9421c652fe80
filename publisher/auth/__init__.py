"""Credentials and their choice: who publishes, and how a request proves it.

`decide` is the rule, as data; `scope` reads what the repo's configuration says; `bearer` keeps roar's sign-in state;
`sshkey` and `agent` sign requests; `identity` names the creator for the lineage hash.  Nothing here sends a request to
GLaaS: what must be sent is handed in as a function.
"""
