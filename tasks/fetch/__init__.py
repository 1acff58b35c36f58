"""Files from elsewhere.

downloads   the cache of downloads, by hash
archives    unpacks wheels, tar and zip files, never outside the folder
package     a pinned Python package
"""
