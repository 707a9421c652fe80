"""`roar put`: which files are stored where, and the lineage that describes them.

No file is uploaded here. After the publish, `record_writer` and `tags` record and tag it in the project.
"""
