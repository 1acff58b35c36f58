"""Files from elsewhere.

downloads   the cache of downloads, by hash
answers     whether a server's refusal may pass
compressed  decompressed streams, and the bound on what may come out of a file
archives    unpacks wheels, tar and zip files, never outside the folder
package     a pinned Python package
"""
