"""Snapshots in a bucket of S3, or of another maker's store that speaks its protocol.

    <prefix>/<deploy-id>/manifest.json            put last: a snapshot exists when its manifest does; removed first
    <prefix>/<deploy-id>/dumps/…                  the dump's files, as on local disk
    <prefix>/.drafts/<deploy-id>/<token>          who is making (or removing) that snapshot
    <prefix>/.index/<deploy-id>/…                 empty objects: their names are what `list` shows
    <prefix>/.rights/…                            what `doctor` tries the store's rights with

`Client` sends requests, `Bucket` has the objects and `Uploads` the files on their way, `Claim`s say who works on what,
a draft is made and published by its `S3Draft`, and `S3Store` has the verbs.
"""

from flagsnap.stores.s3.store import S3Store

__all__ = ["S3Store"]
