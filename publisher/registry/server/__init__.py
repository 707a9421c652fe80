"""The registry as a process: sockets, HTTP/1.1, connections, start and stop."""
