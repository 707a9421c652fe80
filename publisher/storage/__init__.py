"""Object stores for `roar put`: where the artifacts themselves go (protocol.md §9).

`store` is the port and its words, `s3`, `gcs` and `file` implement it, `transfer` moves one file through it.  A file is
read twice and never held: once by `digest`, which takes its hashes, and once by `slices`, which sends it and stops when
a hash or the file's own marks differ.  `http` is the only place where bytes meet the network.
"""
